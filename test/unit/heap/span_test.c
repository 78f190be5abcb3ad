/* span_test.c - runs of units against a naive model of units: what a run is made of, that the lowest best fit is
 * chosen, that "zeroed" is true to memory, and that memory goes back. Nothing else in this program uses the heap.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include "filter.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "system/lock.h"
#include "heap/span.h"

enum {
    SLABS = 1024,    /* most superslabs that the model knows */
    RUNS = 300,      /* most runs alive */
    MOST_UNITS = 3000, /* most units alive: 188 MiB */
    LOCKED_UNITS = 20
};

/* ---- The model --------------------------------------------------------------------------------------------------- */

static uint32_t g_used[SLABS]; /* units of each superslab that are in a run */
static uint32_t g_slabs;       /* superslabs known */
static size_t g_units;         /* units in runs */

static struct live {
    struct run run;
    size_t units;
    uint64_t seed;
} g_live[RUNS];
static size_t g_count;

static bool is_mapped(uint32_t n) { return slab_at(n)->is_mapped; }

/* The i-th unit behind a run's first. */
static uint32_t *unit_word(struct run run, size_t i, uint32_t *bit)
{
    size_t unit = run.unit + i;
    *bit = (uint32_t)1 << unit % SUPERSLAB_UNITS;
    size_t n = run.slab->number + unit / SUPERSLAB_UNITS;
    must(n < SLABS, "superslab %zu is beyond the model", n);
    return &g_used[n];
}

static bool unit_is_used(struct run run, size_t i)
{
    uint32_t bit;
    return *unit_word(run, i, &bit) & bit;
}

static void units_set(struct run run, size_t from, size_t to, bool used)
{
    for (size_t i = from; i < to; i++) {
        uint32_t bit, *word = unit_word(run, i, &bit);
        must(!(*word & bit) == used, "unit %zu of a run is in another run too", i);
        *word ^= bit;
    }
    g_units += used ? to - from : from - to;
}

static unsigned longest_free(uint32_t n)
{
    unsigned longest = 0, length = 0;
    for (unsigned unit = 0; unit < SUPERSLAB_UNITS; unit++) {
        length = g_used[n] >> unit & 1 ? 0 : length + 1;
        longest = length > longest ? length : longest;
    }
    return longest;
}

static bool is_free(uint32_t n, unsigned unit, size_t units)
{
    for (size_t i = 0; i < units; i++)
        if (g_used[n] >> (unit + i) & 1)
            return false;
    return true;
}

/* In the superslab whose longest free run is the shortest that will do, of the lowest number, the lowest unit. */
static struct run model_find_in_slab(size_t units, size_t align)
{
    struct run best = {.slab = NULL};
    unsigned best_length = SUPERSLAB_UNITS + 1;
    for (uint32_t n = 0; n < g_slabs; n++)
        for (unsigned unit = 0; is_mapped(n) && unit + units <= SUPERSLAB_UNITS; unit += (unsigned)align)
            if (is_free(n, unit, units)) {
                if (longest_free(n) < best_length) {
                    best_length = longest_free(n);
                    best = (struct run){.slab = slab_at(n), .unit = unit};
                }
                break;
            }
    return best;
}

/* Free superslabs from a number on, as many as a group's longest stretch may count. */
static uint32_t stretch_from(uint32_t n)
{
    uint32_t length = 0;
    while (length < STRETCH_MAX && n + length < g_slabs && is_mapped(n + length) && g_used[n + length] == 0)
        length++;
    return length;
}

/* In the group whose longest stretch of free superslabs is the shortest that will do, of the lowest number, the
 * lowest. */
static struct run model_find_slabs(size_t units)
{
    uint32_t count = (uint32_t)(units + SUPERSLAB_UNITS - 1) / SUPERSLAB_UNITS, best_length = STRETCH_MAX + 1, best = 0;
    for (uint32_t group = 0; group < g_slabs; group += GROUP_SLABS) {
        uint32_t longest = 0;
        for (uint32_t n = group; n < group + GROUP_SLABS && n < g_slabs; n++)
            longest = (uint32_t)max_size(longest, stretch_from(n));
        if (longest >= count && longest < best_length) {
            best_length = longest;
            best = group;
        }
    }
    while (best_length <= STRETCH_MAX && stretch_from(best) < count)
        best++;
    return (struct run){.slab = best_length <= STRETCH_MAX ? slab_at(best) : NULL};
}

static struct run model_find(size_t units, size_t align)
{
    return units <= SUPERSLAB_UNITS && align <= SUPERSLAB_UNITS ? model_find_in_slab(units, align)
                                                                : model_find_slabs(units);
}

/* Every superslab is valid and its units are those of the model; the sums are right. Under the lock. */
static void must_be_valid(const char *when)
{
    struct span_stats stats;
    size_t used = 0, dirty = 0, mapped = 0, huge = 0;
    g_slabs = span_slab_count();
    must(g_slabs <= SLABS, "%u superslabs are more than the model knows", g_slabs);
    for (uint32_t n = 0; n < g_slabs; n++) {
        const struct superslab *slab = slab_at(n);
        must(span_slab_is_valid(slab), "%s: superslab %u is not valid", when, n);
        must(slab->used == g_used[n], "%s: superslab %u: expected units %08x, saw %08x", when, n, g_used[n],
             slab->used);
        used += count_bits(slab->used);
        dirty += count_bits(slab->dirty);
        mapped += is_mapped(n);
        huge += slab->backing == BACKING_HUGE;
    }
    span_stats(&stats);
    must(used == g_units, "%s: %zu units used, expected %zu", when, used, g_units);
    must(stats.huge == huge << SUPERSLAB_SHIFT, "%s: statistics: huge %zu, superslabs %zu", when, stats.huge, huge);
    must(stats.used == used << UNIT_SHIFT && stats.dirty == dirty << UNIT_SHIFT &&
             stats.mapped == mapped << SUPERSLAB_SHIFT && stats.clean == stats.mapped - stats.used - stats.dirty,
         "%s: statistics: mapped %zu, used %zu, dirty %zu, clean %zu; units used %zu, dirty %zu, superslabs %zu", when,
         stats.mapped, stats.used, stats.dirty, stats.clean, used, dirty, mapped);
}

/* ---- Contents ---------------------------------------------------------------------------------------------------- */

/* One word in each page of memory, at changing places, stands for its contents. */
static uint64_t *probe(struct run run, size_t page)
{
    return (uint64_t *)(void *)(run_start(run) + page * 4096 + page * 8 % 4096);
}

static void run_fill(struct run run, size_t from, size_t to, uint64_t seed)
{
    for (size_t page = from * 16; page < to * 16; page++)
        *probe(run, page) = seed + page;
}

static void run_check(struct run run, size_t units, uint64_t seed)
{
    for (size_t page = 0; page < units * 16; page++)
        must(*probe(run, page) == seed + page, "page %zu of a run of %zu units was changed", page, units);
}

/* Whether the probes read as zero. Every word that this program ever wrote in a superslab is at one of 512 places. */
static bool run_is_zero(struct run run, size_t units)
{
    for (size_t page = 0; page < units * 16; page++) {
        const uint64_t *words = (const uint64_t *)(void *)(run_start(run) + page * 4096);
        for (size_t i = 0; i < 512; i++)
            if (words[i] != 0)
                return false;
    }
    return true;
}

/* ---- Operations -------------------------------------------------------------------------------------------------- */

static void lock_and_check(const char *when)
{
    heap_lock();
    must_be_valid(when);
}

/* Known to the model from now on. Ends the lock. */
static void live_enter(struct run run, size_t units, uint64_t seed)
{
    units_set(run, 0, units, true);
    must_be_valid("after span_alloc");
    lock_release();
    must(!run.zeroed || run_is_zero(run, units), "a run of %zu units is said to be zero and is not", units);
    run_fill(run, 0, units, seed);
    g_live[g_count++] = (struct live){run, units, seed};
}

/* The heap has no such run: now it has. Under the lock, which is free meanwhile. */
static void must_grow(size_t units, size_t align)
{
    lock_release();
    must(span_grow(units, align), "span_grow(%zu, %zu) refused", units, align);
    heap_lock();
}

static struct run run_alloc(size_t units, size_t align)
{
    struct run run = span_alloc(units, align);
    while (!run.slab) {
        must_grow(units, align);
        run = span_alloc(units, align);
    }
    return run;
}

static struct run live_alloc_dense(size_t units, uint64_t seed)
{
    heap_lock();
    struct run run = span_alloc_dense(units);
    while (!run.slab) {
        must_grow(units, 1);
        run = span_alloc_dense(units);
    }
    must(run.slab && run.unit + units <= SUPERSLAB_UNITS, "span_alloc_dense(%zu): unit %u", units, run.unit);
    live_enter(run, units, seed);
    return run;
}

static void live_alloc(size_t units, size_t align, uint64_t seed)
{
    heap_lock();
    struct run expected = model_find(units, align);
    uint32_t known = g_slabs;
    struct run run = run_alloc(units, align);
    must(((uintptr_t)run_start(run) & ((align << UNIT_SHIFT) - 1)) == 0, "span_alloc(%zu, %zu): saw %p", units, align,
         (void *)run_start(run));
    if (expected.slab && align <= SUPERSLAB_UNITS)
        must(run.slab == expected.slab && run.unit == expected.unit,
             "span_alloc(%zu, %zu): expected superslab %u unit %u, saw %u unit %u", units, align, expected.slab->number,
             expected.unit, run.slab->number, run.unit);
    else
        must(run.slab->number >= known || g_used[run.slab->number] == 0,
             "span_alloc(%zu, %zu): superslab %u, unit %u does not fit", units, align, run.slab->number, run.unit);
    live_enter(run, units, seed);
}

/* Frees the units from `keep` on. */
static void live_shrink(struct live *live, size_t keep)
{
    run_check(live->run, live->units, live->seed);
    size_t unit = live->run.unit + keep;
    struct run rear = {.slab = slab_at(live->run.slab->number + (uint32_t)(unit / SUPERSLAB_UNITS)),
                       .unit = (uint32_t)(unit % SUPERSLAB_UNITS)};
    heap_lock();
    span_free(rear, live->units - keep, live->units - keep);
    units_set(live->run, keep, live->units, false);
    must_be_valid("after span_free");
    lock_release();
    live->units = keep;
    if (keep == 0)
        *live = g_live[--g_count];
}

static void live_extend(struct live *live, size_t new_units)
{
    heap_lock();
    bool can = true;
    for (size_t i = live->units; i < new_units && can; i++) {
        uint32_t n = live->run.slab->number + (uint32_t)((live->run.unit + i) / SUPERSLAB_UNITS);
        can = n < g_slabs && is_mapped(n) && !unit_is_used(live->run, i);
    }
    struct run run = live->run;
    bool done = span_extend(&run, live->units, new_units);
    must(done == can, "span_extend from %zu to %zu: expected %d, saw %d", live->units, new_units, can, done);
    if (done)
        units_set(live->run, live->units, new_units, true);
    must_be_valid("after span_extend");
    lock_release();
    if (done) {
        run_fill(live->run, live->units, new_units, live->seed);
        live->units = new_units;
    }
    run_check(live->run, live->units, live->seed);
}

static void purge_to(size_t keep)
{
    struct span_stats before, after;
    heap_lock();
    span_stats(&before);
    lock_release();
    size_t purged = span_purge(keep, SIZE_MAX, UINT64_MAX);
    lock_and_check("after span_purge");
    span_stats(&after);
    lock_release();
    must(after.dirty <= keep || after.dirty == 0, "span_purge(%zu) left %zu bytes dirty", keep, after.dirty);
    must(purged == before.dirty - after.dirty, "span_purge(%zu): dirty from %zu to %zu, and says %zu", keep,
         before.dirty, after.dirty, purged);
}

static void unmap_free(void)
{
    bool any = false;
    for (uint32_t n = 0; n < g_slabs; n++)
        any |= is_mapped(n) && g_used[n] == 0;
    must(span_unmap_free() == any, "span_unmap_free: expected %d", any);
    lock_and_check("after span_unmap_free");
    for (uint32_t n = 0; n < g_slabs; n++)
        must(!is_mapped(n) || g_used[n] != 0, "superslab %u is free and still mapped", n);
    lock_release();
}

static size_t random_units(uint64_t *random)
{
    switch (random_next(random) % 8) {
    case 0:
        return 1 + random_next(random) % 150;
    case 1:
        return 32;
    default:
        return 1 + random_next(random) % 32;
    }
}

static void random_step(uint64_t *random)
{
    uint64_t choice = random_next(random) % 100;
    struct live *live = g_count ? &g_live[random_next(random) % g_count] : NULL;
    size_t units = random_units(random);
    if (choice < 45 && g_count < RUNS && g_units + units <= MOST_UNITS) {
        size_t align = random_next(random) % 4 ? 1 : (size_t)1 << random_next(random) % 8;
        if (units <= SUPERSLAB_UNITS && random_next(random) % 3 == 0)
            live_alloc_dense(units, random_next(random));
        else
            live_alloc(units, align, random_next(random));
    } else if (choice < 85 && live) {
        live_shrink(live, choice < 70 ? 0 : random_next(random) % live->units);
    } else if (choice < 95 && live) {
        live_extend(live, live->units + 1 + random_next(random) % (choice < 90 ? 4 : 60));
    } else if (choice < 99) {
        purge_to((random_next(random) % 64) << UNIT_SHIFT);
    } else {
        unmap_free();
    }
}

static void free_everything(void)
{
    while (g_count > 0)
        live_shrink(&g_live[0], 0);
}

/* ---- Tests ------------------------------------------------------------------------------------------------------- */

static void test_random_operations(void **state)
{
    (void)state;
    enum { STEPS = UNDER_TSAN ? 1500 : 5000 };
    uint64_t random = 4711;
    for (size_t step = 0; step < STEPS; step++)
        random_step(&random);
    free_everything();
    purge_to(0);
}

static void test_alignment(void **state)
{
    (void)state;
    for (size_t align = 1; align <= RUN_MAX_SIZE >> UNIT_SHIFT; align *= 2)
        for (size_t units = 1; units <= 100; units = units * 3 + 1)
            live_alloc(units, align, align);
    free_everything();
    unmap_free();
}

static void test_unmapped_numbers_are_used_again(void **state)
{
    (void)state;
    unmap_free();
    for (size_t round = 0; round < 20; round++) {
        for (size_t i = 0; i < 20; i++)
            live_alloc(32, 1, i);
        uint32_t known = g_slabs;
        free_everything();
        unmap_free();
        for (size_t i = 0; i < 20; i++)
            live_alloc(32, 1, i);
        must(g_slabs <= known + 4, "round %zu: %u numbers grew to %u", round, known, g_slabs);
        free_everything();
    }
}

/* Sets are as exact in the second group as in the first. */
static void test_second_group(void **state)
{
    (void)state;
    uint32_t wanted = (g_slabs / GROUP_SLABS + 2) * GROUP_SLABS;
    while (g_slabs < wanted)
        live_alloc(500, 1, g_slabs);
    for (unsigned set = 0; set < SET_COUNT; set++)
        for (uint32_t n = slabset_next(set, 0); n != SLAB_NONE; n = slabset_next(set, n + 1))
            must(n < g_slabs, "set %u has superslab %u of %u", set, n, g_slabs);
    free_everything();
    unmap_free();
}

static void test_too_much(void **state)
{
    (void)state;
    heap_lock();
    assert_null(span_alloc((size_t)1 << 40, 1).slab);
    assert_null(span_alloc(SIZE_MAX >> UNIT_SHIFT, 1).slab);
    must_be_valid("after a refusal");
    lock_release();
    assert_false(span_grow((size_t)1 << 40, 1));
    assert_false(span_grow(SIZE_MAX >> UNIT_SHIFT, 1));
    lock_and_check("after a refusal");
    lock_release();
}

/* Superslabs that are unmapped and mapped again, again and again: what is dirty and what is used is known
 * throughout. */
static void test_unmapping_in_rounds(void **state)
{
    (void)state;
    struct run runs[60];
    for (size_t round = 0; round < 20; round++) {
        heap_lock();
        for (size_t i = 0; i < COUNT_OF(runs); i++)
            runs[i] = run_alloc(SUPERSLAB_UNITS, 1);
        for (size_t i = 0; i < COUNT_OF(runs); i++)
            span_free(runs[i], SUPERSLAB_UNITS, SUPERSLAB_UNITS);
        must_be_valid("after freeing all");
        lock_release();
        unmap_free();
    }
}

/* What a fresh run's user says it has not touched is as clean as before, and the rest is not. */
static void test_untouched_units_stay_clean(void **state)
{
    (void)state;
    struct span_stats before, after;
    unmap_free();
    heap_lock();
    struct run run = run_alloc(40, 1);
    must(run.zeroed, "a run of fresh superslabs is not zeroed");
    span_stats(&before);
    span_free(run, 40, 33);
    span_stats(&after);
    must(after.dirty == before.dirty + 33 * UNIT_SIZE && after.clean == before.clean + 7 * UNIT_SIZE,
         "of 40 units 33 were touched: %zu bytes became dirty, %zu clean", after.dirty - before.dirty,
         after.clean - before.clean);
    must_be_valid("after a free of untouched units");
    lock_release();
}

/* One in which a huge page is small, where a superslab is one. */
static void begin_with_large_heap(void)
{
    if (sysconf(_SC_PAGESIZE) != 4096)
        skip();
    unmap_free();
    live_alloc(RUN_MAX_SIZE >> UNIT_SHIFT, 1, 1);
}

/* Dense memory fills one superslab after the other, each in a huge page; the part of the last that nobody uses yet is
 * dirty and stays, until everything is to go. */
static void test_dense_memory_is_in_huge_pages(void **state)
{
    (void)state;
    struct span_stats stats;
    if (sysconf(_SC_PAGESIZE) != 4096)
        skip(); /* a superslab is no huge page */
    unmap_free();
    assert_int_equal(live_alloc_dense(1, 1).slab->backing, BACKING_UNSAID); /* the heap is small */
    live_alloc(RUN_MAX_SIZE >> UNIT_SHIFT, 1, 1);
    for (unsigned i = 0; i < 40; i++) {
        struct run run = live_alloc_dense(1, i);
        if (run.slab->backing != BACKING_HUGE)
            assert_true(i == 0); /* beside the first, where the memory is there */
    }
    heap_lock();
    span_stats(&stats);
    lock_release();
    assert_int_equal(stats.huge, 2 * SUPERSLAB_SIZE);
    assert_in_range(stats.dirty >> UNIT_SHIFT, 24, 25);
    assert_int_equal(span_purge(0, SIZE_MAX / 2, UINT64_MAX), 0);
    purge_to(0);
    heap_lock();
    span_stats(&stats);
    lock_release();
    assert_int_equal(stats.huge, SUPERSLAB_SIZE);
    free_everything();
    purge_to(0);
}

/* A free superslab of which a part is dirty serves neither as it is nor as a huge page: there is to be another. */
static void test_dense_memory_beside_what_is_dirty(void **state)
{
    (void)state;
    begin_with_large_heap();
    live_alloc(4, 1, 2);
    unmap_free();
    live_shrink(&g_live[1], 0);
    assert_int_equal(live_alloc_dense(8, 3).slab->backing, BACKING_HUGE);
    free_everything();
    purge_to(0);
    unmap_free();
}

/* Of a superslab of its own, a run of 17 units leaves 15 over: as long as these are less than a quarter of what is in
 * use. */
static void test_dense_memory_leaves_little_over(void **state)
{
    enum { DENSE_RUNS = 40 };
    (void)state;
    struct span_stats stats;
    begin_with_large_heap();
    unsigned huge = 0;
    for (unsigned i = 0; i < DENSE_RUNS; i++)
        huge += live_alloc_dense(17, i).slab->backing == BACKING_HUGE;
    assert_in_range(huge, 20, 32);
    heap_lock();
    span_stats(&stats);
    lock_release();
    assert_true(stats.dirty <= stats.used / 4 + SUPERSLAB_SIZE);
    free_everything();
    purge_to(0);
    unmap_free();
}

/* Where huge pages take long to come, they are tried again after 128 superslabs' worth of dense memory, then 256. */
static void test_slow_huge_pages_are_seldom_tried(void **state)
{
    (void)state;
    enum { MILLISECOND = 1000000 };
    struct span_stats before, after;
    begin_with_large_heap();
    heap_lock();
    span_stats(&before);
    lock_release();
    for (unsigned row = 0; row < 2; row++) {
        span_note_huge(4 * MILLISECOND);
        for (unsigned i = 1; i < 128u << row; i++) {
            assert_int_not_equal(live_alloc_dense(32, i).slab->backing, BACKING_HUGE);
            live_shrink(&g_live[1], 0);
            unmap_free(); /* or there would be dirty memory at hand */
        }
        assert_int_equal(live_alloc_dense(32, 1).slab->backing, BACKING_HUGE);
        live_shrink(&g_live[1], 0);
        unmap_free();
    }
    span_note_huge(MILLISECOND / 10);
    assert_int_equal(live_alloc_dense(32, 1).slab->backing, BACKING_HUGE);
    heap_lock();
    span_stats(&after);
    lock_release();
    assert_int_equal(after.huge_slow, before.huge_slow + 2);
    free_everything();
    unmap_free();
}

/* A superslab that was in a huge page is in small ones for whoever does not fill it; and in a huge one again for who
 * does. */
static void test_backing_changes_with_its_use(void **state)
{
    (void)state;
    struct span_stats stats;
    begin_with_large_heap();
    struct superslab *slab = live_alloc_dense(32, 2).slab;
    assert_int_equal(slab->backing, BACKING_HUGE);
    for (unsigned round = 0; round < 3; round++) {
        live_shrink(&g_live[1], 0);
        purge_to(0);
        heap_lock();
        span_stats(&stats);
        lock_release();
        assert_int_equal(stats.huge, SUPERSLAB_SIZE);
        live_alloc(1, 1, 3);
        assert_ptr_equal(g_live[1].run.slab, slab);
        assert_int_equal(slab->backing, BACKING_SMALL);
        live_shrink(&g_live[1], 0);
        purge_to(0);
        assert_ptr_equal(live_alloc_dense(32, 4).slab, slab);
        assert_int_equal(slab->backing, BACKING_HUGE);
    }
    free_everything();
    purge_to(0);
    unmap_free();
}

/* No more goes than was asked for, but for the rest of a superslab. */
static void test_some_is_purged(void **state)
{
    enum { RUNS_MADE = 6, SIZE = 20 };
    (void)state;
    struct span_stats stats;
    unmap_free();
    for (unsigned i = 0; i < RUNS_MADE; i++)
        live_alloc(SIZE, 1, i);
    while (g_count > 0)
        live_shrink(&g_live[g_count - 1], 0);
    for (unsigned left = RUNS_MADE; left > 0; left--) {
        assert_int_equal(span_purge(0, UNIT_SIZE, UINT64_MAX) >> UNIT_SHIFT, SIZE);
        lock_and_check("after a purge of some");
        span_stats(&stats);
        lock_release();
        assert_int_equal(stats.dirty >> UNIT_SHIFT, (left - 1) * SIZE);
    }
}

/* As systems before Linux 5.18, which know no MADV_DONTNEED_LOCKED. */
static void forbid_purges_of_locked_memory(void)
{
    enum { DONTNEED_LOCKED = 24 };
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, DONTNEED_LOCKED, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    filter_install(FILTER_UNSEEN, code, COUNT_OF(code));
}

static bool purges_locked_memory(void)
{
    unsigned major = 0, minor = 0;
    struct utsname system;
    uname(&system);
    sscanf(system.release, "%u.%u", &major, &minor);
    return major > 5 || (major == 5 && minor >= 18);
}

/* Of runs of which the program has locked one into memory, and has not unlocked it, how many units stay dirty. */
static void purge_with_one_locked(size_t stays)
{
    enum { RUNS_MADE = 4, LOCKED = RUNS_MADE - 1, SIZE = LOCKED_UNITS }; /* each in a superslab of its own, the last purged first */
    struct span_stats stats;
    unmap_free();
    for (unsigned i = 0; i < RUNS_MADE; i++)
        live_alloc(SIZE, 1, i);
    char *locked = run_start(g_live[LOCKED].run);
    bool is_locked = syscall(SYS_mlock, locked, 4096) == 0; /* sanitizers make mlock do nothing */
    while (g_count > 0)
        live_shrink(&g_live[g_count - 1], 0);
    for (unsigned round = 0; round < 2 && is_locked; round++) {
        span_purge(0, SIZE_MAX, UINT64_MAX);
        lock_and_check("after a purge of locked memory");
        span_stats(&stats);
        lock_release();
        must(stats.dirty >> UNIT_SHIFT == stays, "%zu units are dirty, of %zu that should be",
             stats.dirty >> UNIT_SHIFT, stays);
    }
    syscall(SYS_munlock, locked, 4096);
    purge_to(0);
}

static void purge_as_older_systems(void *unused)
{
    (void)unused;
    forbid_purges_of_locked_memory();
    purge_with_one_locked(LOCKED_UNITS);
}

static void test_locked_memory_goes_back(void **state)
{
    (void)state;
    if (!purges_locked_memory()) {
        skip_because("Linux before 5.18 purges no locked memory");
        skip();
    }
    purge_with_one_locked(0);
}

/* Where it cannot be purged, by whatever call, the others can. */
static void test_locked_memory_holds_up_no_other(void **state)
{
    struct child_result result;
    (void)state;
    child_run(purge_as_older_systems, NULL, 60, &result);
    must_end_well(&result, "a purge beside locked memory");
}

/* Linux 6.14 and later free an empty page table, if all that it stands for is purged in one call. */
static bool page_tables_go(void)
{
    struct utsname system;
    unsigned major = 0, minor = 0;
    uname(&system);
    sscanf(system.release, "%u.%u", &major, &minor);
    return (major > 6 || (major == 6 && minor >= 14)) && strcmp(system.machine, "x86_64") == 0;
}

/* Page faults of a run of 2 MiB that is dense. */
static size_t faults_of_dense_superslab(void)
{
    size_t before = process_faults();
    live_alloc_dense(SUPERSLAB_UNITS, 4);
    return process_faults() - before;
}

/* A superslab that was purged in parts can be a huge page again, if the system has any. */
static void test_a_huge_page_after_purges_of_parts(void **state)
{
    enum { PAGES = SUPERSLAB_SIZE / 4096, ATTEMPTS = 8 };
    (void)state;
    size_t fewest = SIZE_MAX;
    begin_with_large_heap();
    bool has_huge_pages = faults_of_dense_superslab() <= PAGES / 4;
    free_everything();
    purge_to(0);
    unmap_free();
    if (UNDER_SHADOW || !page_tables_go() || !has_huge_pages)
        skip();
    begin_with_large_heap();
    for (unsigned i = 0; i < ATTEMPTS && fewest > PAGES / 4; i++) {
        live_alloc(16, 1, 2);
        live_alloc(16, 1, 3);
        struct superslab *slab = g_live[1].run.slab;
        assert_ptr_equal(g_live[2].run.slab, slab);
        live_shrink(&g_live[1], 0);
        purge_to(0);
        live_shrink(&g_live[1], 0);
        purge_to(0);
        fewest = min_size(fewest, faults_of_dense_superslab());
        assert_ptr_equal(g_live[1].run.slab, slab);
        live_shrink(&g_live[1], 0);
        purge_to(0);
    }
    must(fewest <= PAGES / 4, "%zu page faults in 2 MiB that were to be a huge page", fewest);
    free_everything();
    purge_to(0);
    unmap_free();
}

/* The truth is the used masks: all else can be thrown away. */
static void test_after_fork(void **state)
{
    (void)state;
    uint64_t random = 99;
    for (size_t step = 0; step < 300; step++)
        random_step(&random);
    unmap_free();
    assert_int_not_equal(slabset_next(SET_GONE, 0), SLAB_NONE);
    pid_t child = child_fork(20);
    if (child == 0) {
        heap_lock();
        for (uint32_t n = 0; n < span_slab_count(); n++)
            for (unsigned set = SET_UNTOUCHED; set < SET_GONE; set++)
                (random_next(&random) % 2 ? slabset_add : slabset_remove)(set, n);
        for (uint32_t n = 0; n < span_slab_count(); n++)
            (is_mapped(n) ? slabset_remove : slabset_add)(SET_GONE, n);
        /* A thread that vanished had said so, and not counted it yet. */
        for (uint32_t n = 0; n < span_slab_count(); n++)
            if (is_mapped(n))
                slab_at(n)->backing = (uint8_t)(random_next(&random) % (BACKING_SMALL + 1));
        /* Others were taking units, or giving them back. */
        for (uint32_t n = 0; n < span_slab_count(); n++)
            if (is_mapped(n))
                slab_at(n)->dirty |= (uint32_t)random_next(&random) & slab_at(n)->used;
        span_after_fork();
        must_be_valid("after span_after_fork");
        lock_release();
        purge_to(0);
        for (size_t step = 0; step < 300; step++)
            random_step(&random);
        free_everything();
        _exit(0);
    }
    child_join(child, "span_after_fork");
    free_everything();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* First: where purged memory was needed again, as in the others, it fades more slowly. */
        cmocka_unit_test(test_unmapping_in_rounds),
        cmocka_unit_test(test_untouched_units_stay_clean),
        cmocka_unit_test(test_random_operations),
        cmocka_unit_test(test_alignment),
        cmocka_unit_test(test_unmapped_numbers_are_used_again),
        cmocka_unit_test(test_second_group),
        cmocka_unit_test(test_too_much),
        cmocka_unit_test(test_dense_memory_is_in_huge_pages),
        cmocka_unit_test(test_dense_memory_beside_what_is_dirty),
        cmocka_unit_test(test_dense_memory_leaves_little_over),
        cmocka_unit_test(test_some_is_purged),
        cmocka_unit_test(test_locked_memory_goes_back),
        cmocka_unit_test(test_locked_memory_holds_up_no_other),
        cmocka_unit_test(test_a_huge_page_after_purges_of_parts),
        cmocka_unit_test(test_slow_huge_pages_are_seldom_tried),
        cmocka_unit_test(test_backing_changes_with_its_use),
        cmocka_unit_test(test_after_fork),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
