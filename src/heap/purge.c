#include "heap/purge.h"

#include "heap/limit.h"
#include "system/lock.h"
#include "heap/map.h"
#include "system/os_advise.h"
#include "system/os_clock.h"
#include "system/os_map.h"
#include "system/os_thread.h"
#include "heap/page.h"
#include "heap/span.h"

/* Free blocks in hand while the memory under them is purged. */
struct hole {
    struct page *page;
    uint32_t unit;        /* where the page begins: its superslab's number times SUPERSLAB_UNITS, plus the unit in it */
    uint32_t bytes;       /* of pages of memory that were not purged yet */
    bool needs_advice;    /* before: the rest of the superslab is to be in small pages */
    uint16_t first, last; /* numbers of the blocks that the hole is made of */
};
_Static_assert(PAGE_MAX_BLOCKS <= UINT16_MAX, "a block's number fits a hole");

/* Holes of several pages, for one call: many small ranges that lie far apart take little longer than one
 * (os_purge_all). */
struct holes {
    unsigned count;
    size_t bytes; /* of all holes */
    struct hole hole[OS_RANGES_MAX];
    struct os_range memory[OS_RANGES_MAX];
};

/* The first block from `from` on, before `end`, that is free, or that is not; `end` when there is none. */
static uint32_t next_block(const struct page *page, uint32_t from, uint32_t end, bool free)
{
    uint64_t mask = ~low_mask64(from % 64);
    for (uint32_t word = from / 64; word * 64 < end; word++, mask = ~(uint64_t)0) {
        uint64_t bits = load_relaxed(&page->free[word]);
        bits = (free ? bits : ~bits) & mask;
        if (bits)
            return (uint32_t)min_size(word * 64 + lowest_bit(bits), end);
    }
    return end;
}

/* The whole pages of memory under the hole, from the first to the last that was not purged yet. Returns the bytes of
 * these; exact when the blocks are in hand. */
static size_t hole_memory(const struct hole *hole, struct os_range *memory)
{
    const struct page *page = hole->page;
    size_t size = class_size(page->class_id), memory_page = os_page_size(), bytes = 0, first = 0, end = 0;
    for (size_t at = align_up(hole->first * size, memory_page); at + memory_page <= (hole->last + 1u) * size;
         at += memory_page)
        if (!page_memory_is_purged(page, at)) {
            first = bytes == 0 ? at : first;
            end = at + memory_page;
            bytes += memory_page;
        }
    *memory = (struct os_range){.start = page->start + first, .size = end - first};
    return bytes;
}

/* Looks for a stretch of free blocks with memory to purge, at or behind block `from`. */
static bool hole_find(struct hole *hole, uint32_t from)
{
    const struct page *page = hole->page;
    struct os_range memory;
    uint32_t end = load_relaxed(&page->virgin); /* nothing behind it was ever touched */
    for (uint32_t first = next_block(page, from, end, true), stop; first < end;
         first = next_block(page, stop, end, true)) {
        stop = next_block(page, first, end, false);
        hole->first = (uint16_t)first;
        hole->last = (uint16_t)(stop - 1);
        if (stop > first && hole_memory(hole, &memory) > 0) /* block `first` may be taken meanwhile */
            return true;
    }
    return false;
}

/* The bits of its blocks in a word of the bitmap. */
static uint64_t hole_mask(const struct hole *hole, uint32_t word)
{
    uint64_t mask = low_mask64((unsigned)min_size(64, hole->last + 1u - word * 64));
    return word == hole->first / 64u ? mask & ~low_mask64(hole->first % 64) : mask;
}

/* Takes the blocks out of the bitmap, so that nobody else gets them; if some were taken meanwhile, only those before.
 * False when that is none. */
static bool hole_take(struct hole *hole)
{
    for (uint32_t word = hole->first / 64u; word <= hole->last / 64u; word++) {
        _Atomic(uint64_t) *free = &hole->page->free[word];
        uint64_t mask = hole_mask(hole, word), bits = load_relaxed(free);
        do {
            if ((bits & mask) != mask) {
                if (word == hole->first / 64u)
                    return false;
                hole->last = (uint16_t)(word * 64 - 1);
                return true;
            }
        } while (!cas_acquire(free, &bits, bits & ~mask)); /* pairs with page_put */
    }
    return true;
}

static void hole_put(const struct hole *hole)
{
    for (uint32_t word = hole->first / 64u; word <= hole->last / 64u; word++)
        page_put_back(hole->page, word, hole_mask(hole, word));
}

/* Takes the holes of the page that begins at the unit, at or behind block *from. False when it had room for all. */
static COLD bool holes_fill(struct holes *holes, struct superslab *slab, uint32_t unit, uint32_t *from)
{
    if (!lock_acquire())
        return false;
    /* Under the lock a page cannot be unmade, and then the blocks in hand keep it. */
    struct hole hole = {.page = page_at(slab, unit), .unit = slab->number * SUPERSLAB_UNITS + unit};
    unsigned before = holes->count;
    while (holes->count < OS_RANGES_MAX && hole.page && hole_find(&hole, *from)) {
        *from = hole.last + 1u;
        if (!hole_take(&hole))
            continue;
        hole.bytes = (uint32_t)hole_memory(&hole, &holes->memory[holes->count]);
        holes->bytes += hole.bytes;
        holes->hole[holes->count++] = hole;
    }
    if (holes->count > before)
        holes->hole[before].needs_advice = span_split(slab);
    else if (hole.page)
        page_settle(hole.page);
    lock_release();
    return holes->count == OS_RANGES_MAX;
}

static void holes_settle(const struct holes *holes)
{
    const struct hole *last = NULL;
    if (holes->count == 0 || !lock_acquire())
        return;
    for (const struct hole *hole = holes->hole; hole < holes->hole + holes->count; last = hole++) {
        struct page *page = page_at(slab_at(hole->unit / SUPERSLAB_UNITS), hole->unit % SUPERSLAB_UNITS);
        if (page && (!last || last->page != hole->page))
            page_settle(page);
    }
    lock_release();
}

/* Purges what is in hand and gives it back; bytes. */
static COLD size_t holes_purge(struct holes *holes)
{
    size_t bytes = 0;
    for (const struct hole *hole = holes->hole; hole < holes->hole + holes->count; hole++)
        if (hole->needs_advice)
            span_advise(slab_at(hole->unit / SUPERSLAB_UNITS));
    uint32_t purged = os_purge_all(holes->memory, holes->count);
    for (unsigned i = 0; i < holes->count; i++) {
        const struct hole *hole = &holes->hole[i];
        size_t begin = (size_t)((char *)holes->memory[i].start - hole->page->start);
        if (purged >> i & 1) {
            page_memory_note_purged(hole->page, begin, begin + holes->memory[i].size);
            bytes += hole->bytes;
        }
        hole_put(hole);
    }
    holes_settle(holes);
    holes->count = 0;
    holes->bytes = 0;
    return bytes;
}

/* Whether a look for holes is worth it: enough was freed in the page since the last one, in relation to what is still
 * used. So a page that empties slowly is looked at a few times, and in the end little of it is missed. */
static bool look_is_worth(const struct page *page, unsigned freed)
{
    enum { PART = 4 };
    return freed >= page_used_blocks(page) / PART;
}

/* How far the sweep over superslabs with loose blocks has come, from the highest down; and what was left at the last
 * look at each, because it was not worth it. Whoever purges has these. */
static struct sweep {
    uint32_t below;
    size_t left; /* bytes, in all superslabs: the sum of superslab.left */
} sweep = {.below = SLAB_NONE};

/* What one call does. */
struct work {
    size_t wanted;      /* bytes; SIZE_MAX: all there is, and wherever anything was freed */
    uint64_t until;     /* nanoseconds */
    size_t purged;      /* bytes */
    size_t looked_at;   /* bytes of loose blocks in pages that were looked at */
    struct holes holes; /* in hand */
};

static bool is_done(const struct work *work)
{
    return work->purged + work->holes.bytes >= work->wanted || os_nanoseconds() >= work->until;
}

/* Whether the page at the unit is to be looked at; else what is loose in it is left. */
static bool unit_choose(struct work *work, struct superslab *slab, uint32_t unit, size_t *left)
{
    struct page *page = page_at(slab, unit);
    unsigned freed = page ? load_relaxed(&page->freed) : 0u;
    size_t loose = page ? page_loose(page) : 0;
    if (freed > 0 && (work->wanted == SIZE_MAX || look_is_worth(page, freed))) {
        store_relaxed(&page->freed, 0);
        work->looked_at += loose;
        return true;
    }
    *left += loose;
    return false;
}

/* The next unit from `from` on whose page is to be looked at; SUPERSLAB_UNITS if there is none. */
static COLD uint32_t unit_next(struct work *work, struct superslab *slab, uint32_t from, size_t *left)
{
    uint32_t unit = from;
    if (!lock_acquire())
        return SUPERSLAB_UNITS;
    while (unit < SUPERSLAB_UNITS && !unit_choose(work, slab, unit, left))
        unit++;
    lock_release();
    return unit;
}

/* Looks through a superslab's pages; false when it was not at the end before the work was done. */
static COLD bool slab_sweep(struct work *work, struct superslab *slab)
{
    size_t left = 0;
    store_relaxed(&slab->is_loose, false); /* before the looks: what is freed after these marks it anew */
    slabset_remove(SET_LOOSE, slab->number);
    for (uint32_t unit = 0; (unit = unit_next(work, slab, unit, &left)) < SUPERSLAB_UNITS; unit++) {
        for (uint32_t from = 0; holes_fill(&work->holes, slab, unit, &from);)
            work->purged += holes_purge(&work->holes);
        if (is_done(work)) {
            page_note_loose(slab);
            return false;
        }
    }
    sweep.left += left - slab->left;
    slab->left = (uint32_t)left;
    return true;
}

/* Purges holes; highest addresses first, since blocks are taken lowest first. */
static COLD size_t purge_holes(size_t wanted, uint64_t until)
{
    struct work work = {.wanted = wanted, .until = until};
    page_visit_begin();
    bool from_top = sweep.below == SLAB_NONE, is_all = false;
    while (!is_all && !is_done(&work)) {
        uint32_t n = slabset_previous(SET_LOOSE, sweep.below);
        if (n != SLAB_NONE) {
            sweep.below = slab_sweep(&work, slab_at(n)) ? n : n + 1;
        } else { /* once around */
            is_all = from_top;
            from_top = true;
            sweep.below = SLAB_NONE;
        }
    }
    work.purged += holes_purge(&work.holes);
    page_visit_end();
    retain_purged(work.looked_at, is_all ? sweep.left : LEFT_UNKNOWN);
    return work.purged;
}

static _Atomic(uint32_t) purging; /* elects one thread: its id while it is at work */

static bool purging_take(void)
{
    uint32_t nobody = 0;
    /* Pairs with every release of it. */
    return load_relaxed(&purging) == 0 && cas_acquire(&purging, &nobody, lock_own_thread());
}

void purge_excess(size_t freed)
{
    enum { SLICE = 4 << 20, NANOSECONDS = 500 * 1000 };
    if (!purging_take())
        return;
    size_t excess = retain_excess(), over = retain_over_limit(), soon = max_size(max_size(SLICE, freed), over);
    bool is_bounded = soon == SLICE;
    uint64_t until = is_bounded ? os_nanoseconds() + NANOSECONDS : UINT64_MAX;
    size_t wanted = min_size(excess, soon);
    size_t purged = span_purge(0, wanted, until);
    if (purged < wanted)
        purged += purge_holes(wanted - purged, until);
    else
        retain_purged(0, LEFT_UNKNOWN);
    retain_note_purged(purged);
    limit_note_purged(min_size(purged, over));
    if (purged > 0 && purged < excess)
        retain_go_on();
    store_release(&purging, 0);
}

/* Marks what has anything free in it, whether that was worth a look so far or not. */
static COLD void all_loosen(void)
{
    for (uint32_t n = 0; n < span_slab_count(); n++)
        if (slab_at(n)->left > 0)
            page_note_loose(slab_at(n));
}

/* Waits until nobody else is at work; false if that takes long, as in a signal handler that interrupted whoever is. */
static COLD bool purging_wait(void)
{
    enum { LOOKS = 100 };
    for (unsigned looks = 0; looks < LOOKS; looks++) {
        if (purging_take())
            return true;
        os_wait(&purging, load_relaxed(&purging), 1);
    }
    return false;
}

size_t purge_all(size_t keep_bytes)
{
    size_t purged = 0;
    if (purging_wait()) {
        all_loosen();
        sweep.below = SLAB_NONE;
        purged = purge_holes(SIZE_MAX, UINT64_MAX);
        store_release(&purging, 0);
    }
    purged += span_purge(keep_bytes, SIZE_MAX, UINT64_MAX);
    retain_note_purged(purged);
    return purged;
}

COLD bool purge_hold(void)
{
    /* Before it is asked whether the thread exists: it may be one that the child of a fork does not have. */
    enum { LOOKS = 1000 };
    for (unsigned looks = 0; !purging_take(); looks++) {
        uint32_t thread = load_relaxed(&purging);
        if (thread == lock_own_thread())
            return false;
        if (looks > LOOKS && thread != 0 && !os_thread_exists(thread))
            cas_relaxed(&purging, &thread, 0); /* relaxed: nobody was at work in this process */
        os_wait(&purging, thread, 1);
    }
    return true;
}

void purge_let_go(void) { store_release(&purging, 0); /* pairs with purging_take */ }

void purge_after_fork(void) { store_relaxed(&purging, 0); }
