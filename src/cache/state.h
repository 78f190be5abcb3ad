/* state.h - what a thread has for its calls: a cache, with a ring of free blocks for each size class. Here are their
 * states, and the one way to change a ring: between ring_begin and ring_end.
 *
 * Of a ring the fast path (malloc.c) knows `top` and `limit`: it takes the block at `top`, unless that is NULL, and
 * puts one above it, unless `top` has reached `limit`. So a ring can be veiled: to the fast path it then looks full, so
 * that every free takes a slow path, or empty and full, so that every call does. That is how calls are counted, and how
 * young rings are checked for misuse, at no cost to the others:
 *
 *   state     the fast path sees       array    until
 *   closed    empty and full           closed   there is demand (ring_open)
 *   watched   blocks, and full         open     RING_PROBATION frees were checked
 *   open      blocks, and room         open     it is closed (ring_close)
 *   hidden    empty and full           open     the work on it ends, and nothing asks for every call
 *
 * Hidden is a ring while it is in work, and after that for as long as calls are counted (HAKMEM_STATS, count.h) or
 * checked (HAKMEM_HARDEN), or somebody has to look at the clock (tend.h); and from a look at idle rings to its next
 * use, which so is seen. Then array.top is its top; else the fast path's is.
 *
 * A cache belongs to one thread, which alone touches it; others read only counters and levels, for statistics (so these
 * are atomic, all relaxed: nothing depends on what is read). When that thread has ended, the cache belongs to whoever
 * takes it from a list of thread.c; the lock, under which lists change, hands over what is in it. A thread without a
 * cache (before its first malloc, after its exit, in a signal handler that interrupted a slow path, when memory is out)
 * uses pages directly. */
#ifndef HAK_STATE_H
#define HAK_STATE_H

#include "base/atomic.h"
#include "cache/array.h"
#include "cache/count.h"
#include "cache/draw.h"
#include "heap/class.h"
#include "policy/policy.h"

/* What the slow paths count, for each cache; only its owner writes. Frees and mallocs "of the ring" are known while
 * counted. Direct ones pass the rings by; those of threads without a cache are counted in cache_none's counters, by all
 * of them. */
#define RING_COUNTERS(X)    \
    X(ring_mallocs)         \
    X(ring_frees)           \
    X(refills_from_depot)   \
    X(refills_from_pages)   \
    X(flushes)              \
    X(flushed_to_depot)     \
    X(flushed_to_pages)     \
    X(zeroed_blocks)        \
    X(direct_mallocs)       \
    X(direct_frees)

struct ring_counters {
#define X(name) _Atomic(uint64_t) name;
    RING_COUNTERS(X)
#undef X
};

enum {
    RING_PROBATION = 64,  /* frees into a young ring that are watched */
    CACHE_TICKS = 64 /* slow calls between looks at the clock (tend.h) */
};

struct ring {
    struct block_array array; /* its top is the ring's while that is hidden */
    uint16_t refill;    /* blocks the next refill asks the page for */
    uint8_t probation;  /* frees that are still to be watched */
    uint8_t growth;     /* pages made, minus those that were found to have free blocks: never below 0 */
    uint16_t drawn;     /* blocks that refills brought, minus what was passed on since; at most UINT16_MAX */
    uint16_t demand;    /* calls since idle rings were last looked for, while the ring is closed */
};

struct page;
struct group_cache;
struct hold;

struct cache {
    void **top[CLASS_SLOTS];   /* the fast path's */
    void **limit[CLASS_SLOTS]; /* a push at or above it is slow */
    struct ring ring[CLASS_LAST + 1];
    struct page *page[CLASS_LAST + 1]; /* the page this cache refills from; held */
    struct group_cache *_Atomic groups; /* rings of blocks that are kept apart; NULL unless sites are on (site.h) */
    struct ring_counters counters;
    struct hold *hold;      /* blocks that were freed and are held back (hold.h); NULL unless that is asked for */
    struct tally *tally;    /* what the learner is to see; NULL: the thread does not count (yet) */
    uint64_t sweep_at;      /* milliseconds: when to look for idle rings again */
    size_t reach;           /* bytes of blocks that the rings could hold */
    struct draw draw;       /* which of the blocks that come are samples */
    struct count count;     /* which allocations are, while all are counted */
    uint32_t id;            /* from 1 */
    uint32_t version;       /* of the policy that its rings comply with */
    bool busy;              /* in a slow path, or in hand (thread.c): a signal handler that gets here must not enter
                               another, and the child of a fork must not take it for whole */
    uint8_t ticks;          /* slow calls since the clock was last looked at */
    bool fenced;            /* rings stay hidden when slow paths end (tend.c) */
    uint32_t fence_calls;   /* so many slow paths fences may cost, as of */
    uint64_t fence_at;      /* milliseconds */
    uint32_t collected;     /* the value of collect_epoch when the cache was last emptied for it */
    bool attached;          /* [lock] a thread uses it */
    uint32_t generation;    /* [lock] of the process in which a thread last had it (thread.c) */
    uint32_t thread_id;     /* [lock] that thread's; 0 where a destructor will tell of its end */
    struct cache *next;       /* [const] all caches, the newest first */
    struct cache *next_spare; /* [lock] caches without a thread */
};
_Static_assert(sizeof(struct cache) <= 4096, "a thread's cache is one page of memory");

/* What thread-local storage points to when the thread has no cache (yet, or any more): every ring closed. */
extern struct cache cache_none;
extern __thread struct cache *cache_self __attribute__((tls_model("initial-exec")));

/* ---- Work on a ring ---------------------------------------------------------------------------------------------- */

/* A ring in work. What changes a ring asks for one of these, and ring_begin alone makes them. */
struct ring_work {
    struct cache *cache;
    unsigned class_id;
};

/* Takes the ring out of the fast path's sight: a signal handler that calls malloc or free meanwhile takes the slow path
 * too, and finds the cache busy, which it has to be. (Until it is out of sight a handler may still pop.) */
void ring_hide(struct cache *cache, unsigned class_id);
INLINE struct ring_work ring_begin(struct cache *cache, unsigned class_id)
{
    HAK_ASSERT(cache->busy);
    ring_hide(cache, class_id);
    array_note_use(&cache->ring[class_id].array);
    return (struct ring_work){cache, class_id};
}

/* The work is done: tells others how many blocks the ring has, and the fast path sees what the ring's state lets it
 * see. Whoever has begun ends. */
void ring_finish(struct cache *cache, unsigned class_id);
INLINE void ring_end(struct ring_work work) { ring_finish(work.cache, work.class_id); }

/* The same after work as the fast path does, of which others are not told either. */
void ring_show(struct cache *cache, unsigned class_id);
INLINE void ring_end_short(struct ring_work work) { ring_show(work.cache, work.class_id); }

INLINE struct ring *ring_of(struct ring_work work) { return &work.cache->ring[work.class_id]; }

/* Whether the ring has memory, and the fast path does not see it. */
INLINE bool ring_is_hidden(const struct cache *cache, unsigned class_id)
{
    HAK_ASSERT(class_id <= CLASS_LAST);
    return cache->top[class_id] == ARRAY_CLOSED && array_is_open(&cache->ring[class_id].array);
}

/* What holds of a ring in work. */
INLINE bool ring_is_in_work(struct ring_work work)
{
    return work.cache->busy && work.cache->top[work.class_id] == ARRAY_CLOSED;
}

/* Its newest entry's place, whether it is in work or not; ARRAY_CLOSED: it is closed. */
INLINE void **ring_top(const struct cache *cache, unsigned class_id)
{
    return ring_is_hidden(cache, class_id) ? cache->ring[class_id].array.top : cache->top[class_id];
}

/* Entries of a ring that has memory, in work or not. */
INLINE size_t ring_entries(const struct cache *cache, unsigned class_id)
{
    return (size_t)(ring_top(cache, class_id) - cache->ring[class_id].array.slot);
}

/* Makes a ring closed, as it is at the beginning; what it had is lost. */
void ring_forget(struct cache *cache, unsigned class_id);

/* All rings are out of the fast path's sight, until work on each ends. */
void cache_veil(struct cache *cache);

INLINE const struct class_policy *policy_of(unsigned class_id) { return &policy_now()->class[class_id]; }

/* Every invariant of the calling thread's rings. */
bool cache_is_valid(const struct cache *cache);

#endif
