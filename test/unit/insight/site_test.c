/* site_test.c - call sites: classes are divided where several sites hold memory and only there, blocks of such sites
 * lie apart, a class that only churns is joined again, and the table says who holds what.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "heap/class.h"
#include "hakmem.h"
#include "heap/map.h"
#include "insight/site.h"
#include "front/slow.h"

enum { BLOCKS = 120000 };

static void *g_blocks[BLOCKS];

static int sites_on(void **state)
{
    (void)state;
    return site_is_on() ? 0 : -1; /* by the environment */
}

static bool is_divided(unsigned c) { return atomic_load(&site_division.classes) >> c & 1; }

/* Fills g_blocks with blocks of which one in so many comes from `rare`, the others from `common`. */
static void blocks_make(size_t size, unsigned one_in, uintptr_t rare, uintptr_t common)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        g_blocks[i] = malloc_at(size, i % one_in == 0 ? rare : common);
        assert_non_null(g_blocks[i]);
        *(size_t *)g_blocks[i] = i;
    }
}

static void blocks_free(void)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        assert_int_equal(*(size_t *)g_blocks[i], i);
        hak_free(g_blocks[i]);
    }
    hak_collect();
}

static struct site_use use_of(uintptr_t site)
{
    struct site_use uses[SITE_REPORT_LINES];
    unsigned count = site_gather(uses);
    for (unsigned i = 0; i < count; i++)
        if (uses[i].site == site)
            return uses[i];
    return (struct site_use){.site = site};
}

static void must_be_about(uint64_t value, uint64_t expected, unsigned percent, const char *what)
{
    must(value >= expected - expected * percent / 100 && value <= expected + expected * percent / 100,
         "%s: expected about %zu, saw %zu", what, (size_t)expected, (size_t)value);
}

static void test_one_site_divides_nothing(void **state)
{
    (void)state;
    blocks_make(64, BLOCKS, 0x1001, 0x1001);
    assert_false(is_divided(class_of(64)));
    must_be_about(use_of(0x1001).live, (uint64_t)BLOCKS * 64, 25, "live bytes of the only site");
    assert_int_equal(use_of(0x1001).apart, 0);
    blocks_free();
    must(use_of(0x1001).live < 4096, "live bytes of a site that freed all: saw %zu", (size_t)use_of(0x1001).live);
}

static void test_two_sites_are_kept_apart(void **state)
{
    (void)state;
    blocks_make(128, 4, 0x2001, 0x2002);
    assert_true(is_divided(class_of(128)));
    assert_int_equal(use_of(0x2001).apart, 1);
    assert_int_equal(use_of(0x2002).apart, 1);
    must_be_about(use_of(0x2001).live, (uint64_t)BLOCKS / 4 * 128, 30, "live bytes of one block in four");
    must_be_about(use_of(0x2002).live, (uint64_t)BLOCKS / 4 * 3 * 128, 30, "live bytes of the others");
    /* The later half: both sites have groups by then. */
    for (size_t i = BLOCKS / 2; i + 4 < BLOCKS; i += 4) {
        unsigned rare = map_page(g_blocks[i])->group, common = map_page(g_blocks[i + 1])->group;
        must(rare >= GROUP_FREE_FIRST && common >= GROUP_FREE_FIRST && rare != common, "block %zu: groups %u and %u", i,
             rare, common);
    }
    /* When one site is through, its pages are gone, and the other's are full: 55 % with those from before the class was
     * divided, which is when samples say so, give or take some; one in four if it never was. */
    for (size_t i = 0; i < BLOCKS; i++)
        if (i % 4 != 0)
            hak_free(g_blocks[i]);
    hak_collect();
    struct site_use left = use_of(0x2001);
    must(left.live * 100 / left.pinned > 40, "the pages of what stays are %zu %% full",
         (size_t)(left.live * 100 / left.pinned));
    for (size_t i = 0; i < BLOCKS; i += 4)
        hak_free(g_blocks[i]);
    hak_collect();
    heap_must_be_valid("after two sites");
}

/* Places that have too little for pages of their own, in a divided class, are sampled at refills: as many bytes as
 * there are, also where more than one sample falls into a refill. */
static void test_small_places_of_a_divided_class(void **state)
{
    (void)state;
    enum { SMALL_SITES = 10, EACH = 100 };
    static void *small[SMALL_SITES * EACH];
    blocks_make(1024, 2, 0x2501, 0x2502);
    assert_true(is_divided(class_of(1024)));
    for (unsigned i = 0; i < SMALL_SITES * EACH; i++)
        small[i] = malloc_at(1024, 0x2600 + i % SMALL_SITES);
    uint64_t live = 0;
    for (unsigned i = 0; i < SMALL_SITES; i++)
        live += use_of(0x2600 + i).live;
    must_be_about(live, (uint64_t)SMALL_SITES * EACH * 1024, 45, "live bytes of ten small sites");
    for (unsigned i = 0; i < SMALL_SITES * EACH; i++)
        hak_free(small[i]);
    blocks_free();
}

static void test_churn_joins(void **state)
{
    (void)state;
    unsigned c = class_of(128);
    assert_true(is_divided(c));
    for (size_t i = 0; i < 3 * SITE_REVIEW && is_divided(c); i++)
        hak_free(malloc_at(128, 0x2001));
    assert_false(is_divided(c));
    heap_must_be_valid("after a class was joined");
}

static void test_named_sites_have_pages_from_the_first_block(void **state)
{
    (void)state;
    for (size_t i = 0; i < BLOCKS; i++) {
        g_blocks[i] = hak_malloc_at(200, 1 + i % 3);
        *(size_t *)g_blocks[i] = i;
    }
    for (size_t i = 3; i < BLOCKS; i++)
        assert_int_equal(map_page(g_blocks[i])->group, map_page(g_blocks[i % 3])->group);
    assert_true(map_page(g_blocks[0])->group != map_page(g_blocks[1])->group);
    must_be_about(use_of(1).live, (uint64_t)BLOCKS / 3 * class_size(class_of(200)), 10, "live bytes of a named site");
    blocks_free();
}

static void test_large_blocks_are_counted_exactly(void **state)
{
    (void)state;
    void *block = malloc_at(5 * MIB, 0x5001);
    assert_int_equal(use_of(0x5001).live, 5 * MIB);
    hak_free(block);
    assert_int_equal(use_of(0x5001).live, 0);
    assert_int_equal(use_of(0x5001).taken, 1);
}

/* Sites of which each holds little: bounded tables, and everything works without room in them. */
static void test_more_sites_than_places(void **state)
{
    (void)state;
    for (size_t i = 0; i < BLOCKS; i++) {
        g_blocks[i] = malloc_at(900, 0x100000 + i);
        *(size_t *)g_blocks[i] = i;
    }
    blocks_free();
    heap_must_be_valid("after very many sites");
}

static void *thread_work(void *argument)
{
    uint64_t random = (uintptr_t)argument;
    static _Atomic(void *) shared[512];
    for (unsigned i = 0; i < (UNDER_TSAN ? 20000 : 200000); i++) {
        void *mine = malloc_at(128 + random_next(&random) % 64, 0x7000 + random_next(&random) % 4);
        *(uint64_t *)mine = random;
        hak_free(atomic_exchange(&shared[random_next(&random) % 512], mine));
        if (i % 5000 == 0)
            hak_collect();
    }
    for (unsigned i = 0; i < 512; i++)
        hak_free(atomic_exchange(&shared[i], NULL));
    return NULL;
}

static void test_threads_free_each_others_blocks(void **state)
{
    (void)state;
    pthread_t threads[4];
    blocks_make(128, 2, 0x7000, 0x7001); /* so that the class is divided meanwhile */
    for (uintptr_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, thread_work, (void *)(i + 1)), 0);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    blocks_free();
    heap_must_be_valid("after threads");
}

static void test_table(void **state)
{
    (void)state;
    char text[8192];
    int fd = file_make();
    void *block = malloc_at(32 * MIB, (uintptr_t)&test_table);
    site_report(fd);
    file_read(fd, text, sizeof text);
    must(strncmp(text, "hakmem sites of process ", 24) == 0, "saw %s", text);
    char *line = strstr(text, "32.0 MiB"); /* so large that it stands for itself, however rare samples are just now */
    must(line && strstr(line, "unit_site+0x"), "the site of a block of 32 MiB is not shown with its file: saw %s", text);
    hak_free(block);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_site_divides_nothing),
        cmocka_unit_test(test_two_sites_are_kept_apart),
        cmocka_unit_test(test_small_places_of_a_divided_class),
        cmocka_unit_test(test_churn_joins),
        cmocka_unit_test(test_named_sites_have_pages_from_the_first_block),
        cmocka_unit_test(test_large_blocks_are_counted_exactly),
        cmocka_unit_test(test_threads_free_each_others_blocks),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_more_sites_than_places),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, sites_on, NULL);
}
