/* calloc_test.c - calloc is zero over its whole size wherever its memory came from.
 * SPDX-License-Identifier: MIT */
#include "borders.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { BLOCKS = 64 };

static void must_be_zero(const void *block, size_t size, const char *when)
{
    must(block != NULL, "calloc of %zu bytes %s: expected a block, saw NULL (%s)", size, when, strerror(errno));
    size_t good = bytes_check(block, size, 0);
    must(good == size, "calloc of %zu bytes %s: byte %zu is %#x, expected 0", size, when, good,
         ((const unsigned char *)block)[good < size ? good : 0]);
}

/* As many blocks as fit in 16 MiB. */
static size_t count_for(size_t size)
{
    size_t count = 16 * MIB / (size + 1) + 1;
    return count < BLOCKS ? count : BLOCKS;
}

/* Fills blocks of a size over their whole usable size and frees them. */
static void leave_dirt(size_t size)
{
    void *blocks[BLOCKS];
    size_t count = count_for(size);
    for (size_t i = 0; i < count; i++) {
        blocks[i] = malloc(size);
        must(blocks[i] != NULL, "malloc(%zu): saw NULL", size);
        memset(blocks[i], 0xA5, malloc_usable_size(blocks[i]));
    }
    for (size_t i = 0; i < count; i++) {
        free(blocks[i]);
    }
}

static void must_calloc_zero(size_t size, const char *when)
{
    void *blocks[BLOCKS];
    size_t count = count_for(size);
    for (size_t i = 0; i < count; i++) {
        blocks[i] = i % 2 == 0 ? calloc(1, size) : calloc(size, 1);
        must_be_zero(blocks[i], size, when);
    }
    for (size_t i = 0; i < count; i++) {
        memset(blocks[i], 0x5A, size);
        free(blocks[i]);
    }
}

static void test_zero_after_dirty_reuse(void **state)
{
    (void)state;
    FOR_EACH_BORDER(border, 8 * MIB)
    {
        leave_dirt(border);
        must_calloc_zero(border, "after dirty reuse");
        must_calloc_zero(border > 8 ? border - 7 : 1, "after dirty reuse of the class");
    }
    leave_dirt(80 * MIB);
    must_calloc_zero(80 * MIB, "after dirty reuse");
}

/* Memory that was purged may come back zero, or not when the purge failed: calloc must know. */
static void test_zero_after_trim(void **state)
{
    (void)state;
    FOR_EACH_BORDER(border, 4 * MIB)
    {
        leave_dirt(border);
        malloc_trim(0);
        must_calloc_zero(border, "after dirty reuse and malloc_trim");
    }
}

/* Dirt of one size becomes zero blocks of another: pages are retired, merged and carved anew in between. */
static void test_zero_after_reuse_by_another_size(void **state)
{
    (void)state;
    static const size_t sizes[] = {16,    100,    1000,   4096,    8192,    20000,  32768,
                                   65536, 100000, 300000, 1048576, 2500000, 9000000};
    for (size_t dirty = 0; dirty < COUNT_OF(sizes); dirty++) {
        for (size_t clean = 0; clean < COUNT_OF(sizes); clean++) {
            leave_dirt(sizes[dirty]);
            hak_collect();
            must_calloc_zero(sizes[clean], "after reuse by another size");
        }
    }
}

/* realloc may leave dirt behind the old end; calloc later gets that memory. */
static void test_zero_after_realloc(void **state)
{
    (void)state;
    for (size_t size = 1000; size <= 4 * MIB; size *= 3) {
        char *block = malloc(size * 4);
        memset(block, 0xA5, size * 4);
        block = realloc(block, size);
        must_calloc_zero(size * 2, "beside a shrunk block");
        block = realloc(block, size * 3);
        memset(block, 0xA5, size * 3);
        free(block);
        must_calloc_zero(size * 3, "after a grown block");
    }
}

static void *dirty_thread(void *argument)
{
    leave_dirt((size_t)argument);
    return NULL;
}

/* Dirt of a thread that ended. */
static void test_zero_after_another_thread(void **state)
{
    (void)state;
    for (size_t size = 16; size <= 4 * MIB; size *= 2) {
        pthread_t thread;
        must(pthread_create(&thread, NULL, dirty_thread, (void *)size) == 0, "pthread_create failed");
        pthread_join(thread, NULL);
        must_calloc_zero(size, "after a thread that left dirt");
    }
}

static void test_random_factors(void **state)
{
    (void)state;
    uint64_t random = 99;
    for (size_t round = 0; round < 20000; round++) {
        size_t count = random_size(&random, 300);
        size_t size = random_size(&random, 300);
        unsigned char *block = calloc(count, size);
        must_be_zero(block, count * size, "by random factors");
        memset(block, 0xFF, malloc_usable_size(block));
        free(block);
    }
}

/* Programs use what malloc_usable_size says: all of it is zero, in blocks that others have written to. */
static void test_usable_bytes_are_zero(void **state)
{
    (void)state;
    for (size_t size = 1; size <= 3 * MIB; size += 1 + size / 64) {
        char *block = malloc(size);
        must(block != NULL, "malloc(%zu) failed", size);
        memset(block, 0xEB, malloc_usable_size(block));
        free(block);
        block = calloc(1, size);
        size_t usable = malloc_usable_size(block);
        for (size_t i = 0; i < usable; i++) {
            must(block[i] == 0, "calloc(1, %zu): byte %zu of %zu usable ones is %#x", size, i, usable, block[i] & 255);
        }
        free(block);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zero_after_dirty_reuse),           cmocka_unit_test(test_zero_after_trim),
        cmocka_unit_test(test_zero_after_reuse_by_another_size), cmocka_unit_test(test_zero_after_realloc),
        cmocka_unit_test(test_zero_after_another_thread),        cmocka_unit_test(test_random_factors),
        cmocka_unit_test(test_usable_bytes_are_zero),
    };
    return RUN_TESTS(tests);
}
