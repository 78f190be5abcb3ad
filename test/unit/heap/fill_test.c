/* fill_test.c - of which sizes the program uses whole blocks: what is seen, what is expected then, and what is done
 * about it with runs and with pages of blocks.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <unistd.h>

#include "heap/class.h"
#include "heap/fill.h"
#include "heap/large.h"
#include "system/lock.h"
#include "heap/map.h"
#include "system/os_advise.h"
#include "system/os_look.h"
#include "system/os_map.h"
#include "heap/page.h"
#include "heap/prefault.h"
#include "heap/purge.h"
#include "heap/span.h"

enum { PAGES = 64 };

static size_t memory_page(void) { return os_page_size(); }

/* Linux before 5.14 does not know the call. */
static bool is_refused(void) { return load_relaxed(&prefault_verdict) == PREFAULT_NEVER; }

static void verdict_set(enum prefault_verdict verdict) { store_relaxed(&prefault_verdict, verdict); }

/* Memory of so many pages, of which the first `used` were written to. */
static bool looks_filled(size_t used, size_t pages)
{
    void *start;
    must(os_map(pages * memory_page(), UNIT_SIZE, NULL, &start) == 0, "no memory");
    for (size_t i = 0; i < used; i++)
        ((char *)start)[i * memory_page()] = 1;
    bool filled = fill_look(start, pages * memory_page());
    os_unmap(start, pages * memory_page());
    return filled;
}

static void test_look(void **state)
{
    (void)state;
    assert_false(looks_filled(0, PAGES));
    assert_false(looks_filled(PAGES / 2, PAGES));
    assert_false(looks_filled(PAGES - PAGES / 8 - 1, PAGES));
    assert_true(looks_filled(PAGES - PAGES / 8, PAGES));
    assert_true(looks_filled(1, 1));
    assert_true(looks_filled(16384, 16384));
    assert_true(looks_filled(513, 513));
    assert_false(looks_filled(12000, 16384)); /* the places that are looked at are not the first */
}

/* Without the learner nothing is noted and nobody looks. */
static void test_nothing_before_the_start(void **state)
{
    (void)state;
    unsigned c = class_of(100000);
    for (unsigned i = 0; i < 3; i++)
        fill_note(c + 1, true);
    assert_false(fill_is_known(c + 1));
    assert_false(fill_is_open(c) || fill_wants_look(c) || fill_wants_look(c + 1));
    fill_begin();
    assert_true(fill_is_open(c) && fill_wants_look(c));
}

static unsigned times_expected(unsigned kind, unsigned of)
{
    unsigned count = 0;
    for (unsigned i = 0; i < of; i++)
        count += fill_is_expected(kind);
    return count;
}

static void test_what_was_seen_twice_is_expected(void **state)
{
    (void)state;
    unsigned c = class_of(100000);
    assert_int_equal(times_expected(c, 20), 0);
    fill_note(c, true);
    assert_int_equal(times_expected(c, 20), 0);
    fill_note(c, true);
    assert_true(fill_is_known(c));
    assert_int_equal(times_expected(c, 160), 150); /* the others are to be looked at again */
    assert_int_equal(times_expected(c + 1, 20), 0);
    fill_note(c, false);
    assert_int_equal(times_expected(c, 20), 0);
}

/* Runs of a kind that was never seen are like those of half the size, every other time, until they are seen. */
static void test_runs_of_new_sizes(void **state)
{
    (void)state;
    unsigned kind = fill_kind_of_run(3 * MIB), twice = fill_kind_of_run(4 * MIB), more = fill_kind_of_run(8 * MIB);
    assert_int_equal(kind, fill_kind_of_run(2 * MIB));
    assert_int_equal(twice, kind + 1);
    fill_note(kind, true);
    assert_int_equal(times_expected(twice, 20), 0);
    fill_note(kind, true);
    assert_int_equal(times_expected(twice, 20), 10);
    assert_int_equal(times_expected(more, 20), 0);
    fill_note(twice, false);
    assert_int_equal(times_expected(twice, 20), 0);
    assert_true(times_expected(kind, 20) > 0);
    fill_note(kind, false);
    assert_int_equal(times_expected(kind, 20), 0);
}

/* The answer that is no so that somebody looks is kept for memory that shows something. */
static void test_postponed_looks(void **state)
{
    (void)state;
    unsigned c = class_of(200000);
    fill_note(c, true);
    fill_note(c, true);
    unsigned calls = 0;
    while (fill_is_expected(c) && calls < 100)
        calls++;
    assert_true(calls < 16);
    for (unsigned i = 0; i < 3; i++) {
        fill_postpone(c);
        assert_false(fill_is_expected(c));
    }
    assert_int_equal(times_expected(c, 15), 15);
}

/* Where most is not used, one look in sixteen is enough. */
static void test_looks_at_frees(void **state)
{
    (void)state;
    unsigned c = class_of(300000), looks = 0;
    assert_true(fill_wants_look(c) && fill_is_open(c));
    fill_note(c, false);
    assert_false(fill_is_open(c));
    for (unsigned i = 0; i < 160; i++)
        looks += fill_wants_look(c);
    assert_int_equal(looks, 10);
    fill_note(c, true);
    assert_true(fill_wants_look(c) && fill_is_open(c));
}

/* ---- Pages of blocks --------------------------------------------------------------------------------------------- */

static void test_pages_are_looked_at_once(void **state)
{
    enum { SIZE = 65536 };
    (void)state;
    void *blocks[64];
    verdict_set(PREFAULT_PAYS);
    unsigned c = class_of(SIZE);
    for (unsigned turn = 0; turn < 2; turn++) {
        struct page *page = page_make(c, 0, 1, false, 0);
        assert_non_null(page);
        unsigned taken = page_take(page, blocks, COUNT_OF(blocks));
        assert_int_equal(taken, class_info[c].blocks);
        assert_int_equal(page_resident(page), 0);
        assert_false(fill_is_known(c));
        for (unsigned i = 0; i < taken; i++)
            memset(blocks[i], 1, SIZE);
        page_look(page);
        os_purge(page->start, SIZE * taken);
        page_look(page); /* what is resident now tells nothing */
    }
    assert_true(fill_is_known(c));
    /* Where it is not wanted now, it shows nothing later either. */
    unsigned other = class_of(SIZE + 1);
    fill_note(other, false);
    for (unsigned turn = 0; turn < 3; turn++) {
        struct page *drained = page_make(other, 0, 1, false, 0);
        unsigned taken = page_take(drained, blocks, COUNT_OF(blocks));
        page_look(drained);
        for (unsigned i = 0; i < taken; i++)
            memset(blocks[i], 1, SIZE);
        for (unsigned i = 0; i < 20; i++)
            page_look(drained);
    }
    assert_false(fill_is_known(other) || fill_is_open(other));
    struct page *page = page_make(c, 0, 1, false, 1);
    page_take(page, blocks, 1);
    if (is_refused())
        skip();
    assert_int_equal(page_resident(page), SIZE);
    page_look(page); /* it was made resident, which tells nothing either */
    assert_true(fill_is_known(c));
}

/* ---- Runs -------------------------------------------------------------------------------------------------------- */

static char *large(size_t size, size_t written)
{
    bool zeroed;
    char *block = large_malloc(size, BLOCK_ALIGN, written, &zeroed);
    must(block && zeroed, "no fresh block of %zu bytes", size);
    return block;
}

static void unmake(char *block, size_t used)
{
    memset(block, 1, used);
    large_free(block);
    purge_all(0);
}

static void forget_runs(void)
{
    for (unsigned kind = CLASS_SLOTS; kind < FILL_KINDS; kind++)
        fill_note(kind, false);
}

static void test_runs(void **state)
{
    enum { SIZE = 1500 << 10, MORE = 1900 << 10 }; /* less than a superslab */
    (void)state;
    verdict_set(PREFAULT_PAYS);
    for (unsigned i = 0; i < 2; i++) {
        char *block = large(SIZE - 100, 0);
        assert_int_equal(os_resident(block, SIZE), 0);
        unmake(block, SIZE - 100);
    }
    char *block = large(SIZE - 2 * memory_page() + 1, 0);
    if (is_refused())
        skip();
    assert_int_equal(os_resident(block, SIZE), SIZE - memory_page());
    for (size_t i = 0; i < SIZE - memory_page(); i++)
        must(block[i] == 0, "a block that is said to read as zero does not");
    must(large_resize(block, MORE), "a block with free memory behind it cannot grow");
    size_t before = align_up(SIZE, UNIT_SIZE);
    assert_int_equal(os_resident(block + before, MORE - before), MORE - before);
    unmake(block, 1);

    /* Until one that is looked at, one of sixteen, is hardly used. */
    bool was_looked_at = false;
    for (unsigned i = 0; i < 16 && !was_looked_at; i++) {
        block = large(SIZE, 0);
        was_looked_at = os_resident(block, SIZE) == 0;
        unmake(block, 1);
    }
    assert_true(was_looked_at);
    block = large(SIZE, 0);
    assert_int_equal(os_resident(block, SIZE), 0);
    unmake(block, 1);
    block = large(SIZE, 100000); /* is going to be copied to */
    assert_int_equal(os_resident(block, SIZE), align_up(100000, memory_page()));
    unmake(block, 1);
}

/* The newest block shows what the next will be as soon as it is filled, and not before. */
static void test_live_runs_show(void **state)
{
    enum { SIZE = 300 << 10, BLOCKS = 6 };
    (void)state;
    char *blocks[BLOCKS];
    verdict_set(PREFAULT_PAYS);
    for (unsigned i = 0; i < BLOCKS; i++) {
        blocks[i] = large(SIZE, 0);
        must(i > 3 || os_resident(blocks[i], SIZE) == 0,
             "a block is resident before it is known that it will be filled");
        if (i > 1)
            memset(blocks[i], 1, SIZE);
    }
    assert_true(fill_is_known(fill_kind_of_run(SIZE)));
    for (unsigned i = 0; i < BLOCKS; i++)
        large_free(blocks[i]);
    purge_all(0);
}

static void make_other(void)
{
    bool zeroed;
    must(large_free(large_malloc(100000, BLOCK_ALIGN, 0, &zeroed)), "no memory");
}

/* A block that is not filled is not looked at for ever. */
static void test_live_runs_are_given_up(void **state)
{
    enum { SIZE = 20 << 20, LOOKS = 4 };
    (void)state;
    unsigned kind = fill_kind_of_run(SIZE);
    verdict_set(PREFAULT_PAYS);
    for (unsigned turn = 0; turn < 2; turn++) {
        bool is_late = turn == 0;
        forget_runs(); /* the others are of a kind that is not filled */
        fill_note(kind, true);
        assert_true(fill_is_open(kind));
        char *block = large(SIZE, 0);
        for (unsigned i = 0; i + !is_late < LOOKS; i++)
            make_other();
        memset(block, 1, SIZE);
        make_other();
        assert_int_equal(fill_is_known(kind), !is_late);
        large_free(block);
        purge_all(0);
    }
}

/* Whole superslabs of a run that will be filled lie in huge pages, whatever the verdict is. */
static void test_long_runs_are_in_huge_pages(void **state)
{
    enum { SLABS = 3 };
    (void)state;
    bool zeroed;
    size_t size = SLABS * SUPERSLAB_SIZE + UNIT_SIZE;
    if (memory_page() != 4096 || access("/sys/kernel/mm/transparent_hugepage/enabled", F_OK) != 0)
        skip(); /* a superslab is no huge page, or there are none */
    verdict_set(PREFAULT_NEVER);
    for (unsigned i = 0; i < 2; i++)
        fill_note(fill_kind_of_run(size), true);
    span_note_huge(0);
    purge_all(0);
    char *block = NULL;
    for (unsigned i = 0; i < 2 && (!block || map_page(block)->slab->backing != BACKING_HUGE); i++)
        block = large_malloc(size, BLOCK_ALIGN, 0, &zeroed); /* one of sixteen is to be looked at */
    must(block != NULL, "no memory");
    assert_true(zeroed); /* calloc need not clear it */
    for (uint32_t i = 0; i < SLABS; i++)
        assert_int_equal(slab_at(map_page(block)->slab->number + i)->backing, BACKING_HUGE);
    assert_int_not_equal(slab_at(map_page(block)->slab->number + SLABS)->backing, BACKING_HUGE);
    heap_must_be_valid("with a run in huge pages");
    large_free(block);
    heap_must_be_valid("after a run in huge pages");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_before_the_start), /* first: it begins */
        cmocka_unit_test(test_look),
        cmocka_unit_test(test_what_was_seen_twice_is_expected),
        cmocka_unit_test(test_runs_of_new_sizes),
        cmocka_unit_test(test_postponed_looks),
        cmocka_unit_test(test_looks_at_frees),
        cmocka_unit_test(test_pages_are_looked_at_once),
        cmocka_unit_test(test_runs),
        cmocka_unit_test(test_live_runs_show),
        cmocka_unit_test(test_live_runs_are_given_up),
        cmocka_unit_test(test_long_runs_are_in_huge_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
