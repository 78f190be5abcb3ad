/* map.h - from an address to its size class (fast, by one look) and to its page (exact, for slow paths).
 *
 * Classes: a table with a byte for each unit of a window of address space, indexed by the address modulo the window.
 * No two superslabs, and no superslab and the first unit of a large block, share entries (map_obtain sees to it), so
 * for every block the table is exact. Any other address reads 0 or, should it fall on entries in use, a class that
 * is not its own: where that matters, the page is looked up. The window is several times as large as the machine's
 * memory, and bounds the heap. Before anything was mapped it is one byte, which is 0.
 *
 * Pages: a 48-bit address is cut 16 | 16 | 16: root, leaf of 4 GiB, offset in the unit.
 *
 * Entries are written under the address-space lock, before a block of the unit is handed out and after the last is
 * back, so a thread that holds a live block reads stable entries. Any thread may read at any address. */
#ifndef HAK_MAP_H
#define HAK_MAP_H

#include "base/atomic.h"
#include "base/base.h"
#include "heap/class.h"

struct page;

#define MAP_ROOTS 65536u
#define MAP_LEAF_UNITS 65536u

/* A unit of the heap that is not part of a page of blocks. 0: not a unit of the heap. */
#define CLASS_RESERVED (CLASS_SLOTS - 1u)
/* A page of blocks that belongs to a group (group.h): its class is in its descriptor. No ring is ever open for this
 * entry, so that the hot path leaves such blocks to the slow path. */
#define CLASS_GROUPED (CLASS_LAST + 1u)

/* Who looks. Functions that are derived from ones that the program has replaced (front/replace.h) may serve nothing by
 * themselves: they see a heap without blocks, and no size that is small enough, so that every call takes the slow path,
 * which asks whose it is. */
enum map_view { VIEW_OWN, VIEW_C, VIEW_CXX, VIEW_COUNT };

/* Written once, under the lock, before the first block exists and so before other threads can have one. */
extern struct map_window {
    _Atomic(uint8_t) *classes; /* a byte for each unit */
    size_t unit_mask;          /* units of the window, minus 1 */
    size_t size_end;           /* requests below it may be served by a ring; CLASS_TABLE_MAX + 1, or 0 */
} map_window[VIEW_COUNT];

INLINE _Atomic(uint8_t) *map_class_entry_seen(enum map_view view, const void *address)
{
    return &map_window[view].classes[(uintptr_t)address >> UNIT_SHIFT & map_window[view].unit_mask];
}
INLINE _Atomic(uint8_t) *map_class_entry(const void *address) { return map_class_entry_seen(VIEW_OWN, address); }

INLINE unsigned map_class_seen(enum map_view view, const void *address)
{
    return load_relaxed(map_class_entry_seen(view, address)); /* relaxed: see above */
}
INLINE unsigned map_class(const void *address) { return map_class_seen(VIEW_OWN, address); }

/* Whether the entry is that of a page of blocks: a class, or CLASS_GROUPED. */
INLINE bool class_is_paged(unsigned entry) { return entry - 1u < CLASS_GROUPED; }

struct map_leaf {
    _Atomic(struct page *) page[MAP_LEAF_UNITS];
};
extern struct map_leaf *_Atomic map_root[MAP_ROOTS];

/* Where the unit's page is entered; NULL when nothing was ever mapped near by. */
INLINE _Atomic(struct page *) *map_page_entry(const void *address)
{
    uintptr_t index = (uintptr_t)address >> 32;
    struct map_leaf *leaf = index < MAP_ROOTS ? load_acquire(&map_root[index]) : NULL; /* pairs with leaves_make */
    return leaf ? &leaf->page[(uint32_t)(uintptr_t)address >> UNIT_SHIFT] : NULL;
}

/* The page of blocks, or large block, that the unit belongs to; NULL when there is none. Of a large block, only the
 * first unit leads to it. */
INLINE struct page *map_page(const void *address)
{
    _Atomic(struct page *) *entry = map_page_entry(address);
    return entry ? load_acquire(entry) : NULL; /* pairs with map_set */
}

/* How many views, in their order, see the heap; the others see none. All do that are not told otherwise, before there
 * is one. Under the lock. */
void map_open_views(unsigned count);

/* Maps fresh memory as os_map does, with page entries ready to be written and the class entries of its first `entries`
 * bytes claimed (CLASS_RESERVED). False when memory is out. Under the lock. */
bool map_obtain(size_t size, size_t align, size_t entries, void *hint, void **out);

/* Gives up the class entries of memory that is about to be unmapped. Under the lock. */
void map_give_up(const void *start, size_t entries);

/* Enters a page of blocks, or removes it (entry CLASS_RESERVED, page NULL). Under the lock. */
void map_set(const void *start, size_t units, unsigned entry, struct page *page);

/* Enters a large block, or removes it (NULL). Under the lock. */
void map_set_large(const void *start, struct page *page);

#endif
