/* purge_test.c - memory goes back: on the way down without being asked, in holes between survivors too; and stays
 * where the program goes up and down.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdlib.h>
#include <unistd.h>

#include "hakmem.h"
#include "system/lock.h"
#include "system/os_map.h"
#include "heap/page.h"
#include "policy/policy.h"
#include "heap/purge.h"
#include "cache/remote.h"
#include "heap/span.h"

enum { BLOCKS = 100000 };

static void *g_blocks[BLOCKS];

/* 512 B to 2 KiB, 125 MB in all; every byte written. */
static void build(void)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        size_t size = (size_t)512 << i % 3;
        if (!g_blocks[i]) {
            g_blocks[i] = hak_malloc(size);
            memset(g_blocks[i], 7, size);
        }
    }
}

/* Frees all but one in `survivors` (0: none survives), in order, or mixed up. */
static void drop(size_t survivors, bool in_order)
{
    uint64_t random = 5;
    for (size_t left = 0; left < BLOCKS; left++) {
        size_t i = left;
        if (!in_order) { /* a permutation: each pair is swapped once */
            size_t other = left + random_next(&random) % (BLOCKS - left);
            void *swap = g_blocks[left];
            g_blocks[left] = g_blocks[other];
            g_blocks[other] = swap;
        }
        if (survivors != 0 && i % survivors == 0)
            continue;
        hak_free(g_blocks[i]);
        g_blocks[i] = NULL;
    }
}

static void end(void)
{
    drop(0, true);
    hak_trim(0);
    heap_must_be_valid("in the end");
}

/* True in a child of its own, which has not learned anything yet, and ends itself by _exit; false when it has ended
 * well. */
static bool in_child(const char *what)
{
    if (UNDER_SHADOW)
        skip();
    pid_t child = child_fork(60);
    if (child == 0)
        return true;
    child_join(child, what);
    return false;
}

/* Of what was freed at least `percent` went back, at once and without a request. */
static void goes_back(size_t survivors, bool in_order, size_t percent)
{
    if (!in_child("what is freed goes back"))
        return;
    size_t start = process_rss();
    build();
    size_t high = process_rss();
    must(high > start + 100 * MIB, "RSS rose from %zu to %zu only", start, high);
    drop(survivors, in_order);
    size_t low = process_rss();
    must((high - low) * 100 >= (high - start) * percent,
         "one in %zu survives, %s: %zu MiB became %zu MiB, %zu before; expected %zu %% less", survivors,
         in_order ? "in order" : "mixed up", high / MIB, low / MIB, start / MIB, percent);
    end();
    _exit(0);
}

static void test_memory_goes_back(void **state)
{
    (void)state;
    goes_back(0, true, 90);
    goes_back(0, false, 85); /* rings keep blocks here and there, each in a page of memory of its own */
    goes_back(20, true, 75);
}

/* The survivors of a mixed-up drop keep their own pages of memory, as in order; what is missed is little. */
static void test_holes_go_back_in_any_order(void **state)
{
    (void)state;
    goes_back(20, false, 65);
}

/* Nothing can go back while one block in eight stays, since 16 lie in a page of memory. When these are freed they take
 * what lies between them along, though one block in each page of blocks stays for ever. */
static void test_survivors_take_their_neighbours_along(void **state)
{
    enum { SIZE = 256, NEIGHBOURS = 8, FOR_EVER = 256 };
    (void)state;
    if (!in_child("what lay between survivors goes back with them"))
        return;
    size_t start = process_rss();
    for (size_t i = 0; i < BLOCKS; i++)
        memset(g_blocks[i] = hak_malloc(SIZE), 7, SIZE);
    for (size_t i = 0; i < BLOCKS; i++)
        if (i % NEIGHBOURS != 0)
            hak_free(g_blocks[i]);
    size_t high = process_rss();
    must(high > start + 20 * MIB, "RSS rose from %zu to %zu only", start, high);
    for (size_t i = 0; i < BLOCKS; i += NEIGHBOURS)
        if (i % FOR_EVER != 0)
            hak_free(g_blocks[i]);
    size_t low = process_rss();
    must((high - low) * 100 >= (high - start) * 70, "%zu MiB became %zu MiB, %zu before; expected 70 %% less",
         high / MIB, low / MIB, start / MIB);
    _exit(0);
}

static bool g_was_huge[4096]; /* by the superslab's number */
static size_t g_holed;        /* pages with holes in superslabs that were in huge pages */

static void note_huge(struct page *page, void *unused)
{
    (void)unused;
    must(page->slab->number < COUNT_OF(g_was_huge), "superslab %u", page->slab->number);
    g_was_huge[page->slab->number] = page->slab->backing == BACKING_HUGE;
}

static void note_holes(struct page *page, void *unused)
{
    (void)unused;
    must(!load_relaxed(&page->has_purged) || page->slab->backing != BACKING_HUGE,
         "memory of a page was purged in superslab %u, which is still in huge pages", page->slab->number);
    g_holed += load_relaxed(&page->has_purged) && g_was_huge[page->slab->number];
}

/* Where a hole was purged, the system is not to fill it again with a huge page. */
static void test_holes_end_huge_pages(void **state)
{
    (void)state;
    if (os_page_size() != 4096 || access("/sys/kernel/mm/transparent_hugepage", F_OK) != 0)
        skip(); /* the system has none of the right size */
    pid_t child = child_fork(60);
    if (child != 0) {
        child_join(child, "holes end huge pages");
        return;
    }
    struct policy policy = *policy_now();
    for (unsigned c = 1; c <= CLASS_FIXED_LAST; c++)
        policy.class[c].huge = true; /* as the learner would say, which does not learn in this test */
    must(policy_publish(&policy), "the policy was not published");
    span_note_huge(0); /* none was slow yet */
    build();
    heap_each_page(note_huge, NULL);
    size_t huge = 0;
    for (size_t i = 0; i < COUNT_OF(g_was_huge); i++)
        huge += g_was_huge[i];
    drop(20, true);
    heap_each_page(note_holes, NULL);
    must(huge == 0 || g_holed > 0, "%zu superslabs were in huge pages, and of none a hole was purged", huge);
    must(huge > 0, "125 MiB of small blocks are not in huge pages: nothing is tested");
    end();
    _exit(0);
}

/* A program that builds and drops the same again and again pays for it at first, and then no more. */
static void cycles(size_t survivors)
{
    size_t last = 0;
    for (unsigned i = 0; i < 6; i++) {
        size_t before = process_faults();
        build();
        drop(survivors, true);
        last = process_faults() - before;
    }
    must(last * 4096 < 6 * MIB, "the sixth cycle still costs %zu page faults", last);
    end();
}

static void test_cycles_keep_their_memory(void **state)
{
    (void)state;
    if (UNDER_TSAN)
        skip(); /* as above; and what a cycle takes decides what is worth keeping */
    cycles(0);
    cycles(20);
}

/* What is kept for a cycle that does not come any more goes while the program does other things. */
static void test_kept_memory_fades(void **state)
{
    (void)state;
    if (UNDER_TSAN)
        skip(); /* as above */
    for (unsigned i = 0; i < 4; i++) {
        build();
        drop(0, true);
    }
    size_t kept = process_rss();
    must(kept > 60 * MIB, "cycles keep only %zu MiB: nothing is tested", kept / MIB);
    for (double over = clock_seconds() + 60; process_rss() > kept / 3; sleep_milliseconds(5)) {
        must(clock_seconds() < over, "of %zu MiB kept, %zu are still there", kept / MIB, process_rss() / MIB);
        for (unsigned i = 0; i < 200; i++) /* slow calls, in which the clock is looked at */
            hak_free(hak_malloc(MIB + 1 + i));
        for (unsigned i = 0; i < 2000; i++)
            g_blocks[i] = hak_malloc(100);
        for (unsigned i = 0; i < 2000; i++)
            hak_free(g_blocks[i]);
        memset(g_blocks, 0, 2000 * sizeof *g_blocks);
    }
    end();
}

/* Blocks of every class, taken and freed again while holes are purged behind them: contents hold, and so do the
 * pages. */
static void test_purged_blocks_serve_again(void **state)
{
    (void)state;
    uint64_t random = 3;
    static struct {
        unsigned char *block;
        size_t size;
        uint64_t seed;
    } live[4000];
    for (size_t step = 0; step < 120000; step++) {
        size_t i = random_next(&random) % COUNT_OF(live);
        if (live[i].block) {
            must(pattern_check(live[i].block, live[i].size, live[i].seed) == live[i].size, "a block was damaged");
            hak_free(live[i].block);
            live[i].block = NULL;
        } else if (step % 40000 < 25000) { /* the number of blocks goes up and down */
            live[i].size = 1 + random_size(&random, 60000);
            live[i].seed = random_next(&random);
            live[i].block = hak_malloc(live[i].size);
            pattern_fill(live[i].block, live[i].size, live[i].seed);
        }
        if (step % 3000 == 0)
            purge_all(SIZE_MAX);
        if (step % 20000 == 0)
            heap_must_be_valid("between purges");
    }
    for (size_t i = 0; i < COUNT_OF(live); i++)
        hak_free(live[i].block);
    heap_must_be_valid("in the end");
}

/* A page of blocks that is made of what others have used is resident, though few blocks of it were ever handed out. */
static void test_rests_of_pages_go_back(void **state)
{
    static const size_t sizes[] = {4096, 8192, 12000, 16384, 20000, 24000, 28000, 32768};
    enum { SIZES = sizeof sizes / sizeof sizes[0] };
    (void)state;
    if (!in_child("what was never handed out of a page goes back"))
        return;
    void *blocks[SIZES];
    hak_trim(0);
    size_t start = process_rss(), live = 0;
    for (size_t i = 0; i < SIZES; i++) {
        void *before = hak_malloc(MIB);
        memset(before, 7, MIB);
        hak_free(before);
        blocks[i] = hak_malloc(sizes[i]);
        memset(blocks[i], 7, sizes[i]);
        live += sizes[i];
    }
    hak_trim(0);
    size_t now = process_rss();
    must(now <= start + live + 512 * KIB, "%zu KiB are live, all else was trimmed: RSS rose from %zu to %zu KiB",
         live / KIB, start / KIB, now / KIB);
    for (size_t i = 0; i < SIZES; i++)
        hak_free(blocks[i]);
    end();
    _exit(0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_goes_back),   cmocka_unit_test(test_holes_go_back_in_any_order),
        cmocka_unit_test(test_survivors_take_their_neighbours_along),
        cmocka_unit_test(test_holes_end_huge_pages),
        cmocka_unit_test(test_cycles_keep_their_memory), cmocka_unit_test(test_kept_memory_fades),
        cmocka_unit_test(test_purged_blocks_serve_again),
        cmocka_unit_test(test_rests_of_pages_go_back),
    };
    return RUN_TESTS(tests);
}
