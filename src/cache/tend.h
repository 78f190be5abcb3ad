/* tend.h - entering and leaving a slow path, and what is done there now and then: every 64th time, and four times a
 * second.
 *
 * A thread that its rings serve has no slow path, and so no clock. While memory waits for the time to be given back
 * (retain.h), rings therefore stay hidden when slow paths end, so that even a program that makes few calls comes here.
 * So many calls are slow then that the program does not feel them; a ring that is called for when these are used up
 * shows. They stay hidden for a tenth of these calls while nothing waits, where something may come to wait that this
 * thread is not told of: other threads' blocks in the depot, and what lies idle in its own rings. */
#ifndef HAK_TEND_H
#define HAK_TEND_H

#include "cache/state.h"
#include "heap/retain.h"

/* Enters a slow path: the calling thread's cache, made when it has none; NULL when it cannot have one, or is in a
 * slow path already (then nothing is to be left). In between, rings of the cache are not used by anybody else, a
 * signal handler included. */
struct cache *cache_enter(void);
void cache_leave(struct cache *cache);

/* The same where no time is to be lost, and nothing is done but what the caller does; false when the cache is in a slow
 * path. */
INLINE bool cache_enter_short(struct cache *cache)
{
    if (cache->busy)
        return false;
    cache->busy = true;
    signal_fence(); /* pairs with the one in cache_leave_short: a signal handler sees `busy` for all of a slow path */
    return true;
}
/* The same for a call that does what the fast path would have done; false also when the clock waits for a slow path. */
INLINE bool cache_enter_as_fast(struct cache *cache)
{
    return !cache->fenced && cache->ticks < CACHE_TICKS && cache_enter_short(cache);
}
INLINE void cache_leave_short(struct cache *cache)
{
    HAK_ASSERT(cache->busy);
    signal_fence();
    cache->busy = false;
}

/* What is due four times a second is due again before that. */
void cache_tick(struct cache *cache);

/* Where no thread has a cache (HAKMEM_CHECK), and so nobody gets to the above: every 64th call does what is due for the
 * process. */
void process_tend(void);

/* Memory was handed out or freed past the rings: while any waits for the time to be given back, or much has come or
 * gone, somebody is to look at the clock. */
void ring_fence(void);
INLINE void ring_note_large(void)
{
    if (UNLIKELY(load_relaxed(&retain_waits) || load_relaxed(&retain_moved))) /* relaxed: hints */
        ring_fence();
}

#endif
