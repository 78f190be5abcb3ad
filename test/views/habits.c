/* habits.c - programs of one habit each, which know nothing of hakmem: habits
 * leak|cache|steady|sparse|untouched|mapped|stacks|asleep. What `hakmem why` says of them is known. They go on until
 * they are killed, and make a call now and then, as programs do; but for the last, which starts and then waits.
 * SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { MIB = 1 << 20, ROUND_MS = 10, BLOCK = 1000 };

static void *volatile sink; /* keeps the compiler from leaving out what is not used */

static void round_pause(void)
{
    nanosleep(&(struct timespec){.tv_nsec = ROUND_MS * 1000000}, NULL);
    sink = malloc(3 * MIB); /* more than a thread's own cache serves */
    free(sink);
}

__attribute__((noinline)) static void *block_make(size_t size)
{
    void *block = malloc(size);
    if (!block)
        exit(3);
    memset(block, 1, size);
    sink = block;
    return block;
}

/* Nothing that it takes is ever freed: 6 MB a second. */
__attribute__((noinline)) static void leak_on(void)
{
    for (int i = 0; i < 60; i++)
        block_make(BLOCK);
}

/* Takes three for each that it frees. */
__attribute__((noinline)) static void cache_on(void)
{
    enum { ROOM = 1 << 20 };
    static void *block[ROOM];
    static size_t begin, end;
    for (int i = 0; i < 90 && end < ROOM; i++) {
        block[end++] = block_make(BLOCK);
        if (i % 3 == 0)
            free(block[begin++]);
    }
}

static void rounds(void (*round)(void))
{
    for (;;) {
        if (round)
            round();
        round_pause();
    }
}

/* 64 MB, of which one block in twelve stays. */
static void sparse_make(void)
{
    enum { BLOCKS = 64 * MIB / 256 };
    static void *block[BLOCKS];
    for (int i = 0; i < BLOCKS; i++)
        block[i] = block_make(256);
    for (int i = 0; i < BLOCKS; i++)
        if (i % 12 != 0) /* none of its pages of memory is free */
            free(block[i]);
}

static void mapped_make(void)
{
    void *memory = mmap(NULL, 64 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        exit(3);
    memset(memory, 1, 64 * MIB);
}

static void *stack_fill(void *unused)
{
    char local[4 * MIB];
    memset(local, 1, sizeof local);
    sink = local;
    for (;;)
        pause();
    return unused;
}

static void stacks_make(void)
{
    pthread_t thread;
    for (int i = 0; i < 16; i++)
        if (pthread_create(&thread, NULL, stack_fill, NULL) != 0)
            exit(3);
    while (sink == NULL)
        round_pause();
}

static void steady_make(void)
{
    for (int i = 0; i < 64; i++)
        block_make(MIB - 4096);
}

static void untouched_make(void)
{
    steady_make();
    sink = malloc(512 * MIB);
}

/* 5 MB in an eighth of a second, as a server that starts. */
static void asleep_make(void)
{
    enum { PIECES = 80, PIECE = 64 };
    for (int i = 0; i < PIECES; i++) {
        for (int k = 0; k < PIECE; k++)
            block_make(BLOCK);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

static void sleep_on(void)
{
    for (;;)
        pause();
}

static const struct habit {
    const char *name;
    void (*make)(void), (*round)(void);
} habits[] = {{"leak", NULL, leak_on},       {"cache", NULL, cache_on},           {"steady", steady_make, NULL},
              {"sparse", sparse_make, NULL}, {"untouched", untouched_make, NULL}, {"mapped", mapped_make, NULL},
              {"stacks", stacks_make, NULL}, {"asleep", asleep_make, sleep_on}};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 2 && i < sizeof habits / sizeof habits[0]; i++) {
        if (strcmp(habits[i].name, argv[1]) != 0)
            continue;
        if (habits[i].make)
            habits[i].make();
        puts("ready");
        fflush(stdout);
        rounds(habits[i].round);
    }
    return 2;
}
