/* remote_test.c - the depot: batches come out as they went in, in bounds, and do not rest for long.
 * Where no batch goes back to its pages, the blocks are mere numbers.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdlib.h>

#include "heap/map.h"
#include "heap/page.h"
#include "cache/remote.h"

static unsigned g_smallest, g_medium; /* the smallest class that the depot serves, and one of larger blocks */

static int classes_choose(void **state)
{
    (void)state;
    for (g_smallest = 1; !remote_serves(g_smallest);)
        g_smallest++;
    g_medium = class_of(200 * KIB);
    return 0;
}

static void *number(uintptr_t n) { return (void *)(n * 16); }

static unsigned give(unsigned c, uintptr_t first, unsigned count)
{
    void *blocks[REMOTE_BATCH_MAX];
    for (unsigned i = 0; i < count; i++)
        blocks[i] = number(first + i);
    return remote_give(c, blocks, count);
}

/* Takes a batch; the number of its first block. The others follow in the order in which they were given. */
static uintptr_t take(unsigned c, unsigned *count)
{
    void *out[REMOTE_BATCH_MAX];
    *count = remote_take(c, out);
    for (unsigned i = 1; i < *count; i++)
        assert_ptr_equal(out[i], (char *)out[0] + i * 16);
    return *count ? (uintptr_t)out[0] / 16 : 0;
}

static void test_which_classes_and_how_many(void **state)
{
    (void)state;
    for (unsigned c = 1; c <= CLASS_FIXED_LAST; c++) {
        assert_int_equal(remote_serves(c), class_size(c) >= 1024);
        assert_in_range(remote_batch(c), 1, REMOTE_BATCH_MAX);
        assert_true(remote_batch(c) == 1 || remote_batch(c) * class_size(c) <= 256 * KIB);
        assert_true(c == 1 || remote_batch(c) <= remote_batch(c - 1));
    }
}

static void test_batches_come_out_as_they_went_in(void **state)
{
    (void)state;
    for (unsigned c = g_smallest; c <= CLASS_FIXED_LAST; c++) {
        unsigned taken;
        assert_int_equal(take(c, &taken), 0);
        for (unsigned count = 1; count <= remote_batch(c); count++) {
            assert_true(give(c, 1000 * count, count));
            assert_int_equal(remote_count(c), count);
            assert_true(remote_has(c));
            assert_int_equal(take(c, &taken), 1000 * count);
            assert_int_equal(taken, count);
            assert_int_equal(remote_count(c), 0);
            assert_false(remote_has(c));
        }
    }
}

/* How many batches of the class are accepted; their first blocks are `tag` and up. */
static size_t fill(unsigned c, uintptr_t tag)
{
    size_t accepted = 0;
    while (give(c, tag + 100 * accepted, remote_batch(c)))
        must(++accepted < 1000, "class %u: no end to what the depot accepts", c);
    assert_int_equal(remote_count(c), accepted * remote_batch(c));
    return accepted;
}

/* Takes them out; each has to be there once. */
static void empty(unsigned c, uintptr_t tag, size_t accepted)
{
    static bool seen[1000];
    memset(seen, 0, sizeof seen);
    for (size_t i = 0; i < accepted; i++) {
        unsigned count;
        size_t which = (take(c, &count) - tag) / 100;
        must(count == remote_batch(c) && which < accepted && !seen[which], "class %u: batch %zu of %u blocks", c, which,
             count);
        seen[which] = true;
    }
    unsigned none;
    assert_int_equal(take(c, &none), 0);
    assert_int_equal(none, 0);
    assert_int_equal(remote_count(c), 0);
}

static void test_each_class_is_bounded(void **state)
{
    (void)state;
    for (unsigned c = g_smallest; c <= CLASS_FIXED_LAST; c++)
        for (unsigned round = 0; round < 2; round++) {
            size_t accepted = fill(c, 5);
            size_t bytes = accepted * remote_batch(c) * class_size(c);
            must(accepted >= 2 && bytes <= policy_static.depot_bytes + 2 * MIB, "class %u: %zu batches, %zu bytes", c,
                 accepted, bytes);
            empty(c, 5, accepted);
        }
}

static void test_all_classes_are_bounded(void **state)
{
    (void)state;
    size_t accepted[CLASS_SLOTS], bytes = 0;
    for (unsigned c = CLASS_FIXED_LAST; c >= g_smallest; c--) {
        accepted[c] = fill(c, c * 1000000u);
        bytes += accepted[c] * remote_batch(c) * class_size(c);
    }
    must(bytes >= policy_static.depot_bytes && bytes <= policy_static.depot_bytes + 2 * MIB, "%zu bytes in the depot",
         bytes);
    for (unsigned c = g_smallest; c <= CLASS_FIXED_LAST; c++)
        empty(c, c * 1000000u, accepted[c]);
}

static void test_random_operations(void **state)
{
    (void)state;
    static uintptr_t inside[100];
    size_t count = 0;
    uint64_t random = 5;
    for (uintptr_t step = 1; step < 50000; step++) {
        if (random_next(&random) % 16 < (step / 1000 % 2 ? 10u : 6u)) {
            if (give(g_medium, step * 100, 1 + (unsigned)(step % remote_batch(g_medium))))
                inside[count++] = step;
            continue;
        }
        unsigned blocks;
        uintptr_t which = take(g_medium, &blocks) / 100;
        assert_int_equal(which == 0, count == 0);
        if (which == 0)
            continue;
        size_t i = 0;
        while (i < count && inside[i] != which)
            i++;
        must(i < count && blocks == 1 + which % remote_batch(g_medium), "batch %zu of %u blocks was not in the depot",
             (size_t)which, blocks);
        inside[i] = inside[--count];
    }
    unsigned blocks;
    while (take(g_medium, &blocks))
        count--;
    assert_int_equal(count, 0);
}

/* ---- Back to the pages ------------------------------------------------------------------------------------------- */

static struct page *g_page;

/* Gives a batch of true blocks of the smallest class, all from one page. */
static void give_blocks(void)
{
    void *blocks[REMOTE_BATCH_MAX];
    unsigned count = remote_batch(g_smallest);
    assert_int_equal(page_take(g_page, blocks, count), count);
    assert_true(remote_give(g_smallest, blocks, count));
}

static size_t free_in_pages(void)
{
    return page_count(g_smallest).free_blocks;
}

static int page_hold(void **state)
{
    (void)state;
    g_page = page_acquire_group(g_smallest, 0, 1);
    return g_page ? 0 : -1;
}

static int page_let_go(void **state)
{
    (void)state;
    const char *start = g_page->start;
    page_release(g_page);
    return map_page(start) ? -1 : 0;
}

static void test_flush(void **state)
{
    (void)state;
    size_t all = free_in_pages();
    give_blocks();
    assert_int_equal(free_in_pages(), all - remote_batch(g_smallest));
    remote_flush();
    assert_int_equal(free_in_pages(), all);
    assert_int_equal(remote_count(g_smallest), 0);
}

static void next_interval(void)
{
    sleep_milliseconds(270);
    remote_flush_resting();
}

/* What depots may hold and do not is others' after an interval. */
static void test_room_that_is_not_used_is_given_up(void **state)
{
    (void)state;
    enum { LARGE = 4 }; /* classes that can hold all that depots may */
    size_t accepted[LARGE], bytes = 0;
    unsigned count;
    for (unsigned c = g_smallest; c <= CLASS_FIXED_LAST - LARGE; c++) {
        assert_true(give(c, 1, remote_batch(c)));
        assert_int_equal(take(c, &count), 1);
    }
    next_interval();
    for (unsigned i = 0; i < LARGE; i++) {
        unsigned c = CLASS_FIXED_LAST - i;
        accepted[i] = fill(c, c * 1000000u);
        bytes += accepted[i] * remote_batch(c) * class_size(c);
    }
    must(bytes >= policy_static.depot_bytes, "%zu bytes in the depot", bytes);
    for (unsigned i = 0; i < LARGE; i++)
        empty(CLASS_FIXED_LAST - i, (CLASS_FIXED_LAST - i) * 1000000u, accepted[i]);
}

static void test_what_rests_goes_back(void **state)
{
    (void)state;
    size_t all = free_in_pages(), batch = remote_batch(g_smallest);
    void *blocks[REMOTE_BATCH_MAX];
    next_interval();
    give_blocks();
    remote_flush_resting();
    must(remote_count(g_smallest) == batch, "a batch went back within the interval that it came in");
    next_interval();
    must(remote_count(g_smallest) == batch, "a batch went back that has not rested for a whole interval");
    next_interval();
    must(remote_count(g_smallest) == 0 && free_in_pages() == all, "a batch rested for an interval and is still there");

    /* What is taken and given again does not rest. */
    give_blocks();
    for (unsigned i = 0; i < 4; i++) {
        next_interval();
        assert_int_equal(remote_take(g_smallest, blocks), batch);
        assert_true(remote_give(g_smallest, blocks, (unsigned)batch));
        must(remote_count(g_smallest) == batch, "a batch in use went back to its pages");
    }
    remote_flush();
    assert_int_equal(free_in_pages(), all);
}

static void test_after_fork(void **state)
{
    (void)state;
    unsigned count;
    size_t room = fill(g_medium, 5);
    for (unsigned i = 0; i < 20; i++) { /* what is inside stays, and is counted once */
        remote_after_fork();
        assert_int_equal(remote_count(g_medium), room * remote_batch(g_medium));
        assert_false(give(g_medium, 1, 1));
        empty(g_medium, 5, room);
        remote_after_fork();
        assert_int_equal(take(g_medium, &count), 0);
        assert_int_equal(fill(g_medium, 5), room);
    }
    empty(g_medium, 5, room);
}

int main(void)
{
#define WITH_PAGE(f) cmocka_unit_test_setup_teardown(f, page_hold, page_let_go)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_which_classes_and_how_many),
        cmocka_unit_test(test_batches_come_out_as_they_went_in),
        cmocka_unit_test(test_each_class_is_bounded),
        cmocka_unit_test(test_all_classes_are_bounded),
        cmocka_unit_test(test_random_operations),
        cmocka_unit_test(test_room_that_is_not_used_is_given_up),
        WITH_PAGE(test_flush),
        WITH_PAGE(test_what_rests_goes_back),
        cmocka_unit_test(test_after_fork),
    };
    return cmocka_run_group_tests(tests, classes_choose, NULL);
}
