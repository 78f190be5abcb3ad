/* limited_program.c - usage: limited_program WHAT [SIZE]: what a process that runs out of memory can get, and get
 * again.
 *
 *   blocks SIZE  as many blocks of SIZE as there are, three times over; prints the three counts
 *   mixed        as many bytes in blocks of many sizes as there are, three times over; prints the three sums
 *   kinds        fills memory with blocks of 1 KB, then 70 KB, 1 MiB, 50 MiB, 70 KB, 1 KB; prints the six sums
 *   churn SIZE   a workload with blocks of up to SIZE; prints how often it was served and refused
 * SPDX-License-Identifier: MIT */
#include "churn.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct link {
    struct link *next;
    size_t size;
};

/* Allocates until refused; chains the blocks through themselves. Returns the bytes, and the number of blocks. */
static size_t fill(size_t (*size_of)(uint64_t *random), struct link **chain, size_t *count)
{
    size_t bytes = 0;
    uint64_t random = 12345;
    *count = 0;
    for (;;) {
        size_t size = size_of(&random);
        errno = 0;
        struct link *link = malloc(size);
        if (link == NULL) {
            must(errno == ENOMEM, "out of memory: expected errno ENOMEM, saw %d", errno);
            return bytes;
        }
        link->next = *chain;
        link->size = size;
        *chain = link;
        bytes += size;
        ++*count;
    }
}

static void empty(struct link **chain)
{
    while (*chain != NULL) {
        struct link *next = (*chain)->next;
        errno = 4242;
        free(*chain);
        must(errno == 4242, "free changed errno to %d", errno);
        *chain = next;
    }
}

static size_t g_size;

static size_t size_fixed(uint64_t *random)
{
    (void)random;
    return g_size;
}

static size_t size_mixed(uint64_t *random)
{
    size_t size = random_size(random, 300000);
    return size < sizeof(struct link) ? sizeof(struct link) : size;
}

static void print_three(bool mixed)
{
    size_t results[3];
    for (size_t i = 0; i < COUNT_OF(results); i++) {
        struct link *chain = NULL;
        size_t count;
        size_t bytes = fill(mixed ? size_mixed : size_fixed, &chain, &count);
        results[i] = mixed ? bytes : count;
        empty(&chain);
    }
    dprintf(STDOUT_FILENO, "%zu %zu %zu\n", results[0], results[1], results[2]);
}

static void print_kinds(void)
{
    static const size_t sizes[] = {1000, 70000, MIB, 50 * MIB, 70000, 1000};
    size_t results[COUNT_OF(sizes)];
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct link *chain = NULL;
        size_t count;
        g_size = sizes[i];
        results[i] = fill(size_fixed, &chain, &count);
        empty(&chain);
    }
    for (size_t i = 0; i < COUNT_OF(results); i++) {
        dprintf(STDOUT_FILENO, "%zu ", results[i]);
    }
}

static void print_churn(void)
{
    static struct churn churn;
    churn_begin(&churn, 8, g_size);
    churn.may_fail = true;
    churn_steps(&churn, 6000);
    churn_end(&churn);
    dprintf(STDOUT_FILENO, "%zu %zu\n", churn.operations, churn.failures);
}

int main(int argc, char **argv)
{
    must(argc >= 2, "usage: limited_program WHAT [SIZE]");
    g_size = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    if (strcmp(argv[1], "kinds") == 0) {
        print_kinds();
    } else if (strcmp(argv[1], "churn") == 0) {
        print_churn();
    } else {
        print_three(strcmp(argv[1], "mixed") == 0);
    }
    return 0;
}
