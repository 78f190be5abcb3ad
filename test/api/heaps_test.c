/* heaps_test.c - heaps by name in a program whose malloc is hakmem: the standard functions take their blocks, threads
 * share them, and they go as a whole.
 * SPDX-License-Identifier: MIT */
#include "support.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "hakmem.h"

enum { BLOCKS = 20000, SIZE = 200, THREADS = 4 };

static hak_heap_stat_t stat_of(const hak_heap_t *heap)
{
    hak_heap_stat_t stat;
    hak_heap_stats(heap, &stat);
    return stat;
}

static void test_standard_functions_take_its_blocks(void **state)
{
    (void)state;
    hak_heap_t *heap = hak_heap_create("standard");
    static const size_t sizes[] = {1, 100, 4096, 40000, 2 << 20, 40 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char *block = hak_heap_malloc(heap, sizes[i]);
        must(block != NULL, "hak_heap_malloc(%zu): saw NULL", sizes[i]);
        pattern_fill(block, sizes[i], i);
        must(malloc_usable_size(block) >= sizes[i], "a usable size of %zu", malloc_usable_size(block));
        must(stat_of(heap).live == malloc_usable_size(block), "live: saw %zu", stat_of(heap).live);
        block = realloc(block, 3 * sizes[i]);
        must(block && hak_heap_of(block) == heap, "realloc of %zu bytes took a block out of its heap", sizes[i]);
        must(pattern_check(block, sizes[i], i) == sizes[i], "realloc of %zu bytes lost contents", sizes[i]);
        block = reallocarray(block, sizes[i], 1);
        must(block && hak_heap_of(block) == heap, "reallocarray took a block out of its heap");
        must(pattern_check(block, sizes[i], i) == sizes[i], "reallocarray lost contents");
        free(block);
        must(stat_of(heap).live == 0 && stat_of(heap).blocks == 0, "live after a free: saw %zu", stat_of(heap).live);
    }
    must(realloc(hak_heap_malloc(heap, 10), 0) == NULL && stat_of(heap).blocks == 0, "realloc(p, 0) does not free");
    hak_heap_destroy(heap);
}

static void test_moves_blocks_in(void **state)
{
    (void)state;
    hak_heap_t *heap = hak_heap_create("in"), *other = hak_heap_create("other");
    char *block = malloc(SIZE);
    pattern_fill(block, SIZE, 1);
    block = hak_heap_realloc(heap, block, SIZE);
    must(hak_heap_of(block) == heap && pattern_check(block, SIZE, 1) == SIZE, "a block of none was not moved in");
    block = hak_heap_realloc(other, block, SIZE);
    must(hak_heap_of(block) == other && pattern_check(block, SIZE, 1) == SIZE, "a block of another was not moved");
    must(stat_of(heap).blocks == 0 && stat_of(other).blocks == 1, "a moved block counts twice");
    must(hak_expand(block, malloc_usable_size(block)) == block, "hak_expand of what it has");
    hak_heap_destroy(heap);
    hak_heap_destroy(other);
}

/* Also of a block that realloc has left as it is, though it is larger. */
static void test_sizes_at_free(void **state)
{
    (void)state;
    hak_heap_t *heap = hak_heap_create("sized");
    for (size_t size = 60000; size <= 4 << 20; size *= 2) {
        char *block = hak_realloc(hak_heap_malloc(heap, size), size / 10 * 7);
        hak_free_sized(block, size / 10 * 7);
        block = hak_heap_realloc(heap, hak_heap_malloc(heap, size), size / 10 * 7);
        hak_free_sized(block, size / 10 * 7);
    }
    must(stat_of(heap).blocks == 0, "blocks are live that were freed");
    hak_heap_destroy(heap);
}

static void test_memory_goes_back(void **state)
{
    (void)state;
    malloc_trim(0);
    size_t before = process_anonymous();
    hak_heap_t *heap = hak_heap_create("goes");
    for (size_t i = 0; i < BLOCKS; i++)
        pattern_fill(hak_heap_malloc(heap, SIZE), SIZE, i);
    pattern_fill(hak_heap_malloc(heap, 3 * MIB), 3 * MIB, 1);
    pattern_fill(hak_heap_malloc(heap, 40 * MIB), 40 * MIB, 1);
    must(process_anonymous() > before + 43 * MIB, "nothing is resident");
    hak_heap_destroy(heap);
    malloc_trim(0);
    must(process_anonymous() < before + MIB, "%zu KiB stay after the heap is gone",
         (process_anonymous() - before) / 1024);
}

static void *fill(void *heap)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        char *block = hak_heap_malloc(heap, SIZE);
        must(block != NULL, "hak_heap_malloc: saw NULL");
        pattern_fill(block, SIZE, i);
        if (i % 2)
            free(block);
    }
    return NULL;
}

/* Whatever threads held of it when the heap goes, they work on. */
static void test_threads(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 5; round++) {
        pthread_t threads[THREADS];
        hak_heap_t *heap = hak_heap_create("threads");
        for (unsigned i = 0; i < THREADS; i++)
            must(pthread_create(&threads[i], NULL, fill, heap) == 0, "pthread_create failed");
        for (unsigned i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        must(stat_of(heap).blocks == THREADS * BLOCKS / 2, "blocks: saw %zu", stat_of(heap).blocks);
        hak_heap_empty(heap);
        must(stat_of(heap).blocks == 0 && stat_of(heap).held == 0, "an empty heap holds %zu bytes", stat_of(heap).held);
        fill(heap);
        hak_heap_destroy(heap);
    }
}

static void test_errors(void **state)
{
    (void)state;
    hak_heap_t *heap = hak_heap_create("errors");
    volatile size_t too_large = (size_t)PTRDIFF_MAX + 1; /* compilers refuse what they see */
    errno = 0;
    must(hak_heap_malloc(heap, too_large) == NULL && errno == ENOMEM, "a size above PTRDIFF_MAX");
    errno = 0;
    must(hak_heap_calloc(heap, too_large, 3) == NULL && errno == ENOMEM, "a product that overflows");
    errno = 0;
    must(hak_heap_aligned_alloc(heap, 3, 10) == NULL && errno == EINVAL, "an alignment of 3");
    void *zero = hak_heap_malloc(heap, 0);
    must(zero != NULL && zero != hak_heap_malloc(heap, 0), "a size of 0 gives no unique pointer");
    for (size_t align = 16; align <= 4 * MIB; align *= 2)
        must((uintptr_t)hak_heap_aligned_alloc(heap, align, 100) % align == 0, "an alignment of %zu", align);
    hak_heap_destroy(heap);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_standard_functions_take_its_blocks),
        cmocka_unit_test(test_moves_blocks_in),
        cmocka_unit_test(test_sizes_at_free),
        cmocka_unit_test(test_memory_goes_back),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_errors),
    };
    return RUN_TESTS(tests);
}
