/* group.h - groups: blocks of one class that are kept apart from others of the class, in pages of their own, and each
 * thread's rings of them. Which blocks belong together is not known here: site.h says so, and of samples sample.h.
 *
 * A group's pages carry CLASS_GROUPED in the page map, whose ring is always closed, so the hot path leaves every free
 * of such a block to the slow path; the page says which group, and so which ring, the block is of. Groups have numbers:
 *
 *   1 .. CLASS_LAST                   one for each class, for single blocks that are watched: samples, which have no
 *                                     ring; but
 *   GROUP_ARENA                       pages of heaps by name, of all classes (arena.h, slabset.h): no sample is of the
 *                                     smallest class
 *   GROUP_FREE_FIRST .. GROUP_COUNT-1  given out by group_make, for good
 *
 * A ring holds up to GROUP_ROOM free blocks and never grows; what does not fit goes back to the pages, so that they
 * empty. The rings belong to one thread, which alone touches them; others read only levels. Blocks may be freed by any
 * thread: they then lie in the ring of that thread, as blocks of plain rings do. */
#ifndef HAK_GROUP_H
#define HAK_GROUP_H

#include "base/atomic.h"
#include "cache/array.h"
#include "heap/class.h"
#include "heap/page.h"
#include "heap/slabset.h"

#define GROUP_FREE_FIRST (CLASS_LAST + 1u)
enum { GROUP_ROOM = 62 }; /* with the NULLs below it, 64 words */

struct group_ring {
    struct block_array array; /* never closed again once it is open; without marks */
    struct page *page;        /* the page that this ring refills from; held */
};

struct group_cache {
    struct group_ring ring[GROUP_COUNT - GROUP_FREE_FIRST];
    uint32_t holder; /* of the pages: the thread cache's id */
};

/* Gives out a group for blocks of the class; 0 when there are no more. Under the lock. */
unsigned group_make(unsigned class_id);
/* The class of a group's blocks. */
unsigned group_class(unsigned group);

/* Whether the blocks of the page, which may be none, are of such a group. */
INLINE bool group_is_given_out(const struct page *page)
{
    return page && load_relaxed(&page->group) >= GROUP_FREE_FIRST; /* relaxed: const while the page has live blocks */
}

INLINE struct group_ring *group_ring_of(struct group_cache *cache, unsigned group)
{
    return &cache->ring[group - GROUP_FREE_FIRST];
}

/* Makes every ring empty and without an array. */
void group_open(struct group_cache *cache, uint32_t holder);

/* A block of the ring; NULL when it is empty. */
INLINE void *group_pop(struct group_ring *ring)
{
    void *block = *ring->array.top;
    if (LIKELY(block))
        ring->array.top--;
    return block;
}

/* False when the ring is full, and when the block is one of the two that were freed last. */
INLINE bool group_push(struct group_ring *ring, void *block)
{
    void **top = ring->array.top;
    if (UNLIKELY(top >= ring->array.slot + ring->array.capacity || top[0] == block || top[-1] == block))
        return false;
    top[1] = block;
    signal_fence(); /* the child of a fork may have no more than the first of the two */
    ring->array.top = top + 1;
    return true;
}

/* Fills an empty ring from the group's pages, and takes a block; how many came in *got. NULL when memory is out. */
void *group_refill(struct group_cache *cache, unsigned group, unsigned *got);

/* Frees a block of the group, into a ring that may be full. Ends the program, naming `call`, at a double free that
 * shows. */
void group_return(struct group_cache *cache, unsigned group, void *block, const char *call);

/* Returns all blocks of all rings to their pages and lets the pages go; group_sweep half of those of rings that were
 * not used since the last sweep. `cache` may be NULL. */
void group_empty(struct group_cache *cache);
void group_sweep(struct group_cache *cache);

/* Free blocks of the class in the rings: exact if they are the calling thread's (is_own), else as of their last slow
 * operations. `cache` may be NULL. */
size_t group_blocks(const struct group_cache *cache, unsigned class_id, bool is_own);

/* Every invariant of the rings. */
bool group_is_valid(const struct group_cache *cache);

#endif
