/* ring_test.c - a thread's rings: how they open, fill, grow, flush and end, and what a young ring watches for. Every
 * test runs in a thread of its own, whose cache is new or has been closed.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hakmem.h"
#include "system/lock.h"
#include "heap/map.h"
#include "heap/purge.h"
#include "heap/span.h"
#include "system/options.h"
#include "system/os_clock.h"
#include "policy/policy.h"
#include "cache/remote.h"
#include "cache/ring.h"
#include "cache/thread.h"

enum { MANY = 6000, PROBATION = 64 };

static const size_t g_sizes[] = {1, 20, 100, 512, 1024, 1280, 3000, 8192, 20000, 32768, 50000, 262144, 1048576};

static struct cache *cache(void) { return cache_self; }
static size_t level(unsigned c) { return ring_count(cache_self, c); }
/* The newest block in the ring, whether that is hidden or not. */
static void *newest(unsigned c) { return *ring_top(cache_self, c); }
static void must_be_valid(void) { must(cache_is_valid(cache_self), "the cache is not valid"); }

static void run_steadily(void *body)
{
    hak_free(hak_malloc(5000)); /* for a cache; no test uses this class */
    cache()->sweep_at = cache()->fence_at = UINT64_MAX;
    (*(void (**)(void *))body)(NULL);
    cache()->sweep_at = cache()->fence_at = 0;
}

/* Runs the body in a new thread whose idle rings are not looked for, and not hidden, whatever time it takes. */
static void in_steady_thread(void (*body)(void *)) { in_thread(run_steadily, &body); }

/* How many of a class to take in a test: some megabytes. */
static size_t many(unsigned c) { return max_size(20, min_size(MANY, 8 * MIB / class_size(c))); }

/* Free in its page, or the page is gone. */
static bool is_free_in_page(const void *block)
{
    enum error_id error;
    return !page_check_block(block, &error);
}

/* Above CLASS_TABLE_MAX a class has a ring, and pages, only while it is in demand. */
static void make_demand(size_t size)
{
    for (unsigned i = 0; i < 64 && size > CLASS_TABLE_MAX; i++)
        hak_free(hak_malloc(size));
}

/* ---- Refill ------------------------------------------------------------------------------------------------------ */

static void refill(void *unused)
{
    (void)unused;
    static void *blocks[MANY];
    for (size_t i = 0; i < COUNT_OF(g_sizes); i++) {
        unsigned c = class_of(g_sizes[i]);
        size_t count = many(c), refills = 0, last_refill = 0;
        make_demand(g_sizes[i]);
        for (size_t k = 0; k < count; k++) {
            size_t before = level(c);
            blocks[k] = hak_malloc(g_sizes[i]);
            must(blocks[k] && map_class(blocks[k]) == c, "malloc(%zu): class %u", g_sizes[i], map_class(blocks[k]));
            must_be_valid();
            if (before > 0) {
                must(level(c) == before - 1, "class %u: %zu blocks in the ring became %zu", c, before, level(c));
                continue;
            }
            size_t got = level(c) + 1, capacity = cache()->ring[c].array.capacity;
            must(got <= capacity, "class %u: a refill of %zu with a capacity of %zu", c, got, capacity);
            must(refills++ > 0 || got <= 4, "class %u: the first refill was of %zu", c, got);
            must(got <= max_size(2 * last_refill, 4), "class %u: a refill of %zu after %zu", c, got, last_refill);
            last_refill = max_size(last_refill, got);
        }
        must(last_refill >= cache()->ring[c].array.capacity / 2 || class_size(c) > 32768,
             "class %u: refills grew to %zu only, of %u slots", c, last_refill, cache()->ring[c].array.capacity);
        for (size_t k = 0; k < count; k++)
            hak_free(blocks[k]);
    }
}

static void test_refill(void **state)
{
    (void)state;
    in_steady_thread(refill);
}

/* The block freed last is the first to be had. */
static void order(void *unused)
{
    (void)unused;
    void *blocks[16];
    for (size_t i = 0; i < COUNT_OF(g_sizes); i++) {
        size_t count = g_sizes[i] > 300000 ? 2 : 8;
        make_demand(g_sizes[i]);
        for (size_t k = 0; k < count; k++)
            blocks[k] = hak_malloc(g_sizes[i]);
        for (size_t k = 0; k < count; k++)
            hak_free(blocks[k]);
        for (size_t k = count; k-- > 0;) {
            void *again = hak_malloc(g_sizes[i]);
            must(again == blocks[k] || g_sizes[i] > 300000, "size %zu: expected the block freed last", g_sizes[i]);
        }
        for (size_t k = 0; k < count; k++)
            hak_free(blocks[k]);
    }
}

static void test_last_in_first_out(void **state)
{
    (void)state;
    in_steady_thread(order);
}

/* ---- Growth and flush -------------------------------------------------------------------------------------------- */

/* With a ring that is full and cannot grow, the next free passes the older half on, oldest first. */
static void flush_once(unsigned c, void *next)
{
    static void *before[POLICY_RING_MAX]; /* no ring holds more */
    struct ring *ring = &cache()->ring[c];
    size_t capacity = ring->array.capacity, passed = (capacity + 1) / 2, depot = remote_count(c);
    uint64_t to_depot = load_relaxed(&cache()->counters.flushed_to_depot);
    uint64_t to_pages = load_relaxed(&cache()->counters.flushed_to_pages);
    for (size_t i = 0; i < capacity; i++)
        before[i] = ring->array.slot[1 + i];
    hak_free(next);
    must(level(c) == capacity - passed + 1, "class %u: %zu of %zu blocks stayed", c, level(c), capacity);
    for (size_t i = passed; i < capacity; i++)
        must(ring->array.slot[1 + i - passed] == before[i], "class %u: the newer half is not what stayed", c);
    must(ring->array.slot[level(c)] == next, "class %u: the block freed last is not on top", c);
    to_depot = load_relaxed(&cache()->counters.flushed_to_depot) - to_depot;
    to_pages = load_relaxed(&cache()->counters.flushed_to_pages) - to_pages;
    must(to_depot + to_pages == passed, "class %u: %zu blocks passed on, %zu counted", c, passed,
         (size_t)(to_depot + to_pages));
    must(remote_count(c) == depot + to_depot, "class %u: %zu blocks in the depot", c, remote_count(c));
    must(to_depot == 0 || remote_serves(c), "class %u: passed to the depot", c);
    size_t in_pages = 0;
    for (size_t i = 0; i < passed; i++)
        in_pages += is_free_in_page(before[i]);
    must(in_pages == to_pages, "class %u: %zu blocks are back in their pages, expected %zu", c, in_pages,
         (size_t)to_pages);
}

static void growth(void *unused)
{
    (void)unused;
    static void *blocks[MANY];
    for (size_t i = 0; i < COUNT_OF(g_sizes); i++) {
        unsigned c = class_of(g_sizes[i]);
        size_t count = many(c), flushes = 0;
        uint32_t most = 0;
        uint64_t to_depot = load_relaxed(&cache()->counters.flushed_to_depot);
        remote_flush();
        make_demand(g_sizes[i]);
        for (size_t k = 0; k < count; k++)
            blocks[k] = hak_malloc(g_sizes[i]);
        const struct ring *ring = &cache()->ring[c];
        for (size_t k = 0; k < count; k++) {
            uint32_t capacity = ring->array.capacity;
            size_t before = level(c);
            bool full = before == capacity;
            if (full && flushes > 0) {
                flush_once(c, blocks[k]);
            } else {
                hak_free(blocks[k]);
                must(full || level(c) == before + 1, "class %u: %zu blocks became %zu", c, before, level(c));
            }
            must_be_valid();
            flushes += full && ring->array.capacity == capacity;
            must(ring->array.capacity >= capacity && ring->array.capacity <= 2 * capacity + 2,
                 "class %u: capacity %u after %u", c, ring->array.capacity, capacity);
            must(ring->array.capacity == capacity || flushes == 0, "class %u: grew after a flush", c);
            most = ring->array.capacity;
        }
        to_depot = load_relaxed(&cache()->counters.flushed_to_depot) - to_depot;
        must((to_depot > 0) == (remote_serves(c) && thread_count() > 1), "class %u: %zu blocks passed to the depot", c,
             (size_t)to_depot);
        must(flushes > 0, "class %u: %zu frees never filled the ring of %u", c, count, most);
        must(most <= 4096, "class %u: a capacity of %u", c, most);
        must((size_t)most * class_size(c) <= 256 * KIB || most <= 64 || class_size(c) > 32 * KIB,
             "class %u: a ring of %zu bytes", c, most * class_size(c));
        must((size_t)most * class_size(c) <= 2 * MIB + 64 * KIB, "class %u: a ring of %zu bytes", c,
             most * class_size(c));
    }
}

/* The only thread has nobody to hand blocks over to. */
/* A thread that only allocates: its ring grows to some 4 KiB of blocks, and refills with it. */
static void only_allocate(void *unused)
{
    enum { SIZE = 64, BLOCKS = 2000, MOST_BYTES = 4 << 10 };
    static void *blocks[BLOCKS];
    unsigned c = class_of(SIZE);
    (void)unused;
    for (size_t i = 0; i < BLOCKS; i++)
        blocks[i] = hak_malloc(SIZE);
    size_t capacity = cache()->ring[c].array.capacity;
    must(capacity > 50 && capacity * SIZE <= MOST_BYTES, "the ring is for %zu blocks", capacity);
    must(cache()->ring[c].refill > 25, "a refill takes %u blocks", cache()->ring[c].refill);
    must_be_valid();
    for (size_t i = 0; i < BLOCKS; i++)
        hak_free(blocks[i]);
}

static void test_refills_grow(void **state)
{
    (void)state;
    in_steady_thread(only_allocate);
}

static void test_growth_and_flush(void **state)
{
    (void)state;
    assert_int_equal(thread_count(), 0);
    in_steady_thread(growth);
    hak_free(hak_malloc(16));
    assert_int_equal(thread_count(), 1);
    in_steady_thread(growth);
    hak_collect();
}

/* ---- Idle rings -------------------------------------------------------------------------------------------------- */

/* Slow calls, which are what looks at the clock: calloc of blocks that are known to be zero passes the rings by. */
static void be_slow(void)
{
    for (unsigned i = 0; i < 100; i++)
        hak_free(ring_malloc_zeroed(class_of(16))); /* which may have one */
}

static void idle(void *unused)
{
    (void)unused;
    void *blocks[8];
    unsigned c = class_of(300);
    for (size_t i = 0; i < COUNT_OF(blocks); i++)
        blocks[i] = hak_malloc(300);
    for (size_t i = 0; i < COUNT_OF(blocks); i++)
        hak_free(blocks[i]);
    void *newest = hak_malloc(300);
    hak_free(newest);
    cache()->sweep_at = 0;
    be_slow(); /* the first look: where the ring's top is */
    size_t expected = level(c);
    must(expected >= COUNT_OF(blocks), "a ring lost its blocks at once");
    uint64_t next_look = cache()->sweep_at;
    be_slow();
    must(level(c) == expected || os_milliseconds() >= next_look, "a ring lost blocks within an interval");
    expected = level(c);
    for (; expected > 1; expected /= 2) {
        sleep_milliseconds(270);
        be_slow();
        must(level(c) == expected / 2, "an idle ring of %zu blocks has %zu after an interval", expected, level(c));
        must(cache()->ring[c].array.slot[level(c)] == newest, "the blocks freed last are not those that stayed");
        must_be_valid();
    }
    must(cache()->page[c] != NULL, "a ring with a block has no page any more");
    for (unsigned i = 0; i < 2; i++) {
        sleep_milliseconds(270);
        be_slow();
    }
    must(level(c) == 0 && cache()->page[c] == NULL, "an idle ring's page is still held");

    /* A ring that is used between any two looks keeps its blocks. */
    blocks[0] = hak_malloc(300);
    expected = level(c);
    for (unsigned i = 0; i < 3; i++) {
        sleep_milliseconds(270);
        cache()->ticks = 0; /* the look comes after the call that uses the ring */
        if (i % 2)
            blocks[0] = hak_malloc(300);
        else
            hak_free(blocks[0]);
        size_t before = level(c);
        be_slow();
        must(level(c) == before, "a ring in use lost blocks");
    }
    hak_collect();
}

/* As with requests: all blocks are back whenever somebody looks. */
static void used_between_looks(void *unused)
{
    (void)unused;
    void *blocks[8];
    unsigned c = class_of(300);
    size_t expected = 0;
    for (unsigned look = 0; look < 4; look++) {
        for (size_t i = 0; i < COUNT_OF(blocks); i++)
            blocks[i] = hak_malloc(300);
        for (size_t i = 0; i < COUNT_OF(blocks); i++)
            hak_free(blocks[i]);
        cache()->sweep_at = 0;
        be_slow();
        must(look == 0 || level(c) == expected, "look %u: a ring in use had %zu blocks, and has %zu", look, expected,
             level(c));
        expected = level(c);
        must_be_valid();
    }
    hak_collect();
}

static void test_idle_rings_are_emptied(void **state)
{
    (void)state;
    in_steady_thread(idle);
    in_steady_thread(used_between_looks);
}

/* ---- Watching ---------------------------------------------------------------------------------------------------- */

static bool is_open(unsigned c)
{
    return cache()->limit[c] == cache()->ring[c].array.slot + cache()->ring[c].array.capacity;
}
static bool is_watched(unsigned c) { return cache()->limit[c] == cache()->ring[c].array.slot; }

static void probation(void *unused)
{
    (void)unused;
    for (size_t i = 0; i < COUNT_OF(g_sizes); i++) {
        unsigned c = class_of(g_sizes[i]);
        must(cache()->ring[c].array.slot == NULL, "class %u: the ring is open before its first use", c);
        while (g_sizes[i] > CLASS_TABLE_MAX && cache()->ring[c].array.slot == NULL)
            hak_free(hak_malloc(g_sizes[i])); /* the last of these frees is watched, too */
        for (unsigned k = g_sizes[i] > CLASS_TABLE_MAX; k < PROBATION; k++) {
            void *block = hak_malloc(g_sizes[i]);
            must(is_watched(c), "class %u: not watched after %u frees", c, k);
            hak_free(block);
            must_be_valid();
        }
        must(is_open(c), "class %u: not open after %u frees", c, PROBATION);
    }
}

static void test_young_rings_are_watched(void **state)
{
    (void)state;
    in_steady_thread(probation);
}

static void open_ring(size_t size)
{
    make_demand(size);
    for (unsigned k = 0; k < PROBATION; k++)
        hak_free(hak_malloc(size));
}

/* A second free with other frees between the two; `size` bytes each. */
struct between {
    size_t size, frees;
    bool open; /* a ring that is not watched any more */
};

static void free_twice(void *argument)
{
    const struct between *between = argument;
    void *blocks[64];
    if (between->open)
        open_ring(between->size);
    else
        make_demand(between->size);
    for (size_t i = 0; i <= between->frees; i++)
        blocks[i] = hak_malloc(between->size);
    for (size_t i = 0; i <= between->frees; i++)
        hak_free(blocks[i]);
    hak_free(blocks[0]);
}

static void test_second_free_is_found(void **state)
{
    (void)state;
    struct between between;
    for (size_t i = 0; i < COUNT_OF(g_sizes); i++) {
        size_t slots = g_sizes[i] > 300000 ? 1 : 5;
        for (between.frees = 0; between.frees <= slots; between.frees++) {
            between.size = g_sizes[i];
            between.open = between.frees < 2;
            if (between.open)
                must_die_of(ERROR_DOUBLE_FREE, "free", hak_good_size(between.size), free_twice, &between);
            between.open = false;
            must_die_of(ERROR_DOUBLE_FREE, "free", hak_good_size(between.size), free_twice, &between);
        }
    }
    between = (struct between){64, 40, false};
    must_die_of(ERROR_DOUBLE_FREE, "free", 64, free_twice, &between);
}

static void free_interior(void *argument)
{
    make_demand(*(size_t *)argument);
    char *block = hak_malloc(*(size_t *)argument);
    hak_free(block + 16);
}

static void free_in_two_threads(void *argument)
{
    void *block = hak_malloc(*(size_t *)argument);
    hak_free(block);
    hak_collect();
    in_thread(hak_free, block);
}

/* As when another thread frees it, too, and its page becomes a large block's, behind this thread's look at the page
 * map. */
static void free_what_is_in_no_page(void *unused)
{
    (void)unused;
    ring_free(hak_malloc(4 * MIB), class_of(64), "free");
}

static void test_misuse_is_found(void **state)
{
    (void)state;
    must_die_of(ERROR_NOT_LIVE, "free", 0, free_what_is_in_no_page, NULL);
    for (size_t i = 0; i < COUNT_OF(g_sizes); i++) {
        size_t size = g_sizes[i], good = hak_good_size(size);
        if (good > 16)
            must_die_of(ERROR_INTERIOR, "free", good, free_interior, &size);
    }
    size_t size = 64;
    void *keeps_the_page = hak_malloc(size);
    if (!UNDER_TSAN) /* a thread behind fork */
        must_die_of(ERROR_DOUBLE_FREE, "free", 64, free_in_two_threads, &size);
    hak_free(keeps_the_page);
    hak_collect();
}

/* ---- Counted ----------------------------------------------------------------------------------------------------- */

static uint64_t counted_mallocs(void)
{
    const struct ring_counters *counters = &cache()->counters;
    return load_relaxed(&counters->ring_mallocs) + load_relaxed(&counters->refills_from_depot) +
           load_relaxed(&counters->refills_from_pages);
}

static void count_calls(void *unused)
{
    (void)unused;
    static void *blocks[MANY];
    void *early = hak_malloc(64);
    for (size_t i = 0; i < COUNT_OF(g_sizes); i++)
        make_demand(g_sizes[i]);
    option_values[OPTION_STATS] = STATS_ALL;
    cache_veil(cache_self);
    must_be_valid();
    uint64_t mallocs = 0, frees = 0, mallocs_before = counted_mallocs();
    uint64_t frees_before = load_relaxed(&cache()->counters.ring_frees);
    for (size_t i = 0; i < COUNT_OF(g_sizes); i++) {
        unsigned c = class_of(g_sizes[i]);
        size_t count = many(c) / 4;
        for (size_t k = 0; k < count; k++)
            blocks[k] = hak_malloc(g_sizes[i]);
        must_be_valid();
        for (size_t k = 0; k < count; k++)
            hak_free(blocks[k]);
        must_be_valid();
        mallocs += count;
        frees += count;
        must(level(c) == load_relaxed(&cache()->ring[c].array.level), "class %u: the level is not exact", c);
    }
    hak_free(early);
    uint64_t counted = counted_mallocs() - mallocs_before;
    must(counted == mallocs, "%zu of %zu allocations were counted", (size_t)counted, (size_t)mallocs);
    counted = load_relaxed(&cache()->counters.ring_frees) - frees_before;
    must(counted == frees + 1, "%zu of %zu frees were counted", (size_t)counted, (size_t)frees + 1);
}

static void test_counted(void **state)
{
    (void)state;
    static struct child_result result;
    child_run(count_calls, NULL, 60, &result);
    must_end_well(&result, "counting calls");
}

/* ---- Zeroed blocks ----------------------------------------------------------------------------------------------- */

static void zeroed(void *unused)
{
    (void)unused;
    hak_trim(0); /* memory that was given back is known to be zero when it comes again */
    uint64_t known = load_relaxed(&cache()->counters.zeroed_blocks);
    for (size_t i = 0; i < COUNT_OF(g_sizes); i++) {
        unsigned c = class_of(g_sizes[i]);
        void *blocks[8];
        for (size_t k = 0; k < COUNT_OF(blocks); k++) {
            blocks[k] = ring_malloc_zeroed(c);
            if (!blocks[k])
                blocks[k] = hak_calloc(1, g_sizes[i]);
            must(bytes_check(blocks[k], g_sizes[i], 0) == g_sizes[i], "class %u: not zero", c);
            memset(blocks[k], 0xee, class_size(c));
        }
        for (size_t k = 0; k < COUNT_OF(blocks); k++)
            hak_free(blocks[k]);
        must(ring_malloc_zeroed(c) == NULL, "class %u: a ring with blocks was passed over", c);
        void *block = hak_calloc(3, g_sizes[i] / 3 + 1);
        must(bytes_check(block, g_sizes[i], 0) == g_sizes[i], "class %u: a used block is not zero", c);
        hak_free(block);
        must_be_valid();
    }
    must(load_relaxed(&cache()->counters.zeroed_blocks) > known, "no block was known to be zero");
}

static void test_zeroed(void **state)
{
    (void)state;
    in_steady_thread(zeroed);
}

/* ---- A thread that only frees ------------------------------------------------------------------------------------ */

static void free_many(void *argument)
{
    void **blocks = argument;
    unsigned c = map_class(blocks[0]), most = 0;
    for (size_t i = 0; i < MANY; i++) {
        hak_free(blocks[i]);
        most = (unsigned)max_size(most, cache()->ring[c].array.capacity);
    }
    must(most >= 62 && most <= 126, "blocks only pass, through a ring of %u", most);
    must_be_valid();
    /* What it draws itself, it keeps. */
    for (size_t i = 0; i < 1000; i++)
        blocks[i] = hak_malloc(100);
    for (size_t i = 0; i < 1000; i++)
        hak_free(blocks[i]);
    must(level(c) >= 500, "a ring holds %zu of 1000 blocks that the thread has drawn", level(c));
}

enum { PASSED = 2000, PASSED_SIZE = 2048 };

static void free_passed(void *argument)
{
    void **blocks = argument;
    for (size_t i = 0; i < PASSED; i++)
        hak_free(blocks[i]);
}

/* Frees a block that the depot has brought into the thread's ring, which is young. */
static void free_what_another_freed(void *unused)
{
    (void)unused;
    unsigned c = class_of(PASSED_SIZE);
    for (size_t i = 0;
         i < PASSED && (cache() == &cache_none || load_relaxed(&cache()->counters.refills_from_depot) == 0); i++)
        must(hak_malloc(PASSED_SIZE), "no memory");
    void *freed = newest(c);
    must(load_relaxed(&cache()->counters.refills_from_depot) > 0 && freed,
         "the depot has brought nothing: nothing is tested");
    hak_free(freed);
    must(false, "it was not noticed at once"); /* but when its ring is emptied */
}

static void pass_and_free_again(void *unused)
{
    static void *blocks[PASSED];
    for (size_t i = 0; i < PASSED; i++)
        blocks[i] = hak_malloc(PASSED_SIZE);
    in_thread(free_passed, blocks);
    in_thread(free_what_another_freed, unused);
}

static void test_second_free_across_the_depot_is_found(void **state)
{
    (void)state;
    if (UNDER_TSAN)
        skip(); /* a thread behind fork */
    must_die_of(ERROR_DOUBLE_FREE, "free", PASSED_SIZE, pass_and_free_again, NULL);
}

static void test_blocks_that_pass(void **state)
{
    (void)state;
    static void *blocks[MANY];
    for (size_t i = 0; i < MANY; i++)
        blocks[i] = hak_malloc(100);
    in_thread(free_many, blocks);
    hak_collect();
}

/* ---- Neighbours in a cache line ---------------------------------------------------------------------------------- */

enum { GIVEN = 16 };
struct given {
    size_t size;
    void *block[GIVEN];
    unsigned used_again;
};

static void free_and_take(void *argument)
{
    struct given *given = argument;
    void *mine[GIVEN];
    for (size_t i = 0; i < GIVEN; i++)
        hak_free(given->block[i]);
    for (size_t i = 0; i < GIVEN; i++)
        mine[i] = hak_malloc(given->size);
    for (size_t i = 0; i < GIVEN; i++)
        for (size_t k = 0; k < GIVEN; k++)
            given->used_again += mine[i] == given->block[k];
    must_be_valid();
    for (size_t i = 0; i < GIVEN; i++)
        hak_free(mine[i]);
}

/* A thread that is given small blocks does not use them itself: their neighbours are the giver's. Of larger ones it
 * does. */
static void test_neighbours_are_not_taken_up(void **state)
{
    (void)state;
    for (size_t size = 16; size <= 64; size += 16) {
        struct given given = {.size = size};
        for (size_t i = 0; i < GIVEN; i++)
            given.block[i] = hak_malloc(size);
        in_thread(free_and_take, &given);
        must(given.used_again == (size < 64 ? 0 : GIVEN), "size %zu: %u of %u blocks were used again", size,
             given.used_again, GIVEN);
    }
    hak_collect();
}

/* ---- Medium blocks ----------------------------------------------------------------------------------------------- */

/* Now and then a medium block, of every class: what is freed is free at once, in no ring, and no page was made. */
static void medium_rarely(void *unused)
{
    (void)unused;
    for (unsigned c = CLASS_OF_TABLE_MAX + 1; c <= CLASS_FIXED_LAST; c++) {
        for (unsigned i = 0; i < 8; i++) {
            void *block = hak_malloc(class_size(c));
            must(block && map_page(block)->class_id == 0, "class %u: a block that is seldom asked for is in a page", c);
            hak_free(block);
        }
        must(level(c) == 0 && cache()->ring[c].array.slot == NULL && cache()->page[c] == NULL,
             "class %u: something was left behind", c);
    }
    must_be_valid();
}

/* However long that goes on. */
static void medium_at_times(void *unused)
{
    (void)unused;
    cache()->sweep_at = 0;
    for (unsigned i = 0; i < 48; i++) {
        if (i % 8 == 7)
            sleep_milliseconds(270);
        void *block = hak_malloc(100000);
        must(block && map_page(block)->class_id == 0, "call %u: a block that is seldom asked for is in a page", i);
        hak_free(block);
    }
}

/* What grows does so in place, as far as there is room, whatever else is in demand. */
static void medium_grows(void *unused)
{
    (void)unused;
    for (unsigned c = CLASS_OF_TABLE_MAX + 1; c <= CLASS_FIXED_LAST; c++)
        make_demand(class_size(c));
    hak_collect();
    unsigned moves = 0;
    char *block = hak_realloc(hak_malloc(1000), CLASS_TABLE_MAX + 1);
    for (size_t size = 2 * UNIT_SIZE; size <= CLASS_MAX_SIZE; size += UNIT_SIZE) {
        char *old = block;
        block = hak_realloc(block, size);
        must(block && map_page(block)->class_id == 0, "%zu bytes: a block that grows is in a page", size);
        moves += block != old;
    }
    must(moves <= 4, "16 steps of growth, and %u moves", moves);
    hak_free(block);
}

/* In demand, a class has a ring; when nobody asks any more it has none. */
static void medium_in_demand(void *unused)
{
    (void)unused;
    size_t size = 100000;
    unsigned c = class_of(size);
    make_demand(size);
    must(level(c) >= 1, "a class in demand has no ring");
    cache()->sweep_at = 0;
    for (unsigned i = 0; i < 5; i++) {
        be_slow();
        sleep_milliseconds(270);
    }
    must(cache()->ring[c].array.slot == NULL && cache()->page[c] == NULL,
         "a class that nobody asks for keeps its ring");
    void *block = hak_malloc(size);
    must(map_page(block)->class_id == 0, "demand is not forgotten");
    hak_free(block);
    must_be_valid();
}

static void test_medium_blocks(void **state)
{
    (void)state;
    in_steady_thread(medium_rarely);
    in_steady_thread(medium_at_times);
    in_steady_thread(medium_grows);
    in_steady_thread(medium_in_demand);
}

/* ---- Without a cache, and its end -------------------------------------------------------------------------------- */

/* As in a signal handler that interrupted a slow path: the rings must not be touched. */
static void busy(void *unused)
{
    (void)unused;
    void *first = hak_malloc(100);
    unsigned c = class_of(100);
    size_t before = level(c);
    cache()->busy = true;
    void *block = ring_malloc(c, RING_ANY_SIZE);
    must(block && block != first && level(c) == before, "a busy cache gave a block");
    must(ring_malloc_zeroed(class_of(4000)) == NULL, "a busy cache gave a zeroed block");
    ring_free(block, c, "free");
    must(level(c) == before && is_free_in_page(block), "a busy cache took a block");
    ring_collect();
    must(level(c) == before, "a busy cache was emptied");
    cache()->busy = false;
    must_be_valid();
    hak_free(first);
}

static void test_busy(void **state)
{
    (void)state;
    in_steady_thread(busy);
}

static void use_everything(void *unused)
{
    (void)unused;
    static void *blocks[100];
    for (unsigned c = 1; c <= CLASS_LAST; c++) {
        size_t count = class_size(c) > 100000 ? 5 : COUNT_OF(blocks);
        for (size_t i = 0; i < count; i++)
            blocks[i] = hak_malloc(class_size(c));
        for (size_t i = 0; i < count; i++)
            hak_free(blocks[i]);
    }
    must_be_valid();
}

static void must_have_nothing_live(const char *when)
{
    remote_flush();
    for (unsigned c = 1; c <= CLASS_LAST; c++) {
        struct page_totals totals = page_count(c);
        must(totals.free_blocks == totals.pages * class_info[c].blocks, "%s: class %u: %zu of %zu blocks are free",
             when, c, totals.free_blocks, totals.pages * class_info[c].blocks);
    }
    heap_must_be_valid(when);
}

static void collect(void *unused)
{
    use_everything(unused);
    ring_collect();
    must_be_valid();
    for (unsigned c = 1; c <= CLASS_LAST; c++)
        must(level(c) == 0 && cache()->page[c] == NULL, "class %u: something is left after a collect", c);
    must_have_nothing_live("after a collect");
    use_everything(unused);
}

static void test_collect(void **state)
{
    (void)state;
    in_steady_thread(collect);
}

static void test_close_returns_everything(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        in_thread(use_everything, NULL);
        must_have_nothing_live("after a thread's end");
    }
}

/* ---- Parked caches ----------------------------------------------------------------------------------------------- */

enum { PARKED_SIZE = 100, PARKED_SLOTS = 64, PARKED_MOST = 4 };

static size_t parked_level(const struct cache *cache, unsigned c)
{
    return cache->attached ? 0 : load_relaxed(&cache->ring[c].array.level);
}

/* Free blocks that ended threads have left in their rings, in bytes. */
static size_t parked_bytes(void)
{
    size_t bytes = 0;
    for (const struct cache *cache = thread_caches(); cache; cache = cache->next)
        for (unsigned c = 1; c <= CLASS_LAST; c++)
            bytes += parked_level(cache, c) * class_size(c);
    return bytes;
}

/* What is left of small blocks is what little rings hold; nothing of larger ones, and no page. */
static void test_a_thread_leaves_little(void **state)
{
    (void)state;
    thread_close_parked();
    in_next_thread(use_everything, NULL);
    must(parked_bytes() > 0, "nothing is left: nothing is tested");
    for (const struct cache *cache = thread_caches(); cache; cache = cache->next)
        for (unsigned c = 1; c <= CLASS_LAST && !cache->attached; c++) {
            size_t most = class_size(c) <= 1024 ? min_size(64, max_size(8 * KIB / class_size(c), 14)) : 0;
            must(cache->ring[c].array.capacity <= most && !cache->page[c],
                 "class %u: a ring for %u blocks, or a page, is left", c, cache->ring[c].array.capacity);
        }
    thread_close_parked();
    must_have_nothing_live("after a parked cache was closed");
}

static void watched_again(void *before)
{
    unsigned c = class_of(PARKED_SIZE);
    void *block = hak_malloc(PARKED_SIZE);
    must(block == before, "the first block is not the one that the thread before freed last");
    must(cache()->ring[c].probation == PROBATION && is_watched(c), "the ring is not watched");
    must_be_valid();
    hak_free(block);
}

static void open_and_free(void *freed)
{
    open_ring(PARKED_SIZE);
    *(void **)freed = hak_malloc(PARKED_SIZE);
    hak_free(*(void **)freed);
}

static void test_a_thread_takes_over_and_is_watched(void **state)
{
    (void)state;
    void *freed;
    thread_close_parked();
    in_next_thread(open_and_free, &freed);
    sleep_milliseconds(100); /* of which the next thread does not earn fences */
    in_next_thread(watched_again, freed);
    thread_close_parked();
}

/* The first one stays, and with it the page. */
static void free_many_small(void *freed)
{
    static void *blocks[200];
    for (size_t i = 0; i < COUNT_OF(blocks); i++)
        blocks[i] = hak_malloc(PARKED_SIZE);
    for (size_t i = 1; i < COUNT_OF(blocks); i++)
        hak_free(blocks[i]);
    must(level(class_of(PARKED_SIZE)) >= PARKED_SLOTS, "few blocks in the ring: nothing is tested");
    *(void **)freed = blocks[COUNT_OF(blocks) - PARKED_SLOTS]; /* the oldest that stays */
}

/* By a thread that has the block in its ring, as it has taken over what was parked. */
static void take_over_and_free(void *freed)
{
    must(hak_malloc(2 * PARKED_SIZE), "no memory");
    must(newest(class_of(PARKED_SIZE)) == freed, "the block is not in the ring: nothing is tested");
    hak_free(freed);
}

/* Any of the blocks, by the next thread or by another one. */
static void free_what_the_thread_before_freed(void *by_the_next)
{
    void *freed;
    thread_close_parked();
    in_next_thread(*(bool *)by_the_next ? open_and_free : free_many_small, &freed);
    if (*(bool *)by_the_next)
        in_next_thread(take_over_and_free, freed);
    hak_free(freed);
    must(false, "it was not noticed");
}

static void test_second_free_after_a_threads_end_is_found(void **state)
{
    (void)state;
    if (UNDER_TSAN)
        skip(); /* a thread behind fork */
    for (int by_the_next = 0; by_the_next < 2; by_the_next++) {
        bool next = by_the_next;
        must_die_of(ERROR_DOUBLE_FREE, "free", hak_good_size(PARKED_SIZE), free_what_the_thread_before_freed, &next);
    }
}

static void idle_long(void *unused)
{
    (void)unused;
    be_slow(); /* attaches, and looks at the clock */
    in_next_thread(use_everything, NULL);
    must(parked_bytes() > 0, "nothing is parked: nothing is tested");
    sleep_milliseconds(300);
    be_slow();
}

/* Parked caches are closed by other threads' looks at the clock, and by a trim. */
static void test_parked_caches_are_closed(void **state)
{
    (void)state;
    in_thread(idle_long, NULL);
    assert_int_equal(parked_bytes(), 0);
    in_next_thread(use_everything, NULL);
    must(parked_bytes() > 0, "nothing is parked: nothing is tested");
    hak_trim(0);
    assert_int_equal(parked_bytes(), 0);
}

/* A policy that comes meanwhile holds for the next thread from its first call on. */
static void complies(void *unused)
{
    unsigned c = class_of(PARKED_SIZE);
    (void)unused;
    hak_free(hak_malloc(PARKED_SIZE));
    must(cache()->ring[c].array.slot && cache()->ring[c].array.capacity <= 20, "a ring for %u blocks",
         cache()->ring[c].array.capacity);
    must_be_valid();
}

static void test_a_parked_cache_complies(void **state)
{
    (void)state;
    struct policy base = *policy_now(), policy = base;
    void *freed;
    policy.class[class_of(PARKED_SIZE)].capacity = 20;
    thread_close_parked();
    in_next_thread(free_many_small, &freed);
    assert_true(policy_publish(&policy));
    in_next_thread(complies, NULL);
    assert_true(policy_publish(&base));
    thread_close_parked();
}

/* What is parked waits for the child's threads, too. */
static void test_a_child_has_what_is_parked(void **state)
{
    (void)state;
    if (UNDER_TSAN)
        skip(); /* a thread behind fork */
    void *freed;
    in_next_thread(free_many_small, &freed);
    must(load_relaxed(&thread_parked) > 0, "nothing is parked: nothing is tested");
    pid_t child = child_fork(20);
    if (child == 0) {
        thread_check_fork(); /* before a free looks closely, and closes them */
        must(load_relaxed(&thread_parked) == 1 && parked_bytes() > 0,
             "%u caches are parked in the child, with %zu bytes", load_relaxed(&thread_parked), parked_bytes());
        in_next_thread(use_everything, NULL);
        must(load_relaxed(&thread_parked) == 1, "%u caches are parked", load_relaxed(&thread_parked));
        thread_close_parked();
        heap_must_be_valid("in a child");
        _exit(0);
    }
    child_join(child, "a child of a process with a parked cache");
    thread_close_parked();
}

static pthread_barrier_t g_all_ready;

static void *small_and_wait(void *unused)
{
    (void)unused;
    hak_free(hak_malloc(PARKED_SIZE));
    pthread_barrier_wait(&g_all_ready);
    return NULL;
}

static void test_few_caches_are_parked(void **state)
{
    (void)state;
    pthread_t threads[20];
    size_t parked = 0;
    thread_close_parked();
    pthread_barrier_init(&g_all_ready, NULL, COUNT_OF(threads));
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        must(pthread_create(&threads[i], NULL, small_and_wait, NULL) == 0, "pthread_create failed");
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&g_all_ready);
    for (const struct cache *cache = thread_caches(); cache; cache = cache->next)
        parked += parked_level(cache, class_of(PARKED_SIZE)) > 0;
    assert_int_equal(parked, PARKED_MOST);
    thread_close_parked();
}

/* ---- Trim -------------------------------------------------------------------------------------------------------- */

static void trim(void *unused)
{
    (void)unused;
    hak_trim(0);
}

/* Another thread trims: this one empties its rings when it next gets to a slow path, whichever that is. */
static void trimmed_by_another(void *unused)
{
    for (unsigned slow = 0; slow < 3; slow++) {
        size_t cached = 0;
        use_everything(unused);
        make_demand(class_size(CLASS_FIXED_LAST));
        void *large = hak_malloc(class_size(CLASS_FIXED_LAST));
        in_thread(trim, NULL);
        for (unsigned c = 1; c <= CLASS_LAST; c++)
            cached += level(c) * class_size(c);
        must(cached > 4 * MIB, "a trim of another thread took blocks from this one's rings");
        switch (slow) {
        case 0:
            ring_malloc_zeroed(class_of(16));
            break;
        case 1:
            ring_malloc(CLASS_FIXED_LAST, RING_ANY_SIZE);
            break;
        default:
            ring_free(large, CLASS_FIXED_LAST, "free");
        }
        must_be_valid();
        for (unsigned c = 1; c < CLASS_FIXED_LAST; c++)
            must(level(c) == 0 && (cache()->page[c] == NULL || c == class_of(16)),
                 "slow path %u: class %u has %zu blocks after another thread's trim", slow, c, level(c));
        /* Once: what comes after that stays. */
        hak_free(hak_malloc(3000));
        size_t expected = level(class_of(3000));
        be_slow();
        must(expected > 0 && level(class_of(3000)) == expected, "a ring was emptied again");
    }
}

static void test_a_trim_reaches_other_threads(void **state)
{
    (void)state;
    in_steady_thread(trimmed_by_another);
}

/* ---- Reach, and fork --------------------------------------------------------------------------------------------- */

enum { GROWERS = 16 };

static atomic_uint g_grown;
static atomic_bool g_growers_end;

/* Lets the rings of the calling thread grow as far as they may. */
static void rings_grow(void)
{
    static const size_t sizes[] = {512, 1280, 2000, 3000, 4000, 8192, 12000, 20000, 32768, 50000, 262144};
    static _Thread_local void *blocks[MANY];
    hak_free(hak_malloc(sizes[0]));
    cache()->sweep_at = UINT64_MAX; /* rings that have grown stay so, whatever time it takes */
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        size_t count = min_size(many(class_of(sizes[i])), 1200);
        for (size_t k = 0; k < count; k++)
            blocks[k] = hak_malloc(sizes[i]);
        for (size_t k = 0; k < count; k++)
            hak_free(blocks[k]);
    }
}

static void *grower(void *unused)
{
    rings_grow();
    atomic_fetch_add(&g_grown, 1);
    while (!atomic_load(&g_growers_end))
        sleep_milliseconds(1);
    return unused;
}

/* How many bytes the rings of a child's only thread can come to hold. */
static size_t reach_in_child(void)
{
    size_t *reach = mmap(NULL, sizeof *reach, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child = child_fork(60);
    if (child == 0) {
        rings_grow();
        *reach = cache()->reach;
        _exit(0);
    }
    child_join(child, "a child whose rings grow");
    size_t result = *reach;
    munmap(reach, sizeof *reach);
    return result;
}

static size_t g_reach;

static void grow(void *unused)
{
    (void)unused;
    rings_grow();
    g_reach = cache()->reach;
}

/* The bound for all rings is shared out evenly: threads that have grown and are idle now leave a new one its part. */
static void test_idle_threads_leave_a_share(void **state)
{
    (void)state;
    pthread_t threads[GROWERS];
    atomic_store(&g_grown, 0);
    atomic_store(&g_growers_end, false);
    for (size_t i = 0; i < GROWERS; i++)
        must(pthread_create(&threads[i], NULL, grower, NULL) == 0, "pthread_create failed");
    while (atomic_load(&g_grown) < GROWERS)
        sleep_milliseconds(1);
    in_thread(grow, NULL);
    size_t share = policy_static.all_bytes / (GROWERS + 2);
    atomic_store(&g_growers_end, true);
    for (size_t i = 0; i < GROWERS; i++)
        pthread_join(threads[i], NULL);
    must(g_reach >= share / 2, "beside %d idle threads a new one's rings reach %zu bytes; its share is %zu", GROWERS,
         g_reach, share);
}

static void use_every_class(void *unused)
{
    (void)unused;
    for (size_t size = 2 * KIB; size > 0; size -= 16)
        hak_free(hak_malloc(size));
    g_reach = cache()->reach;
    must(cache()->ring[class_of(64)].array.capacity >= 14, "a ring of 64 B that opens late has %u blocks",
         cache()->ring[class_of(64)].array.capacity);
}

/* Where there are so many threads that a share is little, rings open within it: one after the other smaller ones, of 1
 * KiB at last. */
static void test_rings_open_within_the_share(void **state)
{
    (void)state;
    struct policy base = *policy_now(), policy = base;
    policy.all_bytes = policy.thread_bytes_min = 32 * KIB;
    thread_close_parked();
    assert_true(policy_publish(&policy));
    in_thread(use_every_class, NULL);
    size_t reach = g_reach;
    assert_true(policy_publish(&base));
    thread_close_parked();
    in_thread(use_every_class, NULL);
    must(reach <= 64 * KIB, "a thread's rings opened for %zu bytes; its share is 32 KiB", reach);
    must(g_reach > 96 * KIB, "with a large share they open for %zu bytes only", g_reach);
}

/* All rings together have a bound. What rings of threads took of it that are not in the child is the child's again. */
static void test_a_child_has_the_reach_of_vanished_threads(void **state)
{
    (void)state;
    pthread_t threads[GROWERS];
    size_t alone = reach_in_child();
    must(alone > MIB, "the rings of a process's only thread reach no further than %zu bytes", alone);
    for (size_t i = 0; i < GROWERS; i++)
        must(pthread_create(&threads[i], NULL, grower, NULL) == 0, "pthread_create failed");
    while (atomic_load(&g_grown) < GROWERS)
        sleep_milliseconds(1);
    size_t among_others = reach_in_child();
    atomic_store(&g_growers_end, true);
    for (size_t i = 0; i < GROWERS; i++)
        pthread_join(threads[i], NULL);
    must(among_others >= alone / 10 * 9,
         "the rings of a child reach %zu bytes; of one whose parent has %d threads, %zu", alone, GROWERS, among_others);
}

/* ---- Fences ------------------------------------------------------------------------------------------------------ */

static size_t dirty_bytes(void)
{
    struct span_stats stats;
    span_stats(&stats);
    return stats.dirty;
}

/* Up and down so fast that what is freed stays. */
static void go_up_and_down(void)
{
    enum { BLOCKS = 64 };
    static char *blocks[BLOCKS];
    for (unsigned round = 0; round < 8; round++) {
        for (size_t i = 0; i < BLOCKS; i++)
            memset(blocks[i] = hak_malloc(MIB), 1, MIB);
        for (size_t i = 0; i < BLOCKS; i++)
            hak_free(blocks[i]);
    }
}

/* Calls that the ring serves are all that the thread makes then. */
static void only_call_for_one_size(void *unused)
{
    enum { PAUSE = 20, PAUSES = 1000, CALLS = 100, MOST = 40000 }; /* where first touches are slow it stays for 8 s */
    (void)unused;
    unsigned c = class_of(100), pauses = 0;
    hak_free(hak_malloc(100));
    go_up_and_down();
    must(dirty_bytes() > 16 * MIB, "%zu bytes stayed: nothing is tested", dirty_bytes());
    for (; pauses < PAUSES && load_relaxed(&retain_waits); pauses++) {
        sleep_milliseconds(PAUSE);
        for (unsigned i = 0; i < CALLS; i++)
            hak_free(hak_malloc(100));
    }
    must(pauses < PAUSES, "%zu bytes stayed for %d ms", dirty_bytes(), PAUSES * PAUSE);
    for (unsigned i = 0; i < MOST && cache()->fenced; i++)
        hak_free(hak_malloc(100));
    hak_free(hak_malloc(100));
    must(!cache()->fenced && cache()->top[c] > cache()->ring[c].array.slot, "the ring is still hidden");
    must_be_valid();
}

static void test_what_lies_unused_goes_without_slow_paths(void **state)
{
    (void)state;
    in_thread(only_call_for_one_size, NULL);
}

static _Atomic(unsigned) g_stage;

static void stage_await(unsigned stage)
{
    while (atomic_load(&g_stage) < stage)
        sleep_milliseconds(1);
}

enum { HANDED = 64, HANDED_SIZE = 8192 };

/* Leaves blocks in the depot, and goes to sleep. */
static void *hand_over_and_sleep(void *unused)
{
    unsigned c = class_of(HANDED_SIZE);
    stage_await(1);
    void *blocks[HANDED];
    for (unsigned i = 0; i < HANDED; i++)
        blocks[i] = hak_malloc(HANDED_SIZE);
    for (unsigned i = 0; i < HANDED; i += remote_batch(c))
        must(remote_give(c, blocks + i, remote_batch(c)), "the depot takes nothing");
    atomic_store(&g_stage, 2);
    stage_await(3);
    return unused;
}

/* As a program does that has little to do. */
static void call_now_and_then(void)
{
    enum { PAUSE = 20, CALLS = 10 };
    sleep_milliseconds(PAUSE);
    for (unsigned i = 0; i < CALLS; i++)
        hak_free(hak_malloc(100));
}

static unsigned blocks_to_the_ring(size_t size, unsigned count)
{
    void *blocks[64];
    for (unsigned i = 0; i < count; i++)
        blocks[i] = hak_malloc(size);
    for (unsigned i = 0; i < count; i++)
        hak_free(blocks[i]);
    return (unsigned)level(class_of(size));
}

static void notice_what_others_leave(void *unused)
{
    enum { BEFORE = 20, PAUSES = 1000, IDLE_SIZE = 2000, IDLE = 40 };
    (void)unused;
    unsigned c = class_of(HANDED_SIZE), idle = class_of(IDLE_SIZE), pauses = 0;
    unsigned filled = blocks_to_the_ring(IDLE_SIZE, IDLE);
    cache()->sweep_at = 0; /* whatever test had the cache before */
    for (unsigned i = 0; i < BEFORE; i++)
        call_now_and_then();
    blocks_to_the_ring(3000, 2); /* the last slow path of its own */
    for (unsigned i = 0; i < BEFORE; i++)
        call_now_and_then();
    atomic_store(&g_stage, 1);
    stage_await(2);
    must(remote_count(c) >= HANDED && filled > IDLE / 2, "%zu blocks in the depot, %u in a ring: nothing is tested",
         remote_count(c), filled);
    for (; pauses < PAUSES && (remote_count(c) > 0 || level(idle) > filled / 8); pauses++)
        call_now_and_then();
    must(pauses < PAUSES, "the depot still has %zu blocks, and the idle ring %zu of %u", remote_count(c), level(idle),
         filled);
    must_be_valid();
}

/* A thread whose rings serve it notices in the end what another has left in the depot, and what lies idle in its
 * rings. */
static void test_what_others_leave_goes_without_slow_paths(void **state)
{
    (void)state;
    pthread_t other;
    remote_flush();
    atomic_store(&g_stage, 0);
    must(pthread_create(&other, NULL, hand_over_and_sleep, NULL) == 0, "pthread_create failed");
    in_thread(notice_what_others_leave, NULL);
    atomic_store(&g_stage, 3);
    pthread_join(other, NULL);
}

/* A thread that makes many calls is to hardly notice. */
static void call_often(void *unused)
{
    enum { CALLS = 1000 * 1000, SLOW = 16384 + 16384 };
    (void)unused;
    size_t slow = 0;
    hak_free(hak_malloc(100));
    go_up_and_down();
    for (size_t i = 0; i < CALLS; i++) {
        slow += !ring_is_roomy(class_of(100));
        hak_free(hak_malloc(100));
    }
    must(slow > 0 && slow < SLOW, "%zu of %d calls were slow", slow, CALLS);
}

static void test_fences_cost_little(void **state)
{
    (void)state;
    in_thread(call_often, NULL);
}

/* Rings are not hidden because of what other tests have left. */
static int nothing_waits(void **state)
{
    (void)state;
    purge_all(0);
    must(!load_relaxed(&retain_waits), "something waits after a trim");
    return 0;
}

#define TEST(name) cmocka_unit_test_setup(name, nothing_waits)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_refill),
        TEST(test_last_in_first_out),
        TEST(test_refills_grow),
        TEST(test_growth_and_flush),
        TEST(test_idle_rings_are_emptied),
        TEST(test_young_rings_are_watched),
        TEST(test_second_free_is_found),
        TEST(test_misuse_is_found),
        TEST(test_counted),
        TEST(test_zeroed),
        TEST(test_second_free_across_the_depot_is_found),
        TEST(test_blocks_that_pass),
        TEST(test_neighbours_are_not_taken_up),
        TEST(test_medium_blocks),
        TEST(test_busy),
        TEST(test_collect),
        TEST(test_close_returns_everything),
        TEST(test_a_thread_leaves_little),
        TEST(test_a_thread_takes_over_and_is_watched),
        TEST(test_second_free_after_a_threads_end_is_found),
        TEST(test_parked_caches_are_closed),
        TEST(test_a_parked_cache_complies),
        TEST(test_a_child_has_what_is_parked),
        TEST(test_few_caches_are_parked),
        TEST(test_a_trim_reaches_other_threads),
        TEST(test_a_child_has_the_reach_of_vanished_threads),
        TEST(test_idle_threads_leave_a_share),
        TEST(test_rings_open_within_the_share),
        TEST(test_what_lies_unused_goes_without_slow_paths),
        TEST(test_what_others_leave_goes_without_slow_paths),
        TEST(test_fences_cost_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
