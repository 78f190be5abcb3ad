/* refused_program.c - usage: refused_program CALL ERRNO always | start | FIRST COUNT
 * A workload under a refused system call: it may be refused memory when that call is mmap, and must be right in
 * everything else. "start" refuses before any constructor has run, "always" after some use, FIRST COUNT only those of
 * the calls. Prints how many calls were seen and refused, when counted.
 * SPDX-License-Identifier: MIT */
#include "churn.h"
#include "refuse.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif

static const struct {
    const char *name;
    long number;
} g_calls[] = {
    {"mmap", SYS_mmap},     {"munmap", SYS_munmap}, {"madvise", SYS_madvise},     {"mprotect", SYS_mprotect},
    {"mremap", SYS_mremap}, {"prctl", SYS_prctl},   {"getrandom", SYS_getrandom}, {"mincore", SYS_mincore},
    {"process_madvise", SYS_process_madvise},
};

static long call_number(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(g_calls); i++) {
        if (strcmp(g_calls[i].name, name) == 0) {
            return g_calls[i].number;
        }
    }
    must(false, "no system call %s", name);
    return 0;
}

/* Before the constructors of every library: the C library has set up no arguments for us, but for this function. */
static void refuse_at_start(int argc, char **argv, char **environment)
{
    (void)environment;
    if (argc == 4 && strcmp(argv[3], "start") == 0) {
        refuse_always(call_number(argv[1]), atoi(argv[2]));
    }
}

__attribute__((section(".preinit_array"), used)) static void (*const g_first)(int, char **, char **) = refuse_at_start;

static bool g_may_fail;

/* Either a block or NULL with ENOMEM, and that only where it is allowed. */
static bool served(const void *block, const char *what, size_t size)
{
    must(block != NULL || (g_may_fail && errno == ENOMEM), "%s of %zu bytes: NULL with errno %d (%s)%s", what, size,
         errno, strerror(errno), g_may_fail ? ", expected ENOMEM" : ", expected a block");
    return block != NULL;
}

static void churn(uint64_t seed, size_t limit, size_t steps)
{
    static _Thread_local struct churn churn;
    churn_begin(&churn, seed, limit);
    churn.may_fail = g_may_fail;
    churn_steps(&churn, steps);
    churn_end(&churn);
}

/* Very large blocks are grown and shrunk by mremap where it works. */
static void resize_very_large(void)
{
    errno = 0;
    size_t size = 40 * MIB;
    uint64_t *block = malloc(size);
    if (!served(block, "malloc", size)) {
        return;
    }
    block[0] = 11;
    block[size / 8 - 1] = 12;
    for (size_t round = 0; round < 6; round++) {
        size_t to = round % 2 == 0 ? size * 2 : 35 * MIB;
        errno = 0;
        uint64_t *moved = realloc(block, to);
        if (served(moved, "realloc", to)) {
            block = moved;
        }
        must(block[0] == 11, "realloc to %zu lost the first word", to);
    }
    errno = 4242;
    free(block);
    must(errno == 4242, "free of a very large block changed errno to %d", errno);
}

/* What free and malloc_trim could not give back must be zero all the same when calloc hands it out. Of the largest
 * blocks only the beginning is written and looked at. One range goes back by another call than many. */
static void zero_after_purge(void)
{
    static void *blocks[64];
    static const struct {
        size_t size, count, looked_at;
    } rows[] = {{3000, 64, 3000},      {30000, 64, 30000},     {200000, 8, 200000},
                {1000000, 1, 1000000}, {3000000, 2, 300000}, {40000000, 1, 100000}};
    for (size_t r = 0; r < COUNT_OF(rows); r++) {
        size_t size = rows[r].size;
        for (size_t i = 0; i < rows[r].count; i++) {
            errno = 0;
            blocks[i] = malloc(size);
            if (served(blocks[i], "malloc", size)) {
                memset(blocks[i], 0xA5, rows[r].looked_at);
            }
        }
        for (size_t i = 0; i < rows[r].count; i++) {
            errno = 4242;
            free(blocks[i]);
            must(errno == 4242, "free of %zu bytes changed errno to %d", size, errno);
        }
        malloc_trim(0);
        for (size_t i = 0; i < rows[r].count; i++) {
            errno = 0;
            blocks[i] = calloc(1, size);
            size_t looked_at = rows[r].looked_at;
            size_t good = served(blocks[i], "calloc", size) ? bytes_check(blocks[i], looked_at, 0) : looked_at;
            must(good == looked_at, "calloc of %zu bytes: byte %zu is not zero", size, good);
        }
        for (size_t i = 0; i < rows[r].count; i++) {
            free(blocks[i]);
        }
        malloc_trim(0);
    }
}

static void large_alignments(void)
{
    for (size_t alignment = 64 * KIB; alignment <= 64 * MIB; alignment *= 4) {
        errno = 0;
        char *block = aligned_alloc(alignment, 100000);
        if (served(block, "aligned_alloc", alignment)) {
            must((uintptr_t)block % alignment == 0, "aligned_alloc(%zu): saw %p", alignment, (void *)block);
            memset(block, 1, 100000);
        }
        free(block);
    }
}

static void workload(uint64_t seed)
{
    churn(seed, MIB, 500);
    resize_very_large();
    zero_after_purge();
    large_alignments();
    churn(seed + 1, 50000, 500);
}

static void *thread_workload(void *argument)
{
    churn((uint64_t)(size_t)argument, 300000, 500);
    return NULL;
}

/* Threads come and go; whether one can be had at all is the C library's matter. */
static void threads(void)
{
    for (size_t i = 0; i < 4; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, thread_workload, (void *)(i + 1)) == 0) {
            pthread_join(thread, NULL);
        }
    }
}

int main(int argc, char **argv)
{
    must(argc == 4 || argc == 5, "usage: refused_program CALL ERRNO always | start | FIRST COUNT");
    long number = call_number(argv[1]);
    int error = atoi(argv[2]);
    bool counted = argc == 5;
    g_may_fail = strcmp(argv[1], "mmap") == 0;
    /* These are called only where no filter was found when the first of them was needed. */
    if (counted && (number == SYS_process_madvise || number == SYS_mincore)) {
        workload(1);
    }
    if (counted) {
        refuse_counted(number, error, strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10));
    } else if (strcmp(argv[3], "always") == 0) {
        bool may_fail = g_may_fail;
        g_may_fail = false;
        workload(1);
        g_may_fail = may_fail;
        refuse_always(number, error);
    }
    workload(3);
    if (counted) {
        dprintf(STDOUT_FILENO, "%zu %zu\n", refuse_seen(), refuse_refused());
    } else {
        threads();
    }
    return 0;
}
