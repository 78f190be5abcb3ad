/* arena_test.c - heaps by name: their sums are exact, their limits hold, all of their blocks go with them, and nothing
 * of others does. A model knows which blocks are live, and of which heap.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "cache/arena.h"
#include "cache/group.h"
#include "cache/ring.h"
#include "cache/thread.h"
#include "heap/large.h"
#include "insight/stats.h"

enum { HEAPS = 4, LIVE = 1500, STEPS = UNDER_TSAN ? 8000 : 60000, BIG = 40 << 20 };

struct live {
    char *block;
    size_t size;
    unsigned heap;
    uint64_t seed;
};
static struct live g_live[LIVE];
static hak_heap_t *g_heaps[HEAPS];

static int heaps_make(void **state)
{
    (void)state;
    for (unsigned i = 0; i < HEAPS; i++)
        assert_non_null(g_heaps[i] = hak_heap_create(i % 2 ? "odd" : "even"));
    return 0;
}

static int heaps_end(void **state)
{
    (void)state;
    for (unsigned i = 0; i < HEAPS; i++)
        hak_heap_destroy(g_heaps[i]);
    for (unsigned i = 0; i < LIVE; i++)
        g_live[i].block = NULL;
    heap_must_be_valid("after heaps were destroyed");
    return 0;
}

static size_t any_size(uint64_t *random)
{
    uint64_t choice = random_next(random) % 1000;
    return 1 + random_next(random) % (choice == 0 ? BIG : choice < 5 ? 3 * MIB : choice < 40 ? 200000 : 2000);
}

static size_t head_of(size_t size) { return size < 200 ? size : 200; }

static void live_fill(struct live *live, void *block, size_t size, uint64_t *random)
{
    assert_non_null(block);
    *live = (struct live){.block = block, .size = size, .heap = live->heap, .seed = random_next(random)};
    pattern_fill(live->block, head_of(size), live->seed);
    assert_ptr_equal(hak_heap_of(block), g_heaps[live->heap]);
    assert_true(hak_usable_size(block) >= size);
}

static void live_check(const struct live *live, size_t size)
{
    assert_int_equal(pattern_check(live->block, head_of(size), live->seed), head_of(size));
}

static void live_make(struct live *live, uint64_t *random)
{
    size_t size = any_size(random), align = (size_t)16 << random_next(random) % 10;
    live->heap = (unsigned)(random_next(random) % HEAPS);
    hak_heap_t *heap = g_heaps[live->heap];
    switch (random_next(random) % 4) {
    case 0:
        live_fill(live, hak_heap_aligned_alloc(heap, align, size), size, random);
        assert_int_equal((uintptr_t)live->block % align, 0);
        break;
    case 1: {
        char *block = hak_heap_calloc(heap, 2, size / 2 + 1);
        for (size_t i = 0; i < head_of(size); i++)
            assert_int_equal(block[i], 0);
        live_fill(live, block, size, random);
        break;
    }
    default:
        live_fill(live, hak_heap_malloc(heap, size), size, random);
    }
}

static void live_resize(struct live *live, uint64_t *random)
{
    size_t size = any_size(random), before = live->size;
    bool moves = random_next(random) % 4 == 0;
    unsigned heap = moves ? (unsigned)(random_next(random) % HEAPS) : live->heap;
    char *block = moves ? hak_heap_realloc(g_heaps[heap], live->block, size) : hak_realloc(live->block, size);
    live->block = block;
    live->heap = heap;
    live_check(live, before < size ? before : size);
    live_fill(live, block, size, random);
}

static void one_step(uint64_t *random)
{
    struct live *live = &g_live[random_next(random) % LIVE];
    if (!live->block) {
        live_make(live, random);
    } else if (random_next(random) % 3 == 0) {
        live_resize(live, random);
    } else {
        live_check(live, live->size);
        hak_free(live->block);
        live->block = NULL;
    }
}

static void accounts_must_be_exact(void)
{
    for (unsigned i = 0; i < HEAPS; i++) {
        hak_heap_stat_t stats;
        size_t live = 0, blocks = 0;
        for (unsigned k = 0; k < LIVE; k++)
            if (g_live[k].block && g_live[k].heap == i) {
                live += hak_usable_size(g_live[k].block);
                blocks++;
            }
        hak_heap_stats(g_heaps[i], &stats);
        assert_int_equal(stats.live, live);
        assert_int_equal(stats.blocks, blocks);
        assert_true(stats.peak >= stats.live && stats.held >= stats.live);
        assert_true(arena_is_valid(g_heaps[i]));
    }
    heap_must_be_valid("with heaps");
}

static void forget(unsigned heap)
{
    for (unsigned k = 0; k < LIVE; k++)
        if (g_live[k].heap == heap)
            g_live[k].block = NULL;
}

static void test_sums_are_exact(void **state)
{
    (void)state;
    uint64_t random = 1;
    for (unsigned i = 0; i < STEPS; i++) {
        one_step(&random);
        if (i % (STEPS / 20) == 0)
            accounts_must_be_exact();
        if (i % (STEPS / 10) == 0) {
            unsigned heap = (unsigned)(random_next(&random) % HEAPS);
            hak_heap_empty(g_heaps[heap]);
            forget(heap);
            accounts_must_be_exact();
        }
        if (i % (STEPS / 7) == 0)
            hak_trim(0);
    }
}

/* Whatever a heap has had is free again when it is gone, large blocks included. */
static void test_a_heap_goes_as_a_whole(void **state)
{
    (void)state;
    uint64_t random = 2;
    struct stats before, after;
    hak_trim(0);
    stats_gather(&before);
    for (unsigned i = 0; i < STEPS / 4; i++)
        one_step(&random);
    for (unsigned i = 0; i < HEAPS; i++) {
        hak_heap_stat_t stats;
        hak_heap_empty(g_heaps[i]);
        hak_heap_stats(g_heaps[i], &stats);
        assert_true(stats.live == 0 && stats.blocks == 0 && stats.held == 0 && stats.peak > 0);
    }
    hak_trim(0);
    stats_gather(&after);
    assert_int_equal(after.live + after.large, before.live + before.large);
    assert_int_equal(after.pages, before.pages);
    assert_int_equal(after.large_blocks, before.large_blocks);
}

/* Nor is a page of the smallest class left, whose number heaps have for their group, and samples do not. */
static void test_the_smallest_class_leaves_no_page(void **state)
{
    (void)state;
    struct stats before, after;
    hak_trim(0);
    stats_gather(&before);
    hak_heap_t *heap = hak_heap_create("smallest");
    assert_non_null(hak_heap_malloc(heap, 1));
    hak_heap_destroy(heap);
    hak_trim(0);
    stats_gather(&after);
    assert_int_equal(after.pages, before.pages);
}

static void test_no_page_is_shared(void **state)
{
    (void)state;
    enum { BLOCKS = 2000 };
    static char *blocks[HEAPS][BLOCKS];
    for (unsigned k = 0; k < BLOCKS; k++)
        for (unsigned i = 0; i < HEAPS; i++)
            blocks[i][k] = hak_heap_malloc(g_heaps[i], 100);
    for (unsigned k = 0; k < BLOCKS; k++)
        for (unsigned i = 0; i < HEAPS; i++) {
            const struct page *page = map_page(blocks[i][k]);
            assert_int_equal(page->group, GROUP_ARENA);
            assert_int_equal(page->arena, g_heaps[i]->number);
        }
    assert_null(hak_heap_of(NULL));
    void *other = hak_malloc(100);
    assert_null(hak_heap_of(other));
    hak_free(other);
}

static void test_limit_is_exact(void **state)
{
    (void)state;
    enum { LIMIT = 1 << 20, SIZE = 1024 };
    hak_heap_stat_t stats;
    hak_heap_t *heap = g_heaps[0];
    hak_heap_set_limit(heap, LIMIT);
    char *last = NULL;
    for (unsigned i = 0; i < LIMIT / SIZE; i++)
        assert_non_null(last = hak_heap_malloc(heap, SIZE));
    errno = 0;
    assert_null(hak_heap_malloc(heap, 1));
    assert_int_equal(errno, ENOMEM);
    assert_null(hak_heap_malloc(heap, 100000));
    assert_null(hak_realloc(last, 2 * SIZE)); /* and the block stays */
    hak_heap_stats(heap, &stats);
    assert_int_equal(stats.live, LIMIT);
    assert_int_equal(stats.refused, 3);
    hak_free(last);
    last = hak_heap_malloc(heap, SIZE);
    assert_non_null(last);
    hak_heap_set_limit(heap, 0);
    assert_non_null(hak_heap_malloc(heap, 100000));
}

static void test_limit_holds_for_large_blocks(void **state)
{
    (void)state;
    enum { LIMIT = 64 << 20 };
    hak_heap_t *heap = g_heaps[1];
    hak_heap_set_limit(heap, LIMIT);
    assert_null(hak_heap_malloc(heap, LIMIT + 1));
    char *block = hak_heap_malloc(heap, LIMIT / 2 + 1); /* a mapping */
    assert_non_null(block);
    assert_null(hak_heap_malloc(heap, LIMIT / 2));
    assert_null(hak_realloc(block, LIMIT + 1));
    block = hak_realloc(block, LIMIT - 100000);
    assert_non_null(block);
    hak_heap_stat_t stats;
    hak_heap_stats(heap, &stats);
    assert_int_equal(stats.live, hak_usable_size(block));
    hak_free(block);
    hak_heap_stats(heap, &stats);
    assert_int_equal(stats.live, 0);
    assert_true(stats.peak <= LIMIT);
}

static void test_names_and_numbers(void **state)
{
    (void)state;
    static hak_heap_t *all[HAK_HEAPS_MAX];
    char name[HAK_HEAP_NAME_MAX + 1], longest[HAK_HEAP_NAME_MAX + 2] = {0};
    memset(longest, 'x', HAK_HEAP_NAME_MAX + 1);
    const char *bad[] = {NULL, "", longest};
    for (unsigned i = 0; i < 3; i++) {
        errno = 0;
        assert_null(hak_heap_create(bad[i]));
        assert_int_equal(errno, EINVAL);
    }
    longest[HAK_HEAP_NAME_MAX] = '\0';
    unsigned count = 0;
    while (count < HAK_HEAPS_MAX && (all[count] = hak_heap_create(longest)) != NULL)
        count++;
    assert_int_equal(count, HAK_HEAPS_MAX - HEAPS);
    assert_int_equal(errno, EAGAIN);
    assert_string_equal(hak_heap_name(all[7], name), longest);
    hak_heap_destroy(all[7]);
    all[7] = hak_heap_create("again");
    assert_non_null(all[7]);
    assert_string_equal(hak_heap_name(all[7], name), "again");
    hak_heap_stat_t stats;
    hak_heap_stats(all[7], &stats);
    assert_true(stats.peak == 0 && stats.limit == 0 && stats.refused == 0);
    for (unsigned i = 0; i < count; i++)
        hak_heap_destroy(all[i]);
    hak_heap_destroy(NULL);
}

static void free_twice(void *unused)
{
    (void)unused;
    void *block = hak_heap_malloc(g_heaps[0], 100);
    hak_heap_malloc(g_heaps[0], 100);
    hak_free(block);
    hak_free(block);
}

static void free_inside(void *unused)
{
    (void)unused;
    hak_free((char *)hak_heap_malloc(g_heaps[0], 100) + 16);
}

static void realloc_freed(void *unused)
{
    (void)unused;
    void *block = hak_heap_malloc(g_heaps[0], 100);
    hak_free(block);
    hak_realloc(block, 101);
}

static void free_large_twice(void *unused)
{
    (void)unused;
    void *block = hak_heap_malloc(g_heaps[0], MIB);
    hak_free(block);
    hak_free(block);
}

static void test_misuse_is_noticed(void **state)
{
    (void)state;
    size_t size = class_size(class_of(100));
    must_die_of(ERROR_DOUBLE_FREE, "free", size, free_twice, NULL);
    must_die_of(ERROR_INTERIOR, "free", size, free_inside, NULL);
    must_die_of(ERROR_DOUBLE_FREE, "realloc", size, realloc_freed, NULL);
    must_die_of(ERROR_NOT_LIVE, "free", 0, free_large_twice, NULL);
}

/* ---- Fork -------------------------------------------------------------------------------------------------------- */

static _Atomic(bool) g_stop;

static void *churn(void *heap)
{
    void *blocks[64] = {NULL};
    uint64_t random = (uintptr_t)heap;
    while (!load_relaxed(&g_stop)) {
        void **block = &blocks[random_next(&random) % 64];
        hak_free(*block);
        *block = hak_heap_malloc(heap, random_next(&random) % 40000);
    }
    for (unsigned i = 0; i < 64; i++)
        hak_free(blocks[i]);
    return NULL;
}

/* The parent's other thread may have been anywhere in the heap: it is whole again, serves, and can be freed. */
static void child_work(void)
{
    hak_heap_stat_t stats;
    for (unsigned i = 0; i < 300; i++)
        must(hak_heap_malloc(g_heaps[0], i * 200) != NULL, "the child's heap has no memory");
    hak_heap_destroy(g_heaps[0]);
    must((g_heaps[0] = hak_heap_create("child")) != NULL, "the child gets no heap");
    hak_heap_stats(g_heaps[0], &stats);
    must(stats.live == 0 && stats.held == 0, "%zu bytes live in a new heap, %zu held", stats.live, stats.held);
    char *block = hak_heap_malloc(g_heaps[0], 50);
    must(block && arena_is_valid(g_heaps[0]), "the child's new heap is not valid");
    hak_free(block);
}

static void test_forks_among_threads(void **state)
{
    (void)state;
    enum { FORKS = UNDER_TSAN ? 0 : 100 }; /* ThreadSanitizer cannot fork with threads */
    pthread_t threads[2];
    store_relaxed(&g_stop, false);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, churn, g_heaps[0]), 0);
    for (unsigned i = 0; i < FORKS; i++) {
        pid_t child = child_fork(30);
        if (child == 0) {
            child_work();
            _exit(0);
        }
        child_join(child, "a child with heaps");
    }
    store_relaxed(&g_stop, true);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_true(arena_is_valid(g_heaps[0]));
}

/* Another thread is in the middle of changing the heap, whose table makes no sense then. */
static void *in_the_middle(void *unused)
{
    (void)unused;
    must(lock_own_acquire(&g_heaps[0]->lock), "the heap's lock is not to be had");
    uint32_t used = g_heaps[0]->used, first = g_heaps[0]->shelf[class_of(100)].first;
    g_heaps[0]->used = 0;
    g_heaps[0]->shelf[class_of(100)].first = 1 << 30;
    store_relaxed(&g_stop, true);
    while (load_relaxed(&g_stop))
        sleep_milliseconds(1);
    g_heaps[0]->used = used;
    g_heaps[0]->shelf[class_of(100)].first = first;
    lock_own_release(&g_heaps[0]->lock);
    return NULL;
}

static void must_have_no_page(struct page *page, void *unused)
{
    (void)unused;
    must(load_relaxed(&page->arena) == 0, "a page is the heap's still");
}

static void test_fork_mends_what_was_being_changed(void **state)
{
    (void)state;
    if (UNDER_TSAN)
        return;
    pthread_t thread;
    for (unsigned i = 0; i < 1000; i++)
        hak_heap_malloc(g_heaps[0], i < 900 ? 100 : 50000);
    store_relaxed(&g_stop, false);
    assert_int_equal(pthread_create(&thread, NULL, in_the_middle, NULL), 0);
    while (!load_relaxed(&g_stop))
        sleep_milliseconds(1);
    pid_t child = child_fork(30);
    if (child == 0) {
        must(hak_heap_malloc(g_heaps[0], 100) != NULL, "the child's heap has no memory");
        hak_heap_destroy(g_heaps[0]);
        heap_each_page(must_have_no_page, NULL);
        large_each(must_have_no_page, NULL);
        _exit(0);
    }
    child_join(child, "a child of a heap in change");
    store_relaxed(&g_stop, false);
    pthread_join(thread, NULL);
    assert_true(arena_is_valid(g_heaps[0]));
}

/* What a signal handler sees that has interrupted its own thread under one of the heap's locks: another thread may have
 * the arena, and wait for that lock. */
static void test_a_handler_does_not_wait(void **state)
{
    (void)state;
    void *block = hak_heap_malloc(g_heaps[0], 100);
    assert_true(lock_acquire());
    assert_null(hak_heap_malloc(g_heaps[0], 100));
    assert_null(hak_heap_malloc(g_heaps[0], 5000));
    lock_release();
    assert_true(lock_growth_acquire());
    assert_null(hak_heap_malloc(g_heaps[0], 100));
    lock_growth_release();
    hak_free(block);
    assert_non_null(block = hak_heap_malloc(g_heaps[0], 100));
    hak_free(block);
    assert_true(arena_is_valid(g_heaps[0]));
}

/* Such a handler forks: a thread that the child does not have had the arena. */
static void test_a_handler_may_fork(void **state)
{
    (void)state;
    if (UNDER_TSAN)
        return;
    pthread_t thread;
    hak_heap_malloc(g_heaps[0], 100);
    store_relaxed(&g_stop, false);
    assert_int_equal(pthread_create(&thread, NULL, in_the_middle, NULL), 0);
    while (!load_relaxed(&g_stop))
        sleep_milliseconds(1);
    assert_true(lock_acquire());
    pid_t child = child_fork(30);
    if (child == 0) {
        thread_check_fork();
        lock_release();
        must(hak_heap_malloc(g_heaps[0], 100) != NULL, "the child's heap has no memory");
        _exit(0);
    }
    lock_release();
    child_join(child, "a child of a handler");
    store_relaxed(&g_stop, false);
    pthread_join(thread, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sums_are_exact, heaps_make, heaps_end),
        cmocka_unit_test_setup_teardown(test_a_heap_goes_as_a_whole, heaps_make, heaps_end),
        cmocka_unit_test(test_the_smallest_class_leaves_no_page),
        cmocka_unit_test_setup_teardown(test_no_page_is_shared, heaps_make, heaps_end),
        cmocka_unit_test_setup_teardown(test_limit_is_exact, heaps_make, heaps_end),
        cmocka_unit_test_setup_teardown(test_limit_holds_for_large_blocks, heaps_make, heaps_end),
        cmocka_unit_test_setup_teardown(test_names_and_numbers, heaps_make, heaps_end),
        cmocka_unit_test_setup_teardown(test_misuse_is_noticed, heaps_make, heaps_end),
        cmocka_unit_test_setup_teardown(test_fork_mends_what_was_being_changed, heaps_make, heaps_end),
        cmocka_unit_test_setup_teardown(test_forks_among_threads, heaps_make, heaps_end),
        cmocka_unit_test_setup_teardown(test_a_handler_does_not_wait, heaps_make, heaps_end),
        cmocka_unit_test_setup_teardown(test_a_handler_may_fork, heaps_make, heaps_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
