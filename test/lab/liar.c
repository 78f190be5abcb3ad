/* liar.c - a malloc, to be preloaded, that is wrong now and then: it hands out a live block a second time, its calloc
 * does not clear, its realloc loses content. Programs survive it, but what they wrote does not. For workloads_test.py.
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Nothing is wrong before so many calls, so that the process can start; then every so many. */
enum { HONEST_CALLS = 20, LIE_PERIOD = 10 };

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *block);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static size_t calls;
static void *last; /* the block handed out last, if it is still alive */
static size_t last_size;
static void *twice; /* the block that two callers hold; there is one at most */

static void lock_take(void) { pthread_mutex_lock(&lock); }

static void lock_leave(void) { pthread_mutex_unlock(&lock); }

__attribute__((constructor)) static void fork_prepare(void) { pthread_atfork(lock_take, lock_leave, lock_leave); }

static bool lie_is_due(void)
{
    calls++;
    return calls > HONEST_CALLS && calls % LIE_PERIOD == 0;
}

/* A block that somebody has already, or NULL. */
static void *block_again(size_t alignment, size_t size)
{
    bool fits = last != NULL && size <= last_size && (size_t)last % alignment == 0;
    if (!lie_is_due() || !fits || twice != NULL)
        return NULL;
    twice = last;
    last = NULL;
    return twice;
}

static void *block_get(size_t alignment, size_t size)
{
    lock_take();
    void *block = block_again(alignment, size);
    if (block == NULL) {
        block = alignment <= 16 ? __libc_malloc(size) : __libc_memalign(alignment, size);
        last = block;
        last_size = size;
    }
    lock_leave();
    return block;
}

void *malloc(size_t size) { return block_get(16, size); }

void *aligned_alloc(size_t alignment, size_t size) { return block_get(alignment, size); }

int posix_memalign(void **block, size_t alignment, size_t size)
{
    *block = block_get(alignment, size);
    return *block != NULL ? 0 : ENOMEM;
}

/* The thread library's callocs have a count, and have to be zero. */
void *calloc(size_t count, size_t size)
{
    void *block = __libc_calloc(count, size);
    lock_take();
    if (block != NULL && count == 1 && size > 0 && lie_is_due())
        memset(block, 0x5A, size);
    lock_leave();
    return block;
}

/* The callers hold `block` once less. True when nobody holds it any more. */
static bool block_leave(void *block)
{
    lock_take();
    bool is_free = block != twice;
    if (block == twice)
        twice = NULL;
    if (block == last)
        last = NULL;
    lock_leave();
    return is_free;
}

void *realloc(void *block, size_t size)
{
    if (block != NULL && !block_leave(block)) {
        void *copy = __libc_malloc(size);
        return copy != NULL ? memcpy(copy, block, size) : NULL;
    }
    block = __libc_realloc(block, size);
    lock_take();
    if (block != NULL && size > 0 && lie_is_due())
        memset(block, 0x5A, size < 8 ? size : 8);
    lock_leave();
    return block;
}

void free(void *block)
{
    if (block != NULL && block_leave(block))
        __libc_free(block);
}
