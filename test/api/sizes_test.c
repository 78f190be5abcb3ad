/* sizes_test.c - what every block promises whatever its size: alignment, uniqueness, and a usable size that is true to
 * the last byte.
 * SPDX-License-Identifier: MIT */
#include "borders.h"

#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static void must_align(const void *block, size_t alignment, const char *call, size_t size)
{
    must(block != NULL, "%s of %zu bytes: expected a block, saw NULL (%s)", call, size, strerror(errno));
    must((uintptr_t)block % alignment == 0, "%s of %zu bytes: expected alignment to %zu, saw %p", call, size, alignment,
         block);
}

static void align_one(size_t size)
{
    void *blocks[] = {malloc(size), calloc(1, size), realloc(NULL, size), malloc(size)};
    static const char *const calls[] = {"malloc", "calloc", "realloc(NULL)", "malloc again"};
    for (size_t i = 0; i < COUNT_OF(blocks); i++) {
        must_align(blocks[i], 16, calls[i], size);
    }
    void *moved = realloc(blocks[3], size + 1);
    must_align(moved, 16, "realloc", size + 1);
    for (size_t i = 0; i < 3; i++) {
        free(blocks[i]);
    }
    free(moved);
}

static void test_alignment_is_16_at_every_size(void **state)
{
    (void)state;
    for (size_t size = 0; size <= 5000; size++) {
        align_one(size);
    }
    FOR_EACH_BORDER(border, 8 * MIB)
    {
        align_one(border - 1);
        align_one(border);
        align_one(border + 1);
    }
}

static void test_zero_size_gives_unique_blocks(void **state)
{
    (void)state;
    enum { ROUNDS = 300, CALLS = 11 };
    static void *blocks[ROUNDS * CALLS];
    static const char *const calls[CALLS] = {
        "malloc(0)",
        "calloc(0, 0)",
        "calloc(0, 8)",
        "calloc(8, 0)",
        "realloc(NULL, 0)",
        "reallocarray(NULL, 0, 8)",
        "aligned_alloc(64, 0)",
        "memalign(32, 0)",
        "posix_memalign(64, 0)",
        "valloc(0)",
        "pvalloc(0)",
    };
    for (size_t r = 0; r < ROUNDS; r++) {
        void **at = &blocks[r * CALLS];
        size_t nothing = hidden_size(0);
        at[0] = malloc(nothing);
        at[1] = calloc(nothing, nothing);
        at[2] = calloc(nothing, 8);
        at[3] = calloc(8, nothing);
        at[4] = realloc(hidden(NULL), nothing);
        at[5] = reallocarray(hidden(NULL), nothing, 8);
        at[6] = aligned_alloc(64, nothing);
        at[7] = memalign(32, nothing);
        int failed = posix_memalign(&at[8], 64, nothing);
        must(failed == 0, "posix_memalign(64, 0): expected 0, saw %d", failed);
        at[9] = valloc(nothing);
        at[10] = pvalloc(nothing);
        for (size_t i = 0; i < CALLS; i++) {
            must(at[i] != NULL, "%s: expected a unique pointer, saw NULL", calls[i]);
        }
    }
    for (size_t i = 0; i < COUNT_OF(blocks); i++) {
        for (size_t k = i + 1; k < COUNT_OF(blocks); k++) {
            must(blocks[i] != blocks[k], "%s and %s are both live at %p", calls[i % CALLS], calls[k % CALLS],
                 blocks[i]);
        }
        free(blocks[i]);
    }
}

/* Several blocks of one size at once, each filled over its whole usable size: a byte too much lands in a neighbour. */
static void usable_one(size_t size, size_t count)
{
    void *blocks[32];
    size_t usable[32];
    for (size_t i = 0; i < count; i++) {
        blocks[i] = malloc(size);
        must(blocks[i] != NULL, "malloc(%zu): expected a block, saw NULL (%s)", size, strerror(errno));
        usable[i] = malloc_usable_size(blocks[i]);
        must(usable[i] >= size, "malloc_usable_size of malloc(%zu): expected at least that, saw %zu", size, usable[i]);
        pattern_fill(blocks[i], usable[i], i * 1000003 + size);
    }
    for (size_t i = 0; i < count; i++) {
        size_t good = pattern_check(blocks[i], usable[i], i * 1000003 + size);
        must(good == usable[i], "block %zu of %zu bytes (usable %zu): byte %zu was changed by filling its neighbours",
             i, size, usable[i], good);
        size_t again = malloc_usable_size(blocks[i]);
        must(again == usable[i], "malloc_usable_size of a live block of %zu bytes: was %zu, then %zu", size, usable[i],
             again);
    }
    for (size_t i = 0; i < count; i++) {
        free(blocks[i]);
    }
}

static void test_usable_size_is_writable_to_the_last_byte(void **state)
{
    (void)state;
    for (size_t size = 0; size <= 2048; size++) {
        usable_one(size, 32);
    }
    FOR_EACH_BORDER(border, 4 * MIB)
    {
        usable_one(border, border <= 64 * KIB ? 32 : 4);
        usable_one(border + 1, border <= 64 * KIB ? 32 : 4);
    }
}

static void test_usable_size_survives_realloc(void **state)
{
    (void)state;
    FOR_EACH_BORDER(border, 2 * MIB)
    {
        for (size_t size = border - 1; size <= border + 1; size++) {
            unsigned char *block = malloc(size);
            size_t usable = malloc_usable_size(block);
            pattern_fill(block, usable, size);
            block = realloc(block, usable + usable / 2 + 1);
            must(block != NULL, "realloc of %zu to %zu: saw NULL", size, usable + usable / 2 + 1);
            size_t good = pattern_check(block, usable, size);
            must(good == usable, "realloc of malloc(%zu), usable %zu: byte %zu was not preserved", size, usable, good);
            free(block);
        }
    }
}

static void test_usable_size_of_null_is_zero(void **state)
{
    (void)state;
    size_t usable = malloc_usable_size(hidden(NULL));
    must(usable == 0, "malloc_usable_size(NULL): expected 0, saw %zu", usable);
}

static void test_usable_size_of_aligned_blocks(void **state)
{
    (void)state;
    static const size_t sizes[] = {0,    1,    15,    16,    24,     100,     512,    1000,
                                   4096, 5000, 32768, 70000, 300000, 1100000, 3000000};
    for (size_t alignment = 16; alignment <= 4 * MIB; alignment *= 2) {
        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
            void *blocks[3] = {aligned_alloc(alignment, sizes[i]), memalign(alignment, sizes[i]), NULL};
            int failed = posix_memalign(&blocks[2], alignment, sizes[i]);
            must(failed == 0, "posix_memalign(%zu, %zu): expected 0, saw %d", alignment, sizes[i], failed);
            size_t usable[3];
            for (size_t k = 0; k < 3; k++) {
                must_align(blocks[k], alignment, "aligned allocation", sizes[i]);
                usable[k] = malloc_usable_size(blocks[k]);
                must(usable[k] >= sizes[i], "usable size of %zu bytes aligned to %zu: saw %zu", sizes[i], alignment,
                     usable[k]);
                pattern_fill(blocks[k], usable[k], k + alignment);
            }
            for (size_t k = 0; k < 3; k++) {
                size_t good = pattern_check(blocks[k], usable[k], k + alignment);
                must(good == usable[k], "%zu bytes aligned to %zu (usable %zu): byte %zu was changed by a neighbour",
                     sizes[i], alignment, usable[k], good);
                free(blocks[k]);
            }
        }
    }
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *whole = pvalloc(1);
    must(malloc_usable_size(whole) >= page, "usable size of pvalloc(1): expected at least %zu, saw %zu", page,
         malloc_usable_size(whole));
    free(whole);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alignment_is_16_at_every_size),
        cmocka_unit_test(test_zero_size_gives_unique_blocks),
        cmocka_unit_test(test_usable_size_is_writable_to_the_last_byte),
        cmocka_unit_test(test_usable_size_survives_realloc),
        cmocka_unit_test(test_usable_size_of_null_is_zero),
        cmocka_unit_test(test_usable_size_of_aligned_blocks),
    };
    return RUN_TESTS(tests);
}
