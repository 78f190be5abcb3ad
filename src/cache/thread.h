/* thread.h - the life of a process and of its threads, as the allocator sees it: first call, thread exit, fork, last
 * call.
 *
 * Nothing has to be initialised before the first malloc; that may come from the loader, before any constructor has
 * run. No lock is held across fork and no prepare handler exists: the child finds out by itself that it is one (a
 * word of memory that reads as zero there) when it first gets to a slow path, and derives what threads that do not
 * exist in it left half done. What these threads had in their caches, other threads of the child get. */
#ifndef HAK_THREAD_H
#define HAK_THREAD_H

#include "base/atomic.h"
#include "base/base.h"
#include "system/os_call.h"

struct cache;

/* Nonzero; zero in the child of a fork that has not been through thread_repair. */
extern _Atomic(uint32_t) *thread_fork_word;

/* The calling thread's cache, made when it has none yet; NULL when it cannot have one (any more). */
struct cache *thread_cache(void);

/* Threads that have a cache; of the moment. */
size_t thread_count(void);

/* Called by slow paths that allocate, before they ask for an option: the first block may be made before the constructor
 * has run. */
void thread_start_now(void);
extern _Atomic(bool) thread_has_options;
INLINE void thread_start(void)
{
    if (UNLIKELY(!load_relaxed(&thread_has_options))) /* relaxed: set before there are other threads */
        thread_start_now();
}

/* Called by slow paths before they look at anything shared. */
void thread_repair(void);
INLINE void thread_check_fork(void)
{
    /* A signal handler that has interrupted the lock's holder gets here, too, and may make them. */
    os_forbid_calls(false);
    /* Pairs with repair_end: what another thread has repaired is seen. */
    if (UNLIKELY(load_acquire(thread_fork_word) == 0))
        thread_repair();
}

/* Returns to their pages the blocks that ended threads have left in their caches for the next ones. Whoever looks
 * closely at a block does that first, so that the bitmap tells of a block that an ended thread has freed. */
void thread_close_parked_now(void);
extern _Atomic(uint32_t) thread_parked; /* caches that hold such blocks */
INLINE void thread_close_parked(void)
{
    /* Relaxed: who sees a thread's end, as by joining it, sees the count. */
    if (UNLIKELY(load_relaxed(&thread_parked) > 0))
        thread_close_parked_now();
}

/* In the child of a fork: empties the cache of one of the threads that do not exist there, because blocks are needed;
 * false when there is none any more. One at a time, for there may be thousands. */
bool thread_close_vanished_now(void);
extern _Atomic(bool) thread_has_vanished; /* a hint: there may be one */
INLINE bool thread_close_vanished(void)
{
    /* Relaxed: soon is early enough. */
    return UNLIKELY(load_relaxed(&thread_has_vanished)) && thread_close_vanished_now();
}

/* Returns to their pages all blocks that threads have left in their caches. */
void thread_close_left(void);

/* What is free goes back to the system, but for `keep` bytes of runs and what is in threads' rings: these the caller
 * sees to. The bytes that may have gone, as purge_all has them. */
size_t thread_trim(size_t keep);

/* Four times a second, in slow paths of each thread, and when much memory has come or gone (retain_moved): what is
 * above the caches has work to do. */
void thread_tick(uint64_t now);
void thread_note_moved(void);

/* All caches there ever were, the newest first. */
struct cache *thread_caches(void);

#endif
