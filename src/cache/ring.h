/* ring.h - per-thread rings: arrays of free blocks' addresses, one for each size class, where almost every malloc and
 * free ends (malloc.c). Here is what happens when a ring is empty, full or veiled: the slow paths of malloc and free.
 *
 * Below them, from the bottom up, each with one reason:
 *
 *   array.h     blocks in an array: pushed, popped, dropped from its older end, given more room
 *   state.h     a thread's cache, the states of its rings, and the begin and end of work on one
 *   mark.h      which of a ring's blocks are samples
 *   capacity.h  how large a ring may be, and which classes have one
 *   flush.h     what leaves a ring        refill.h    what comes into one
 *   cache.h     a thread's rings as a whole: their beginning, their end, and what a fork leaves
 *   tend.h      entering and leaving a slow path, and what is done there now and then */
#ifndef HAK_RING_H
#define HAK_RING_H

#include "cache/cache.h"
#include "cache/refill.h"
#include "cache/state.h"
#include "cache/tend.h"

/* Counts a request for a block of a class above CLASS_TABLE_MAX: whether the calling thread has, of late, called for
 * such blocks so often that they are to come from pages of the class. Else a run of its own is better, which can grow
 * in place and leaves nothing behind. */
bool ring_in_demand(unsigned class_id);

/* The slow paths of malloc and free: the ring of the class is empty, or full, or veiled, or there is no cache. A
 * block that is freed lies in a page of the class. RING_MARK instead of a block: this allocation is to be a sample
 * (draw.h); who cannot make it one asks again. `size`: what was asked for, or RING_ANY_SIZE. */
void *ring_malloc(unsigned class_id, size_t size);
void ring_free(void *block, unsigned class_id, const char *call);
#define RING_MARK ((void *)1)

/* The block was a sample of the class, which stood for `bytes`, and was freed: a mark in its place, if there may be
 * one, and if `companion`, a block of the class that this might have been, would have gone into the ring. */
void ring_put_mark(unsigned class_id, const void *block, uint64_t bytes, const void *companion);

/* Whether a block of `size` bytes that is no ring's, made by this thread, is to be a sample. */
bool ring_draws(size_t size);

/* The block on top of the calling thread's ring, which is looked at by whoever made a sample: a block that this might
 * have been; NULL when there is none. */
const void *ring_next(unsigned class_id);

/* A block that reads as zero, when the ring is empty and one can be had without clearing it; NULL otherwise. */
void *ring_malloc_zeroed(unsigned class_id);

/* Returns the calling thread's blocks to their pages and lets its pages go. */
void ring_collect(void);

/* Free blocks of the class in the ring: exact for the calling thread's cache and while calls are counted, else as of
 * the ring's last slow path. */
size_t ring_count(const struct cache *cache, unsigned class_id);

/* Ends the program, naming `call`, when the block of the class is free: in its page, or among the newest of the calling
 * thread's ring. */
void ring_check_live(const void *block, unsigned class_id, const char *call);

/* Whether the block is one of the two freed last into the calling thread's ring. Cheap. */
INLINE bool ring_has_newest(const void *block, unsigned class_id)
{
    void **top = cache_self->top[class_id];
    return top[0] == block || top[-1] == block;
}

/* Whether the calling thread's ring is open, so that frees into it are not watched, and not full. Cheap. */
INLINE bool ring_is_roomy(unsigned class_id) { return cache_self->top[class_id] < cache_self->limit[class_id]; }

#endif
