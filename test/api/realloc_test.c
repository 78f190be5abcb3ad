/* realloc_test.c - realloc and reallocarray: what they keep, when they move, what they give back.
 * SPDX-License-Identifier: MIT */
#include "borders.h"

#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

/* Resizes, and checks that what both sizes hold was kept. The block must carry the pattern of `seed` over `from` bytes.
 */
static void *resize(void *block, size_t from, size_t to, uint64_t seed)
{
    void *moved = realloc(block, to);
    size_t kept = from < to ? from : to;
    must(moved != NULL, "realloc from %zu to %zu: expected a block, saw NULL (%s)", from, to, strerror(errno));
    must((uintptr_t)moved % 16 == 0, "realloc from %zu to %zu: expected alignment to 16, saw %p", from, to, moved);
    size_t good = pattern_check(moved, kept, seed);
    must(good == kept, "realloc from %zu to %zu: byte %zu was lost", from, to, good);
    pattern_fill(moved, to, seed);
    return moved;
}

static void test_contents_across_every_border(void **state)
{
    (void)state;
    size_t size = 1;
    void *block = malloc(size);
    pattern_fill(block, size, 7);
    FOR_EACH_BORDER(border, 3 * MIB)
    {
        for (size_t to = border - 1; to <= border + 1; to++) {
            block = resize(block, size, to, 7);
            size = to;
        }
    }
    size_t top = size;
    FOR_EACH_BORDER(border, 3 * MIB)
    {
        size_t to = top > border ? top - border + 1 : 1;
        block = resize(block, size, to, 7);
        size = to;
    }
    free(block);
}

/* From each border's size to each power of two and back: small to large, large to huge, huge to small. */
static void test_contents_between_far_sizes(void **state)
{
    (void)state;
    static const size_t far[] = {1,      40,     1000,    8192,    32768,   32769,   65536,
                                 100000, 500000, 1048576, 1048577, 3000000, 34000000};
    for (size_t i = 0; i < COUNT_OF(far); i++) {
        for (size_t k = 0; k < COUNT_OF(far); k++) {
            void *block = malloc(far[i]);
            pattern_fill(block, far[i], i * 100 + k);
            block = resize(block, far[i], far[k], i * 100 + k);
            block = resize(block, far[k], far[i], i * 100 + k);
            free(block);
        }
    }
}

static void test_random_resizes_keep_contents(void **state)
{
    (void)state;
    enum { BLOCKS = 64, ROUNDS = 60000 };
    void *blocks[BLOCKS] = {NULL};
    size_t sizes[BLOCKS] = {0};
    uint64_t random = 2026;
    for (size_t round = 0; round < ROUNDS; round++) {
        size_t i = random_next(&random) % BLOCKS;
        size_t to = random_size(&random, round % 64 == 0 ? 4 * MIB : 8 * KIB);
        if (blocks[i] == NULL) {
            blocks[i] = malloc(to);
            pattern_fill(blocks[i], to, i);
        } else {
            blocks[i] = resize(blocks[i], sizes[i], to, i);
        }
        sizes[i] = to;
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        must(blocks[i] == NULL || pattern_check(blocks[i], sizes[i], i) == sizes[i], "block %zu lost its contents", i);
        free(blocks[i]);
    }
}

static void test_null_and_zero(void **state)
{
    (void)state;
    void *fresh = realloc(hidden(NULL), hidden_size(0));
    must(fresh != NULL, "realloc(NULL, 0): expected a block, saw NULL");
    free(fresh);
    void *like_malloc = realloc(hidden(NULL), 1000);
    must(like_malloc != NULL && malloc_usable_size(like_malloc) >= 1000,
         "realloc(NULL, 1000) is expected to be malloc(1000)");
    free(like_malloc);
    static const size_t sizes[] = {0, 1, 100, 5000, 50000, 500000, 5000000, 100000000};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        void *gone = realloc(malloc(sizes[i]), hidden_size(0));
        must(gone == NULL, "realloc(malloc(%zu), 0): expected NULL, saw %p", sizes[i], gone);
        gone = reallocarray(malloc(sizes[i]), hidden_size(0), 8);
        must(gone == NULL, "reallocarray(malloc(%zu), 0, 8): expected NULL, saw %p", sizes[i], gone);
    }
}

/* realloc(p, 0) frees: a million of them would show. */
static void test_realloc_to_zero_frees(void **state)
{
    (void)state;
    size_t before = process_rss();
    for (size_t i = 0; i < 100000; i++) {
        char *block = malloc(10000);
        block[0] = 1;
        must(realloc(block, hidden_size(0)) == NULL, "realloc(p, 0): expected NULL");
    }
    size_t after = process_rss();
    must(after < before + 16 * MIB, "100000 x realloc(malloc(10000), 0): RSS grew from %zu to %zu KiB", before / KIB,
         after / KIB);
}

static void test_realloc_to_the_usable_size_does_not_move(void **state)
{
    (void)state;
    FOR_EACH_BORDER(border, 3 * MIB)
    {
        for (size_t size = border - 1; size <= border + 1; size++) {
            void *block = malloc(size);
            uintptr_t was = (uintptr_t)block;
            size_t usable = malloc_usable_size(block);
            void *same = realloc(block, usable);
            must((uintptr_t)same == was, "realloc of malloc(%zu) to its usable size %zu: moved from %#zx to %p", size,
                 usable, (size_t)was, same);
            free(same);
        }
    }
}

static void test_shrinking_returns_memory(void **state)
{
    (void)state;
    enum { BLOCKS = 400 };
    static void *blocks[BLOCKS];
    static const struct {
        size_t from, count, to;
    } rows[] = {{128 * MIB, 1, 4096}, {128 * MIB, 1, 16 * MIB}, {8 * MIB, 16, 100}, {300 * KIB, BLOCKS, 1000}};
    for (size_t r = 0; r < COUNT_OF(rows); r++) {
        for (size_t i = 0; i < rows[r].count; i++) {
            blocks[i] = malloc(rows[r].from);
            pattern_fill(blocks[i], rows[r].from, i);
        }
        size_t full = process_anonymous();
        for (size_t i = 0; i < rows[r].count; i++) {
            blocks[i] = realloc(blocks[i], rows[r].to);
            must(pattern_check(blocks[i], rows[r].to, i) == rows[r].to, "shrinking to %zu lost data", rows[r].to);
        }
        malloc_trim(0);
        size_t shrunk = process_anonymous();
        size_t expected = (rows[r].from - rows[r].to) * rows[r].count * 9 / 10;
        must(full - shrunk >= expected && full >= shrunk,
             "%zu blocks shrunk from %zu to %zu bytes: expected RSS to fall by at least %zu KiB, it went from %zu to "
             "%zu KiB",
             rows[r].count, rows[r].from, rows[r].to, expected / KIB, full / KIB, shrunk / KIB);
        for (size_t i = 0; i < rows[r].count; i++) {
            free(blocks[i]);
        }
    }
}

/* A very large block grown step by step: it must not take a copy's time at each step. */
static void test_growing_a_huge_block(void **state)
{
    (void)state;
    clock_t start = clock(); /* of this process, whatever else the machine does */
    size_t steps = 1;
    uint64_t *block = malloc(MIB);
    block[0] = 1;
    while (steps < 256) {
        block = realloc(block, (steps + 1) * MIB);
        must(block != NULL, "realloc to %zu MiB: saw NULL (%s)", steps + 1, strerror(errno));
        block[steps * MIB / sizeof *block] = steps + 1;
        steps++;
        for (size_t i = 0; i < steps; i++) {
            uint64_t seen = block[i * MIB / sizeof *block];
            must(seen == i + 1, "grown to %zu MiB: expected the mark %zu at %zu MiB, saw %#zx", steps, i + 1, i,
                 (size_t)seen);
        }
    }
    free(block);
    double took = (double)(clock() - start) / CLOCKS_PER_SEC;
    must(took < 5, "growing a block to 256 MiB in steps of 1 MiB: expected less than 5 s of CPU, saw %.1f s", took);
}

static void test_reallocarray(void **state)
{
    (void)state;
    uint64_t *block = reallocarray(NULL, 100, sizeof *block);
    must(block != NULL && malloc_usable_size(block) >= 800, "reallocarray(NULL, 100, 8): expected 800 bytes");
    pattern_fill(block, 800, 5);
    block = reallocarray(block, 1000, sizeof *block);
    must(block != NULL && malloc_usable_size(block) >= 8000, "reallocarray(p, 1000, 8): expected 8000 bytes");
    must(pattern_check(block, 800, 5) == 800, "reallocarray lost contents");
    free(block);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contents_across_every_border),
        cmocka_unit_test(test_contents_between_far_sizes),
        cmocka_unit_test(test_random_resizes_keep_contents),
        cmocka_unit_test(test_null_and_zero),
        cmocka_unit_test(test_realloc_to_zero_frees),
        cmocka_unit_test(test_realloc_to_the_usable_size_does_not_move),
        cmocka_unit_test(test_shrinking_returns_memory),
        cmocka_unit_test(test_growing_a_huge_block),
        cmocka_unit_test(test_reallocarray),
    };
    return RUN_TESTS(tests);
}
