/* slabset_test.c - sets of superslabs against arrays of bools, and that no element is lost when threads share a word.
 * The groups are this test's own: nothing in this program uses the heap.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "heap/slabset.h"

/* More than one word of the summary, and the last one not full. */
enum { GROUPS = 150, NUMBERS = GROUPS * 64 };

static struct slab_group *g_groups;

static int groups_add(void **state)
{
    (void)state;
    g_groups = calloc(GROUPS, sizeof *g_groups);
    assert_int_equal(slabset_next(SET_GONE, 0), SLAB_NONE);
    for (uint32_t i = 0; i < GROUPS; i++)
        slab_group_add(i, &g_groups[i]);
    return 0;
}

static int groups_free(void **state)
{
    (void)state;
    free(g_groups);
    return 0;
}

static void test_groups_are_numbered(void **state)
{
    (void)state;
    for (uint32_t n = 0; n < NUMBERS; n++) {
        assert_int_equal(slab_at(n)->number, n);
        assert_ptr_equal(slab_at(n), &g_groups[n / GROUP_SLABS].slabs[n % GROUP_SLABS]);
    }
    assert_null(slab_unit_start(slab_at(3), 5));
    store_relaxed(&slab_at(3)->base, (char *)SUPERSLAB_SIZE);
    assert_ptr_equal(slab_unit_start(slab_at(3), 5), (char *)SUPERSLAB_SIZE + 5 * UNIT_SIZE);
    store_relaxed(&slab_at(3)->base, NULL);
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

static void must_agree(unsigned set, uint32_t from)
{
    uint32_t expected = model_next(set, from), seen = slabset_next(g_sets[set], from);
    must(seen == expected, "set %u from %u: expected %u, saw %u", g_sets[set], from, expected, seen);
}

static void test_random_operations(void **state)
{
    (void)state;
    enum { STEPS = UNDER_TSAN ? 50000 : 300000 };
    uint64_t random = 77;
    for (size_t step = 0; step < STEPS; step++) {
        unsigned set = (unsigned)(random_next(&random) % SETS);
        /* Now few numbers, far apart, now many, so that words and the summary become empty often. */
        uint32_t range = step / 10000 % 2 ? NUMBERS : 8;
        uint32_t n = (uint32_t)(random_next(&random) % range) * (NUMBERS / range);
        bool add = random_next(&random) % 8 < (step / 20000 % 2 ? 5u : 3u);
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
        for (uint32_t n = 0; n < NUMBERS; n++) {
            must_agree(set, n);
            slabset_remove(g_sets[set], n);
        }
    for (unsigned set = 0; set < SETS; set++)
        assert_int_equal(slabset_next(g_sets[set], 0), SLAB_NONE);
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
        cmocka_unit_test(test_groups_are_numbered),
        cmocka_unit_test(test_random_operations),
        cmocka_unit_test(test_no_element_is_lost),
    };
    return cmocka_run_group_tests(tests, groups_add, groups_free);
}
