/* slabset_test.c - sets of superslabs against arrays of bools, and that no element is lost when threads share a word.
 * Nothing in this program uses the heap.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "heap/ground.h"
#include "heap/slabset.h"
#include "system/lock.h"

/* More than one word in each level but the highest, and the last one not full. */
enum { GROUPS = 4096 + 64 + 22, NUMBERS = GROUPS * 64 };

static int groups_make(void **state)
{
    (void)state;
    assert_int_equal(slabset_next(SET_GONE, 0), SLAB_NONE);
    assert_int_equal(slabset_previous(SET_GONE, SLAB_NONE), SLAB_NONE);
    must(lock_growth_acquire() && ground_start() && slab_cover(1) && slab_cover(NUMBERS), "no memory");
    lock_growth_release();
    return 0;
}

static void test_places(void **state)
{
    (void)state;
    for (uint32_t n = 0; n < NUMBERS; n += 63) {
        assert_ptr_equal(slab_at(n), &slab_heap.groups[n / GROUP_SLABS].slabs[n % GROUP_SLABS]);
        slab_at(n)->number = n;
        assert_ptr_equal(slab_unit_start(slab_at(n), 5), ground_heap() + n * SUPERSLAB_SIZE + 5 * UNIT_SIZE);
    }
}

/* ---- One thread, a naive model ----------------------------------------------------------------------------------- */

enum { SETS = 3 };
static const unsigned g_sets[SETS] = {SET_OF_CLASS + 1, SET_LONGEST_RUN + 32, SET_COUNT - 1};
static bool g_model[SETS][NUMBERS];

static uint32_t model_next(unsigned set, uint32_t from)
{
    for (uint32_t n = from; n < NUMBERS; n++)
        if (g_model[set][n])
            return n;
    return SLAB_NONE;
}

static uint32_t model_previous(unsigned set, uint32_t below)
{
    for (uint32_t n = below; n-- > 0;)
        if (g_model[set][n])
            return n;
    return SLAB_NONE;
}

static void must_agree(unsigned set, uint32_t from)
{
    uint32_t expected = model_next(set, from), seen = slabset_next(g_sets[set], from);
    must(seen == expected, "set %u from %u: expected %u, saw %u", g_sets[set], from, expected, seen);
    expected = model_previous(set, from);
    seen = slabset_previous(g_sets[set], from);
    must(seen == expected, "set %u below %u: expected %u, saw %u", g_sets[set], from, expected, seen);
}

static void test_random_operations(void **state)
{
    (void)state;
    enum { STEPS = UNDER_TSAN ? 3000 : 10000 };
    uint64_t random = 77;
    for (size_t step = 0; step < STEPS; step++) {
        unsigned set = (unsigned)(random_next(&random) % SETS);
        /* Now few numbers, far apart, now many, so that words and the summary become empty often. */
        uint32_t range = step / 1000 % 2 ? NUMBERS : 8;
        uint32_t n = (uint32_t)(random_next(&random) % range) * (NUMBERS / range);
        bool add = random_next(&random) % 8 < (step / 2000 % 2 ? 5u : 3u);
        if (add)
            slabset_add(g_sets[set], n);
        else
            slabset_remove(g_sets[set], n);
        g_model[set][n] = add;
        must(slabset_has(g_sets[set], n) == add, "set %u: has(%u) is wrong", g_sets[set], n);
        must_agree(set, n);
        must_agree(set, (uint32_t)(random_next(&random) % NUMBERS));
        must_agree(set, 0);
    }
    for (unsigned set = 0; set < SETS; set++)
        for (uint32_t n; (n = slabset_next(g_sets[set], 0)) != SLAB_NONE;) {
            must(g_model[set][n], "set %u has %u, which is not in it", g_sets[set], n);
            slabset_remove(g_sets[set], n);
            g_model[set][n] = false;
        }
    for (unsigned set = 0; set < SETS; set++)
        assert_int_equal(model_next(set, 0), SLAB_NONE);
    for (unsigned set = 0; set < SETS; set++)
        assert_int_equal(slabset_next(g_sets[set], 0), SLAB_NONE);
}

/* ---- Stretches --------------------------------------------------------------------------------------------------- */

enum { WHOLE = SET_LONGEST_RUN + SUPERSLAB_UNITS, STRETCH_NUMBERS = 20 * 64 };
static bool g_free[STRETCH_NUMBERS + STRETCH_MAX];

static void free_set(uint32_t n, bool is_free)
{
    g_free[n] = is_free;
    if (is_free)
        slabset_add(WHOLE, n);
    else
        slabset_remove(WHOLE, n);
    slab_stretch_note(n);
}

static uint32_t stretch_from(uint32_t n)
{
    uint32_t length = 0;
    while (length < STRETCH_MAX && g_free[n + length])
        length++;
    return length;
}

/* The longest that begins in a group. */
static uint32_t group_stretch(uint32_t group)
{
    uint32_t longest = 0;
    for (uint32_t n = group * GROUP_SLABS; n < (group + 1) * GROUP_SLABS; n++)
        longest = stretch_from(n) > longest ? stretch_from(n) : longest;
    return longest;
}

static uint32_t model_stretch_find(uint32_t count)
{
    uint32_t best = SLAB_NONE, best_length = STRETCH_MAX + 1;
    for (uint32_t group = 0; group < STRETCH_NUMBERS / GROUP_SLABS; group++)
        if (group_stretch(group) >= count && group_stretch(group) < best_length) {
            best_length = group_stretch(group);
            best = group * GROUP_SLABS;
        }
    while (best != SLAB_NONE && stretch_from(best) < count)
        best++;
    return best;
}

static void test_stretches(void **state)
{
    (void)state;
    enum { STEPS = UNDER_TSAN ? 1000 : 6000 };
    uint64_t random = 99;
    assert_true(lock_acquire());
    for (size_t step = 0; step < STEPS; step++) {
        bool is_free = random_next(&random) % 16 < (step / 1000 % 2 ? 13u : 6u);
        free_set((uint32_t)(random_next(&random) % STRETCH_NUMBERS), is_free);
        uint32_t count = 1 + (uint32_t)(random_next(&random) % STRETCH_MAX), align = 1u << random_next(&random) % 5;
        uint32_t expected = model_stretch_find(count), seen = slab_stretch_find(count, 1);
        must(seen == expected, "a stretch of %u: expected %u, saw %u", count, expected, seen);
        seen = slab_stretch_find(count, align);
        must(seen == SLAB_NONE || (seen % align == 0 && stretch_from(seen) >= count),
             "a stretch of %u at a multiple of %u: saw %u", count, align, seen);
    }
    for (uint32_t n = 0; n < STRETCH_NUMBERS; n++)
        free_set(n, false);
    assert_int_equal(slab_stretch_find(1, 1), SLAB_NONE);
    /* From the end of one group into the next; and one that is longer than any that is asked for. */
    for (uint32_t n = 60; n < 60 + 4 * GROUP_SLABS; n++)
        free_set(n, true);
    assert_int_equal(slab_stretch_find(STRETCH_MAX, 1), 60);
    assert_int_equal(slab_stretch_find(STRETCH_MAX, STRETCH_MAX), 64);
    for (uint32_t n = 60; n < 60 + 4 * GROUP_SLABS; n++)
        free_set(n, false);
    lock_release();
}

/* ---- Many threads ------------------------------------------------------------------------------------------------ */

enum { THREADS = 4, ROUNDS = UNDER_TSAN ? 30000 : 300000 };

struct worker {
    pthread_t thread;
    unsigned id;
    bool last; /* whether its number is in the set in the end */
};

/* While another thread empties the rest of its group, a number may not be found for a moment. */
static void must_be_found(uint32_t n)
{
    double begin = clock_seconds();
    while (slabset_next(SET_GONE, n) != n)
        must(clock_seconds() - begin < 10, "number %u was added, and the next from there is %u", n,
             slabset_next(SET_GONE, n));
}

/* Each thread has numbers of its own, but all share words: what a thread added it must find, whatever the others do,
 * once removals under way have ended. */
static void *add_and_remove(void *argument)
{
    struct worker *worker = argument;
    uint64_t random = worker->id + 1;
    for (size_t i = 0; i < ROUNDS; i++) {
        uint32_t n = worker->id + THREADS * (uint32_t)(random_next(&random) % 4) + (i % 2 ? 0 : GROUP_SLABS * 70);
        slabset_add(SET_GONE, n);
        must_be_found(n);
        must(slabset_has(SET_GONE, n), "number %u was added and is not there", n);
        slabset_remove(SET_GONE, n);
        must(!slabset_has(SET_GONE, n), "number %u was removed and is still there", n);
    }
    uint32_t mine = worker->id + GROUP_SLABS * 70;
    worker->last = random_next(&random) % 2;
    if (worker->last)
        slabset_add(SET_GONE, mine);
    return NULL;
}

static void test_no_element_is_lost(void **state)
{
    (void)state;
    struct worker workers[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i].id = i;
        assert_int_equal(pthread_create(&workers[i].thread, NULL, add_and_remove, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(workers[i].thread, NULL);
    uint32_t expected = SLAB_NONE;
    for (unsigned i = THREADS; i-- > 0;) {
        uint32_t mine = i + GROUP_SLABS * 70;
        assert_int_equal(slabset_has(SET_GONE, mine), workers[i].last);
        expected = workers[i].last ? mine : expected;
    }
    assert_int_equal(slabset_next(SET_GONE, 0), expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_random_operations),
        cmocka_unit_test(test_stretches),
        cmocka_unit_test(test_no_element_is_lost),
    };
    return cmocka_run_group_tests(tests, groups_make, NULL);
}
