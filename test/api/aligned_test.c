/* aligned_test.c - aligned_alloc, memalign, posix_memalign, valloc and pvalloc: which alignments they take, and what
 * they make of them.
 * SPDX-License-Identifier: MIT */
#include "support.h"

#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* Up to here an alignment must be had; above it the address space may be too small, and then NULL and ENOMEM is right.
 */
#define ALIGNMENT_SURE ((size_t)1 << 32)

static void must_hold(void *block, size_t alignment, size_t size, const char *call)
{
    must(block != NULL, "%s(%#zx, %zu): expected a block, saw NULL (%s)", call, alignment, size, strerror(errno));
    must((uintptr_t)block % alignment == 0, "%s(%#zx, %zu): expected that alignment, saw %p", call, alignment, size,
         block);
    pattern_fill(block, size, alignment);
    size_t good = pattern_check(block, size, alignment);
    must(good == size, "%s(%#zx, %zu): byte %zu does not hold what was written", call, alignment, size, good);
}

static void test_every_power_of_two_and_size(void **state)
{
    (void)state;
    static const size_t sizes[] = {1,    7,    8,    16,    17,    48,    100,    255,    1000,
                                   4000, 4096, 4097, 10000, 33000, 66000, 250000, 1500000};
    for (size_t alignment = 1; alignment <= 16 * MIB; alignment *= 2) {
        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
            void *blocks[4];
            for (size_t k = 0; k < COUNT_OF(blocks); k++) {
                blocks[k] = aligned_alloc(alignment, sizes[i]);
                must_hold(blocks[k], alignment, sizes[i], "aligned_alloc");
                must((uintptr_t)blocks[k] % 16 == 0, "aligned_alloc(%zu, %zu): expected at least 16, saw %p", alignment,
                     sizes[i], blocks[k]);
            }
            for (size_t k = 0; k < COUNT_OF(blocks); k++) {
                size_t good = pattern_check(blocks[k], sizes[i], alignment);
                must(good == sizes[i], "aligned_alloc(%#zx, %zu): byte %zu was changed by a neighbour", alignment,
                     sizes[i], good);
                free(blocks[k]);
            }
        }
    }
}

/* aligned_alloc does not ask that the size be a multiple of the alignment. */
static void test_size_need_not_be_a_multiple(void **state)
{
    (void)state;
    for (size_t size = 0; size < 300; size++) {
        void *block = aligned_alloc(64, size);
        must_hold(block, 64, size, "aligned_alloc");
        free(block);
    }
}

static void test_huge_alignments(void **state)
{
    (void)state;
    for (unsigned bit = 21; bit <= 47; bit++) {
        size_t alignment = (size_t)1 << bit;
        for (size_t size = 1; size <= 8 * MIB; size = size * 64 + 7) {
            errno = 0;
            void *block = aligned_alloc(alignment, size);
            if (block == NULL) {
                must(errno == ENOMEM, "aligned_alloc(2^%u, %zu): NULL with errno %d, expected ENOMEM", bit, size,
                     errno);
                must(alignment > ALIGNMENT_SURE, "aligned_alloc(2^%u, %zu): expected a block up to 2^32, saw NULL", bit,
                     size);
                continue;
            }
            must_hold(block, alignment, size, "aligned_alloc");
            void *second = aligned_alloc(alignment, size);
            if (second != NULL) {
                must_hold(second, alignment, size, "aligned_alloc");
                must(second != block, "two live blocks at %p", block);
            }
            free(second);
            block = realloc(block, size + 100);
            must(block != NULL && pattern_check(block, size, alignment) == size,
                 "realloc of a block aligned to 2^%u lost data", bit);
            free(block);
        }
    }
}

/* What huge alignments reserved beside the block must be given back: a thousand rounds would fill the address space. */
static void test_huge_alignment_reserves_nothing_for_good(void **state)
{
    (void)state;
    size_t mappings = process_mappings();
    size_t alignment = hidden_size((size_t)1 << 40);
    for (size_t i = 0; i < 1000; i++) {
        void *block = aligned_alloc(alignment, 100);
        if (block != NULL) {
            must_hold(block, alignment, 100, "aligned_alloc");
        }
        free(block);
    }
    size_t after = process_mappings();
    must(after <= mappings + 16, "1000 rounds of aligned_alloc(2^40) and free: mappings grew from %zu to %zu", mappings,
         after);
}

static void test_memalign_rounds_bad_alignments_up(void **state)
{
    (void)state;
    static const struct {
        size_t given, effective;
    } rows[] = {{0, 16},           {1, 16},      {3, 16},      {8, 16},         {15, 16},
                {17, 32},          {24, 32},     {33, 64},     {48, 64},        {100, 128},
                {1000, 1024},      {4095, 4096}, {4097, 8192}, {65537, 131072}, {1048577, 2097152},
                {3000000, 4194304}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        for (size_t k = 0; k < 8; k++) {
            void *block = memalign(rows[i].given, 40);
            must_hold(block, rows[i].effective, 40, "memalign, rounded up,");
            free(block);
        }
    }
}

static void test_posix_memalign(void **state)
{
    (void)state;
    for (size_t alignment = sizeof(void *); alignment <= 16 * MIB; alignment *= 2) {
        void *block = NULL;
        int failed = posix_memalign(&block, alignment, 100);
        must(failed == 0, "posix_memalign(%zu, 100): expected 0, saw %d", alignment, failed);
        must_hold(block, alignment, 100, "posix_memalign");
        free(block);
    }
}

static void test_valloc_and_pvalloc(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    static const size_t sizes[] = {0, 1, 100, 4095, 4096, 4097, 10000, 70000, 5000000};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        void *block = valloc(sizes[i]);
        must_hold(block, page, sizes[i], "valloc, page size");
        size_t rounded = (sizes[i] + page - 1) / page * page;
        void *whole = pvalloc(sizes[i]);
        must_hold(whole, page, rounded, "pvalloc, page size");
        must(malloc_usable_size(whole) >= rounded, "pvalloc(%zu): expected %zu usable bytes, saw %zu", sizes[i],
             rounded, malloc_usable_size(whole));
        free(block);
        free(whole);
    }
}

/* An aligned block may be resized like any other. */
static void test_realloc_of_aligned_blocks(void **state)
{
    (void)state;
    for (size_t alignment = 16; alignment <= 4 * MIB; alignment *= 4) {
        for (size_t size = 1; size <= MIB; size = size * 5 + 3) {
            unsigned char *block = aligned_alloc(alignment, size);
            must_hold(block, alignment, size, "aligned_alloc");
            block = realloc(block, size * 3);
            must(block != NULL && pattern_check(block, size, alignment) == size,
                 "realloc of %zu bytes aligned to %zu to three times the size lost data", size, alignment);
            block = realloc(block, size / 2 + 1);
            must(block != NULL && pattern_check(block, size / 2 + 1, alignment) == size / 2 + 1,
                 "realloc of %zu bytes aligned to %zu to half the size lost data", size, alignment);
            free(block);
        }
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_power_of_two_and_size),
        cmocka_unit_test(test_size_need_not_be_a_multiple),
        cmocka_unit_test(test_huge_alignments),
        cmocka_unit_test(test_huge_alignment_reserves_nothing_for_good),
        cmocka_unit_test(test_memalign_rounds_bad_alignments_up),
        cmocka_unit_test(test_posix_memalign),
        cmocka_unit_test(test_valloc_and_pvalloc),
        cmocka_unit_test(test_realloc_of_aligned_blocks),
    };
    return RUN_TESTS(tests);
}
