/* allocated.c - a program that knows nothing of hakmem, of which each function allocates in its own way, and frees it
 * soon: allocated ROUNDS. At the end it writes what each has allocated: its name, bytes, blocks. With 0 rounds it goes
 * on until it is told to end by SIGTERM; SIGUSR1 makes it pause, and go on.
 * SPDX-License-Identifier: MIT */
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct way {
    const char *name;
    void (*make)(struct way *way);
    size_t bytes, blocks;
};

static void *note(struct way *way, void *block)
{
    if (!block)
        exit(3);
    way->bytes += malloc_usable_size(block);
    way->blocks++;
    return block;
}

/* The same place of the same ring, again and again. */
static __attribute__((noinline)) void same_make(struct way *way)
{
    for (int i = 0; i < 2000; i++)
        free(note(way, malloc(100)));
}

static __attribute__((noinline)) void many_make(struct way *way)
{
    static void *block[500];
    for (size_t i = 0; i < 500; i++)
        block[i] = note(way, malloc(20 + i));
    for (size_t i = 0; i < 500; i++)
        free(block[i]);
}

static __attribute__((noinline)) void zeroed_make(struct way *way)
{
    for (size_t i = 1; i < 200; i++)
        free(note(way, calloc(i, i < 100 ? 7 : 40)));
}

static __attribute__((noinline)) void aligned_make(struct way *way)
{
    for (size_t i = 1; i < 100; i++)
        free(note(way, aligned_alloc(256, 256 * (i % 8 + 1))));
}

static __attribute__((noinline)) void grown_make(struct way *way)
{
    void *block = NULL;
    for (size_t size = 50; size < 400000; size *= 3)
        block = note(way, realloc(block, size));
    free(block);
}

static __attribute__((noinline)) void large_make(struct way *way)
{
    free(note(way, malloc(200 << 10)));
    free(note(way, malloc(3 << 20)));
}

static void *thread_work(void *way)
{
    for (int i = 0; i < 1000; i++)
        free(note(way, malloc(300)));
    return NULL;
}

static __attribute__((noinline)) void thread_make(struct way *way)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, thread_work, way) != 0 || pthread_join(thread, NULL) != 0)
        exit(3);
}

static struct way ways[] = {{"same_make", same_make, 0, 0},       {"many_make", many_make, 0, 0},
                            {"zeroed_make", zeroed_make, 0, 0},   {"aligned_make", aligned_make, 0, 0},
                            {"grown_make", grown_make, 0, 0},     {"large_make", large_make, 0, 0},
                            {"thread_work", thread_make, 0, 0}};
enum { WAYS = sizeof ways / sizeof *ways };

static volatile sig_atomic_t pauses, ends;

static void turn(int number)
{
    (void)number;
    pauses = !pauses;
}

static void end(int number)
{
    (void)number;
    ends = 1;
}

static void say(const char *word)
{
    if (write(STDOUT_FILENO, word, strlen(word)) < 0)
        exit(3);
}

static void pause_while_told(void)
{
    sigset_t told, before;
    sigemptyset(&told);
    sigaddset(&told, SIGUSR1);
    sigprocmask(SIG_BLOCK, &told, &before);
    if (pauses)
        say("pauses\n");
    while (pauses)
        sigsuspend(&before);
    sigprocmask(SIG_SETMASK, &before, NULL);
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 0;
    signal(SIGUSR1, turn);
    signal(SIGTERM, end);
    for (int round = 0; !ends && (rounds == 0 || round < rounds); round++) {
        for (int i = 0; i < WAYS; i++)
            ways[i].make(&ways[i]);
        if (round == 20 && rounds == 0)
            say("ready\n");
        pause_while_told();
    }
    for (int i = 0; i < WAYS; i++)
        printf("%s %zu %zu\n", ways[i].name, ways[i].bytes, ways[i].blocks);
    return 0;
}
