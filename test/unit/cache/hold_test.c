/* hold_test.c - blocks that are held back after they were freed: how many, in which order they leave, and that none is
 * lost; and the random numbers by which blocks are chosen.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdlib.h>

#include "base/atomic.h"
#include "cache/hold.h"
#include "heap/map.h"
#include "heap/page.h"

enum { CLASS = 10, HOLDER = 77 };

static struct hold *hold_new(void)
{
    struct hold *hold = hold_make();
    assert_non_null(hold);
    return hold;
}

/* An address that nobody looks at. */
static void *address(size_t number) { return (void *)(number * 16); }

static size_t expected_slots(unsigned class_id)
{
    if (class_id == 0 || class_size(class_id) > CLASS_TABLE_MAX)
        return 1;
    size_t fit = HOLD_BYTES / class_size(class_host(class_id));
    return fit < HOLD_LEAST ? HOLD_LEAST : fit > HOLD_MOST ? HOLD_MOST : fit;
}

static void test_queues(void **state)
{
    (void)state;
    struct hold *hold = hold_new();
    for (unsigned c = 1; c <= CLASS_LAST; c++)
        for (size_t i = 1; i <= 3 * HOLD_MOST; i++) {
            size_t slots = expected_slots(c);
            void *expected = i > slots ? address(i - slots) : NULL, *oldest = hold_swap(hold, c, address(i));
            must(oldest == expected, "class %u, block %zu of queues of %zu: %p leaves, expected %p", c, i, slots,
                 oldest, expected);
        }
}

static void test_forgetting(void **state)
{
    (void)state;
    struct hold *hold = hold_new();
    for (unsigned c = 1; c <= CLASS_LAST; c++)
        for (size_t i = 1; i <= HOLD_MOST + 5; i++)
            hold_swap(hold, c, address(i));
    hold_forget(hold);
    for (unsigned c = 1; c <= CLASS_LAST; c++)
        for (size_t i = 0; i < expected_slots(c); i++)
            assert_null(hold_swap(hold, c, address(1)));
}

/* ---- Real blocks ------------------------------------------------------------------------------------------------- */

/* All blocks of a new page, which the caller holds. */
static struct page *page_taken(void **blocks)
{
    struct page *page = page_make(CLASS, 0, HOLDER, false, 0);
    assert_non_null(page);
    unsigned count = class_info[CLASS].blocks, taken = 0;
    while (taken < count)
        taken += page_take(page, blocks + taken, count - taken);
    return page;
}

static void test_everything_goes_back(void **state)
{
    (void)state;
    static void *blocks[PAGE_MAX_BLOCKS];
    struct hold *hold = hold_new();
    struct page *page = page_taken(blocks);
    size_t count = class_info[CLASS].blocks, held = expected_slots(CLASS) / 2;
    for (size_t i = 0; i < held; i++)
        assert_null(hold_swap(hold, CLASS, blocks[i]));
    assert_int_equal(page_used_blocks(page), count); /* for the page they are still in use */
    hold_empty(hold);
    assert_int_equal(page_used_blocks(page), count - held);
    for (size_t i = 0; i < held; i++) {
        enum error_id error;
        assert_false(page_has_live(page, blocks[i], &error));
    }
    hold_empty(hold); /* nothing is there */
    assert_int_equal(page_used_blocks(page), count - held);
    page_return(blocks + held, (unsigned)(count - held), "free");
    page_release(page);
    heap_must_be_valid("after all that was held back has gone");
}

static void write_after_free(void *unused)
{
    (void)unused;
    static void *blocks[PAGE_MAX_BLOCKS];
    struct hold *hold = hold_new();
    page_taken(blocks);
    hold_swap(hold, CLASS, blocks[3]);
    ((char *)blocks[3])[class_size(CLASS) - 1] = 1;
    hold_empty(hold);
}

static void test_writes_are_noticed(void **state)
{
    (void)state;
    must_die_of(ERROR_WRITE_AFTER_FREE, "free", class_size(CLASS), write_after_free, NULL);
}

/* ---- Choices ----------------------------------------------------------------------------------------------------- */

/* Every number below the bound comes, and about as often as the others; none comes that is not. */
static void test_choices(void **state)
{
    (void)state;
    enum { DRAWS = 200 }; /* of each number, on the average */
    struct hold *hold = hold_new();
    for (size_t count = 1; count <= 3 * CHOICE; count++) {
        size_t below = count < CHOICE ? count : CHOICE, seen[CHOICE] = {0};
        for (size_t i = 0; i < DRAWS * below; i++) {
            size_t choice = hold_choose(hold, count);
            must(choice < below, "of %zu number %zu was chosen", count, choice);
            seen[choice]++;
        }
        for (size_t i = 0; i < below; i++)
            must(seen[i] > DRAWS / 3 && seen[i] < DRAWS * 3, "of %zu number %zu was chosen %zu times of %zu", count, i,
                 seen[i], DRAWS * below);
    }
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void test_random_numbers(void **state)
{
    (void)state;
    enum { COUNT = 3000 };
    static uint64_t numbers[3 * COUNT];
    struct hold *hold = hold_new(), *other = hold_new();
    for (size_t i = 0; i < COUNT; i++) {
        numbers[i] = hold_random(hold);
        numbers[COUNT + i] = hold_random(other);
    }
    hold->random = other->random; /* as in parent and child */
    hold_stir(hold);
    for (size_t i = 0; i < COUNT / 2; i++) {
        numbers[2 * COUNT + 2 * i] = hold_random(hold);
        numbers[2 * COUNT + 2 * i + 1] = hold_random(other);
    }
    qsort(numbers, COUNT_OF(numbers), sizeof numbers[0], compare);
    for (size_t i = 1; i < COUNT_OF(numbers); i++)
        must(numbers[i] != numbers[i - 1], "a number came twice");
    assert_int_equal(hold->choices, 0); /* what was drawn before is not used */
}

/* ---- Random blocks of a page ------------------------------------------------------------------------------------- */

/* All of them come, none twice, and not in their order; with any number asked for at a time. */
static void test_random_blocks_of_a_page(void **state)
{
    (void)state;
    static void *blocks[PAGE_MAX_BLOCKS];
    static bool seen[PAGE_MAX_BLOCKS];
    struct hold *hold = hold_new();
    for (unsigned at_a_time = 1; at_a_time <= 70; at_a_time += 23) {
        struct page *page = page_make(CLASS, 0, HOLDER, false, 0);
        size_t count = class_info[CLASS].blocks, taken = 0, ascents = 0;
        memset(seen, 0, sizeof seen);
        for (unsigned got; (got = page_take_random(page, blocks + taken, at_a_time, hold_random(hold))) > 0;) {
            must(got <= at_a_time, "%u blocks, and %u were asked for", got, at_a_time);
            taken += got;
        }
        assert_int_equal(taken, count);
        assert_true(page_is_drained(page));
        for (size_t i = 0; i < count; i++) {
            size_t index = (size_t)((char *)blocks[i] - page->start) / class_size(CLASS);
            must(!seen[index], "block %zu came twice", index);
            seen[index] = true;
            ascents += i > 0 && (char *)blocks[i] == (char *)blocks[i - 1] + class_size(CLASS);
        }
        must(at_a_time > 1 || ascents < count / 4, "%zu of %zu blocks lie behind the one before", ascents, count);
        page_return(blocks, (unsigned)count, "free");
        page_release(page);
        heap_must_be_valid("after random blocks went back");
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_queues),
        cmocka_unit_test(test_forgetting),
        cmocka_unit_test(test_everything_goes_back),
        cmocka_unit_test(test_writes_are_noticed),
        cmocka_unit_test(test_choices),
        cmocka_unit_test(test_random_numbers),
        cmocka_unit_test(test_random_blocks_of_a_page),
    };
    return RUN_TESTS(tests);
}
