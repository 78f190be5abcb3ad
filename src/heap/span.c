#include "heap/span.h"

#include "heap/ground.h"
#include "heap/huge.h"
#include "heap/limit.h"
#include "heap/map.h"
#include "heap/meta.h"
#include "heap/prefault.h"
#include "heap/retain.h"
#include "system/lock.h"
#include "system/os_advise.h"
#include "system/os_clock.h"
#include "system/os_map.h"

#include <errno.h>

enum {
    GROW_FIRST = 2, /* superslabs of the first mapping; then an eighth of the heap, up to GROW_MAX */
    GROW_MAX = 32,
    SKIPS = 24,     /* places that are tried, each twice as far away, when something of others lies in the heap's way */
    REFUSED_MILLISECONDS = 50, /* after which the system is asked again for as much as it refused */
    DENSE_SLABS = 8, /* in use, before a huge page is small in comparison */
    DIRTY_LOOKS = 16, /* at superslabs with dirty memory, for a run of it */
    HUGE_OF = 4096,  /* bytes of a page of memory of which that many make a huge page of the size of a superslab: */
    HUGE_PAGES = 512,
    SAID_MAX = 8192  /* superslabs with a backing of their own: each may cost the process a mapping, of 65,530 */
};

static struct {
    _Atomic(uint32_t) slab_count; /* [lock to write] numbers given out */
    _Atomic(size_t) mapped_slabs; /* [lock to write] */
    _Atomic(size_t) used_units;   /* [lock to write] */
    _Atomic(size_t) dirty_units;  /* [lock to write] */
    enum backing usual;           /* [lock] what superslabs have when they are mapped */
    size_t said_slabs;            /* [lock] superslabs whose backing is another */
    _Atomic(size_t) huge_slabs;   /* [lock to write] and is BACKING_HUGE */
    _Atomic(uint32_t) slow;       /* [atomic] huge pages that took the system long, */
    _Atomic(uint32_t) slow_row;   /* [atomic] of these in a row; 0 after one that did not */
    _Atomic(bool) one_was_fast;   /* [atomic] a huge page did not take long */
    size_t dense_spared;          /* [lock] units of dense memory for which no huge page is to be asked, for now */
    struct superslab *open;       /* [lock] the one that dense memory is taken from; NULL: none */
    uint32_t lengths;             /* [lock] bit for each length of a free run, from 1, that may be the longest of one */
    _Atomic(size_t) refused;      /* [growth lock] superslabs that the system refused, at this time: */
    uint64_t refused_at;          /* [growth lock] milliseconds */
    uint32_t coming_first, coming; /* [lock] superslabs that are being entered */
} heap;

uint32_t span_slab_count(void) { return load_acquire(&heap.slab_count); /* pairs with slabs_enter */ }

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

/* The powers of two that it is made of, the largest first. */
static unsigned longest_run(uint32_t free)
{
    enum { POWERS = 5 };
    uint32_t starts_of[POWERS]; /* bits where runs of that power of two begin */
    if (((free + (free & -free)) & free) == 0) /* one run, or none */
        return free ? highest_bit(free) - lowest_bit(free) + 1 : 0;
    for (unsigned i = 0; i < POWERS; i++) {
        starts_of[i] = free;
        free &= free >> (1 << i);
    }
    unsigned length = 0;
    uint32_t starts = low_mask32(SUPERSLAB_UNITS); /* of runs of `length` */
    for (unsigned i = POWERS; i-- > 0;) {
        uint32_t longer = starts & starts_of[i] >> length;
        starts = longer ? longer : starts;
        length += longer ? 1u << i : 0;
    }
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

static bool slab_is_untouched(const struct superslab *slab) { return (slab->used | slab->dirty) == 0; }

/* The sets that a superslab belongs to; 0: none. */
struct filing {
    unsigned longest, dirty;
};

static struct filing slab_filing(const struct superslab *slab)
{
    unsigned longest = longest_run(~slab->used);
    unsigned of_dirty = slab->used == 0 ? SET_DIRTY_WHOLE : SET_DIRTY;
    unsigned of_clean = slab->used == 0 ? SET_UNTOUCHED : 0;
    return (struct filing){.longest = longest ? SET_LONGEST_RUN + longest : 0,
                           .dirty = slab->dirty ? of_dirty : of_clean};
}

static bool set_is_of_length(unsigned set) { return set > SET_LONGEST_RUN && set <= SET_LONGEST_RUN + SUPERSLAB_UNITS; }

static void slab_move(const struct superslab *slab, unsigned from, unsigned to)
{
    if (from == to)
        return;
    if (set_is_of_length(to))
        heap.lengths |= (uint32_t)1 << (to - SET_LONGEST_RUN - 1);
    if (from)
        slabset_remove(from, slab->number);
    if (to)
        slabset_add(to, slab->number);
}

static void slab_refile(const struct superslab *slab, struct filing before, struct filing now)
{
    enum { WHOLE = SET_LONGEST_RUN + SUPERSLAB_UNITS };
    slab_move(slab, before.longest, now.longest);
    slab_move(slab, before.dirty, now.dirty);
    if ((before.longest == WHOLE) != (now.longest == WHOLE))
        slab_stretch_note(slab->number);
}

/* Marks units as used. How many of them were clean. */
static size_t slab_take(struct superslab *slab, uint32_t mask)
{
    HAK_ASSERT((slab->used & mask) == 0 && slab->is_mapped);
    struct filing before = slab_filing(slab);
    uint32_t dirty = slab->dirty & mask;
    slab->used |= mask;
    signal_fence(); /* the child of a fork sees how far a thread has come: span_after_fork relies on this order */
    slab->dirty &= ~mask;
    slab->purged &= ~mask;
    counter_add(&heap.used_units, count_bits(mask));
    counter_add(&heap.dirty_units, -(size_t)count_bits(dirty));
    slab_refile(slab, before, slab_filing(slab));
    return count_bits(mask & ~dirty);
}

/* Marks units as free; of these, `dirty` are dirty and `purged` went back to the system. */
static void slab_put(struct superslab *slab, uint32_t mask, uint32_t dirty, uint32_t purged)
{
    HAK_ASSERT((slab->used & mask) == mask && (dirty & ~mask) == 0);
    struct filing before = slab_filing(slab);
    slab->dirty |= dirty;
    slab->purged |= purged;
    signal_fence(); /* as in slab_take */
    slab->used &= ~mask;
    counter_add(&heap.used_units, -(size_t)count_bits(mask));
    counter_add(&heap.dirty_units, count_bits(dirty));
    slab_refile(slab, before, slab_filing(slab));
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

/* Whether its free memory is about to be used. */
static bool is_spared(const struct superslab *slab) { return slab == heap.open && slab->used != 0; }

/* Tells retention what is in use and what is dirty. */
static void heap_publish(void)
{
    unsigned spared = heap.open && is_spared(heap.open) ? count_bits(heap.open->dirty) : 0;
    retain_runs(load_relaxed(&heap.used_units) << UNIT_SHIFT, (load_relaxed(&heap.dirty_units) - spared) << UNIT_SHIFT);
}

/* ---- Huge pages -------------------------------------------------------------------------------------------------- */

/* Notes what is to stand behind a superslab, which span_advise asks for; false when that is not to be. */
static COLD bool slab_back(struct superslab *slab, enum backing backing)
{
    enum backing before = load_relaxed(&slab->backing); /* relaxed here and below: without the lock one is told late */
    bool is_new = before == heap.usual;
    if (load_relaxed(&huge_is_refused) || (is_new && heap.said_slabs == SAID_MAX))
        return false;
    heap.said_slabs += is_new;
    counter_add(&heap.huge_slabs, (size_t)(backing == BACKING_HUGE) - (size_t)(before == BACKING_HUGE));
    store_relaxed(&slab->backing, (uint8_t)backing);
    return true;
}

/* Its memory is gone. */
static COLD void slab_unsay(struct superslab *slab)
{
    enum backing before = load_relaxed(&slab->backing);
    heap.open = heap.open == slab ? NULL : heap.open;
    heap.said_slabs -= before != heap.usual;
    counter_add(&heap.huge_slabs, -(size_t)(before == BACKING_HUGE));
    store_relaxed(&slab->backing, BACKING_UNSAID);
}

bool span_split(struct superslab *slab)
{
    if (load_relaxed(&slab->backing) != BACKING_HUGE)
        return false;
    if (heap.open == slab)
        heap.open = NULL;
    return slab_back(slab, BACKING_SMALL);
}

COLD void span_advise(const struct superslab *slab)
{
    huge_prefer(slab_unit_start(slab, 0), SUPERSLAB_SIZE, load_relaxed(&slab->backing) == BACKING_HUGE);
}

/* A huge page comes as soon as any of an untouched superslab is used. What had been purged is still marked so: it is
 * regretted when it is used. */
static COLD void slab_come(struct superslab *slab)
{
    struct filing before = slab_filing(slab);
    slab->dirty = low_mask32(SUPERSLAB_UNITS);
    counter_add(&heap.dirty_units, SUPERSLAB_UNITS);
    slab_refile(slab, before, slab_filing(slab));
}

/* Whether superslabs are in huge pages whatever they are used for. */
static bool huge_for_all(void) { return huge_is(HUGE_ALWAYS) && !load_relaxed(&limit_is_near); }

/* ---- Taking runs ------------------------------------------------------------------------------------------------- */

/* Units that the program is to have. How many of them were clean. */
static size_t slab_use(struct run *run, struct superslab *slab, uint32_t mask)
{
    if (UNLIKELY(load_relaxed(&slab->backing) == BACKING_HUGE && slab_is_untouched(slab))) {
        if (huge_for_all())
            slab_come(slab);
        else
            run->needs_advice |= span_split(slab);
    }
    if (slab->purged & mask) {
        run->missed += (size_t)count_bits(slab->purged & mask) << UNIT_SHIFT;
        run->purged_at = load_relaxed(&slab->purged_at);
    }
    return slab_take(slab, mask);
}

static struct run run_take(struct run run, size_t units)
{
    run.clean = 0;
    for (size_t i = 0; i < run_slabs(run, units); i++)
        run.clean += slab_use(&run, slab_at(run.slab->number + (uint32_t)i), run_mask(run, units, i));
    run.zeroed = run.clean == units;
    heap_publish();
    return run;
}

/* ---- Growing ----------------------------------------------------------------------------------------------------- */

/* Numbers that are mapped, for the heap to use. Under the heap's lock. */
static COLD void slabs_enter(uint32_t first, uint32_t count)
{
    heap.coming_first = first;
    heap.coming = count;
    signal_fence(); /* the child of a fork finds it said before it is done */
    /* What an aligned number has left out serves others; not what lies behind something of others. */
    for (uint32_t n = load_relaxed(&heap.slab_count); n < first && first - n <= STRETCH_MAX; n++) {
        slab_at(n)->number = n;
        slabset_add(SET_GONE, n);
    }
    for (uint32_t n = first; n < first + count; n++) {
        struct superslab *slab = slab_at(n);
        slab->number = n;
        slab->used = slab->dirty = slab->purged = 0;
        slab->is_mapped = true;
        store_relaxed(&slab->backing, (uint8_t)heap.usual);
        if (n < load_relaxed(&heap.slab_count) && slabset_has(SET_GONE, n))
            slabset_remove(SET_GONE, n);
        slab_refile(slab, (struct filing){0, 0}, slab_filing(slab));
    }
    if (first + count > load_relaxed(&heap.slab_count))
        store_release(&heap.slab_count, first + count); /* pairs with span_slab_count */
    counter_add(&heap.mapped_slabs, count);
    counter_add(&heap.huge_slabs, heap.usual == BACKING_HUGE ? count : 0);
    signal_fence();
    heap.coming = 0;
}

/* `count` numbers whose address space was given back, if that many follow the lowest such; else the next ones. A
 * multiple of `align`. */
static uint32_t numbers_for(uint32_t count, uint32_t align)
{
    uint32_t first = slabset_next(SET_GONE, 0), have = 0;
    if (first != SLAB_NONE && first % align == 0)
        while (have < count && first + have < load_relaxed(&heap.slab_count) && slabset_has(SET_GONE, first + have))
            have++;
    return have == count ? first : (uint32_t)align_up(load_relaxed(&heap.slab_count), align);
}

/* Maps `count` superslabs, behind whatever lies in the way. An error of the system's. */
static COLD int grow_by(uint32_t count, uint32_t align)
{
    uint32_t first = numbers_for(count, align);
    int error = EEXIST;
    for (unsigned skip = 0; skip < SKIPS && error == EEXIST; skip++) {
        if (count > ground_slabs_most() || first > ground_slabs_most() - count || !slab_cover(first + count) ||
            !map_cover(first + count))
            return ENOMEM;
        error = ground_map_slabs(first, count);
        if (error == EEXIST)
            first = (uint32_t)align_up(max_size(first, load_relaxed(&heap.slab_count)) + ((size_t)1 << skip), align);
    }
    if (error)
        return error;
    if (!lock_acquire())
        return ENOMEM;
    slabs_enter(first, count);
    lock_release();
    return 0;
}

/* So much was refused a moment ago, and nothing was given back since. */
static bool is_refused(size_t slabs)
{
    size_t refused = load_relaxed(&heap.refused); /* relaxed: the lock orders it; or a hint */
    return UNLIKELY(refused != 0) && slabs >= refused && os_milliseconds() - heap.refused_at < REFUSED_MILLISECONDS;
}

bool span_grow(size_t units, size_t align_units)
{
    size_t slabs = (units + SUPERSLAB_UNITS - 1) / SUPERSLAB_UNITS,
           align = (align_units + SUPERSLAB_UNITS - 1) / SUPERSLAB_UNITS;
    if (slabs > STRETCH_MAX || align > STRETCH_MAX || !lock_growth_acquire())
        return false;
    bool done = false, may_try = !is_refused(slabs) && ground_start();
    /* By more than is needed the larger the heap is, by less when the system refuses. */
    size_t step = min_size(max_size(load_relaxed(&heap.mapped_slabs) / 8, GROW_FIRST), GROW_MAX);
    for (step = max_size(step, slabs); may_try && !done; step = max_size(step / 2, slabs)) {
        done = grow_by((uint32_t)step, (uint32_t)align) == 0;
        may_try = step > slabs;
    }
    if (done) {
        store_relaxed(&heap.refused, 0);
    } else if (!is_refused(slabs)) {
        store_relaxed(&heap.refused, slabs);
        heap.refused_at = os_milliseconds();
    }
    lock_growth_release();
    return done;
}

/* ---- Allocating -------------------------------------------------------------------------------------------------- */

/* A run in one of the superslabs whose longest is of that length. */
static struct run find_of_length(size_t length, size_t units, size_t align_units)
{
    unsigned set = SET_LONGEST_RUN + (unsigned)length;
    uint32_t n = slabset_next(set, 0);
    if (n == SLAB_NONE)
        heap.lengths &= ~((uint32_t)1 << (length - 1));
    for (; n != SLAB_NONE; n = slabset_next(set, n + 1)) {
        struct superslab *slab = slab_at(n);
        uint32_t starts = run_starts(~slab->used, units) & aligned_units(align_units);
        if (starts)
            return (struct run){.slab = slab, .unit = lowest_bit(starts)};
        if (length >= units + align_units - 1)
            break;
    }
    return (struct run){.slab = NULL};
}

static struct run find_in_slab(size_t units, size_t align_units)
{
    struct run run = {.slab = NULL};
    for (uint32_t left = heap.lengths & ~low_mask32((unsigned)units - 1); left && !run.slab; left &= left - 1)
        run = find_of_length(lowest_bit(left) + 1, units, align_units);
    return run;
}

static struct run find_run(size_t units, size_t align_units)
{
    if (units <= SUPERSLAB_UNITS && align_units <= SUPERSLAB_UNITS)
        return find_in_slab(units, align_units);
    uint32_t slabs = (uint32_t)((units + SUPERSLAB_UNITS - 1) / SUPERSLAB_UNITS);
    uint32_t first = slab_stretch_find(slabs, (uint32_t)max_size(align_units / SUPERSLAB_UNITS, 1));
    return (struct run){.slab = first == SLAB_NONE ? NULL : slab_at(first)};
}

struct run span_alloc(size_t units, size_t align_units)
{
    HAK_ASSERT(lock_is_held() && units > 0 && is_power_of_two(align_units));
    struct run run = {.slab = NULL};
    if (units <= STRETCH_MAX * SUPERSLAB_UNITS && align_units <= STRETCH_MAX * SUPERSLAB_UNITS)
        run = find_run(units, align_units);
    return run.slab ? run_take(run, units) : run;
}

/* ---- Dense memory ------------------------------------------------------------------------------------------------ */

/* A run in the superslab of which every unit is dirty, so that it costs no fault; slab is NULL if there is none. */
static struct run find_dirty_run(struct superslab *slab, size_t units)
{
    uint32_t starts = slab ? run_starts(slab->dirty, units) : 0;
    return (struct run){.slab = starts ? slab : NULL, .unit = starts ? lowest_bit(starts) : 0};
}

/* Such a run in one of the first superslabs of a set; not in the open one. */
static struct run find_dirty_in(unsigned set, size_t units)
{
    uint32_t n = slabset_next(set, 0);
    for (unsigned looks = 0; n != SLAB_NONE && looks < DIRTY_LOOKS; looks++, n = slabset_next(set, n + 1)) {
        struct run run = find_dirty_run(slab_at(n), units);
        if (run.slab && run.slab != heap.open)
            return run;
    }
    return (struct run){.slab = NULL};
}

/* The open one last. */
static struct run find_resident(size_t units)
{
    struct run run = find_dirty_in(SET_DIRTY, units);
    if (!run.slab)
        run = find_dirty_in(SET_DIRTY_WHOLE, units);
    return run.slab ? run : find_dirty_run(heap.open, units);
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

void span_settle(struct run run, size_t units)
{
    if (LIKELY(!run.needs_advice && !run.opens_huge))
        return;
    for (size_t i = 0; i < run_slabs(run, units); i++) {
        const struct superslab *slab = slab_at(run.slab->number + (uint32_t)i);
        if (load_relaxed(&slab->backing) != BACKING_UNSAID)
            span_advise(slab);
    }
    if (!run.opens_huge || load_relaxed(&huge_is_refused) || huge_is(HUGE_ALWAYS))
        return;
    uint64_t begin = os_nanoseconds();
    *(volatile char *)run_start(run) = 0;
    span_note_huge(os_nanoseconds() - begin);
}

/* Whether to ask for a huge page for `units` more; after slow ones not for a while, twice as long after each. */
static bool huge_is_worth_it(size_t units)
{
    enum { SPARED = 128 * SUPERSLAB_UNITS, DOUBLINGS = 10 };
    uint32_t slow = load_relaxed(&heap.slow_row);
    if (slow == 0 || huge_is(HUGE_ALWAYS))
        return true;
    heap.dense_spared += units;
    if (heap.dense_spared < (size_t)SPARED << min_size(slow - 1, DOUBLINGS))
        return false;
    heap.dense_spared = 0;
    return true;
}

static struct superslab *find_untouched(void)
{
    uint32_t n = slabset_next(SET_UNTOUCHED, 0);
    return n == SLAB_NONE ? NULL : slab_at(n);
}

/* Whether the heap had better grow by one, for a huge page that will probably not be slow. */
static bool lacks_untouched(void)
{
    bool is_slow = load_relaxed(&heap.slow_row) > 0 && !huge_is(HUGE_ALWAYS);
    return os_page_size() == HUGE_OF && !load_relaxed(&huge_is_refused) && !is_slow && !find_untouched();
}

/* Puts an untouched superslab in a huge page, of which `units` are needed. False if that is not to be. */
static COLD bool slab_dense(struct superslab *slab, size_t units)
{
    if (os_page_size() != HUGE_OF || load_relaxed(&limit_is_near) || !huge_is_worth_it(units) ||
        (load_relaxed(&slab->backing) != BACKING_HUGE && !slab_back(slab, BACKING_HUGE)))
        return false;
    slab_come(slab);
    return true;
}

/* Makes such a superslab the open one. False when there is none, or huge pages are slow. */
static COLD bool open_dense(size_t units)
{
    struct superslab *slab = find_untouched();
    if (!slab || !slab_dense(slab, units))
        return false;
    heap.open = slab;
    return true;
}

/* A run of whole superslabs, and maybe a part of one. Before it is known how long huge pages take, one is enough. */
static struct run alloc_dense_slabs(size_t units)
{
    struct run run = find_run(units, 1);
    if (!run.slab)
        return run;
    size_t most = load_relaxed(&heap.one_was_fast) ? units / SUPERSLAB_UNITS : 1, dense = 0;
    if (huge_is(HUGE_ALWAYS))
        most = run_slabs(run, units);
    while (dense < most && slab_is_untouched(slab_at(run.slab->number + (uint32_t)dense)) &&
           slab_dense(slab_at(run.slab->number + (uint32_t)dense), SUPERSLAB_UNITS))
        dense++;
    run = run_take(run, units);
    run.zeroed = run.clean + min_size(dense * SUPERSLAB_UNITS, units) == units;
    run.opens_huge = dense > 0;
    return run;
}

/* Whether a run may begin another huge page: the heap is not small, and there is room for two such, or others have used
 * what was left over so far. */
static bool may_open(size_t units)
{
    enum { PART = 4 }; /* of what is in use */
    size_t used = load_relaxed(&heap.used_units), dirty = load_relaxed(&heap.dirty_units);
    if (huge_is(HUGE_ALWAYS))
        return true;
    return used >= DENSE_SLABS * SUPERSLAB_UNITS && (units <= SUPERSLAB_UNITS / 2 || dirty <= used / PART);
}

struct run span_alloc_dense(size_t units)
{
    HAK_ASSERT(lock_is_held() && units > 0);
    if (units > STRETCH_MAX * SUPERSLAB_UNITS)
        return (struct run){.slab = NULL};
    if (units >= SUPERSLAB_UNITS)
        return alloc_dense_slabs(units);
    struct run run = find_resident(units);
    bool opens = !run.slab && may_open(units);
    if (opens && lacks_untouched())
        return run;
    opens = opens && open_dense(units);
    if (opens)
        run = find_dirty_run(heap.open, units);
    if (!run.slab)
        return span_alloc(units, 1);
    run = run_take(run, units);
    run.zeroed = run.opens_huge = opens;
    return run;
}

/* What was mapped before it was known what superslabs are to have. */
COLD void span_tell_huge(void)
{
    bool is_huge = huge_is(HUGE_ALWAYS) && os_page_size() == HUGE_OF;
    for (uint32_t n = 0; n < load_relaxed(&heap.slab_count); n++)
        if (slab_at(n)->is_mapped)
            huge_tell(slab_unit_start(slab_at(n), 0), SUPERSLAB_SIZE);
    if (!is_huge || !lock_acquire())
        return;
    heap.usual = BACKING_HUGE;
    for (uint32_t n = 0; n < load_relaxed(&heap.slab_count); n++)
        store_relaxed(&slab_at(n)->backing, (uint8_t)(slab_at(n)->is_mapped ? BACKING_HUGE : BACKING_UNSAID));
    store_relaxed(&heap.huge_slabs, load_relaxed(&heap.mapped_slabs));
    lock_release();
}

/* ---- A run and its descriptor ------------------------------------------------------------------------------------ */

void *span_obtain(struct run *run, size_t units, size_t align_units, bool dense, size_t descriptor_size)
{
    dense = (dense || huge_is(HUGE_ALWAYS)) && align_units == 1 && !huge_is(HUGE_NEVER);
    for (;;) {
        if (!meta_acquire(META_PAGE, descriptor_size))
            return NULL;
        void *descriptor = meta_alloc(META_PAGE, descriptor_size);
        bool is_allowed = limit_allows(load_relaxed(&heap.used_units) << UNIT_SHIFT, units << UNIT_SHIFT);
        if (descriptor && is_allowed) {
            *run = dense ? span_alloc_dense(units) : span_alloc(units, align_units);
            if (run->slab)
                return descriptor;
        }
        if (descriptor)
            meta_free(META_PAGE, descriptor, descriptor_size);
        lock_release();
        if (!is_allowed) {
            limit_note_refused();
            return NULL;
        }
        bool has_grown = descriptor && span_grow(units, align_units);
        if (!has_grown && !(descriptor && dense))
            return NULL;
        dense = dense && has_grown; /* or there is some that is not */
    }
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

bool span_extend(struct run *extended, size_t units, size_t new_units)
{
    struct run run = *extended;
    HAK_ASSERT(lock_is_held() && new_units > units);
    size_t have = run_slabs(run, units), want = run_slabs(run, new_units);
    if (!limit_allows(load_relaxed(&heap.used_units) << UNIT_SHIFT, (new_units - units) << UNIT_SHIFT))
        return false;
    for (size_t i = have - 1; i < want; i++) {
        uint32_t number = run.slab->number + (uint32_t)i;
        uint32_t mask = run_mask(run, new_units, i) & ~(i < have ? run_mask(run, units, i) : 0);
        if (mask != 0 && (number >= load_relaxed(&heap.slab_count) || !slab_at(number)->is_mapped ||
                          (slab_at(number)->used & mask) != 0))
            return false;
    }
    extended->clean = 0;
    for (size_t i = have - 1; i < want; i++) {
        uint32_t mask = run_mask(run, new_units, i) & ~(i < have ? run_mask(run, units, i) : 0);
        if (mask != 0)
            extended->clean += slab_use(extended, slab_at(run.slab->number + (uint32_t)i), mask);
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
    unsigned set = stage == PURGE_PARTS ? SET_DIRTY : SET_DIRTY_WHOLE;
    if (stage == PURGE_OPEN)
        return heap.open && heap.open->dirty != 0 ? heap.open : NULL;
    uint32_t n = slabset_previous(set, below);
    if (n != SLAB_NONE && is_spared(slab_at(n)))
        n = slabset_previous(set, n);
    return n == SLAB_NONE ? NULL : slab_at(n);
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
    bool needs_advice;            /* before the call: the rest is to be in small pages */
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
    bool splits = slab->used != 0 && span_split(slab);
    if (heap.open == slab)
        heap.open = NULL;
    while (slab->dirty != 0 && parts->count < OS_RANGES_MAX) {
        uint32_t mask = next_part(slab), dirty = slab->dirty & mask;
        parts->part[parts->count] = (struct part){
            .slab = slab->number, .mask = mask, .dirty = dirty, .purged = slab->purged & mask, .needs_advice = splits};
        splits = false;
        parts->memory[parts->count++] = (struct os_range){.start = slab_unit_start(slab, lowest_bit(mask)),
                                                          .size = (size_t)count_bits(mask) << UNIT_SHIFT};
        slab_take(slab, mask);
        bytes += (size_t)count_bits(dirty) << UNIT_SHIFT;
    }
    return bytes;
}

/* What is left of their superslabs is to be in small pages. */
static void parts_advise(const struct parts *parts)
{
    for (const struct part *part = parts->part; part < parts->part + parts->count; part++)
        if (part->needs_advice)
            span_advise(slab_at(part->slab));
}

/* Gives them back; `purged`: bit for each that was purged. Bytes of these. */
static size_t parts_put(const struct parts *parts, uint32_t purged)
{
    size_t bytes = 0;
    uint32_t now = retain_now();
    for (unsigned i = 0; i < parts->count; i++) {
        const struct part *part = &parts->part[i];
        bool gone = purged >> i & 1;
        if (gone)
            store_relaxed(&slab_at(part->slab)->purged_at, now);
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
    while (place->stage <= last && load_relaxed(&heap.dirty_units) > keep_units && bytes < most_bytes &&
           parts->count < OS_RANGES_MAX) {
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

COLD size_t span_purge(size_t keep_bytes, size_t most_bytes, uint64_t until)
{
    enum { IN_HAND = SUPERSLAB_SIZE }; /* others have to go without these meanwhile */
    enum purge_stage last = most_bytes == SIZE_MAX ? PURGE_OPEN : PURGE_PARTS;
    struct purge_place place = {.stage = PURGE_WHOLE};
    struct parts parts;
    size_t bytes = 0;
    if (!lock_acquire())
        return 0;
    place.below = load_relaxed(&heap.slab_count);
    while (bytes < most_bytes &&
           parts_choose(&parts, &place, last, keep_bytes >> UNIT_SHIFT, min_size(most_bytes - bytes, IN_HAND))) {
        lock_release();
        parts_advise(&parts);
        uint32_t purged = os_purge_all(parts.memory, parts.count);
        bool is_late = os_nanoseconds() >= until;
        if (!lock_acquire())
            return bytes;
        bytes += parts_put(&parts, purged);
        if (is_late)
            break;
    }
    heap_publish();
    lock_release();
    return bytes;
}

/* Takes an entirely free superslab out of the heap. Under the lock. */
static COLD void slab_give_up(struct superslab *slab)
{
    slab_refile(slab, slab_filing(slab), (struct filing){0, 0});
    slab_unsay(slab);
    counter_add(&heap.dirty_units, -(size_t)count_bits(slab->dirty));
    counter_add(&heap.mapped_slabs, (size_t)-1);
    slab->dirty = slab->purged = 0;
    slab->is_mapped = false;
}

COLD bool span_unmap_free(void)
{
    enum { WHOLE = SET_LONGEST_RUN + SUPERSLAB_UNITS };
    bool any = false;
    uint32_t n = 0;
    if (!lock_acquire())
        return false;
    while ((n = slabset_next(WHOLE, n)) != SLAB_NONE) {
        char *start = slab_unit_start(slab_at(n), 0);
        slab_give_up(slab_at(n));
        lock_release();
        bool done = os_unmap(start, SUPERSLAB_SIZE) == 0;
        if (!done)
            os_purge(start, SUPERSLAB_SIZE); /* too many mappings: only its address space is lost */
        any |= done;
        if (!lock_acquire())
            return any;
        /* For others only now: the child of a fork in between loses address space, and does not use what is not
         * there. */
        if (done)
            slabset_add(SET_GONE, n);
    }
    heap_publish();
    lock_release();
    store_relaxed(&heap.refused, 0); /* relaxed: a hint */
    return any;
}

/* Relaxed: sums of a moment, which may not be the same for all. */
void span_stats(struct span_stats *out)
{
    size_t mapped = load_relaxed(&heap.mapped_slabs) << SUPERSLAB_SHIFT;
    out->used = load_relaxed(&heap.used_units) << UNIT_SHIFT;
    out->dirty = load_relaxed(&heap.dirty_units) << UNIT_SHIFT;
    out->mapped = max_size(mapped, out->used + out->dirty);
    out->clean = out->mapped - out->used - out->dirty;
    out->huge = load_relaxed(&heap.huge_slabs) << SUPERSLAB_SHIFT;
    out->huge_slow = load_relaxed(&heap.slow);
}

/* ---- Fork, invariants -------------------------------------------------------------------------------------------- */

/* Writes only where something differs: a page of memory that is written to is copied. */
static COLD void slab_file_right(struct superslab *slab)
{
    struct filing right = slab->is_mapped ? slab_filing(slab) : (struct filing){0, 0};
    for (unsigned set = SET_UNTOUCHED; set < SET_GONE; set++) {
        bool is_right = set == right.longest || set == right.dirty;
        if (slabset_has(set, slab->number) && !is_right)
            slabset_remove(set, slab->number);
        else if (is_right)
            slabset_add(set, slab->number);
    }
}

/* A vanished thread had the lock. Units that it had in hand are used, or else dirty if they were: slab_take and
 * slab_put see to that. */
COLD void span_after_fork(void)
{
    size_t used = 0, dirty = 0, mapped = 0, huge = 0;
    heap.said_slabs = 0;
    heap.open = NULL;
    heap.lengths = low_mask32(SUPERSLAB_UNITS);
    if (heap.coming > 0)
        slabs_enter(heap.coming_first, heap.coming);
    for (uint32_t n = 0; n < load_relaxed(&heap.slab_count); n++) {
        struct superslab *slab = slab_at(n);
        enum backing backing = load_relaxed(&slab->backing);
        if (!slab->is_mapped)
            continue;
        if (slab->used & (slab->dirty | slab->purged)) { /* slab_take or slab_put was not at its end */
            slab->dirty &= ~slab->used;
            slab->purged &= ~slab->used;
        }
        mapped++;
        heap.said_slabs += backing != heap.usual;
        huge += backing == BACKING_HUGE;
        used += count_bits(slab->used);
        dirty += count_bits(slab->dirty);
    }
    for (uint32_t n = 0; n < load_relaxed(&heap.slab_count); n++)
        if (slab_at(n)->is_mapped || slab_at(n)->number != 0) /* else it never was */
            slab_file_right(slab_at(n));
    for (uint32_t n = 0; n < load_relaxed(&heap.slab_count); n += GROUP_SLABS)
        slab_stretch_note(n + GROUP_SLABS - 1);
    store_relaxed(&heap.mapped_slabs, mapped);
    store_relaxed(&heap.huge_slabs, huge);
    store_relaxed(&heap.used_units, used);
    store_relaxed(&heap.dirty_units, dirty);
    store_relaxed(&heap.refused, 0);
    heap_publish();
}

bool span_slab_is_valid(const struct superslab *slab)
{
    if (!slab->is_mapped && slab->number == 0) /* it never was */
        return (slab->used | slab->dirty | slab->purged) == 0;
    struct filing right = slab->is_mapped ? slab_filing(slab) : (struct filing){0, 0};
    bool filed_right = true;
    for (unsigned set = SET_UNTOUCHED; set < SET_GONE; set++)
        filed_right &= slabset_has(set, slab->number) == (set == right.longest || set == right.dirty);
    if (!slab->is_mapped)
        return filed_right && (slab->used | slab->dirty | slab->purged) == 0;
    filed_right &= right.longest == 0 || (heap.lengths >> (right.longest - SET_LONGEST_RUN - 1) & 1) != 0;
    return filed_right && !slabset_has(SET_GONE, slab->number) && (slab->used & (slab->dirty | slab->purged)) == 0 &&
           load_relaxed(&slab->backing) <= BACKING_SMALL;
}
