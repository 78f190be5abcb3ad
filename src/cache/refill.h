/* refill.h - what comes into a ring that is empty: a batch from the depot (remote.h), or blocks from the page that the
 * cache holds, from another with free blocks, or from a new one. A refill takes twice as many blocks as the one
 * before. */
#ifndef HAK_REFILL_H
#define HAK_REFILL_H

#include "cache/state.h"

/* The size asked for, where no larger block may stand in. */
#define RING_ANY_SIZE ((size_t)0)

/* Fills an empty, open ring in work, for a block of `size`; false when memory is out. */
bool ring_refill(struct ring_work work, size_t size);

/* A somewhat larger block, of another ring, instead of one of the class, whose ring is empty and that would need a new
 * page; NULL when there is none. */
void *ring_substitute(struct ring_work work, size_t size);

/* Sees that the cache has a page of the class, which may be drained; false when memory is out. */
bool cache_has_page(struct cache *cache, unsigned class_id);

#endif
