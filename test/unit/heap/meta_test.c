/* meta_test.c - memory for descriptors: aligned, distinct, reused for the same size only, never given back.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <pthread.h>

#include "heap/ground.h"
#include "heap/meta.h"
#include "system/lock.h"

static int locked(void **state)
{
    (void)state;
    return lock_acquire() ? 0 : -1;
}

static int unlocked(void **state)
{
    (void)state;
    lock_release();
    return 0;
}

static void *must_alloc(size_t size)
{
    lock_release();
    must(meta_acquire(META_OTHER, size), "meta_acquire(%zu) refused", size);
    void *block = meta_alloc(META_OTHER, size);
    must(block && (uintptr_t)block % 64 == 0, "meta_alloc(%zu): saw %p", size, block);
    return block;
}

static void test_fresh_blocks_are_zero(void **state)
{
    (void)state;
    for (size_t size = 1; size < 3000; size += 7) {
        char *block = must_alloc(size);
        assert_int_equal(bytes_check(block, size, 0), size);
        memset(block, 1, size);
    }
}

static void test_reuse_by_size(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 64, 65, 500, 1024, 1025, 2048, 2049, 4100, 70000, 600000, 3000000};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        void *first = must_alloc(sizes[i]), *second = must_alloc(sizes[i]);
        meta_free(META_OTHER, first, sizes[i]);
        meta_free(META_OTHER, second, sizes[i]);
        size_t bytes = ground_bytes();
        void *again = must_alloc(sizes[i]), *last = must_alloc(sizes[i]);
        assert_true((again == first && last == second) || (again == second && last == first));
        assert_int_equal(ground_bytes(), bytes);
        meta_free(META_OTHER, last, sizes[i]);
        void *other = must_alloc(sizes[i] * 2 + 64);
        must(other != last, "a block of %zu bytes was reused for %zu", sizes[i], sizes[i] * 2 + 64);
    }
}

/* A page's descriptor is never made into anything else, however much of it is free. */
static void test_reuse_by_kind(void **state)
{
    (void)state;
    void *other = must_alloc(448), *page = meta_alloc(META_PAGE, 448);
    meta_free(META_PAGE, page, 448);
    for (size_t i = 0; i < 100; i++)
        assert_ptr_not_equal(must_alloc(448), page);
    meta_free(META_OTHER, other, 448);
    assert_ptr_equal(meta_alloc(META_PAGE, 448), page);
    assert_ptr_not_equal(meta_alloc(META_PAGE, 448), other);
}

/* Random operations; every block is filled to its end and checked, so that no two may overlap. */
static void test_blocks_are_distinct(void **state)
{
    (void)state;
    enum { SLOTS = 400, STEPS = UNDER_TSAN ? 10000 : 60000 };
    static struct {
        void *block;
        size_t size;
    } slots[SLOTS];
    uint64_t random = 11;
    size_t live = 0, most = 0, before = ground_bytes();
    for (size_t step = 0; step < STEPS; step++) {
        size_t i = random_next(&random) % SLOTS;
        if (slots[i].block) {
            size_t good = pattern_check(slots[i].block, slots[i].size, i);
            must(good == slots[i].size, "byte %zu of a block of %zu was changed", good, slots[i].size);
            meta_free(META_OTHER, slots[i].block, slots[i].size);
            slots[i].block = NULL;
            live -= slots[i].size;
        } else {
            slots[i].size = random_size(&random, random_next(&random) % 64 == 0 ? 100000 : 3000);
            slots[i].block = must_alloc(slots[i].size);
            pattern_fill(slots[i].block, slots[i].size, i);
            live += slots[i].size;
        }
        most = live > most ? live : most;
    }
    /* Rounding up at most doubles a block; sizes that are not reused, and what lies ahead, cost the other factor. */
    size_t obtained = ground_bytes() - before;
    must(obtained < 4 * most + 4 * MIB, "%zu bytes obtained for at most %zu live", obtained, most);
}

/* Many threads use up what there is at the same time, so that many see to more: no two get the same memory, and nobody
 * gets what is not there. */
enum { GROWERS = 8, GROWN = UNDER_TSAN ? 200 : 2000, GROWN_SIZE = 4000 };

static void *grow(void *argument)
{
    void **blocks = argument;
    for (size_t i = 0; i < GROWN; i++) {
        must(meta_acquire(META_OTHER, GROWN_SIZE), "meta_acquire refused");
        blocks[i] = meta_alloc(META_OTHER, GROWN_SIZE);
        lock_release();
        must(blocks[i], "no memory");
        memset(blocks[i], (uint8_t)(i % 200 + 1), GROWN_SIZE);
    }
    return NULL;
}

static void test_many_threads_grow(void **state)
{
    (void)state;
    static void *blocks[GROWERS][GROWN];
    pthread_t threads[GROWERS];
    for (size_t t = 0; t < GROWERS; t++)
        must(pthread_create(&threads[t], NULL, grow, blocks[t]) == 0, "no thread");
    for (size_t t = 0; t < GROWERS; t++)
        pthread_join(threads[t], NULL);
    for (size_t t = 0; t < GROWERS; t++)
        for (size_t i = 0; i < GROWN; i++)
            must(bytes_check(blocks[t][i], GROWN_SIZE, (uint8_t)(i % 200 + 1)) == GROWN_SIZE,
                 "block %zu of thread %zu is another's, too", i, t);
    must(lock_acquire(), "the lock is held");
    for (size_t t = 0; t < GROWERS; t++)
        for (size_t i = 0; i < GROWN; i++)
            meta_free(META_OTHER, blocks[t][i], GROWN_SIZE);
    lock_release();
}

static void test_fork_abandons_what_is_free(void **state)
{
    (void)state;
    char *freed[8];
    for (size_t i = 0; i < COUNT_OF(freed); i++)
        freed[i] = must_alloc(192);
    for (size_t i = 0; i < COUNT_OF(freed); i++)
        meta_free(META_OTHER, freed[i], 192);
    meta_after_fork();
    for (size_t i = 0; i < 2 * COUNT_OF(freed); i++) {
        char *block = must_alloc(192);
        for (size_t k = 0; k < COUNT_OF(freed); k++)
            assert_ptr_not_equal(block, freed[k]);
        assert_int_equal(bytes_check(block, 192, 0), 192);
    }
}

int main(void)
{
#define LOCKED(f) cmocka_unit_test_setup_teardown(f, locked, unlocked)
    const struct CMUnitTest tests[] = {
        LOCKED(test_fresh_blocks_are_zero),
        LOCKED(test_reuse_by_size),
        LOCKED(test_reuse_by_kind),
        LOCKED(test_blocks_are_distinct),
        cmocka_unit_test(test_many_threads_grow),
        LOCKED(test_fork_abandons_what_is_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
