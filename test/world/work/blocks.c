/* blocks.c ROUNDS - allocates, fills, checks, resizes and frees blocks of many sizes, in threads that free each other's
 * blocks, and in a child. Prints the same on every right malloc. "use-after-free" instead of ROUNDS is what it says.
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4, SLOTS = 600, STEPS = 3000, SHARED = 64 };
enum { LARGE_PERIOD = 100, LARGE_MOST = 1 << 20, SMALL_MOST = 6000 };

struct block {
    unsigned char *at;
    size_t size;
    unsigned char mark;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct block shared[SHARED];
int threads_done;

static void fail(const char *what)
{
    printf("wrong: %s\n", what);
    exit(3);
}

static uint32_t random_next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

static void block_fill(struct block *block, unsigned char mark)
{
    if (block->at == NULL)
        fail("no memory");
    block->mark = mark;
    memset(block->at, mark, block->size);
}

static void block_check(const struct block *block, size_t size)
{
    for (size_t i = 0; i < size; i += i < 64 ? 1 : 61)
        if (block->at[i] != block->mark)
            fail("content");
    if (size > 0 && block->at[size - 1] != block->mark)
        fail("content at the end");
}

static struct block block_make(uint64_t *state)
{
    uint32_t kind = random_next(state) % 8;
    size_t most = random_next(state) % LARGE_PERIOD == 0 ? LARGE_MOST : SMALL_MOST;
    struct block block = {NULL, 1 + random_next(state) % most, 0};
    if (kind == 0) {
        block.at = calloc(1, block.size);
        for (size_t i = 0; block.at != NULL && i < block.size; i++)
            if (block.at[i] != 0)
                fail("calloc");
    } else if (kind == 1) {
        size_t alignment = (size_t)16 << random_next(state) % 9;
        void *at = NULL;
        if (posix_memalign(&at, alignment, block.size) != 0 || (uintptr_t)at % alignment != 0)
            fail("posix_memalign");
        block.at = at;
    } else {
        block.at = malloc(block.size);
    }
    block_fill(&block, (unsigned char)(random_next(state) | 1));
    return block;
}

static void block_free(struct block *block)
{
    if (block->at != NULL)
        block_check(block, block->size);
    free(block->at);
    *block = (struct block){NULL, 0, 0};
}

static void block_resize(struct block *block, size_t size)
{
    size_t kept = size < block->size ? size : block->size;
    block->at = realloc(block->at, size);
    if (block->at == NULL)
        fail("realloc");
    block_check(block, kept);
    block->size = size;
    block_fill(block, block->mark);
}

/* Another thread may free it. */
static void block_exchange(struct block *block, size_t place)
{
    pthread_mutex_lock(&lock);
    struct block other = shared[place];
    shared[place] = *block;
    pthread_mutex_unlock(&lock);
    *block = other;
}

static void *work(void *seed)
{
    uint64_t state = (uint64_t)(uintptr_t)seed;
    struct block *slots = calloc(SLOTS, sizeof *slots);
    for (int step = 0; step < STEPS; step++) {
        struct block *block = &slots[random_next(&state) % SLOTS];
        uint32_t what = random_next(&state) % 4;
        size_t size = 1 + random_next(&state) % SMALL_MOST;
        if (block->at != NULL && what == 0)
            block_resize(block, size);
        else if (what == 1)
            block_exchange(block, size % SHARED);
        else
            block_free(block), *block = block_make(&state);
    }
    for (int i = 0; i < SLOTS; i++)
        block_free(&slots[i]);
    free(slots);
    pthread_mutex_lock(&lock);
    threads_done++;
    pthread_mutex_unlock(&lock);
    return NULL;
}

static void work_in_threads(uintptr_t round)
{
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, work, (void *)(round * THREADS + i + 1)) != 0)
            fail("pthread_create");
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void work_in_child(void)
{
    pid_t child = fork();
    if (child == 0) {
        work((void *)7);
        _exit(0);
    }
    int status = 1;
    if (waitpid(child, &status, 0) != child || status != 0)
        fail("the child");
}

__attribute__((noinline)) void done(void)
{
    printf("done: %d threads\n", threads_done);
}

int main(int count, char **arguments)
{
    if (count > 1 && strcmp(arguments[1], "use-after-free") == 0) {
        volatile char *block = malloc(100);
        free((void *)block);
        return block[7];
    }
    for (int round = 0; round < (count > 1 ? atoi(arguments[1]) : 1); round++) {
        work_in_threads((uintptr_t)round);
        work_in_child();
    }
    for (int i = 0; i < SHARED; i++)
        block_free(&shared[i]);
    done();
    return 0;
}
