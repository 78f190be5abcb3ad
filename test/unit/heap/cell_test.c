/* cell_test.c - blocks with pages of their own: what can be touched and what cannot, where blocks lie, which cell comes
 * next, and what is left when the system refuses.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "heap/cell.h"
#include "heap/class.h"
#include "system/os_map.h"

static char *made(size_t size, bool at_start)
{
    char *block = cell_make(size, at_start);
    assert_non_null(block);
    assert_true(cell_has(block) && cell_has(block + size - 1));
    return block;
}

static void ended(char *block)
{
    assert_true(cell_claim(block));
    cell_end(block);
}

static void test_pages_end_where_blocks_do(void **state)
{
    (void)state;
    for (size_t size = BLOCK_ALIGN; size <= cell_largest();
         size += size < 512 ? BLOCK_ALIGN : size / 4 & -BLOCK_ALIGN) {
        char *block = made(size, false);
        assert_int_equal((uintptr_t)block % (size & -size), 0);
        pattern_fill(block, size, size);
        assert_int_equal(pattern_check(block, size, size), size);
        assert_false(byte_is_open(block + size));
        assert_false(byte_is_open(block - os_page_size()));
        char *other = made(size, true);
        assert_int_equal((uintptr_t)other % os_page_size(), 0);
        pattern_fill(other, size, size);
        assert_false(byte_is_open(other - 1));
        assert_false(byte_is_open(other + align_up(size, os_page_size())));
        ended(block);
        ended(other);
        assert_false(byte_is_open(block) || byte_is_open(other));
    }
    assert_int_equal(cell_count(), 0);
    assert_int_equal(cell_bytes(), 0);
}

static void test_marks_show_writes(void **state)
{
    (void)state;
    char *block = made(100 & -BLOCK_ALIGN, false), *other = made(100 & -BLOCK_ALIGN, true);
    assert_true(cell_front_is_whole(block) && cell_rear_is_whole(block));
    assert_true(cell_front_is_whole(other) && cell_rear_is_whole(other));
    block[-1] ^= 1;
    other[100 & -BLOCK_ALIGN] ^= 1;
    assert_false(cell_front_is_whole(block));
    assert_false(cell_rear_is_whole(other));
    ended(block);
    ended(other);
}

/* The cell of a block that ended is not taken again before all that ended earlier. */
static void test_the_oldest_comes_first(void **state)
{
    (void)state;
    char *first = made(64, false);
    ended(first);
    for (unsigned i = 0; i < CELLS - 1; i++) {
        char *other = made(64, false);
        assert_ptr_not_equal(other, first);
        ended(other);
        assert_false(byte_is_open(first));
    }
    char *again = made(64, false);
    assert_ptr_equal(again, first);
    ended(again);
}

static void test_there_is_a_most(void **state)
{
    (void)state;
    char *blocks[CELLS_LIVE];
    for (unsigned i = 0; i < CELLS_LIVE; i++)
        blocks[i] = made(64, i % 2);
    assert_null(cell_make(64, false));
    assert_int_equal(cell_count(), CELLS_LIVE);
    assert_int_equal(cell_bytes(), CELLS_LIVE * os_page_size());
    ended(blocks[7]);
    blocks[7] = made(64, false);
    for (unsigned i = 0; i < CELLS_LIVE; i++)
        ended(blocks[i]);
}

static void test_claims_are_exact(void **state)
{
    (void)state;
    char *block = made(64, false);
    assert_false(cell_claim(block + 16));
    assert_true(cell_claim(block));
    assert_false(cell_claim(block));
    cell_end(block);
    assert_false(cell_claim(block));
    assert_false(cell_has((char *)load_relaxed(&cell_room) - 1));
    assert_false(cell_has((char *)load_relaxed(&cell_room) + cell_room_size()));
}

static void test_the_nearest_block_is_told(void **state)
{
    (void)state;
    size_t page = os_page_size();
    char *block = made(64, false);
    struct cell_view view = cell_look(block + 64 + page);
    assert_ptr_equal(view.block, block);
    assert_true(view.is_live && view.size == 64 && view.start < block && view.end > block + 64 + page);
    assert_ptr_equal(cell_look(block - page).block, block);
    ended(block);
    assert_ptr_equal(cell_look(block + 3).block, block);
    assert_false(cell_look(block + 3).is_live);
}

/* What has gone leaves no memory behind. */
static void test_memory_goes(void **state)
{
    (void)state;
    char *blocks[CELLS];
    size_t before = process_anonymous();
    for (unsigned i = 0; i < CELLS; i++) {
        blocks[i] = made(cell_largest(), false);
        memset(blocks[i], 1, cell_largest());
        ended(blocks[i]);
    }
    assert_true(UNDER_SHADOW || process_anonymous() <= before + 64 * KIB);
}

/* In a child, which has no room yet. */
static void no_room(void *unused)
{
    (void)unused;
    struct rlimit none = {.rlim_cur = 1, .rlim_max = RLIM_INFINITY};
    must(setrlimit(RLIMIT_AS, &none) == 0, "setrlimit: %s", strerror(errno));
    must(cell_make(64, false) == NULL, "a cell without address space");
    must(load_relaxed(&cell_room) == 0 && cell_count() == 0, "cells without address space");
    must(!cell_has((char *)64), "an address in no room");
}

static void test_a_refusal_leaves_nothing(void **state)
{
    (void)state;
    struct child_result result;
    assert_int_equal(load_relaxed(&cell_room), 0); /* it comes first */
    child_run(no_room, NULL, 20, &result);
    must_end_well(&result, "a process without address space");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_refusal_leaves_nothing),
        cmocka_unit_test(test_pages_end_where_blocks_do),
        cmocka_unit_test(test_marks_show_writes),
        cmocka_unit_test(test_the_oldest_comes_first),
        cmocka_unit_test(test_there_is_a_most),
        cmocka_unit_test(test_claims_are_exact),
        cmocka_unit_test(test_the_nearest_block_is_told),
        cmocka_unit_test(test_memory_goes),
    };
    return RUN_TESTS(tests);
}
