/* locked_test.c - a process that has all its memory locked, now and in future: only what it touches is resident, and
 * what it frees goes back.
 * SPDX-License-Identifier: MIT */
#include "support.h"

#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { THREADS = 16, BLOCKS = 300, LARGE = 1200 };

static size_t locked_bytes(void)
{
    char line[200];
    size_t found = 0;
    FILE *file = fopen("/proc/self/status", "r");
    must(file != NULL, "/proc/self/status cannot be opened");
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, "VmLck:", 6) == 0) {
            found = (size_t)strtoul(line + 6, NULL, 10) * KIB;
        }
    }
    fclose(file);
    return found;
}

static pthread_barrier_t g_all;

/* Little, but of many sizes, each of which has a page of its own in each thread. */
static void *thread_run(void *argument)
{
    void *blocks[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(16 + i * 20);
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        free(blocks[i]);
    }
    pthread_barrier_wait(&g_all);
    pthread_barrier_wait(&g_all);
    return argument;
}

static size_t resident_with_threads(void)
{
    pthread_t threads[THREADS];
    pthread_attr_t small;
    must(pthread_barrier_init(&g_all, NULL, THREADS + 1) == 0 && pthread_attr_init(&small) == 0 &&
             pthread_attr_setstacksize(&small, 64 * KIB) == 0, "no threads can be had");
    for (size_t i = 0; i < THREADS; i++) {
        must(pthread_create(&threads[i], &small, thread_run, NULL) == 0, "pthread_create failed");
    }
    pthread_barrier_wait(&g_all);
    size_t resident = process_rss();
    pthread_barrier_wait(&g_all);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    return resident;
}

static void large_blocks_come_and_go(void)
{
    static char *blocks[LARGE];
    for (size_t i = 0; i < LARGE; i++) {
        blocks[i] = malloc(50000);
        must(blocks[i] != NULL, "no memory");
        memset(blocks[i], 1, 50000);
    }
    for (size_t i = 0; i < LARGE; i++) {
        free(blocks[i]);
    }
    malloc_trim(0);
    for (size_t i = 0; i < 100; i++) {
        char *zero = calloc(1, 50000);
        for (size_t at = 0; at < 50000; at++) {
            must(zero[at] == 0, "calloc's byte %zu is %d", at, zero[at]);
        }
        blocks[i] = zero;
    }
    for (size_t i = 0; i < 100; i++) {
        free(blocks[i]);
    }
    malloc_trim(0);
}

/* Locks are not inherited. */
static int child_locks_nothing(void)
{
    for (size_t i = 0; i < 200; i++) {
        memset(malloc(100000), 1, 100000);
    }
    return locked_bytes() == 0 ? 0 : 1;
}

/* Before anything else that tells hakmem that it is a child. */
static int child_locks_first(void)
{
    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
        return 2;
    }
    size_t before = process_rss();
    for (size_t i = 0; i < 8; i++) {
        memset(malloc(20 * MIB), 1, 100);
    }
    return process_rss() < before + 40 * MIB ? 0 : 1;
}

static void test_locked_memory(void **state)
{
    (void)state;
    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
        skip_because("this process may not lock its memory");
        skip();
    }
    size_t first = process_rss();
    size_t threads = resident_with_threads();
    must(threads < first + 12 * MIB, "%d threads with little: %zu KiB more are resident", THREADS,
         (threads - first) / KIB);
    must(locked_bytes() >= process_rss() / 2, "memory is not locked any more");
    large_blocks_come_and_go();
    must(process_rss() < first + 16 * MIB, "of 60 MB that were freed %zu KiB stay",
         (process_rss() - first) / KIB);

    pid_t child = fork();
    if (child == 0) {
        _exit(child_locks_nothing());
    }
    int status = -1;
    must(waitpid(child, &status, 0) == child && status == 0, "the child has locked memory, or died: %#x",
         (unsigned)status);

    child = fork();
    if (child == 0) {
        _exit(child_locks_first());
    }
    must(waitpid(child, &status, 0) == child && status == 0,
         "a child that locks its memory first has it all resident: %#x", (unsigned)status);

    must(munlockall() == 0, "munlockall failed");
    size_t locked = locked_bytes();
    memset(malloc(30 * MIB), 1, 30 * MIB);
    must(locked == 0 && locked_bytes() == 0, "memory is locked after munlockall");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_locked_memory),
    };
    return RUN_TESTS(tests);
}
