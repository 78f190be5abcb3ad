/* flush.h - what leaves a ring: the older half of one that is full goes on, to the depot (remote.h) or to its pages, or
 * the ring grows; idle rings lose their blocks by halves, and all go when the memory is wanted. */
#ifndef HAK_FLUSH_H
#define HAK_FLUSH_H

#include "cache/state.h"

/* Puts a block, or NULL for a mark, on top of a ring in work that is open and may be full; then it makes room first. */
void ring_flush(struct ring_work work, const char *call);
INLINE void ring_push(struct ring_work work, void *entry, const char *call)
{
    struct block_array *array = &ring_of(work)->array;
    if (array_is_full(array))
        ring_flush(work, call);
    array_push(array, entry);
}

/* Returns all of the ring's blocks to their pages, and lets the page go that it refills from. */
void ring_empty(struct cache *cache, unsigned class_id);

/* A ring that nobody has used since idle ones were last looked for: half of its blocks go back, the older ones; of an
 * empty ring the page, and its capacity, if the policy says so. */
void ring_rest(struct cache *cache, unsigned class_id);

/* No blocks of the class are going to be taken from the ring: it gives up all but what it takes for blocks to pass
 * through. */
void ring_let_pass(struct cache *cache, unsigned class_id);

/* Lets the page go that the cache refills from, if there is one. */
void let_page_go(struct cache *cache, unsigned class_id);

#endif
