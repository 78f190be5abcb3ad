/* errors_test.c - which calls fail, with which errno, and that every other call leaves errno alone.
 * SPDX-License-Identifier: MIT */
#include "support.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <cmocka.h>

#define HUGE_POWER ((size_t)1 << 33)
#define ABOVE_LIMIT ((size_t)PTRDIFF_MAX + 1)
/* An errno that no allocation function ever sets. */
#define UNTOUCHED 4242

enum call {
    MALLOC,
    CALLOC,
    REALLOC,
    REALLOC_NULL,
    REALLOCARRAY,
    REALLOCARRAY_NULL,
    ALIGNED_ALLOC,
    MEMALIGN,
    VALLOC,
    PVALLOC
};

static const char *const g_call_names[] = {"malloc",
                                           "calloc",
                                           "realloc of a block",
                                           "realloc(NULL)",
                                           "reallocarray of a block",
                                           "reallocarray(NULL)",
                                           "aligned_alloc",
                                           "memalign",
                                           "valloc",
                                           "pvalloc"};

struct failure {
    enum call call;
    size_t first; /* the arguments in the function's own order */
    size_t second;
    int expected_errno;
};

static const struct failure g_failures[] = {
    {MALLOC, SIZE_MAX, 0, ENOMEM},
    {MALLOC, SIZE_MAX - 4096, 0, ENOMEM},
    {MALLOC, ABOVE_LIMIT, 0, ENOMEM},
    {MALLOC, PTRDIFF_MAX, 0, ENOMEM},
    {MALLOC, (size_t)1 << 62, 0, ENOMEM},
    {MALLOC, (size_t)1 << 48, 0, ENOMEM},
    {CALLOC, HUGE_POWER, HUGE_POWER, ENOMEM},
    {CALLOC, SIZE_MAX, 2, ENOMEM},
    {CALLOC, 2, SIZE_MAX, ENOMEM},
    {CALLOC, SIZE_MAX, SIZE_MAX, ENOMEM},
    {CALLOC, 1, SIZE_MAX, ENOMEM},
    {CALLOC, (size_t)1 << 32, (size_t)1 << 32, ENOMEM},
    {CALLOC, SIZE_MAX / 16 + 2, 16, ENOMEM},
    {CALLOC, PTRDIFF_MAX, 2, ENOMEM},
    {CALLOC, PTRDIFF_MAX / 8 + 1, 8, ENOMEM},
    {REALLOC, SIZE_MAX, 0, ENOMEM},
    {REALLOC, ABOVE_LIMIT, 0, ENOMEM},
    {REALLOC, PTRDIFF_MAX, 0, ENOMEM},
    {REALLOC_NULL, SIZE_MAX, 0, ENOMEM},
    {REALLOC_NULL, ABOVE_LIMIT, 0, ENOMEM},
    {REALLOCARRAY, HUGE_POWER, HUGE_POWER, ENOMEM},
    {REALLOCARRAY, SIZE_MAX / 16 + 2, 16, ENOMEM},
    {REALLOCARRAY, PTRDIFF_MAX, 2, ENOMEM},
    {REALLOCARRAY_NULL, (size_t)1 << 32, (size_t)1 << 32, ENOMEM},
    {REALLOCARRAY_NULL, SIZE_MAX, 1, ENOMEM},
    {ALIGNED_ALLOC, 64, SIZE_MAX, ENOMEM},
    {ALIGNED_ALLOC, 64, SIZE_MAX - 63, ENOMEM},
    {ALIGNED_ALLOC, 16, SIZE_MAX - 15, ENOMEM},
    {ALIGNED_ALLOC, 4096, ABOVE_LIMIT, ENOMEM},
    {ALIGNED_ALLOC, 4096, PTRDIFF_MAX, ENOMEM},
    {ALIGNED_ALLOC, (size_t)1 << 62, 8, ENOMEM},
    {ALIGNED_ALLOC, (size_t)1 << 63, 8, ENOMEM},
    {ALIGNED_ALLOC, 0, 8, EINVAL},
    {ALIGNED_ALLOC, 3, 8, EINVAL},
    {ALIGNED_ALLOC, 24, 48, EINVAL},
    {ALIGNED_ALLOC, 48, 8, EINVAL},
    {ALIGNED_ALLOC, 4095, 4095, EINVAL},
    {ALIGNED_ALLOC, SIZE_MAX, 8, EINVAL},
    {MEMALIGN, 64, SIZE_MAX, ENOMEM},
    {MEMALIGN, 4096, SIZE_MAX - 100, ENOMEM},
    {MEMALIGN, 4096, SIZE_MAX - 4095, ENOMEM},
    {MEMALIGN, 32, ABOVE_LIMIT, ENOMEM},
    {MEMALIGN, (size_t)1 << 63, 8, ENOMEM},
    {MEMALIGN, ((size_t)1 << 63) + 1, 8, EINVAL},
    {MEMALIGN, SIZE_MAX, 8, EINVAL},
    {VALLOC, SIZE_MAX, 0, ENOMEM},
    {VALLOC, SIZE_MAX - 100, 0, ENOMEM},
    {VALLOC, ABOVE_LIMIT, 0, ENOMEM},
    {PVALLOC, SIZE_MAX, 0, ENOMEM},
    {PVALLOC, SIZE_MAX - 100, 0, ENOMEM},
    {PVALLOC, SIZE_MAX - 4095, 0, ENOMEM},
    {PVALLOC, ABOVE_LIMIT, 0, ENOMEM},
    {PVALLOC, PTRDIFF_MAX, 0, ENOMEM},
};

static void *call(const struct failure *f, void *block)
{
    size_t first = hidden_size(f->first);
    size_t second = hidden_size(f->second);
    switch (f->call) {
    case MALLOC:
        return malloc(first);
    case CALLOC:
        return calloc(first, second);
    case REALLOC:
        return realloc(block, first);
    case REALLOC_NULL:
        return realloc(hidden(NULL), first);
    case REALLOCARRAY:
        return reallocarray(block, first, second);
    case REALLOCARRAY_NULL:
        return reallocarray(hidden(NULL), first, second);
    case ALIGNED_ALLOC:
        return aligned_alloc(first, second);
    case MEMALIGN:
        return memalign(first, second);
    case VALLOC:
        return valloc(first);
    case PVALLOC:
        return pvalloc(first);
    }
    return NULL;
}

/* Every failing call, with a small, a medium and a large block to resize: NULL, the errno, and the block untouched. */
static void test_failures_set_errno_and_nothing_else(void **state)
{
    (void)state;
    static const size_t sizes[] = {100, 20000, 3000000};
    for (size_t i = 0; i < COUNT_OF(g_failures); i++) {
        const struct failure *f = &g_failures[i];
        for (size_t s = 0; s < COUNT_OF(sizes); s++) {
            void *block = malloc(sizes[s]);
            pattern_fill(block, sizes[s], i);
            errno = 0;
            void *got = call(f, block);
            int seen = errno;
            must(got == NULL, "%s with %#zx, %#zx: expected NULL, saw %p", g_call_names[f->call], f->first, f->second,
                 got);
            must(seen == f->expected_errno, "%s with %#zx, %#zx: expected errno %d (%s), saw %d (%s)",
                 g_call_names[f->call], f->first, f->second, f->expected_errno, strerror(f->expected_errno), seen,
                 strerror(seen));
            size_t good = pattern_check(block, sizes[s], i);
            must(good == sizes[s], "%s with %#zx, %#zx failed, and changed byte %zu of the block",
                 g_call_names[f->call], f->first, f->second, good);
            free(block);
        }
    }
}

/* posix_memalign tells by its result; *p stays as it was. errno says ENOMEM too, as glibc's does, and otherwise stays.
 */
static void test_posix_memalign_failures(void **state)
{
    (void)state;
    static const struct {
        size_t alignment, size;
        int expected;
    } rows[] = {
        {0, 8, EINVAL},
        {1, 8, EINVAL},
        {2, 8, EINVAL},
        {3, 8, EINVAL},
        {4, 8, EINVAL},
        {7, 8, EINVAL},
        {12, 8, EINVAL},
        {24, 8, EINVAL},
        {40, 8, EINVAL},
        {4097, 8, EINVAL},
        {SIZE_MAX, 8, EINVAL},
        {8, SIZE_MAX, ENOMEM},
        {64, SIZE_MAX - 10, ENOMEM},
        {64, SIZE_MAX - 63, ENOMEM},
        {16, ABOVE_LIMIT, ENOMEM},
        {4096, PTRDIFF_MAX, ENOMEM},
        {(size_t)1 << 62, 8, ENOMEM},
        {(size_t)1 << 63, 8, ENOMEM},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int mark;
        void *pointer = &mark;
        errno = UNTOUCHED;
        int seen = posix_memalign(&pointer, hidden_size(rows[i].alignment), hidden_size(rows[i].size));
        int seen_errno = errno;
        must(seen == rows[i].expected, "posix_memalign(%#zx, %#zx): expected %d (%s), saw %d", rows[i].alignment,
             rows[i].size, rows[i].expected, strerror(rows[i].expected), seen);
        must(pointer == &mark, "posix_memalign(%#zx, %#zx) failed and changed *p to %p", rows[i].alignment,
             rows[i].size, pointer);
        must(seen_errno == (seen == ENOMEM ? ENOMEM : UNTOUCHED),
             "posix_memalign(%#zx, %#zx) failed and left errno at %d", rows[i].alignment, rows[i].size, seen_errno);
    }
}

static void must_untouched(const char *what, size_t size)
{
    must(errno == UNTOUCHED, "%s of %zu bytes succeeded and changed errno to %d (%s)", what, size, errno,
         strerror(errno));
}

/* One of each allocation, resized and freed. */
static void succeed(size_t size)
{
    errno = UNTOUCHED;
    void *block = malloc(size);
    must_untouched("malloc", size);
    void *zeroed = calloc(1, size);
    must_untouched("calloc", size);
    void *aligned = aligned_alloc(256, size);
    must_untouched("aligned_alloc", size);
    void *placed = NULL;
    must(posix_memalign(&placed, 4096, size) == 0, "posix_memalign(4096, %zu) failed", size);
    must_untouched("posix_memalign", size);
    must(block != NULL && zeroed != NULL && aligned != NULL, "an allocation of %zu bytes failed", size);
    block = realloc(block, size * 2 + 1);
    must_untouched("growing realloc", size);
    block = realloc(block, size / 2 + 1);
    must_untouched("shrinking realloc", size);
    malloc_usable_size(block);
    must_untouched("malloc_usable_size", size);
    void *none = realloc(zeroed, 0);
    must(none == NULL, "realloc(p, 0): expected NULL, saw %p", none);
    must_untouched("realloc to 0", size);
    free(block);
    must_untouched("free", size);
    free(aligned);
    must_untouched("free of an aligned block", size);
    free(placed);
    must_untouched("free of a posix_memalign block", size);
    free(NULL);
    must_untouched("free(NULL)", size);
}

static void test_success_leaves_errno_alone(void **state)
{
    (void)state;
    uint64_t random = 42;
    for (size_t i = 0; i < 20000; i++) {
        succeed(random_size(&random, 20000));
    }
    for (size_t size = 32 * KIB; size <= 256 * MIB; size *= 2) {
        succeed(size - 1);
        succeed(size + 1);
    }
}

static void *first_calls(void *argument)
{
    succeed((size_t)argument);
    return NULL;
}

/* The first call of a thread sets the thread up; that must not show either. */
static void test_first_call_of_a_thread_leaves_errno_alone(void **state)
{
    (void)state;
    for (size_t size = 1; size <= 64 * MIB; size *= 8) {
        pthread_t thread;
        must(pthread_create(&thread, NULL, first_calls, (void *)size) == 0, "pthread_create failed");
        pthread_join(thread, NULL);
    }
}

/* ---- NULL -------------------------------------------------------------------------------------------------------- */

/* Takes the address space from just above a multiple of 1 TiB up to where mappings are made, and so has the heap grow
 * across that multiple: there, addresses share with NULL what is looked up for them. Returns the multiple. */
static uintptr_t address_space_take(void)
{
    enum { ROOM = 4 << 20 };
    char *probe = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uintptr_t multiple = (uintptr_t)probe & ~((uintptr_t)1024 * GIB - 1);
    for (size_t size = 1024 * GIB; size >= 64 * KIB; size /= 2) {
        for (;;) {
            char *start = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
            if (start == MAP_FAILED) {
                break;
            }
            if ((uintptr_t)start < multiple + ROOM) {
                munmap(start, size);
                break;
            }
        }
    }
    return multiple;
}

static void null_body(void *argument)
{
    (void)argument;
    enum { MANY = 4000000, ROUNDS = 2000 };
    static char *blocks[MANY];
    uintptr_t multiple = address_space_take();
    size_t count = 0;
    /* Until there is a block that shares entries, or the heap has gone far beyond. */
    while (count < MANY) {
        blocks[count] = malloc(64);
        must(blocks[count] != NULL, "malloc(64) failed after %zu blocks", count);
        uintptr_t address = (uintptr_t)blocks[count++];
        if (address - multiple < 64 * KIB || (address < multiple && address > multiple - GIB)) {
            break;
        }
    }
    if (count == MANY) {
        printf("skip: the heap does not grow to where NULL could be mistaken");
        fflush(stdout);
        return;
    }
    errno = UNTOUCHED;
    char *block = realloc(hidden(NULL), 50);
    must(block != NULL, "realloc(NULL, 50): expected a block, saw NULL");
    free(block);
    must(malloc_usable_size(hidden(NULL)) == 0, "malloc_usable_size(NULL): expected 0");
    for (size_t i = 0; i < 300 && count > 0; i++) {
        free(blocks[--count]);
    }
    /* Were NULL taken for a block, what the thread has cached would be lost each time. */
    size_t before = process_anonymous();
    for (size_t i = 0; i < ROUNDS; i++) {
        block = malloc(64);
        block[0] = 1;
        free(block);
        free(hidden(NULL));
    }
    must_untouched("free(NULL)", 0);
    size_t after = process_anonymous();
    must(after <= before + 2 * MIB, "%d times free(NULL): expected no more memory in use, saw %zu KiB become %zu KiB",
         ROUNDS, before / KIB, after / KIB);
}

static void test_null_is_nothing_wherever_the_heap_lies(void **state)
{
    (void)state;
    struct child_result result;
    child_run(null_body, NULL, 60, &result);
    if (strncmp(result.out, "skip: ", 6) == 0) {
        skip_because("%s", result.out + 6);
        skip();
    }
    must_end_well(&result, "free(NULL) and realloc(NULL) with a heap around a multiple of 1 TiB");
}

/* Frees that give memory back to the system: thousands of blocks at once, and everything after them. */
static void test_free_of_many_leaves_errno_alone(void **state)
{
    (void)state;
    static void *blocks[20000];
    static const size_t sizes[] = {64, 1000, 8000};
    for (size_t s = 0; s < COUNT_OF(sizes); s++) {
        for (size_t i = 0; i < COUNT_OF(blocks); i++) {
            blocks[i] = malloc(sizes[s]);
        }
        errno = UNTOUCHED;
        for (size_t i = 0; i < COUNT_OF(blocks); i++) {
            free(blocks[i]);
            must_untouched("one of many frees", sizes[s]);
        }
        malloc_trim(0);
        must_untouched("malloc_trim", sizes[s]);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_null_is_nothing_wherever_the_heap_lies), /* while the heap is small */
        cmocka_unit_test(test_failures_set_errno_and_nothing_else),
        cmocka_unit_test(test_posix_memalign_failures),
        cmocka_unit_test(test_success_leaves_errno_alone),
        cmocka_unit_test(test_first_call_of_a_thread_leaves_errno_alone),
        cmocka_unit_test(test_free_of_many_leaves_errno_alone),
    };
    return RUN_TESTS(tests);
}
