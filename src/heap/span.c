#include "heap/span.h"

#include "system/lock.h"
#include "heap/map.h"
#include "heap/meta.h"
#include "system/os.h"
#include "heap/prefault.h"
#include "heap/retain.h"

enum {
    GROW_FIRST = 2, /* superslabs of the first mapping; then an eighth of the heap, up to GROW_MAX */
    GROW_MAX = 32,
    DENSE_SLABS = 8, /* in use, before a huge page is small in comparison */
    HUGE_OF = 4096,  /* bytes of a page of memory of which that many make a huge page of the size of a superslab: */
    HUGE_PAGES = 512,
    SAID_MAX = 8192  /* superslabs with a backing of their own: each may cost the process a mapping, of 65,530 */
};

static struct {
    _Atomic(uint32_t) slab_count; /* [lock to write] numbers given out */
    size_t mapped_slabs;          /* [lock] */
    size_t used_units;            /* [lock] */
    size_t dirty_units;           /* [lock] */
    size_t said_slabs;            /* [lock] superslabs whose backing is not BACKING_UNSAID */
    size_t huge_slabs;            /* [lock] and is BACKING_HUGE */
    _Atomic(uint32_t) slow;       /* [atomic] huge pages that took the system long, */
    _Atomic(uint32_t) slow_row;   /* [atomic] of these in a row; 0 after one that did not */
    _Atomic(bool) one_was_fast;   /* [atomic] a huge page did not take long */
    size_t dense_spared;          /* [lock] units of dense memory for which no huge page is to be asked, for now */
    struct superslab *open;       /* [lock] the one that dense memory is taken from; NULL: none */
    char *hint;                   /* [lock] where the next mapping would be a neighbour of the last */
} heap;

uint32_t span_slab_count(void) { return load_acquire(&heap.slab_count); /* pairs with slab_enter */ }

/* ---- Masks of units ---------------------------------------------------------------------------------------------- */

static uint32_t unit_mask(uint32_t unit, size_t units) { return low_mask32((unsigned)units) << unit; }

/* Bits where a run of `units` set bits begins. */
static uint32_t run_starts(uint32_t free, size_t units)
{
    for (size_t have = 1; have < units;) {
        size_t step = min_size(have, units - have);
        free &= free >> step;
        have += step;
    }
    return free;
}

static unsigned longest_run(uint32_t free)
{
    unsigned length = 0;
    for (; free; free &= free << 1)
        length++;
    return length;
}

/* Bits whose index is a multiple of `align` (a power of two, at most 32). */
static uint32_t aligned_units(size_t align)
{
    uint32_t mask = 1;
    for (size_t distance = align; distance < SUPERSLAB_UNITS; distance *= 2)
        mask |= mask << distance;
    return mask;
}

/* ---- Changing the truth and what is derived from it -------------------------------------------------------------- */

static unsigned slab_set(const struct superslab *slab) { return SET_LONGEST_RUN + longest_run(~slab->used); }

static void slab_refile(struct superslab *slab, unsigned old_set)
{
    unsigned set = slab_set(slab);
    if (set == old_set)
        return;
    if (old_set > SET_LONGEST_RUN)
        slabset_remove(old_set, slab->number);
    if (set > SET_LONGEST_RUN)
        slabset_add(set, slab->number);
}

/* Marks units as used. How many of them were clean. */
static size_t slab_take(struct superslab *slab, uint32_t mask)
{
    HAK_ASSERT((slab->used & mask) == 0);
    unsigned old_set = slab_set(slab);
    uint32_t dirty = slab->dirty & mask;
    slab->used |= mask;
    signal_fence(); /* the child of a fork sees how far a thread has come: span_after_fork relies on this order */
    slab->dirty &= ~mask;
    slab->purged &= ~mask;
    heap.used_units += count_bits(mask);
    heap.dirty_units -= count_bits(dirty);
    slab_refile(slab, old_set);
    return count_bits(mask & ~dirty);
}

/* Marks units as free; of these, `dirty` are dirty and `purged` went back to the system. */
static void slab_put(struct superslab *slab, uint32_t mask, uint32_t dirty, uint32_t purged)
{
    HAK_ASSERT((slab->used & mask) == mask && (dirty & ~mask) == 0);
    unsigned old_set = slab_set(slab);
    slab->dirty |= dirty;
    slab->purged |= purged;
    signal_fence(); /* as in slab_take */
    slab->used &= ~mask;
    heap.used_units -= count_bits(mask);
    heap.dirty_units += count_bits(dirty);
    slab_refile(slab, old_set);
}

/* The mask of a run's units in its `i`th superslab. */
static uint32_t run_mask(struct run run, size_t units, size_t i)
{
    if (i == 0)
        return unit_mask(run.unit, min_size(units, SUPERSLAB_UNITS - run.unit));
    size_t before = SUPERSLAB_UNITS - run.unit + (i - 1) * SUPERSLAB_UNITS;
    return unit_mask(0, min_size(units - before, SUPERSLAB_UNITS));
}

static size_t run_slabs(struct run run, size_t units)
{
    return (run.unit + units + SUPERSLAB_UNITS - 1) / SUPERSLAB_UNITS;
}

static bool slab_is_untouched(const struct superslab *slab) { return (slab->used | slab->dirty) == 0; }

/* Whether its free memory is about to be used. */
static bool is_spared(const struct superslab *slab) { return slab == heap.open && slab->used != 0; }

/* Tells retention what is in use and what is dirty. */
static void heap_publish(void)
{
    unsigned spared = heap.open && is_spared(heap.open) ? count_bits(heap.open->dirty) : 0;
    retain_runs(heap.used_units << UNIT_SHIFT, (heap.dirty_units - spared) << UNIT_SHIFT);
}

/* ---- Huge pages -------------------------------------------------------------------------------------------------- */

/* False when the system refuses. */
static COLD bool slab_back(struct superslab *slab, enum backing backing)
{
    bool is_new = slab->backing == BACKING_UNSAID;
    if ((is_new && heap.said_slabs == SAID_MAX) ||
        os_prefer_huge(slab_unit_start(slab, 0), SUPERSLAB_SIZE, backing == BACKING_HUGE))
        return false;
    heap.said_slabs += is_new;
    heap.huge_slabs += backing == BACKING_HUGE;
    heap.huge_slabs -= slab->backing == BACKING_HUGE;
    slab->backing = (uint8_t)backing;
    return true;
}

/* Its memory is gone. */
static COLD void slab_unsay(struct superslab *slab)
{
    heap.open = heap.open == slab ? NULL : heap.open;
    heap.said_slabs -= slab->backing != BACKING_UNSAID;
    heap.huge_slabs -= slab->backing == BACKING_HUGE;
    slab->backing = BACKING_UNSAID;
}

void span_split(struct superslab *slab)
{
    if (slab->backing != BACKING_HUGE)
        return;
    if (heap.open == slab)
        heap.open = NULL;
    slab_back(slab, BACKING_SMALL);
}

/* ---- Taking runs ------------------------------------------------------------------------------------------------- */

/* Units that the program is to have. How many of them were clean. */
static size_t slab_use(struct superslab *slab, uint32_t mask)
{
    if (UNLIKELY(slab->backing == BACKING_HUGE && slab_is_untouched(slab)))
        span_split(slab);
    if (slab->purged & mask)
        retain_regret((size_t)count_bits(slab->purged & mask) << UNIT_SHIFT);
    return slab_take(slab, mask);
}

static struct run run_take(struct run run, size_t units)
{
    run.clean = 0;
    for (size_t i = 0; i < run_slabs(run, units); i++)
        run.clean += slab_use(slab_at(run.slab->number + (uint32_t)i), run_mask(run, units, i));
    run.zeroed = run.clean == units;
    heap_publish();
    return run;
}

/* ---- Growing ----------------------------------------------------------------------------------------------------- */

static COLD bool groups_prepare(uint32_t first, uint32_t count)
{
    for (uint32_t group = first / GROUP_SLABS; group <= (first + count - 1) / GROUP_SLABS; group++) {
        if (load_relaxed(&slab_groups[group]))
            continue;
        struct slab_group *memory = meta_alloc(META_OTHER, sizeof *memory);
        if (!memory)
            return false;
        __builtin_memset(memory, 0, sizeof *memory);
        slab_group_add(group, memory);
    }
    return true;
}

/* `count` consecutive numbers of the set, of consecutive addresses and with an aligned first one (unless they have none
 * because they are gone). The first number, or SLAB_NONE. */
static COLD uint32_t find_consecutive(unsigned set, size_t count, size_t align)
{
    uint32_t first = SLAB_NONE, last = SLAB_NONE;
    for (uint32_t n = slabset_next(set, 0); n != SLAB_NONE; n = slabset_next(set, n + 1)) {
        bool follows =
            first != SLAB_NONE && n == last + 1 &&
            (set == SET_GONE || slab_unit_start(slab_at(n), 0) == slab_unit_start(slab_at(last), 0) + SUPERSLAB_SIZE);
        if (!follows)
            first = SLAB_NONE;
        if (first == SLAB_NONE && (set == SET_GONE || ((uintptr_t)slab_unit_start(slab_at(n), 0) & (align - 1)) == 0))
            first = n;
        last = n;
        if (first != SLAB_NONE && last - first + 1 == count)
            return first;
    }
    return SLAB_NONE;
}

/* Numbers for `count` new superslabs: used ones again, or the next. SLAB_NONE when there are no more. */
static uint32_t numbers_for(uint32_t count)
{
    uint32_t first = slabset_next(SET_GONE, 0) == SLAB_NONE ? SLAB_NONE : find_consecutive(SET_GONE, count, 1);
    if (first != SLAB_NONE)
        return first;
    first = load_relaxed(&heap.slab_count);
    if (count > SLABS_MAX - first || !groups_prepare(first, count))
        return SLAB_NONE;
    return first;
}

static void slab_enter(uint32_t number, char *base)
{
    struct superslab *slab = slab_at(number);
    store_relaxed(&slab->base, base);
    slab->used = slab->dirty = slab->purged = 0;
    if (number >= load_relaxed(&heap.slab_count))
        store_release(&heap.slab_count, number + 1); /* pairs with span_slab_count */
    else
        slabset_remove(SET_GONE, number);
    slabset_add(SET_LONGEST_RUN + SUPERSLAB_UNITS, number);
}

/* Maps exactly `count` new superslabs. */
static COLD bool grow_by(uint32_t count, size_t align)
{
    void *start;
    size_t size = (size_t)count << SUPERSLAB_SHIFT;
    uint32_t first = numbers_for(count);
    char *hint = heap.hint ? heap.hint - size : NULL;
    if (first == SLAB_NONE || !map_obtain(size, align, size, hint, &start))
        return false;
    heap.hint = start;
    for (uint32_t i = 0; i < count; i++)
        slab_enter(first + i, (char *)start + ((size_t)i << SUPERSLAB_SHIFT));
    heap.mapped_slabs += count;
    return true;
}

/* Grows by at least `count` superslabs; more the larger the heap is, less when the system refuses. */
static bool grow(size_t count, size_t align)
{
    if (count > SLABS_MAX)
        return false;
    size_t step = max_size(heap.mapped_slabs / 8, GROW_FIRST);
    step = max_size(min_size(step, GROW_MAX), count);
    for (; step > count; step = max_size(step / 2, count))
        if (grow_by((uint32_t)step, align))
            return true;
    return grow_by((uint32_t)count, align);
}

/* ---- Allocating -------------------------------------------------------------------------------------------------- */

static struct run find_in_slab(size_t units, size_t align_units)
{
    for (size_t length = units; length <= SUPERSLAB_UNITS; length++) {
        unsigned set = SET_LONGEST_RUN + (unsigned)length;
        for (uint32_t n = slabset_next(set, 0); n != SLAB_NONE; n = slabset_next(set, n + 1)) {
            struct superslab *slab = slab_at(n);
            uint32_t starts = run_starts(~slab->used, units) & aligned_units(align_units);
            if (starts)
                return (struct run){.slab = slab, .unit = lowest_bit(starts)};
            if (length >= units + align_units - 1)
                break;
        }
    }
    return (struct run){.slab = NULL};
}

static struct run find_run(size_t units, size_t align_units)
{
    if (units <= SUPERSLAB_UNITS && align_units <= SUPERSLAB_UNITS)
        return find_in_slab(units, align_units);
    uint32_t first =
        find_consecutive(SET_LONGEST_RUN + SUPERSLAB_UNITS, (units + SUPERSLAB_UNITS - 1) / SUPERSLAB_UNITS,
                         max_size(align_units << UNIT_SHIFT, SUPERSLAB_SIZE));
    return (struct run){.slab = first == SLAB_NONE ? NULL : slab_at(first)};
}

/* In a heap that grows when there is none. */
static struct run obtain_run(size_t units, size_t align_units)
{
    struct run run = find_run(units, align_units);
    size_t slabs = (units + SUPERSLAB_UNITS - 1) / SUPERSLAB_UNITS;
    if (run.slab || !grow(slabs, max_size(align_units << UNIT_SHIFT, SUPERSLAB_SIZE)))
        return run;
    return find_run(units, align_units);
}

struct run span_alloc(size_t units, size_t align_units)
{
    HAK_ASSERT(lock_is_held() && units > 0 && is_power_of_two(align_units));
    struct run run = obtain_run(units, align_units);
    return run.slab ? run_take(run, units) : run;
}

/* ---- Dense memory ------------------------------------------------------------------------------------------------ */

/* A run in the superslab of which every unit is dirty, so that it costs no fault; slab is NULL if there is none. */
static struct run find_dirty_run(struct superslab *slab, size_t units)
{
    uint32_t starts = slab ? run_starts(slab->dirty, units) : 0;
    return (struct run){.slab = starts ? slab : NULL, .unit = starts ? lowest_bit(starts) : 0};
}

/* Such a run in any superslab, the open one last. */
static struct run find_resident(size_t units)
{
    size_t in_open = heap.open ? count_bits(heap.open->dirty) : 0;
    for (size_t length = units; length <= SUPERSLAB_UNITS && heap.dirty_units - in_open >= units; length++) {
        unsigned set = SET_LONGEST_RUN + (unsigned)length;
        for (uint32_t n = slabset_next(set, 0); n != SLAB_NONE; n = slabset_next(set, n + 1)) {
            struct run run = find_dirty_run(slab_at(n), units);
            if (run.slab && run.slab != heap.open)
                return run;
        }
    }
    return find_dirty_run(heap.open, units);
}

void span_note_huge(uint64_t nanoseconds)
{
    enum { LONG = 1000 * 1000 }; /* clearing 2 MiB takes a tenth of it, and 512 page faults less on most systems */
    uint64_t instead = HUGE_PAGES * prefault_touch_time(); /* for pages that were at hand: others take longer, too */
    bool is_slow = nanoseconds > max_size(LONG, instead + instead / 2);
    fetch_add_relaxed(&heap.slow, is_slow);
    store_relaxed(&heap.slow_row, is_slow ? load_relaxed(&heap.slow_row) + 1 : 0); /* relaxed: a matter of policy */
    if (!is_slow)
        store_relaxed(&heap.one_was_fast, true);
}

void span_try_huge(struct run run)
{
    uint64_t begin = os_nanoseconds();
    *(volatile char *)run_start(run) = 0;
    span_note_huge(os_nanoseconds() - begin);
}

/* Whether to ask for a huge page for `units` more; after slow ones not for a while, twice as long after each. */
static bool huge_is_worth_it(size_t units)
{
    enum { SPARED = 128 * SUPERSLAB_UNITS, DOUBLINGS = 10 };
    uint32_t slow = load_relaxed(&heap.slow_row);
    if (slow == 0)
        return true;
    heap.dense_spared += units;
    if (heap.dense_spared < (size_t)SPARED << min_size(slow - 1, DOUBLINGS))
        return false;
    heap.dense_spared = 0;
    return true;
}

static struct superslab *find_untouched(void)
{
    unsigned whole = SET_LONGEST_RUN + SUPERSLAB_UNITS;
    uint32_t n = slabset_next(whole, 0);
    while (n != SLAB_NONE && !slab_is_untouched(slab_at(n)))
        n = slabset_next(whole, n + 1);
    return n == SLAB_NONE ? NULL : slab_at(n);
}

/* Puts an untouched superslab in a huge page, of which `units` are needed. False if that is not to be. */
static COLD bool slab_dense(struct superslab *slab, size_t units)
{
    if (os_page_size() != HUGE_OF || !huge_is_worth_it(units) ||
        (slab->backing != BACKING_HUGE && !slab_back(slab, BACKING_HUGE)))
        return false;
    /* As soon as any of it is touched. What had been purged is still marked so: it is regretted when it is used. */
    slab->dirty = low_mask32(SUPERSLAB_UNITS);
    heap.dirty_units += SUPERSLAB_UNITS;
    return true;
}

/* Makes such a superslab the open one. False when there is none to be had, the heap is small, or huge pages are
 * slow. */
static COLD bool open_dense(size_t units)
{
    if (heap.used_units < DENSE_SLABS * SUPERSLAB_UNITS)
        return false;
    struct superslab *slab = find_untouched();
    if (!slab && grow(1, SUPERSLAB_SIZE))
        slab = find_untouched();
    if (!slab || !slab_dense(slab, units))
        return false;
    heap.open = slab;
    return true;
}

/* A run of whole superslabs, and maybe a part of one. Before it is known how long huge pages take, one is enough. */
static struct run alloc_dense_slabs(size_t units)
{
    struct run run = obtain_run(units, 1);
    if (!run.slab)
        return run;
    size_t most = load_relaxed(&heap.one_was_fast) ? units / SUPERSLAB_UNITS : 1, dense = 0;
    while (dense < most && slab_is_untouched(slab_at(run.slab->number + (uint32_t)dense)) &&
           slab_dense(slab_at(run.slab->number + (uint32_t)dense), SUPERSLAB_UNITS))
        dense++;
    run = run_take(run, units);
    run.zeroed = run.clean + dense * SUPERSLAB_UNITS == units;
    run.opens_huge = dense > 0;
    return run;
}

/* Whether a run may begin another huge page: there is room for two such, or others have used what was left over so
 * far. */
static bool leaves_little_over(size_t units)
{
    enum { PART = 4 }; /* of what is in use */
    return units <= SUPERSLAB_UNITS / 2 || heap.dirty_units <= heap.used_units / PART;
}

struct run span_alloc_dense(size_t units)
{
    HAK_ASSERT(lock_is_held() && units > 0);
    if (units >= SUPERSLAB_UNITS)
        return alloc_dense_slabs(units);
    struct run run = find_resident(units);
    bool opens = !run.slab && leaves_little_over(units) && open_dense(units);
    if (opens)
        run = find_dirty_run(heap.open, units);
    if (!run.slab)
        return span_alloc(units, 1);
    run = run_take(run, units);
    run.zeroed = run.opens_huge = opens;
    return run;
}

/* ---- Freeing and extending --------------------------------------------------------------------------------------- */

void span_free(struct run run, size_t units, size_t touched)
{
    HAK_ASSERT(lock_is_held() && touched <= units);
    for (size_t i = 0, slabs = run_slabs(run, units); i < slabs; i++) {
        uint32_t mask = run_mask(run, units, i);
        uint32_t dirty = i < run_slabs(run, touched) && touched > 0 ? run_mask(run, touched, i) : 0;
        slab_put(slab_at(run.slab->number + (uint32_t)i), mask, dirty, 0);
    }
    heap_publish();
}

bool span_extend(struct run run, size_t units, size_t new_units, size_t *clean)
{
    HAK_ASSERT(lock_is_held() && new_units > units);
    size_t have = run_slabs(run, units), want = run_slabs(run, new_units);
    for (size_t i = have - 1; i < want; i++) {
        uint32_t number = run.slab->number + (uint32_t)i;
        uint32_t mask = run_mask(run, new_units, i) & ~(i < have ? run_mask(run, units, i) : 0);
        if (mask == 0)
            continue;
        if (number >= load_relaxed(&heap.slab_count) || (slab_at(number)->used & mask) != 0 ||
            slab_unit_start(slab_at(number), 0) != slab_unit_start(run.slab, 0) + (i << SUPERSLAB_SHIFT))
            return false;
    }
    *clean = 0;
    for (size_t i = have - 1; i < want; i++) {
        uint32_t mask = run_mask(run, new_units, i) & ~(i < have ? run_mask(run, units, i) : 0);
        if (mask != 0)
            *clean += slab_use(slab_at(run.slab->number + (uint32_t)i), mask);
    }
    heap_publish();
    return true;
}

/* ---- Giving memory back ------------------------------------------------------------------------------------------ */

enum purge_stage {
    PURGE_WHOLE, /* superslabs that are entirely free */
    PURGE_PARTS, /* the others, */
    PURGE_OPEN   /* the one that is about to be filled, too */
};

/* The highest-numbered superslab below `below` that has dirty memory to purge. */
static struct superslab *find_dirty(uint32_t below, enum purge_stage stage)
{
    for (uint32_t n = below; n-- > 0;) {
        struct superslab *slab = slab_at(n);
        if (slab->dirty != 0 && (stage > PURGE_WHOLE || slab->used == 0) && (stage == PURGE_OPEN || !is_spared(slab)))
            return slab;
    }
    return NULL;
}

/* The next units to purge in one call, which costs less than several: from the lowest dirty one on as far as units are
 * free, to the last dirty one. All if all are free: then the system gives up the page table, too, and only without
 * that the superslab can be a huge page again (Linux 6.14, x86). */
static uint32_t next_part(const struct superslab *slab)
{
    if (slab->used == 0)
        return unit_mask(0, SUPERSLAB_UNITS);
    unsigned first = lowest_bit(slab->dirty);
    unsigned length = lowest_bit(~((uint64_t)(uint32_t)~slab->used >> first));
    unsigned last = highest_bit(slab->dirty & unit_mask(first, length));
    return unit_mask(first, last - first + 1);
}

/* Units that are being purged; they count as used meanwhile, so the lock is free during the call. */
struct part {
    uint32_t slab;                /* number */
    uint32_t mask, dirty, purged; /* which, and which of these are what when the call fails */
};

struct parts {
    unsigned count;
    struct part part[OS_RANGES_MAX];
    struct os_range memory[OS_RANGES_MAX];
};

/* Takes a superslab's parts, as long as there is room. Bytes. */
static size_t parts_take(struct parts *parts, struct superslab *slab)
{
    size_t bytes = 0;
    if (slab->used != 0)
        span_split(slab);
    else if (heap.open == slab)
        heap.open = NULL;
    while (slab->dirty != 0 && parts->count < OS_RANGES_MAX) {
        uint32_t mask = next_part(slab), dirty = slab->dirty & mask;
        parts->part[parts->count] =
            (struct part){.slab = slab->number, .mask = mask, .dirty = dirty, .purged = slab->purged & mask};
        parts->memory[parts->count++] = (struct os_range){.start = slab_unit_start(slab, lowest_bit(mask)),
                                                          .size = (size_t)count_bits(mask) << UNIT_SHIFT};
        slab_take(slab, mask);
        bytes += (size_t)count_bits(dirty) << UNIT_SHIFT;
    }
    return bytes;
}

/* Gives them back; `purged`: bit for each that was purged. Bytes of these. */
static size_t parts_put(const struct parts *parts, uint32_t purged)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < parts->count; i++) {
        const struct part *part = &parts->part[i];
        bool gone = purged >> i & 1;
        slab_put(slab_at(part->slab), part->mask, gone ? 0 : part->dirty, part->purged | (gone ? part->dirty : 0));
        bytes += gone ? (size_t)count_bits(part->dirty) << UNIT_SHIFT : 0;
    }
    return bytes;
}

/* Where to look next. It only goes on, whatever others free meanwhile. */
struct purge_place {
    enum purge_stage stage;
    uint32_t below; /* number of a superslab */
};

/* Takes parts from there on while more than `keep_units` are dirty, and until they have `most_bytes`; false when
 * there are none. */
static bool parts_choose(struct parts *parts, struct purge_place *place, enum purge_stage last, size_t keep_units,
                         size_t most_bytes)
{
    size_t bytes = 0;
    parts->count = 0;
    while (place->stage <= last && heap.dirty_units > keep_units && bytes < most_bytes && parts->count < OS_RANGES_MAX) {
        struct superslab *slab = find_dirty(place->below, place->stage);
        if (slab) {
            bytes += parts_take(parts, slab);
            place->below = slab->number + (slab->dirty != 0);
        } else {
            place->stage++;
            place->below = load_relaxed(&heap.slab_count);
        }
    }
    return parts->count > 0;
}

/* Purges while more than `keep_units` are dirty and less than `most_bytes` went. */
static COLD size_t purge(size_t keep_units, size_t most_bytes)
{
    enum { IN_HAND = 2 * SUPERSLAB_SIZE }; /* others have to go without these meanwhile */
    enum purge_stage last = most_bytes == SIZE_MAX ? PURGE_OPEN : PURGE_PARTS;
    struct purge_place place = {.stage = PURGE_WHOLE};
    struct parts parts;
    size_t bytes = 0;
    if (!lock_acquire())
        return 0;
    place.below = load_relaxed(&heap.slab_count);
    while (bytes < most_bytes && parts_choose(&parts, &place, last, keep_units, min_size(most_bytes - bytes, IN_HAND))) {
        lock_release();
        uint32_t purged = os_purge_all(parts.memory, parts.count);
        if (!lock_acquire())
            return bytes;
        bytes += parts_put(&parts, purged);
    }
    heap_publish();
    lock_release();
    return bytes;
}

size_t span_purge_some(size_t bytes) { return purge(0, bytes); }
size_t span_purge(size_t keep_bytes) { return purge(keep_bytes >> UNIT_SHIFT, SIZE_MAX); }

/* Gone first and unmapped then: the child of a fork in between loses address space, and does not use what is not
 * there. */
static COLD bool slab_unmap(struct superslab *slab)
{
    unsigned whole = SET_LONGEST_RUN + SUPERSLAB_UNITS;
    char *base = slab_unit_start(slab, 0);
    slabset_remove(whole, slab->number);
    slabset_add(SET_GONE, slab->number);
    store_relaxed(&slab->base, NULL);
    map_give_up(base, SUPERSLAB_SIZE);
    slab_unsay(slab);
    heap.dirty_units -= count_bits(slab->dirty);
    slab->dirty = slab->purged = 0;
    heap.mapped_slabs--;
    if (os_unmap(base, SUPERSLAB_SIZE) == 0)
        return true;
    os_purge(base, SUPERSLAB_SIZE); /* too many mappings: only its address space is lost */
    return false;
}

COLD bool span_unmap_free(void)
{
    bool any = false;
    if (!lock_acquire())
        return false;
    unsigned whole = SET_LONGEST_RUN + SUPERSLAB_UNITS;
    for (uint32_t n = slabset_next(whole, 0); n != SLAB_NONE; n = slabset_next(whole, n + 1))
        any |= slab_unmap(slab_at(n));
    heap.hint = NULL;
    heap_publish();
    lock_release();
    return any;
}

void span_stats(struct span_stats *out)
{
    out->mapped = heap.mapped_slabs << SUPERSLAB_SHIFT;
    out->used = heap.used_units << UNIT_SHIFT;
    out->dirty = heap.dirty_units << UNIT_SHIFT;
    out->clean = out->mapped - out->used - out->dirty;
    out->huge = heap.huge_slabs << SUPERSLAB_SHIFT;
    out->huge_slow = load_relaxed(&heap.slow);
}

/* ---- Fork, invariants -------------------------------------------------------------------------------------------- */

/* Enters the superslab in the set, if it is one, and in no other. Sets that are right are not written to. */
static COLD void slab_file(struct superslab *slab, unsigned right_set)
{
    uint32_t n = slab->number;
    for (unsigned set = SET_LONGEST_RUN + 1; set <= SET_GONE; set++)
        if (set != right_set && slabset_has(set, n))
            slabset_remove(set, n);
    if (right_set > SET_LONGEST_RUN && slabset_next(right_set, n) != n) /* it may be in the set, and the set not find it */
        slabset_add(right_set, n);
}

/* A vanished thread had the lock. Units that it had in hand are used, or else dirty if they were: slab_take and slab_put
 * see to that. */
COLD void span_after_fork(void)
{
    heap.used_units = heap.dirty_units = heap.mapped_slabs = heap.said_slabs = heap.huge_slabs = 0;
    heap.open = NULL;
    for (uint32_t n = 0; n < load_relaxed(&heap.slab_count); n++) {
        struct superslab *slab = slab_at(n);
        bool is_gone = !load_relaxed(&slab->base);
        slab_file(slab, is_gone ? SET_GONE : slab_set(slab));
        if (is_gone && (slab->dirty | slab->purged | slab->backing) != 0) { /* slab_unmap may not have come to that */
            slab->backing = BACKING_UNSAID;
            slab->dirty = slab->purged = 0;
        }
        if (is_gone)
            continue;
        if (slab->used & (slab->dirty | slab->purged)) {
            slab->dirty &= ~slab->used;
            slab->purged &= ~slab->used;
        }
        heap.mapped_slabs++;
        heap.said_slabs += slab->backing != BACKING_UNSAID;
        heap.huge_slabs += slab->backing == BACKING_HUGE;
        heap.used_units += count_bits(slab->used);
        heap.dirty_units += count_bits(slab->dirty);
    }
    heap.hint = NULL;
    heap_publish();
}

bool span_slab_is_valid(const struct superslab *slab)
{
    bool is_gone = !load_relaxed(&slab->base);
    unsigned right_set = is_gone ? SET_GONE : slab_set(slab);
    bool filed_right = true;
    for (unsigned set = SET_LONGEST_RUN + 1; set <= SET_GONE; set++)
        filed_right &= slabset_has(set, slab->number) == (set == right_set);
    if (is_gone)
        return filed_right && (slab->used | slab->dirty | slab->purged) == 0;
    return filed_right && (slab->used & (slab->dirty | slab->purged)) == 0 && slab->backing <= BACKING_SMALL &&
           ((uintptr_t)load_relaxed(&slab->base) & (SUPERSLAB_SIZE - 1)) == 0;
}
