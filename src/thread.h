/* thread.h - the life of a process and of its threads, as the allocator sees it: first call, thread exit, fork, last
 * call.
 *
 * Nothing has to be initialised before the first malloc; that may come from the loader, before any constructor has
 * run. No lock is held across fork and no prepare handler exists: the child finds out by itself that it is one (a
 * word of memory that reads as zero there) when it first gets to a slow path, and derives what threads that do not
 * exist in it left half done. */
#ifndef HAK_THREAD_H
#define HAK_THREAD_H

#include "atomic.h"
#include "base.h"

struct cache;

/* Nonzero; zero in the child of a fork that has not been through thread_repair. */
extern _Atomic(uint32_t) *thread_fork_word;

/* The calling thread's cache, made when it has none yet; NULL when it cannot have one (any more). */
struct cache *thread_cache(void);

/* Threads that have a cache; of the moment. */
size_t thread_count(void);

/* Called by slow paths before they look at anything shared. */
void thread_repair(void);
INLINE void thread_check_fork(void)
{
    if (UNLIKELY(load_relaxed(thread_fork_word) == 0)) /* only this thread exists: nothing to pair with */
        thread_repair();
}

/* Caches that threads, when they ended, left for the next ones with blocks in them. */
extern _Atomic(uint32_t) thread_parked;
/* Returns those blocks to their pages. */
void thread_close_parked(void);
/* Whether the block, of the class, is one of them. */
bool thread_finds_parked(const void *block, unsigned class_id);
INLINE bool thread_parks_block(const void *block, unsigned class_id)
{
    /* Relaxed: who sees a thread's end, as by joining it, sees the count. */
    return UNLIKELY(load_relaxed(&thread_parked) > 0) && thread_finds_parked(block, class_id);
}

/* All caches there ever were, the newest first. */
struct cache *thread_caches(void);

#endif
