#include "purge.h"

#include "lock.h"
#include "map.h"
#include "os.h"
#include "page.h"
#include "span.h"

/* Free blocks in hand while the memory under them is purged. */
struct hole {
    struct page *page;
    uint32_t first, last; /* numbers of the blocks that the hole is made of */
    uint64_t taken[PAGE_MAX_BLOCKS / 64];
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

/* Looks for a stretch of free blocks that covers whole pages of memory, at or behind block `from`. */
static bool hole_find(struct hole *hole, struct page *page, uint32_t from, size_t memory_page)
{
    size_t size = class_size(page->class_id);
    uint32_t end = load_relaxed(&page->virgin); /* nothing behind it was ever touched */
    for (uint32_t first = next_block(page, from, end, true), stop; first < end;
         first = next_block(page, stop, end, true)) {
        stop = next_block(page, first, end, false);
        if (align_up(first * size, memory_page) + memory_page <= stop * size) {
            *hole = (struct hole){.page = page, .first = first, .last = stop - 1};
            return true;
        }
    }
    return false;
}

/* Takes the blocks out of the bitmap, so that nobody else gets them; false when some were taken meanwhile. */
static bool hole_take(struct hole *hole)
{
    bool all = true;
    for (uint32_t word = hole->first / 64; word <= hole->last / 64; word++) {
        uint64_t mask = low_mask64((unsigned)min_size(64, hole->last + 1 - word * 64));
        if (word == hole->first / 64)
            mask &= ~low_mask64(hole->first % 64);
        hole->taken[word] = fetch_and_acquire(&hole->page->free[word], ~mask) & mask; /* pairs with page_put */
        all &= hole->taken[word] == mask;
    }
    return all;
}

static void hole_put(const struct hole *hole)
{
    for (uint32_t word = hole->first / 64; word <= hole->last / 64; word++)
        if (hole->taken[word])
            page_put_back(hole->page, word, hole->taken[word]);
}

/* Purges the pages of memory in [begin, end) of the page that were not purged yet; bytes. Their blocks are in hand. */
static size_t range_purge(struct page *page, size_t begin, size_t end, size_t memory_page)
{
    size_t purged = 0;
    while (begin < end) {
        size_t stop = begin;
        while (stop < end && !page_memory_is_purged(page, stop))
            stop += memory_page;
        if (stop > begin && os_purge(page->start + begin, stop - begin) == 0) {
            page_memory_note_purged(page, begin, stop);
            purged += stop - begin;
        }
        begin = stop + memory_page;
    }
    return purged;
}

static size_t hole_purge(const struct hole *hole, size_t memory_page)
{
    size_t size = class_size(hole->page->class_id);
    return range_purge(hole->page, align_up(hole->first * size, memory_page),
                       (hole->last + 1) * size & ~(memory_page - 1), memory_page);
}

/* Purges the next hole, at or behind block *from, of the page that begins at the unit, if there is one. */
static COLD bool unit_purge_hole(struct superslab *slab, uint32_t unit, uint32_t *from, size_t *bytes)
{
    size_t memory_page = os_page_size();
    struct hole hole;
    if (!lock_acquire())
        return false;
    /* Under the lock a page cannot be unmade, and then the blocks in hand keep it. */
    struct page *page = page_at(slab, unit);
    bool found = page && hole_find(&hole, page, *from, memory_page);
    bool taken = found && hole_take(&hole);
    if (taken)
        span_split(slab);
    if (page && !found)
        page_settle(page);
    lock_release();
    if (!found)
        return false;
    if (taken)
        *bytes += hole_purge(&hole, memory_page);
    hole_put(&hole);
    *from = hole.last + 1;
    return true;
}

/* Whether a look for holes is worth it: enough was freed in the page since the last one, in relation to what is still
 * used. So a page that empties slowly is looked at a few times, and in the end little of it is missed. */
static bool look_is_worth(const struct page *page, unsigned freed)
{
    enum { PART = 4 };
    return freed >= page_used_blocks(page) / PART;
}

struct sweep {
    size_t purged;    /* bytes */
    size_t looked_at; /* bytes of loose blocks in pages that were looked at, */
    size_t left;      /* and in those that were not worth it */
};

/* The units of a superslab whose pages are to be looked at; `all`: wherever anything was freed. */
static COLD uint32_t slab_choose(struct superslab *slab, bool all, struct sweep *sweep)
{
    uint32_t chosen = 0;
    if (!lock_acquire())
        return 0;
    for (uint32_t unit = 0; unit < SUPERSLAB_UNITS; unit++) {
        struct page *page = page_at(slab, unit);
        unsigned freed = page ? load_relaxed(&page->freed) : 0u;
        size_t loose = page ? page_loose(page) : 0;
        if (freed > 0 && (all || look_is_worth(page, freed))) {
            store_relaxed(&page->freed, 0);
            sweep->looked_at += loose;
            chosen |= (uint32_t)1 << unit;
        } else {
            sweep->left += loose;
        }
    }
    lock_release();
    return chosen;
}

/* Purges holes until `bytes` have gone; highest addresses first, since blocks are taken lowest first. */
static COLD size_t purge_holes(size_t bytes)
{
    struct sweep sweep = {.purged = 0};
    for (uint32_t n = span_slab_count(); n-- > 0 && sweep.purged < bytes;)
        for (uint32_t chosen = slab_choose(slab_at(n), bytes == SIZE_MAX, &sweep); chosen; chosen &= chosen - 1)
            for (uint32_t from = 0; unit_purge_hole(slab_at(n), lowest_bit(chosen), &from, &sweep.purged);)
                continue;
    retain_purged(sweep.looked_at, sweep.purged < bytes ? sweep.left : LEFT_UNKNOWN);
    return sweep.purged;
}

static _Atomic(bool) purging; /* elects one thread */

void purge_excess(void)
{
    if (load_relaxed(&purging) || exchange_acquire(&purging, true)) /* pairs with the release below */
        return;
    size_t excess = retain_excess();
    size_t runs = span_purge_some(excess);
    if (runs < excess)
        purge_holes(excess - runs);
    else
        retain_purged(0, LEFT_UNKNOWN);
    store_release(&purging, false);
}

size_t purge_all(size_t keep_bytes)
{
    return purge_holes(SIZE_MAX) + span_purge(keep_bytes);
}

void purge_after_fork(void) { store_relaxed(&purging, false); }
