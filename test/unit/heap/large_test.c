/* large_test.c - large blocks against a naive model: runs of units and mappings of their own, resized and moved,
 * with their contents; and why an address is not a block.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "heap/large.h"
#include "system/lock.h"
#include "heap/map.h"
#include "system/os_map.h"
#include "heap/span.h"

enum { LIVE = 40, PAGE = 4096 };

static struct live {
    char *block;
    size_t size; /* usable */
    uint64_t seed;
} g_live[LIVE];
static size_t g_count;
static struct large_stats g_expected;

static bool is_mapping(const char *block) { return map_page(block)->slab == NULL; }

static size_t rounded(size_t size)
{
    return size <= RUN_MAX_SIZE ? align_up(size, UNIT_SIZE) : align_up(size, os_page_size());
}

/* One word in each page of memory stands for its contents, and the last word of the block. */
static uint64_t *word_at(const struct live *live, size_t offset) { return (uint64_t *)(void *)(live->block + offset); }

static void fill(const struct live *live, size_t from)
{
    for (size_t offset = align_up(from, PAGE); offset + 8 <= live->size; offset += PAGE)
        *word_at(live, offset) = live->seed + offset;
}

static void check(const struct live *live, size_t size)
{
    for (size_t offset = 0; offset + 8 <= size; offset += PAGE)
        must(*word_at(live, offset) == live->seed + offset, "a large block of %zu bytes: page %zu was changed",
             live->size, offset / PAGE);
}

static void stats_must_agree(void)
{
    struct large_stats seen;
    heap_lock();
    large_stats(&seen);
    lock_release();
    must(seen.blocks == g_expected.blocks && seen.bytes == g_expected.bytes &&
             seen.mapped_bytes == g_expected.mapped_bytes && seen.mallocs == g_expected.mallocs &&
             seen.frees == g_expected.frees,
         "statistics: %zu blocks of %zu bytes, %zu mapped; expected %zu, %zu, %zu", seen.blocks, seen.bytes,
         seen.mapped_bytes, g_expected.blocks, g_expected.bytes, g_expected.mapped_bytes);
}

static void expect_bytes(const char *block, size_t plus, size_t minus)
{
    g_expected.bytes += plus - minus;
    if (is_mapping(block))
        g_expected.mapped_bytes += plus - minus;
}

static struct live *do_malloc(size_t size, size_t align)
{
    bool zeroed = false;
    char *block = large_malloc(size, align, 0, &zeroed);
    must(block && (uintptr_t)block % align == 0 && (uintptr_t)block % UNIT_SIZE == 0, "large_malloc(%zu, %zu): saw %p",
         size, align, (void *)block);
    struct live *live = &g_live[g_count++];
    *live = (struct live){block, large_size(block), (uintptr_t)block ^ size};
    must(live->size >= size && live->size <= rounded(size) + (align > RUN_MAX_SIZE ? UNIT_SIZE : 0),
         "large_malloc(%zu, %zu): %zu usable bytes", size, align, live->size);
    for (size_t offset = 0; zeroed && offset + 8 <= live->size; offset += PAGE)
        must(*word_at(live, offset) == 0, "large_malloc(%zu, %zu): said to be zero and is not", size, align);
    fill(live, 0);
    g_expected.blocks++;
    g_expected.mallocs++;
    expect_bytes(block, live->size, 0);
    return live;
}

static void do_free(struct live *live)
{
    check(live, live->size);
    g_expected.blocks--;
    g_expected.frees++;
    expect_bytes(live->block, 0, live->size);
    must(large_free(live->block), "large_free refused a live block");
    must(large_size(live->block) == 0 && !large_free(live->block), "a freed block is still there");
    *live = g_live[--g_count];
}

static void do_resize(struct live *live, size_t size)
{
    bool was_mapping = is_mapping(live->block);
    size_t old = live->size;
    bool done = large_resize(live->block, size);
    must(!done || was_mapping || size <= RUN_MAX_SIZE, "a run was resized to %zu", size);
    must(done || size > old || (!was_mapping && size > RUN_MAX_SIZE), "a block of %zu was not made smaller, to %zu",
         old, size);
    if (done) {
        live->size = large_size(live->block);
        must(live->size >= size && live->size < size + UNIT_SIZE, "resized to %zu: %zu usable bytes", size, live->size);
        expect_bytes(live->block, live->size, old);
    }
    must(large_size(live->block) == live->size, "a block that was not resized has another size");
    check(live, min_size(old, live->size));
    fill(live, min_size(old, live->size));
}

static void do_move(struct live *live, size_t size)
{
    bool can = is_mapping(live->block) && size > RUN_MAX_SIZE;
    char *moved = large_move(live->block, size);
    must(!moved == !can, "large_move of %zu to %zu: expected %d, saw %p", live->size, size, can, (void *)moved);
    if (moved) {
        size_t old = live->size;
        must(moved == live->block || large_size(live->block) == 0, "a moved block is still at its old place");
        live->block = moved;
        live->size = large_size(moved);
        must(live->size == rounded(size), "moved to %zu: %zu usable bytes", size, live->size);
        expect_bytes(moved, live->size, old);
        check(live, min_size(old, live->size));
        fill(live, min_size(old, live->size));
    }
    check(live, live->size);
}

static size_t any_size(uint64_t *random)
{
    uint64_t choice = random_next(random) % 16;
    size_t most = choice == 0 ? 60 * MIB : choice < 4 ? 8 * MIB : 3 * MIB;
    return MIB + 1 + random_next(random) % most;
}

static void random_step(uint64_t *random)
{
    uint64_t choice = random_next(random) % 100;
    struct live *live = g_count ? &g_live[random_next(random) % g_count] : NULL;
    if (choice < 40 && g_count < LIVE && g_expected.bytes < 200 * MIB)
        do_malloc(any_size(random), choice < 30 ? BLOCK_ALIGN : (size_t)1 << (random_next(random) % 27));
    else if (choice < 65 && live)
        do_free(live);
    else if (choice < 80 && live)
        do_resize(live, any_size(random));
    else if (choice < 95 && live)
        do_resize(live, live->size + UNIT_SIZE / 2 + random_next(random) % MIB);
    else if (live)
        do_move(live, any_size(random));
    stats_must_agree();
}

static void free_everything(void)
{
    while (g_count > 0)
        do_free(&g_live[0]);
    stats_must_agree();
    heap_must_be_valid("after all large blocks were freed");
}

static void test_random_operations(void **state)
{
    (void)state;
    enum { STEPS = UNDER_TSAN ? 800 : 2500 };
    uint64_t random = 31;
    for (size_t step = 0; step < STEPS; step++) {
        random_step(&random);
        if (step % 100 == 0)
            heap_must_be_valid("large model");
    }
    free_everything();
    assert_int_equal(g_expected.bytes, 0);
}

static void test_alignment(void **state)
{
    (void)state;
    for (size_t align = 1; align <= GIB; align *= 2) {
        do_malloc(1, align);
        do_malloc(3 * MIB, align);
        do_malloc(33 * MIB, align);
        free_everything();
    }
}

static void test_mappings_move_without_copying(void **state)
{
    (void)state;
    struct live *live = do_malloc(RUN_MAX_SIZE + 1, BLOCK_ALIGN);
    assert_true(is_mapping(live->block));
    size_t before = process_mappings();
    for (size_t i = 0; i < 20; i++)
        do_move(live, RUN_MAX_SIZE + 1 + i % 7 * 3 * MIB);
    must(process_mappings() <= before + 2, "%zu mappings became %zu", before, process_mappings());
    char *block = live->block;
    unsigned char resident;
    free_everything();
    must(mincore(block, 4096, &resident) != 0 && errno == ENOMEM, "a mapping is still there when its block was freed");
}

static void test_runs_grow_where_there_is_room(void **state)
{
    (void)state;
    span_unmap_free();
    struct live *live = do_malloc(2 * MIB, BLOCK_ALIGN);
    assert_true(large_resize(live->block, MIB + 1));
    assert_int_equal(large_size(live->block), 17 * UNIT_SIZE);
    assert_true(large_resize(live->block, 2 * MIB));
    assert_int_equal(large_size(live->block), 2 * MIB);
    free_everything();
}

static void test_too_much(void **state)
{
    (void)state;
    bool zeroed;
    assert_null(large_malloc(PTRDIFF_MAX, BLOCK_ALIGN, 0, &zeroed));
    assert_null(large_malloc((size_t)1 << 48, BLOCK_ALIGN, 0, &zeroed));
    assert_null(large_malloc(MIB, (size_t)1 << 62, 0, &zeroed));
    stats_must_agree();
    struct live *live = do_malloc(40 * MIB, BLOCK_ALIGN);
    assert_false(large_resize(live->block, (size_t)1 << 48));
    assert_null(large_move(live->block, (size_t)1 << 48));
    check(live, live->size);
    free_everything();
}

static size_t mapped(void)
{
    struct span_stats stats;
    heap_lock();
    span_stats(&stats);
    lock_release();
    return stats.mapped;
}

/* What cannot be had anyway must not cost the heap its address space. */
static void test_a_hopeless_request_unmaps_nothing(void **state)
{
    (void)state;
    static const size_t sizes[] = {PTRDIFF_MAX, (size_t)1 << 60, (size_t)1 << 48};
    bool zeroed;
    do_malloc(20 * MIB, BLOCK_ALIGN);
    free_everything();
    size_t before = mapped();
    assert_true(before >= 20 * MIB);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        assert_null(large_malloc(sizes[i], BLOCK_ALIGN, 0, &zeroed));
        must(mapped() == before, "a request for %zu bytes: %zu bytes of superslabs became %zu", sizes[i], before,
             mapped());
    }
}

static void test_not_a_large_block(void **state)
{
    (void)state;
    int local;
    struct page *page = page_acquire_group(4, 0, 1);
    struct live *run = do_malloc(3 * MIB, BLOCK_ALIGN);
    struct live *mapping = do_malloc(50 * MIB, BLOCK_ALIGN);
    char *const wrong[] = {NULL,
                           (char *)&local,
                           page->start,
                           run->block + 16,
                           run->block + UNIT_SIZE,
                           mapping->block + 4096,
                           mapping->block + UNIT_SIZE,
                           (char *)((uintptr_t)1 << 50)};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        assert_int_equal(large_size(wrong[i]), 0);
        assert_false(large_free(wrong[i]));
        assert_false(large_resize(wrong[i], 2 * MIB));
        assert_null(large_move(wrong[i], 50 * MIB));
    }
    check(run, run->size);
    free_everything();
    page_release(page);
}

static void test_explanations(void **state)
{
    (void)state;
    int local;
    struct live *run = do_malloc(3 * MIB, BLOCK_ALIGN);
    struct live *mapping = do_malloc(50 * MIB, BLOCK_ALIGN);
    char *was_run = run->block, *was_mapping = mapping->block;
    const char *const inside[] = {was_run + 1, was_run + UNIT_SIZE, was_run + 3 * MIB - 1, was_mapping + 1,
                                  was_mapping + UNIT_SIZE, was_mapping + 50 * MIB - 1};
    for (size_t i = 0; i < COUNT_OF(inside); i++)
        must(large_explain(inside[i]) == ERROR_INTERIOR, "address %zu inside a large block is explained otherwise", i);
    const char *behind = was_mapping + 50 * MIB;
    if (behind < was_run || behind >= was_run + 3 * MIB)
        assert_int_not_equal(large_explain(behind), ERROR_INTERIOR);
    assert_int_equal(large_explain(&local), ERROR_FOREIGN);
    assert_int_equal(large_explain(NULL), ERROR_FOREIGN);
    assert_int_equal(large_explain((void *)UINTPTR_MAX), ERROR_FOREIGN);
    free_everything();
    assert_int_equal(large_explain(was_run), ERROR_NOT_LIVE);
    assert_int_equal(large_explain(was_run + 100), ERROR_NOT_LIVE);
    assert_int_equal(large_explain(was_mapping), ERROR_FOREIGN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_operations),
        cmocka_unit_test(test_alignment),
        cmocka_unit_test(test_mappings_move_without_copying),
        cmocka_unit_test(test_runs_grow_where_there_is_room),
        cmocka_unit_test(test_too_much),
        cmocka_unit_test(test_a_hopeless_request_unmaps_nothing),
        cmocka_unit_test(test_not_a_large_block),
        cmocka_unit_test(test_explanations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
