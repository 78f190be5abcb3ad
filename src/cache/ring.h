/* ring.h - per-thread rings: arrays of free blocks' addresses, one for each size class, where almost every malloc
 * and free ends (malloc.c). Here is the thread cache they live in and everything that happens when a ring is empty,
 * full, or veiled.
 *
 * A ring's slot 0 (and the word before it) holds NULL, its blocks stand in slots 1 .. capacity. `top` points to the
 * last block, or to slot 0 when there is none, so a pop needs no count: the NULL says "empty". A push goes to the
 * slow path when `top` has reached `limit`.
 *
 * A ring can be veiled: to the fast path it then looks full (so that every free is seen here) or empty and full (so
 * that every call is). That is how calls are counted, and how young rings are checked for misuse, at no cost to the
 * others:
 *
 *   closed   no array (yet, or any more); looks empty and full
 *   watched  blocks can be popped, every free comes here and is checked; after PROBATION frees the ring is open
 *   open     the fast path does everything
 *   counted  looks empty and full for good, while calls are counted (HAKMEM_STATS) or checked (HAKMEM_HARDEN);
 *            `held_top` is the real top
 *
 * Capacity grows when a ring overflows with blocks that the thread has drawn itself, within the policy's bounds for
 * the ring, the thread and the process; what others have drawn, it keeps only until there are enough to be passed on
 * together. It grows a little, too, when refills take as many as they may: a refill takes twice as many blocks as the
 * one before. Rings that are not used lose their blocks by halves. A block above CLASS_TABLE_MAX is expensive to keep,
 * and to use: its class has a ring only as long as it is in demand; else blocks are runs (large.h), and those of its
 * pages that are freed go back one by one. Under thrift, classes above POLICY_MID_MIN have rings only while in much
 * demand, too; else their blocks come and go one by one.
 *
 * A cache belongs to one thread, which alone touches it; others only read counters and levels, for statistics (so
 * these are atomic, all relaxed: nothing depends on what is read). When that thread has ended, the cache belongs to
 * whoever takes it from a list of thread.c; the lock, under which lists change, hands over what is in it. A thread
 * without a cache (before its first malloc, after its exit, in a signal handler that interrupted a slow path, when
 * memory is out) uses pages directly. */
#ifndef HAK_RING_H
#define HAK_RING_H

#include "base/atomic.h"
#include "heap/class.h"
#include "heap/retain.h"
#include "policy/learn.h"

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

struct ring {
    void **slot;        /* NULL: closed. slot[0] is NULL */
    void **held_top;    /* the real top while the ring is hidden */
    _Atomic(uint32_t) level; /* blocks in the ring when its last slow path ended, for other threads to read */
    uint16_t capacity;
    uint16_t refill;    /* blocks the next refill asks the page for */
    uint16_t swept;     /* blocks in it when idle rings were last looked for, or RING_NOT_SWEPT */
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
    uint32_t id;            /* from 1 */
    uint32_t version;       /* of the policy that its rings comply with */
    bool busy;              /* in a slow path, or in hand (thread.c): a signal handler that gets here must not enter
                               another, and the child of a fork must not take it for whole */
    uint8_t ticks;          /* slow calls since the depot was last looked after */
    bool fenced;            /* rings stay hidden when slow paths end (cache_fence) */
    uint32_t fence_calls;   /* so many slow paths fences may cost, as of */
    uint64_t fence_at;      /* milliseconds */
    uint32_t collected;     /* the value of collect_epoch when the cache was last emptied for it */
    bool attached;          /* [lock] a thread uses it */
    uint32_t generation;    /* [lock] of the process in which a thread last had it (thread.c) */
    uint32_t thread_id;     /* [lock] that thread's; 0 where a destructor will tell of its end */
    struct cache *next;       /* [const] all caches, the newest first */
    struct cache *next_spare; /* [lock] caches without a thread */
};

/* What thread-local storage points to when the thread has no cache (yet, or any more): every ring closed. */
_Static_assert(sizeof(struct cache) <= 4096, "a thread's cache is one page of memory");
extern struct cache cache_none;
extern __thread struct cache *cache_self __attribute__((tls_model("initial-exec")));

/* No slot has this number. */
#define RING_NOT_SWEPT UINT16_MAX

/* Counts a request for a block of a class above CLASS_TABLE_MAX: whether the calling thread has, of late, called for
 * such blocks so often that they are to come from pages of the class. Else a run of its own is better, which can grow
 * in place and leaves nothing behind. */
bool ring_in_demand(unsigned class_id);

/* The size asked for, where no larger block may stand in. */
#define RING_ANY_SIZE ((size_t)0)

/* The slow paths of malloc and free: the ring of the class is empty, or full, or veiled, or there is no cache. A
 * block that is freed lies in a page of the class. */
void *ring_malloc(unsigned class_id, size_t size);
void ring_free(void *block, unsigned class_id, const char *call);

/* A block that reads as zero, when the ring is empty and one can be had without clearing it; NULL otherwise. */
void *ring_malloc_zeroed(unsigned class_id);

/* Enters a slow path: the calling thread's cache, made when it has none; NULL when it cannot have one, or is in a
 * slow path already (then nothing is to be left). In between, rings of the cache are not used by anybody else, a
 * signal handler included. */
struct cache *cache_enter(void);
void cache_leave(struct cache *cache);

/* The next malloc or free of the class by this thread is to take the slow path, whatever is in the ring. */
void ring_await(struct cache *cache, unsigned class_id);

/* Memory was freed past the rings: while any waits for the time to be given back, somebody is to look at the clock. */
void ring_fence(void);
INLINE void ring_note_free(void)
{
    if (UNLIKELY(load_relaxed(&retain_waits))) /* relaxed: a hint */
        ring_fence();
}

/* Returns the calling thread's blocks to their pages and lets its pages go. */
void ring_collect(void);

/* The same for every other thread, when it next gets to a slow path. */
void ring_collect_all(void);

/* Gives the calling thread a cache, or takes it back: thread.c. */
void cache_open(struct cache *cache, uint32_t id);
void cache_close(struct cache *cache);
/* Makes a cache ready for the thread that comes after its own, which has ended: little rings of small blocks stay as
 * they are, everything else goes back; and gives it to that thread, whose first frees are watched as any thread's. */
void cache_park(struct cache *cache);
void cache_unpark(struct cache *cache);
/* In the child of a fork: the cache of a thread that does not exist there, and that was in a slow path. The rings that it
 * had hidden, one or the other of which it was changing, are lost, and its pages are others'. */
void cache_mend(struct cache *cache);

/* From now on every call is counted: the rings of `cache` are veiled for good. */
void cache_veil(struct cache *cache);

/* Under HAKMEM_HARDEN: from now on the cache, whose rings are empty, holds back what is freed, and they stay veiled. */
void cache_harden(struct cache *cache);
/* In the child of a fork: what the cache chooses is to be another choice than the parent's. */
void cache_stir(struct cache *cache);

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

/* Every invariant of the calling thread's rings. */
bool cache_is_valid(const struct cache *cache);

#endif
