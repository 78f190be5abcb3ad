/* group.h - groups: blocks of one class that are kept apart from others of the class, in pages of their own, and each
 * thread's rings of them. Which blocks belong together is not known here: site.h says so.
 *
 * A group's pages carry CLASS_GROUPED in the page map, whose ring is always closed, so the hot path leaves every free
 * of such a block to the slow path; the page says which group, and so which ring, the block is of. Groups have numbers:
 *
 *   1 .. CLASS_LAST                   one for each class, for single blocks that are watched (samples)
 *   GROUP_FREE_FIRST .. GROUP_COUNT-1  given out by group_make, for good
 *
 * A ring holds up to GROUP_ROOM free blocks and never grows; what does not fit goes back to the pages, so that they
 * empty. The rings belong to one thread, which alone touches them; others read only levels. Blocks may be freed by any
 * thread: they then lie in the ring of that thread, as blocks of plain rings do. */
#ifndef HAK_GROUP_H
#define HAK_GROUP_H

#include "base/atomic.h"
#include "heap/class.h"
#include "heap/slabset.h"

#define GROUP_FREE_FIRST (CLASS_LAST + 1u)
enum { GROUP_ROOM = 62 }; /* with the NULLs below it, an array of 64 words */

struct page;

struct group_ring {
    void **top;        /* the last block; *top is NULL when there is none */
    void **limit;      /* a push at or above it is slow */
    void **slot;       /* slot[0] and slot[-1] are NULL; NULL: no array yet */
    void **swept_top;  /* the top when idle rings were last looked for */
    struct page *page; /* the page that this ring refills from; held */
    _Atomic(uint32_t) level; /* blocks when the last slow operation ended, for other threads to read */
};

struct group_cache {
    struct group_ring ring[GROUP_COUNT];
    uint32_t holder; /* of the pages: the thread cache's id */
};

/* Gives out a group for blocks of the class; 0 when there are no more. Under the lock. */
unsigned group_make(unsigned class_id);
/* The class of a group's blocks. */
unsigned group_class(unsigned group);

/* Makes every ring empty and without an array. */
void group_open(struct group_cache *cache, uint32_t holder);

/* A block of the ring; NULL when it is empty. */
INLINE void *group_pop(struct group_ring *ring)
{
    void *block = *ring->top;
    if (LIKELY(block))
        ring->top--;
    return block;
}

/* False when the ring is full, and when the block is one of the two that were freed last. */
INLINE bool group_push(struct group_ring *ring, void *block)
{
    void **top = ring->top;
    if (UNLIKELY(top >= ring->limit || top[0] == block || top[-1] == block))
        return false;
    top[1] = block;
    signal_fence(); /* the child of a fork may have no more than the first of the two */
    ring->top = top + 1;
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
