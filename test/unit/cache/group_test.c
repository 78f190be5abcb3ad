/* group_test.c - groups: blocks come from their group's pages only, are handed out once, go back whoever frees them,
 * and nothing is lost. A model knows which blocks are live, and of which group.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include "cache/group.h"
#include "system/lock.h"
#include "heap/map.h"

enum { GROUPS = 5, LIVE = 3000, STEPS = UNDER_TSAN ? 20000 : 100000 };

static struct group_cache g_cache, g_other;
static unsigned g_groups[GROUPS]; /* three of one class, two of another */

struct live {
    char *block;
    unsigned group;
    uint64_t seed;
};
static struct live g_live[LIVE];
static size_t g_live_count;

static int groups_make(void **state)
{
    (void)state;
    group_open(&g_cache, 1);
    group_open(&g_other, 2);
    heap_lock();
    for (unsigned i = 0; i < GROUPS; i++)
        g_groups[i] = group_make(i < 3 ? class_of(48) : class_of(1024));
    lock_release();
    return 0;
}

static char *take(struct group_cache *cache, unsigned group)
{
    unsigned got;
    void *block = group_pop(group_ring_of(cache, group));
    if (!block)
        block = group_refill(cache, group, &got);
    assert_non_null(block);
    assert_int_equal(map_class(block), CLASS_GROUPED);
    assert_int_equal(map_page(block)->group, group);
    assert_int_equal(map_page(block)->class_id, group_class(group));
    return block;
}

static void give(struct group_cache *cache, unsigned group, void *block)
{
    if (!group_push(group_ring_of(cache, group), block))
        group_return(cache, group, block, "free");
}

static void one_step(uint64_t *random)
{
    /* The other cache frees what this one allocated, as another thread would. */
    struct group_cache *cache = random_next(random) % 4 ? &g_cache : &g_other;
    bool grows = random_next(random) % 1000 < 500 || g_live_count == 0;
    if (grows && g_live_count < LIVE) {
        unsigned group = g_groups[random_next(random) % GROUPS];
        struct live *live = &g_live[g_live_count++];
        *live = (struct live){take(cache, group), group, random_next(random)};
        pattern_fill(live->block, class_size(group_class(group)), live->seed);
        return;
    }
    size_t i = random_next(random) % g_live_count;
    struct live live = g_live[i];
    size_t size = class_size(group_class(live.group));
    must(pattern_check(live.block, size, live.seed) == size, "a block of group %u was given out twice", live.group);
    g_live[i] = g_live[--g_live_count];
    give(cache, live.group, live.block);
}

static size_t blocks_out(unsigned group)
{
    struct page_totals totals[GROUP_COUNT];
    page_count_groups(totals);
    return totals[group].pages * class_info[group_class(group)].blocks - totals[group].free_blocks;
}

static void test_against_a_model(void **state)
{
    (void)state;
    uint64_t random = 7;
    for (unsigned step = 0; step < STEPS; step++) {
        one_step(&random);
        if (step % 1000 == 0)
            must(group_is_valid(&g_cache) && group_is_valid(&g_other), "step %u: a ring is not valid", step);
        if (step % 5000 == 0) {
            group_sweep(step % 10000 ? &g_cache : &g_other);
            heap_must_be_valid("between steps");
        }
    }
    for (; g_live_count > 0; g_live_count--)
        give(&g_cache, g_live[g_live_count - 1].group, g_live[g_live_count - 1].block);
    group_empty(&g_cache);
    group_empty(&g_other);
    for (unsigned i = 0; i < GROUPS; i++)
        must(blocks_out(g_groups[i]) == 0, "group %u: %zu blocks were lost", g_groups[i], blocks_out(g_groups[i]));
    heap_must_be_valid("at the end");
}

static void test_counts(void **state)
{
    (void)state;
    unsigned c = class_of(48);
    void *block = take(&g_cache, g_groups[0]);
    size_t before = group_blocks(&g_cache, c, true);
    give(&g_cache, g_groups[0], block);
    assert_int_equal(group_blocks(&g_cache, c, true), before + 1);
    assert_int_equal(group_blocks(NULL, c, false), 0);
    group_empty(&g_cache);
    assert_int_equal(group_blocks(&g_cache, c, false), 0);
}

/* What memory sweeps leave behind of a ring that is not used falls by half each time, and then the page goes too. */
static void test_sweeps(void **state)
{
    (void)state;
    struct group_ring *ring = group_ring_of(&g_cache, g_groups[1]);
    give(&g_cache, g_groups[1], take(&g_cache, g_groups[1]));
    size_t before = group_blocks(&g_cache, class_of(48), true);
    group_sweep(&g_cache);
    assert_int_equal(group_blocks(&g_cache, class_of(48), true), before);
    group_sweep(&g_cache);
    assert_int_equal(group_blocks(&g_cache, class_of(48), true), before / 2);
    for (unsigned i = 0; i < 20; i++)
        group_sweep(&g_cache);
    assert_null(ring->page);
    assert_int_equal(blocks_out(g_groups[1]), 0);
}

static void free_twice(void *unused)
{
    (void)unused;
    void *first = take(&g_cache, g_groups[0]), *second = take(&g_cache, g_groups[0]),
         *third = take(&g_cache, g_groups[0]);
    give(&g_cache, g_groups[0], first);
    give(&g_cache, g_groups[0], second);
    give(&g_cache, g_groups[0], third);
    give(&g_cache, g_groups[0], second);
}

static void test_double_frees_end_the_program(void **state)
{
    (void)state;
    must_die_of(ERROR_DOUBLE_FREE, "free", 48, free_twice, NULL);
}

static void test_groups_end(void **state)
{
    (void)state;
    unsigned made = 0;
    heap_lock();
    while (group_make(1) != 0)
        made++;
    lock_release();
    assert_int_equal(made, GROUP_COUNT - GROUP_FREE_FIRST - GROUPS);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_a_model),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_sweeps),
        cmocka_unit_test(test_double_frees_end_the_program),
        cmocka_unit_test(test_groups_end),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, groups_make, NULL);
}
