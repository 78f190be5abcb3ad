/* limited_program.c - usage: limited_program WHAT [SIZE]: what a process that runs out of memory can get, and get
 * again.
 *
 *   blocks SIZE  as many blocks of SIZE as there are, three times over; prints the three counts
 *   resident SIZE  the same once, all written to; prints the most bytes that were resident
 *   phases       60 MiB in blocks from 8 KiB to 8 MiB, and then in one; so often that it pays to keep these 60 MiB
 *   mixed        as many bytes in blocks of many sizes as there are, three times over; prints the three sums
 *   kinds        fills memory with blocks of 1 KB, then 70 KB, 1 MiB, 50 MiB, 70 KB, 1 KB; prints the six sums
 *   shrink       takes all there is beside a few blocks, which then must let themselves be made smaller
 *   page         takes all there is; what is freed then in a page must do for a block that grows
 *   churn SIZE   a workload with blocks of up to SIZE; prints how often it was served and refused
 * SPDX-License-Identifier: MIT */
#include "churn.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
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

/* Takes all that is left, in ever smaller blocks down to `least`. */
static void exhaust(struct link **chain, size_t least)
{
    size_t count;
    for (g_size = 100 * MIB; g_size >= least; g_size /= 2)
        fill(size_fixed, chain, &count);
}

/* What is there does for fewer bytes, too, when there is no other block to move them to. */
static void shrink(void)
{
    static const size_t from[] = {1000000, 400000, 100000, 3000, 3000000, 20000000, 50 * MIB};
    static const size_t to[] = {300000, 1000, 100, 20, 1};
    char *blocks[COUNT_OF(from)];
    struct link *chain = NULL;
    for (size_t i = 0; i < COUNT_OF(from); i++) {
        blocks[i] = malloc(from[i]);
        must(blocks[i] != NULL, "malloc(%zu) failed at the beginning", from[i]);
        pattern_fill(blocks[i], from[i], i);
    }
    exhaust(&chain, sizeof(struct link));
    for (size_t k = 0; k < COUNT_OF(to); k++) {
        for (size_t i = 0; i < COUNT_OF(from); i++) {
            if (to[k] >= from[i]) {
                continue;
            }
            errno = 4242;
            char *block = realloc(blocks[i], to[k]);
            must(block != NULL, "without memory, realloc from %zu to %zu: expected a block, saw NULL", from[i], to[k]);
            must(errno == 4242, "realloc from %zu to %zu changed errno to %d", from[i], to[k], errno);
            size_t good = pattern_check(block, to[k], i);
            must(good == to[k], "realloc from %zu to %zu: byte %zu was lost", from[i], to[k], good);
            must(malloc_usable_size(block) >= to[k], "realloc to %zu left %zu bytes", to[k], malloc_usable_size(block));
            blocks[i] = block;
        }
        /* What the smaller blocks have left goes too: the next round has no more than this one. */
        exhaust(&chain, sizeof(struct link));
    }
    errno = 0;
    void *more = realloc(blocks[3], 4000000);
    must(more == NULL && errno == ENOMEM, "memory was not out: nothing was tested");
    empty(&chain);
    for (size_t i = 0; i < COUNT_OF(from); i++) {
        free(blocks[i]);
    }
}

/* Medium blocks that are asked for often come from pages, those that grow from runs; when there are none left, a page
 * must do. */
static void grow_into_page(void)
{
    enum { PAGED = 200 * 1024, FREED = 25 };
    static char *blocks[64];
    for (size_t round = 0; round < 2; round++) { /* in the second, the class is in demand */
        for (size_t i = 0; i < COUNT_OF(blocks); i++) {
            blocks[i] = malloc(PAGED);
            must(blocks[i] != NULL, "malloc(%d) failed at the beginning", PAGED);
        }
        for (size_t i = 0; round == 0 && i < COUNT_OF(blocks); i++)
            free(blocks[i]);
    }
    char *small = malloc(50000);
    must(small != NULL, "malloc failed at the beginning");
    pattern_fill(small, 50000, 1);
    struct link *chain = NULL;
    exhaust(&chain, 1024);
    free(blocks[FREED]);
    char *grown = realloc(small, PAGED);
    must(grown != NULL, "with a block of %d bytes free in a page, realloc to as many returned NULL", PAGED);
    must(pattern_check(grown, 50000, 1) == 50000, "realloc lost what was in the block");
    errno = 0;
    must(realloc(grown, 4 * MIB) == NULL && errno == ENOMEM, "memory was not out: nothing was tested");
    empty(&chain);
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

/* All goes and comes again once: what is free then counts, too, as long as it is resident. */
static void print_resident(void)
{
    struct link *chain = NULL;
    size_t count;
    for (unsigned round = 0; round < 2; round++) {
        fill(size_fixed, &chain, &count);
        for (struct link *link = chain; link != NULL; link = link->next) {
            memset(link + 1, 1, link->size - sizeof *link);
        }
        empty(&chain);
    }
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("%zu\n", (size_t)usage.ru_maxrss * 1024);
}

/* What is kept of one phase is in the way of the next, whose blocks are of another kind. */
static void phases(void)
{
    enum { ROUNDS = 24, ALL = 60 * MIB };
    static void *blocks[64];
    for (unsigned round = 0; round < ROUNDS; round++) {
        size_t count = 0;
        for (size_t bytes = 0, size = 8 * KIB; bytes < ALL; bytes += size, size = size < 8 * MIB ? 2 * size : size) {
            memset(blocks[count++] = malloc(size), 1, size);
        }
        while (count > 0) {
            free(blocks[--count]);
        }
        void *block = malloc(ALL);
        memset(block, 3, ALL);
        free(block);
    }
}

int main(int argc, char **argv)
{
    must(argc >= 2, "usage: limited_program WHAT [SIZE]");
    g_size = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    if (strcmp(argv[1], "kinds") == 0) {
        print_kinds();
    } else if (strcmp(argv[1], "shrink") == 0) {
        shrink();
    } else if (strcmp(argv[1], "page") == 0) {
        grow_into_page();
    } else if (strcmp(argv[1], "resident") == 0) {
        print_resident();
    } else if (strcmp(argv[1], "phases") == 0) {
        phases();
    } else if (strcmp(argv[1], "churn") == 0) {
        print_churn();
    } else {
        print_three(strcmp(argv[1], "mixed") == 0);
    }
    return 0;
}
