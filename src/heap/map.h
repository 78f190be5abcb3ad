/* map.h - from an address to its size class (fast, by one look) and to its page (for slow paths).
 *
 * Classes: a table with a byte for each unit of the address space, from address 0 to the end of the heap. An address
 * behind it, and one that is in no page of blocks, has class 0: exact for every address that there is.
 *
 * Pages: a table with a pointer for each unit of the heap. Blocks that are mappings of their own lie elsewhere, at
 * multiples of SUPERSLAB_SIZE: for these, a 47- or 48-bit address is cut into root, leaf of 16 GiB, and superslab.
 *
 * Entries are written under the heap's lock, before a block of the unit is handed out and after the last is back, so a
 * thread that holds a live block reads stable entries. Any thread may read at any address. */
#ifndef HAK_MAP_H
#define HAK_MAP_H

#include "base/atomic.h"
#include "base/base.h"
#include "heap/class.h"

struct page;

/* A page of blocks that belongs to a group (group.h): its class is in its descriptor. No ring is ever open for this
 * entry, so that the hot path leaves such blocks to the slow path. */
#define CLASS_GROUPED (CLASS_LAST + 1u)

/* Who looks. Functions that are derived from ones that the program has replaced (front/replace.h) may serve nothing by
 * themselves: they see a heap without blocks, and no size that is small enough, so that every call takes the slow path,
 * which asks whose it is. */
enum map_view { VIEW_OWN, VIEW_C, VIEW_CXX, VIEW_COUNT };

extern struct map_window {
    _Atomic(uint8_t) *classes; /* of each unit. Written once, before the first block exists */
    _Atomic(size_t) end;       /* of what has an entry, as map_step counts. Grows, before there are blocks in what is
                                  new: relaxed, since whoever has a block got it from somebody who saw that */
    _Atomic(size_t) size_end;  /* requests below it may be served by a ring; CLASS_TABLE_MAX + 1, or 0. Written once;
                                  relaxed: who does not see it yet takes the slow path */
} map_window[VIEW_COUNT];

/* The number of the 16 bytes that an address begins. One that begins none, which is no block's, gets a number that is
 * larger than all others: what fell out below comes in at the top. */
INLINE size_t map_step(const void *address)
{
    enum { SHIFT = 4, BITS = 64 };
    _Static_assert(BLOCK_ALIGN == 1 << SHIFT, "a block begins a step");
    return (uintptr_t)address >> SHIFT | (uintptr_t)address << (BITS - SHIFT);
}
#define MAP_UNIT_STEPS (UNIT_SIZE / BLOCK_ALIGN)

/* Whether there is an entry for it, and the entry if there is. */
INLINE bool map_sees(enum map_view view, size_t step) { return is_below(step, &map_window[view].end); }
INLINE unsigned map_class_seen(enum map_view view, size_t step)
{
    return load_relaxed(&map_window[view].classes[step / MAP_UNIT_STEPS]); /* relaxed: see above */
}
/* The class of any address. */
INLINE unsigned map_class(const void *address)
{
    size_t step = (uintptr_t)address / BLOCK_ALIGN;
    return map_sees(VIEW_OWN, step) ? map_class_seen(VIEW_OWN, step) : 0;
}

/* Whether the entry is that of a page of blocks: a class, or CLASS_GROUPED. */
INLINE bool class_is_paged(unsigned entry) { return entry - 1u < CLASS_GROUPED; }

/* The page of blocks, or large block, that the unit belongs to; NULL when there is none. Of a large block, only the
 * first unit leads to it. */
extern struct map_pages {
    _Atomic(struct page *) *of; /* written once */
    uintptr_t first;            /* number of the heap's first unit; written once */
    _Atomic(size_t) count;      /* units that have an entry; grows. Relaxed, as the window's end */
} map_pages;
struct page *map_page_elsewhere(const void *address);
INLINE struct page *map_page(const void *address)
{
    size_t unit = ((uintptr_t)address >> UNIT_SHIFT) - map_pages.first;
    if (LIKELY(is_below(unit, &map_pages.count)))
        return load_acquire(&map_pages.of[unit]); /* pairs with map_set */
    return map_page_elsewhere(address);
}

/* How many views, in their order, see the heap; the others see none. All do that are not told otherwise, before there
 * is one. Under the growth lock. */
void map_open_views(unsigned count);

/* Makes room for entries of the heap's first superslabs; false when memory is out. Under the growth lock. */
bool map_cover(uint32_t slabs);
/* Makes room for the entry of a mapping; the same. */
bool map_cover_mapping(const void *start);

/* Enters a page of blocks, or removes it (entry 0, page NULL). Under the heap's lock. */
void map_set(const void *start, size_t units, unsigned entry, struct page *page);

/* Enters a large block, or removes it (NULL). Under the heap's lock. */
void map_set_large(const void *start, struct page *page);

/* The nearest large block that begins at or below an address and is a mapping of its own; NULL: none. Takes its time,
 * and may be out of date. */
struct page *map_mapping_below(const void *address);

#endif
