/* map_test.c - from addresses to classes and pages: exact for every address, and no table within reach of the heap.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdlib.h>

#include "heap/ground.h"
#include "heap/map.h"
#include "system/lock.h"

static struct page g_page, g_other;

static int locked(void **state)
{
    (void)state;
    if (!lock_growth_acquire())
        return -1;
    bool done = ground_start() && map_cover(64);
    lock_growth_release();
    return done && lock_acquire() ? 0 : -1;
}

static int unlocked(void **state)
{
    (void)state;
    lock_release();
    return 0;
}

static void must_be_foreign(const void *address)
{
    must(map_page(address) == NULL, "%p leads to a page", address);
    must(map_class(address) == 0, "%p has class %u", address, map_class(address));
}

static void test_foreign_addresses(void **state)
{
    (void)state;
    int local;
    static const uintptr_t odd[] = {0,
                                    1,
                                    4095,
                                    0xffff,
                                    0x10000,
                                    (uintptr_t)1 << 47,
                                    (uintptr_t)1 << 48,
                                    (uintptr_t)1 << 63,
                                    UINTPTR_MAX,
                                    UINTPTR_MAX - UNIT_SIZE};
    for (size_t i = 0; i < COUNT_OF(odd); i++)
        must_be_foreign((void *)odd[i]);
    void *block = malloc(100);
    must_be_foreign(block);
    free(block);
    must_be_foreign(&local);
    must_be_foreign((void *)(uintptr_t)test_foreign_addresses);
    must_be_foreign(&g_page);
    uint64_t random = 1;
    for (size_t i = 0; i < 1000000; i++)
        must_be_foreign((void *)random_next(&random));
}

static void test_pages(void **state)
{
    (void)state;
    char *heap = ground_heap(), *start = heap + 5 * UNIT_SIZE;
    assert_int_equal(map_class(heap), 0);
    map_set(start, 3, 7, &g_page);
    for (size_t unit = 0; unit < SUPERSLAB_UNITS; unit++) {
        bool inside = unit >= 5 && unit < 8;
        for (size_t offset = 0; offset < UNIT_SIZE; offset += UNIT_SIZE / 4 - 1) {
            const char *address = heap + unit * UNIT_SIZE + offset;
            assert_int_equal(map_class(address), inside ? 7 : 0);
            assert_ptr_equal(map_page(address), inside ? &g_page : NULL);
        }
    }
    map_set(start, 3, 0, NULL);
    for (size_t unit = 0; unit < SUPERSLAB_UNITS; unit++)
        must_be_foreign(heap + unit * UNIT_SIZE);
}

/* Whatever lies a power of two away from a page has nothing of it. */
static void test_nothing_is_shared(void **state)
{
    (void)state;
    char *start = ground_heap() + 9 * UNIT_SIZE;
    map_set(start, 1, 12, &g_page);
    for (unsigned shift = UNIT_SHIFT; shift < 64; shift++) {
        must_be_foreign((void *)((uintptr_t)start + ((uintptr_t)1 << shift)));
        must_be_foreign((void *)((uintptr_t)start - ((uintptr_t)1 << shift)));
    }
    map_set(start, 1, 0, NULL);
}

static void test_steps(void **state)
{
    (void)state;
    char *start = ground_heap() + UNIT_SIZE;
    map_set(start, 1, 12, &g_page);
    for (size_t offset = 0; offset < UNIT_SIZE; offset++) {
        bool sees = map_sees(VIEW_OWN, map_step(start + offset));
        must(sees == (offset % BLOCK_ALIGN == 0), "an address that is %zu behind a unit's start: seen is %d", offset,
             sees);
        if (sees)
            assert_int_equal(map_class_seen(VIEW_OWN, map_step(start + offset)), 12);
    }
    map_set(start, 1, 0, NULL);
}

static void test_paged_classes(void **state)
{
    (void)state;
    for (unsigned id = 0; id < 256; id++)
        assert_int_equal(class_is_paged(id), (id >= 1 && id <= CLASS_LAST) || id == CLASS_GROUPED);
}

static void must_be_large(char *start)
{
    map_set_large(start, &g_page);
    assert_int_equal(map_class(start), 0);
    assert_ptr_equal(map_page(start), &g_page);
    assert_ptr_equal(map_page(start + UNIT_SIZE - 1), &g_page);
    assert_null(map_page(start + UNIT_SIZE));
    assert_null(map_page(start - 1));
    map_set_large(start, NULL);
    assert_null(map_page(start));
}

static void test_large_blocks(void **state)
{
    (void)state;
    must_be_large(ground_heap() + 40 * UNIT_SIZE);
    static const uintptr_t elsewhere[] = {(uintptr_t)3 << SUPERSLAB_SHIFT, (uintptr_t)1 << 40,
                                          (uintptr_t)0x7f0123 << 24, ((uintptr_t)1 << 47) - SUPERSLAB_SIZE};
    for (size_t i = 0; i < COUNT_OF(elsewhere); i++) {
        char *start = (char *)elsewhere[i];
        lock_release();
        must(lock_growth_acquire() && map_cover_mapping(start), "no memory");
        lock_growth_release();
        assert_true(lock_acquire());
        must_be_large(start);
    }
    lock_release();
    assert_true(lock_growth_acquire());
    assert_false(map_cover_mapping((void *)((uintptr_t)1 << 50)));
    lock_growth_release();
    assert_true(lock_acquire());
}

static void test_the_mapping_below(void **state)
{
    (void)state;
    char *low = (char *)((uintptr_t)1 << 40), *high = (char *)((uintptr_t)1 << 40) + 100 * GIB;
    lock_release();
    must(lock_growth_acquire() && map_cover_mapping(low) && map_cover_mapping(high), "no memory");
    lock_growth_release();
    assert_true(lock_acquire());
    map_set_large(low, &g_page);
    map_set_large(high, &g_other);
    assert_null(map_mapping_below(low - 1));
    assert_ptr_equal(map_mapping_below(low), &g_page);
    assert_ptr_equal(map_mapping_below(high - 1), &g_page);
    assert_ptr_equal(map_mapping_below(high + GIB), &g_other);
    assert_ptr_equal(map_mapping_below((void *)UINTPTR_MAX), &g_other);
    map_set_large(low, NULL);
    map_set_large(high, NULL);
}

int main(void)
{
#define LOCKED(f) cmocka_unit_test_setup_teardown(f, locked, unlocked)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_foreign_addresses), /* before there is a table */
        LOCKED(test_pages),
        LOCKED(test_nothing_is_shared),
        LOCKED(test_steps),
        cmocka_unit_test(test_foreign_addresses),
        cmocka_unit_test(test_paged_classes),
        LOCKED(test_large_blocks),
        LOCKED(test_the_mapping_below),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
