#include "cache/ring.h"

#include "heap/fill.h"
#include "cache/group.h"
#include "cache/hold.h"
#include "heap/check.h"
#include "heap/guard.h"
#include "policy/learn.h"
#include "system/lock.h"
#include "heap/limit.h"
#include "heap/map.h"
#include "heap/meta.h"
#include "system/options.h"
#include "system/os.h"
#include "heap/page.h"
#include "heap/purge.h"
#include "cache/remote.h"
#include "cache/thread.h"

enum {
    REFILL_FIRST = 4,
    PROBATION = 64,             /* frees into a young ring that are watched */
    WATCHED_SLOTS = 64,         /* blocks freed last, among which a second free is looked for */
    SENTINELS = 2,              /* NULLs below a ring's first block: a free looks at the two blocks freed before it */
    REFILL_BYTES = 4 << 10,     /* of blocks that a ring may hold which grows because refills are many */
    PASSING_SLOTS = 126,        /* capacity of a ring through which blocks only pass: two batches, */
    PASSING_BYTES = 512 << 10,  /* and at most so many bytes */
    GROWTH_MAX = 32,            /* pages: the most that is counted of `growth` */
    GROWTH_DENSE = 32,          /* units of full pages, a huge page's, behind which the next will probably be full, too, */
    GROWTH_KNOWN = 8,           /* and of a class that is known for that */
    DEMAND = 32,                /* calls for which a class above CLASS_TABLE_MAX gets a ring, */
    DEMAND_THRIFT = 256,        /* and one above POLICY_MID_MIN under thrift */
    SHARING_THREADS = 64,          /* threads, of which each one's page of each class would be much: they take turns at pages */
    TICKS = 64,                 /* slow calls between looks at the clock */
    PARKED_MAX = 1024,          /* bytes of a block, up to which a thread that ends leaves its ring to the next, */
    PARKED_BYTES = 8 << 10,     /* with so many bytes of blocks, or as many as a new ring may hold; WATCHED_SLOTS at most */
    IDLE_MILLISECONDS = 250,    /* a ring not used for so long loses half of its blocks */
    FENCE_RATE = 40,            /* calls that fences may make slow in a millisecond, 0.2 % of it; what was not */
    FENCE_CALLS = 16384         /* used adds up to so many */
};

static void *const nothing[SENTINELS] = {NULL, NULL};
#define CLOSED ((void **)nothing + SENTINELS - 1)

#define CLOSED_8 CLOSED, CLOSED, CLOSED, CLOSED, CLOSED, CLOSED, CLOSED, CLOSED
#define CLOSED_64 CLOSED_8, CLOSED_8, CLOSED_8, CLOSED_8, CLOSED_8, CLOSED_8, CLOSED_8, CLOSED_8
_Static_assert(CLASS_SLOTS == 64, "CLOSED_64 fills a cache");
/* Bytes that all rings could hold. Relaxed: a bound, not a condition. */
static _Atomic(size_t) reach_of_all;
static _Atomic(uint32_t) collect_epoch; /* how often all threads were asked to empty their rings */

struct cache cache_none = {.top = {CLOSED_64}, .limit = {CLOSED_64}};
__thread struct cache *cache_self __attribute__((tls_model("initial-exec"))) = &cache_none;

/* ---- The veil ---------------------------------------------------------------------------------------------------- */

/* No block is ever above NULL, so a push meets a full ring. */
#define NO_ROOM ((void **)NULL)

static bool ring_is_hidden(const struct cache *cache, unsigned c)
{
    return cache->top[c] == CLOSED && cache->ring[c].slot;
}

static void **ring_top(const struct cache *cache, unsigned c)
{
    return ring_is_hidden(cache, c) ? cache->ring[c].held_top : cache->top[c];
}

/* Takes the ring out of the fast path's sight while a slow path works on it: a signal handler that calls malloc or free
 * meanwhile takes the slow path too, and finds the cache busy. Until then it may still pop. */
static void ring_hide(struct cache *cache, unsigned c)
{
    struct ring *ring = &cache->ring[c];
    if (!ring->slot || ring_is_hidden(cache, c))
        return;
    cache->limit[c] = NO_ROOM;
    do {
        signal_fence();
        ring->held_top = cache->top[c];
        signal_fence();
    } while (!cas_in_thread(&cache->top[c], ring->held_top, CLOSED));
    signal_fence();
}

static void ring_publish(struct cache *cache, unsigned c)
{
    store_relaxed(&cache->ring[c].level, (uint32_t)(ring_top(cache, c) - cache->ring[c].slot)); /* pairs with ring_count */
}

/* Ends ring_hide: the fast path sees what the ring's state lets it see. */
static void ring_show(struct cache *cache, unsigned c)
{
    struct ring *ring = &cache->ring[c];
    if (!ring->slot || cache->fenced || option(OPTION_STATS) || check_is_on())
        return;
    signal_fence();
    cache->top[c] = ring->held_top;
    signal_fence();
    cache->limit[c] = ring->slot + (ring->probation > 0 ? 0 : ring->capacity);
}

void ring_await(struct cache *cache, unsigned c) { ring_hide(cache, c); }

void cache_veil(struct cache *cache)
{
    for (unsigned c = 1; c <= CLASS_LAST; c++)
        ring_hide(cache, c);
}

/* ---- Capacity ---------------------------------------------------------------------------------------------------- */

static const struct class_policy *policy_of(unsigned c) { return &policy_now()->class[c]; }

static size_t array_size(uint32_t capacity) { return (SENTINELS + capacity) * sizeof(void *); }

/* `slot` is a ring's, or NULL. */
static void array_free(void **slot, uint32_t capacity)
{
    if (slot && lock_acquire()) {
        meta_free(META_OTHER, slot - (SENTINELS - 1), array_size(capacity));
        lock_release();
    }
}

/* Moves the ring, which is hidden, to an array of the given capacity; false when memory is out. */
static bool ring_resize(struct cache *cache, unsigned c, uint32_t capacity)
{
    struct ring *ring = &cache->ring[c];
    if (!meta_acquire(META_OTHER, array_size(capacity)))
        return false;
    void **array = meta_alloc(META_OTHER, array_size(capacity));
    lock_release();
    if (!array)
        return false;
    void **slot = array + SENTINELS - 1;
    array[0] = slot[0] = NULL;
    size_t more = capacity * class_size(c) - ring->capacity * class_size(c); /* modulo 2^64: it may become smaller */
    cache->reach += more;
    fetch_add_relaxed(&reach_of_all, more);
    void **old = cache->ring[c].slot;
    size_t used = old ? (size_t)(ring->held_top - old) : 0;
    uint32_t old_capacity = ring->capacity;
    for (size_t i = 1; i <= used; i++)
        slot[i] = old[i];
    ring->slot = slot;
    ring->capacity = (uint16_t)capacity;
    ring->swept = RING_NOT_SWEPT;
    ring->held_top = slot + used;
    array_free(old, old_capacity);
    return true;
}

/* Doubles the capacity of the ring, which is hidden; false when it is as large as it may be, or memory is out. */
static bool ring_grow(struct cache *cache, unsigned c)
{
    const struct policy *policy = policy_now();
    uint32_t capacity = cache->ring[c].capacity, most = policy->class[c].capacity;
    size_t more = capacity * class_size(c);
    /* An equal share for each thread: what idle ones do not use is not for others, but nor can they keep it from
     * them. */
    size_t share = min_size(policy->thread_bytes_max, policy->all_bytes / max_size(thread_count(), 1));
    if (capacity >= most)
        return false;
    if (cache->reach + more > max_size(share, policy->thread_bytes_min)) {
        if (cache->tally)
            cache->tally->class[c].refused++;
        return false;
    }
    return ring_resize(cache, c, (uint32_t)min_size(capacity * 2u + SENTINELS, most));
}

/* The `count` oldest blocks of a hidden ring have gone elsewhere: the others move down. */
static void ring_drop_oldest(struct ring *ring, size_t count)
{
    void **first = ring->slot + 1;
    ring->held_top -= count;
    __builtin_memmove(first, first + count, (size_t)(ring->held_top - ring->slot) * sizeof *first);
}

/* The ring is closed, and what it was is forgotten. */
static void ring_forget(struct cache *cache, unsigned c)
{
    cache->top[c] = cache->limit[c] = CLOSED;
    cache->ring[c].slot = cache->ring[c].held_top = NULL;
    cache->ring[c].swept = RING_NOT_SWEPT;
    cache->ring[c].capacity = 0;
    cache->ring[c].demand = 0;
    cache->ring[c].drawn = 0;
    cache->ring[c].growth = 0;
    store_relaxed(&cache->ring[c].level, 0);
}

/* Closes an empty ring, if it is open. */
static void ring_close(struct cache *cache, unsigned c)
{
    if (!cache->ring[c].slot)
        return;
    ring_hide(cache, c);
    struct ring ring = cache->ring[c];
    HAK_ASSERT(ring.held_top == ring.slot);
    ring_forget(cache, c);
    array_free(ring.slot, ring.capacity);
    cache->reach -= ring.capacity * class_size(c);
    fetch_sub_relaxed(&reach_of_all, ring.capacity * class_size(c));
}

/* Makes the ring smaller, or closes it (0); what does not fit any more, the oldest, goes to its pages. */
static COLD void ring_shrink(struct cache *cache, unsigned c, uint32_t capacity)
{
    struct ring *ring = &cache->ring[c];
    ring_hide(cache, c);
    size_t used = (size_t)(ring->held_top - ring->slot), surplus = used > capacity ? used - capacity : 0;
    page_return(ring->slot + 1, (unsigned)surplus, "free");
    ring_drop_oldest(ring, surplus);
    if (capacity == 0) {
        ring_close(cache, c);
        return;
    }
    ring_resize(cache, c, capacity);
    ring->refill = (uint16_t)min_size(ring->refill, ring->capacity);
    ring_publish(cache, c);
    ring_show(cache, c);
}

/* Calls while the ring is closed, between two sweeps, for which it opens. Even one block in each ring, above
 * POLICY_MID_MIN, would be most of what a thread holds that mostly idles. */
static unsigned demand_needed(const struct policy *policy, unsigned c)
{
    bool is_mid_in_thrift = policy->thrift && class_size(c) > POLICY_MID_MIN;
    return policy_is_large(c) ? DEMAND : is_mid_in_thrift ? DEMAND_THRIFT : 0;
}

/* Whether the class is to have a ring, and, above CLASS_TABLE_MAX, pages. */
static bool is_in_demand(const struct cache *cache, unsigned c)
{
    return cache->ring[c].demand >= demand_needed(policy_now(), c);
}

/* False when the class is to have no ring, for now, or memory is out. */
static bool ring_open(struct cache *cache, unsigned c)
{
    struct ring *ring = &cache->ring[c];
    if (LIKELY(ring->slot))
        return true;
    if (!is_in_demand(cache, c))
        return false;
    uint32_t first = policy_of(c)->first;
    ring->refill = (uint16_t)min_size(REFILL_FIRST, first);
    ring->probation = PROBATION;
    return ring_resize(cache, c, first);
}

/* ---- Entering and leaving slow paths ----------------------------------------------------------------------------- */

static void let_page_go(struct cache *cache, unsigned c)
{
    struct page *page = cache->page[c];
    cache->page[c] = NULL;
    if (page)
        page_release(page);
}

/* Returns the older half of the ring's blocks to their pages; of an empty ring, lets the page go. */
static void ring_halve(struct cache *cache, unsigned c)
{
    struct ring *ring = &cache->ring[c];
    ring_hide(cache, c);
    unsigned count = (unsigned)(ring->held_top - ring->slot + 1) / 2;
    page_return(ring->slot + 1, count, "free");
    ring_drop_oldest(ring, count);
    ring_publish(cache, c);
    ring_show(cache, c);
    if (count == 0)
        let_page_go(cache, c);
}

/* An idle ring that has nothing left to lose but its capacity, which keeps others from growing. */
static void ring_rest(struct cache *cache, unsigned c)
{
    const struct policy *policy = policy_now();
    ring_hide(cache, c);
    if (*cache->ring[c].held_top != NULL)
        ring_show(cache, c);
    else if (demand_needed(policy, c) > 0)
        ring_close(cache, c);
    else if (policy->rests && cache->ring[c].capacity > policy->class[c].first)
        ring_shrink(cache, c, policy->class[c].first);
    else
        ring_show(cache, c);
}

/* A class without a ring may have a page. */
static void closed_ring_sweep(struct cache *cache, unsigned c)
{
    struct ring *ring = &cache->ring[c];
    if (ring->demand == 0)
        let_page_go(cache, c);
    ring->demand = 0;
}

/* Memory that rings hold for nothing goes back: a ring whose top did not move since the last look is not in use.
 * (One in use may happen to be at the same place; it loses little.) */
static COLD void cache_sweep(struct cache *cache)
{
    for (unsigned c = 1; c <= CLASS_LAST; c++) {
        struct ring *ring = &cache->ring[c];
        if (!ring->slot) {
            closed_ring_sweep(cache, c);
        } else if (ring_top(cache, c) - ring->slot == ring->swept) {
            ring_halve(cache, c);
            ring_rest(cache, c);
        }
        ring->swept = ring->slot ? (uint16_t)(ring_top(cache, c) - ring->slot) : RING_NOT_SWEPT;
    }
    group_sweep(load_relaxed(&cache->groups));
}

/* ---- The policy and the learner ---------------------------------------------------------------------------------- */

/* Under a policy that is new to it, the cache gives up what rings may not hold any more. */
static COLD void cache_comply(struct cache *cache)
{
    const struct policy *policy = policy_now();
    if (LIKELY(cache->version == policy->version))
        return;
    cache->version = policy->version;
    if (policy->thrift)
        remote_flush(); /* nobody takes from it any more; what others are giving at the moment goes when it has rested */
    for (unsigned c = 1; c <= CLASS_LAST; c++) {
        const struct class_policy *class = &policy->class[c];
        bool closes = policy->thrift && demand_needed(policy, c) > 0; /* to open again where there is demand */
        uint32_t most = closes ? 0 : policy->thrift ? class->first : class->capacity;
        if (cache->ring[c].slot && cache->ring[c].capacity > most)
            ring_shrink(cache, c, most);
    }
}

/* Threads that never come here never count. */
static COLD void tally_make(struct cache *cache)
{
    if (!learn_is_on() || !meta_acquire(META_OTHER, sizeof *cache->tally))
        return;
    cache->tally = meta_alloc(META_OTHER, sizeof *cache->tally);
    lock_release();
    if (cache->tally)
        learn_join(cache->tally);
}

static COLD void tally_drop(struct cache *cache)
{
    if (!cache->tally)
        return;
    learn_leave();
    if (lock_acquire()) {
        meta_free(META_OTHER, cache->tally, sizeof *cache->tally);
        lock_release();
    }
    cache->tally = NULL;
}

static void count_refill(struct cache *cache, unsigned c, unsigned got)
{
    if (!cache->tally)
        return;
    struct tally_class *n = &cache->tally->class[c];
    n->misses++;
    n->fetched += got;
    if (n->owed > 0) {
        uint32_t bounced = (uint32_t)min_size(got, n->owed);
        n->bounced += bounced;
        n->owed -= bounced;
    }
}

/* `refused`: the depot had no room. */
static void count_flush(struct cache *cache, unsigned c, unsigned passed, unsigned to_pages, bool refused)
{
    if (!cache->tally)
        return;
    struct tally_class *n = &cache->tally->class[c];
    n->overflows++;
    n->owed += passed;
    n->to_pages += to_pages;
    n->batches_refused += refused;
}

/* Calls all threads' blocks in, once for each look that has found little room (limit.h). */
static void alarm_answer(void)
{
    static _Atomic(uint32_t) answered; /* relaxed: elects one thread */
    uint32_t before = load_relaxed(&answered), alarms = load_relaxed(&limit_alarms);
    if (UNLIKELY(alarms != before) && cas_relaxed(&answered, &before, alarms))
        ring_collect_all();
}

static COLD void cache_tick(struct cache *cache)
{
    uint64_t now = os_milliseconds();
    cache->ticks = 0;
    if (cache->tally)
        learn_tick(cache->tally, now, load_relaxed(&reach_of_all));
    else
        tally_make(cache);
    cache_comply(cache);
    thread_close_vanished();
    if (now < cache->sweep_at)
        return;
    cache->sweep_at = now + IDLE_MILLISECONDS;
    if (remote_flush_resting())
        thread_close_parked();
    cache_sweep(cache);
    retain_tick(now);
    alarm_answer();
}

static void cache_empty(struct cache *cache);

struct cache *cache_enter(void)
{
    thread_check_fork();
    struct cache *cache = thread_cache();
    if (UNLIKELY(!cache || cache->busy))
        return NULL;
    cache->busy = true;
    signal_fence(); /* pairs with the one in cache_leave: a signal handler sees `busy` for all of a slow path */
    if (UNLIKELY(++cache->ticks >= TICKS))
        cache_tick(cache);
    if (UNLIKELY(cache->collected != load_relaxed(&collect_epoch))) { /* relaxed: soon is early enough */
        cache->collected = load_relaxed(&collect_epoch);
        cache_empty(cache);
    }
    return cache;
}

/* A clock for threads that their rings serve: while memory waits for the time to be given back, rings stay hidden when slow
 * paths end, so that even a program that makes few calls comes here. So many calls are slow then that the program does not
 * feel them; a ring that is called for when these are used up shows. */
static COLD void cache_fence(struct cache *cache)
{
    if (!load_relaxed(&retain_waits)) {
        cache->fenced = false; /* each ring shows when its next slow path ends */
        return;
    }
    uint64_t now = os_milliseconds();
    if (now != cache->fence_at) {
        uint64_t calls = cache->fence_calls + (now - cache->fence_at) * FENCE_RATE;
        cache->fence_calls = (uint32_t)min_size(calls, FENCE_CALLS);
        cache->fence_at = now;
        retain_tick(now);
    }
    if (cache->fence_calls > 0) {
        cache->fence_calls--;
        if (!cache->fenced)
            cache_veil(cache);
    }
    cache->fenced = cache->fence_calls > 0;
}

void cache_leave(struct cache *cache)
{
    if (UNLIKELY(load_relaxed(&retain_waits) || cache->fenced)) /* relaxed: a hint */
        cache_fence(cache);
    purge_if_due(0);
    signal_fence();
    cache->busy = false;
}

COLD void ring_fence(void)
{
    struct cache *cache = cache_enter();
    if (cache)
        cache_leave(cache);
}

/* ---- Without a cache --------------------------------------------------------------------------------------------- */

/* Relaxed: a count, read for statistics only. */
static void count_direct(_Atomic(uint64_t) *counter) { fetch_add_relaxed(counter, 1); }

/* One block, of whichever page; NULL when memory is out. */
static void *take_one(unsigned c)
{
    for (;;) {
        struct page *page = page_acquire(c, PAGE_HELD_BRIEFLY);
        void *block;
        if (!page)
            return NULL;
        unsigned taken = page_take(page, &block, 1);
        page_release(page);
        if (taken > 0)
            return block;
    }
}

static COLD void *direct_malloc(unsigned c)
{
    count_direct(&cache_none.counters.direct_mallocs);
    page_visit_begin();
    void *block = take_one(c);
    page_visit_end();
    return block;
}

/* ---- Refill ------------------------------------------------------------------------------------------------------ */

/* The ring of a class that is larger than `c`, by `more` hundredths of `size` at most, and has a block; 0 if there
 * is none. */
static unsigned neighbour_with_block(const struct cache *cache, unsigned c, size_t size, unsigned more)
{
    for (unsigned other = class_host(c) + (c != CLASS_FITTED); other <= CLASS_FIXED_LAST; other++) {
        if (class_size(other) * 100 > size * (100 + more))
            return 0;
        if (cache->ring[other].slot && *ring_top(cache, other))
            return other;
    }
    return 0;
}

/* The cache's next page of the class, which has free blocks already; false when there is none. */
static bool find_page(struct cache *cache, unsigned c)
{
    struct ring *ring = &cache->ring[c];
    cache->page[c] = page_find(c, cache->id);
    if (!cache->page[c] && thread_close_vanished()) /* there may be one now */
        cache->page[c] = page_find(c, cache->id);
    ring->growth = (uint8_t)(ring->growth - (cache->page[c] && ring->growth > 0));
    return cache->page[c] != NULL;
}

/* Whether a block of the class can be had without a new page. */
static bool is_at_hand(struct cache *cache, unsigned c)
{
    struct page *page = cache->page[c];
    if (page && page_is_drained(page)) {
        cache->page[c] = NULL;
        page_release(page);
    }
    return cache->page[c] || find_page(cache, c) || (remote_serves(c) && remote_has(c));
}

/* A somewhat larger block instead of one of the class, whose ring is empty and that would need a new page. */
static void *substitute(struct cache *cache, unsigned c, size_t size)
{
    unsigned more = policy_of(c)->wmax;
    if (LIKELY(more == 0) || size == RING_ANY_SIZE || is_at_hand(cache, c))
        return NULL;
    unsigned other = neighbour_with_block(cache, c, size, more);
    if (other == 0)
        return NULL;
    ring_hide(cache, other);
    void *block = *cache->ring[other].held_top;
    cache->ring[other].held_top -= block != NULL; /* a signal handler may have been faster */
    ring_publish(cache, other);
    ring_show(cache, other);
    if (cache->tally)
        cache->tally->class[c].substitutes++;
    return block;
}

/* Whether the thread fills page after page of the class, so that the next one will probably be full, too. */
static bool grows_densely(const struct cache *cache, unsigned c)
{
    unsigned growth = cache->ring[c].growth * class_info[c].units;
    bool known = policy_of(c)->huge;
    if (growth < (known ? GROWTH_KNOWN : GROWTH_DENSE))
        return false;
    if (cache->tally)
        cache->tally->class[c].dense++;
    return known || (cache->tally && option(OPTION_LEARN) == LEARN_ON);
}

/* Whether the program uses all of the blocks of the class. It does of small ones; whether it does of large ones
 * shows. In between what it touches are a block's ends, as often as not, and that looks like all of it. */
static bool blocks_are_filled(unsigned c)
{
    enum { SMALL = 4096 };
    return class_size(c) <= SMALL || (policy_is_large(c) && fill_is_expected(c));
}

static struct page *make_page_for(const struct cache *cache, unsigned c)
{
    enum {
        PART = 32, /* of what the thread has filled of such pages may be resident ahead of its use; */
        FEW = 4    /* units: with fewer, what a refill takes would be most of what a thread has that then idles */
    };
    unsigned growth = cache->ring[c].growth * class_info[c].units;
    if (!blocks_are_filled(c) || growth < FEW)
        return page_make(c, cache->id, false, 0);
    size_t ahead = ((size_t)growth << UNIT_SHIFT) / PART;
    return page_make(c, cache->id, grows_densely(cache, c), ahead);
}

/* The cache's next page of the class, new; false when memory is out. No other page has a free block. */
static bool make_page(struct cache *cache, unsigned c, size_t size)
{
    if (cache->tally && size != RING_ANY_SIZE) {
        enum { LIKELY_MORE = 25 };
        cache->tally->class[c].pages++;
        if (size > POLICY_MID_MIN) /* smaller blocks have no substitutes */
            cache->tally->class[c].neighbours += neighbour_with_block(cache, c, size, LIKELY_MORE) != 0;
        learn_note_size(c, size);
    }
    struct ring *ring = &cache->ring[c];
    cache->page[c] = make_page_for(cache, c);
    ring->growth = (uint8_t)min_size(ring->growth + 1u, GROWTH_MAX);
    return cache->page[c] != NULL;
}

/* Up to `count` blocks from the page the cache holds, or from the next one. 0 when memory is out. */
static unsigned take_from_pages(struct cache *cache, unsigned c, size_t size, void **out, unsigned count)
{
    for (;;) {
        struct page *page = cache->page[c];
        if (page) {
            unsigned taken = UNLIKELY(cache->hold) ? page_take_random(page, out, count, hold_random(cache->hold))
                                                   : page_take(page, out, count);
            if (taken > 0)
                return taken;
            if (policy_is_large(c))
                page_look(page);
            cache->page[c] = NULL;
            page_release(page);
        }
        if (!find_page(cache, c) && !make_page(cache, c, size))
            return 0;
    }
}

/* Most blocks that a refill takes from the page. */
static uint32_t refill_most(const struct ring *ring, unsigned c)
{
    return (uint32_t)ring->capacity * policy_of(c)->batch / POLICY_BATCH_MAX;
}

/* Fills an empty ring; false when memory is out. */
static bool ring_refill(struct cache *cache, unsigned c, size_t size)
{
    struct ring *ring = &cache->ring[c];
    unsigned got = 0;
    while (remote_serves(c) && remote_has(c) && ring->capacity < remote_batch(c) && ring_grow(cache, c))
        continue;
    if (remote_serves(c) && ring->capacity >= remote_batch(c))
        got = remote_take(c, cache->ring[c].slot + 1);
    if (got > 0) {
        counter_add(&cache->counters.refills_from_depot, 1);
        if (cache->tally)
            cache->tally->class[c].batches_taken++;
    } else {
        /* A ring into which nobody frees never overflows, and would be filled by a handful for ever. */
        if (ring->refill >= refill_most(ring, c) && ring->capacity * 2u * class_size(c) <= REFILL_BYTES)
            ring_grow(cache, c);
        got = take_from_pages(cache, c, size, cache->ring[c].slot + 1, ring->refill);
        if (got == 0)
            return false;
        if (UNLIKELY(thread_count() > SHARING_THREADS))
            let_page_go(cache, c);
        counter_add(&cache->counters.refills_from_pages, 1);
        ring->refill = (uint16_t)max_size(1, min_size(ring->refill * 2u, refill_most(ring, c)));
    }
    count_refill(cache, c, got);
    HAK_ASSERT(got <= ring->capacity);
    ring->drawn = (uint16_t)min_size(ring->drawn + got, UINT16_MAX);
    ring->held_top = ring->slot + got;
    return true;
}

/* Returns the ring's blocks to their pages, and lets the page go. */
static void ring_empty(struct cache *cache, unsigned c)
{
    struct ring *ring = &cache->ring[c];
    ring_hide(cache, c);
    if (ring->slot) {
        page_return(ring->slot + 1, (unsigned)(ring->held_top - ring->slot), "free");
        ring->held_top = ring->slot;
        ring_publish(cache, c);
        ring_show(cache, c);
    }
    let_page_go(cache, c);
}

/* Memory is out: everything cached but the class's own goes back. */
static COLD void cache_give_up(struct cache *cache, unsigned c)
{
    for (unsigned other = 1; other <= CLASS_LAST; other++)
        if (other != c)
            ring_empty(cache, other);
    group_empty(load_relaxed(&cache->groups));
    if (cache->hold)
        hold_empty(cache->hold);
    if (check_is_hardened())
        guard_let_go();
    thread_close_left();
    remote_flush();
}

static COLD bool ring_refill_hard(struct cache *cache, unsigned c, size_t size)
{
    cache_give_up(cache, c);
    return ring_refill(cache, c, size);
}

static void demand_note(struct cache *cache, unsigned c)
{
    uint16_t *demand = &cache->ring[c].demand;
    *demand = (uint16_t)min_size(*demand + 1u, DEMAND_THRIFT);
}

/* A block for a class without a ring: no page is held for it, since the thread may idle next. */
static void *malloc_past_ring(struct cache *cache, unsigned c)
{
    counter_add(&cache->counters.direct_mallocs, 1);
    void *block = take_one(c);
    if (!block) {
        cache_give_up(cache, c);
        block = take_one(c);
    }
    return block;
}

static void free_past_ring(struct cache *cache, unsigned c, void *block, const char *call)
{
    if (!cache) {
        count_direct(&cache_none.counters.direct_frees);
        page_visit_begin();
        page_return(&block, 1, call);
        page_visit_end();
        return;
    }
    counter_add(&cache->counters.direct_frees, 1);
    demand_note(cache, c);
    let_page_go(cache, c); /* from before, when there was a ring */
    page_return(&block, 1, call);
}

bool ring_in_demand(unsigned c)
{
    struct cache *cache = cache_enter();
    if (!cache)
        return false;
    if (!is_in_demand(cache, c)) {
        if (os_milliseconds() >= cache->sweep_at)
            cache_tick(cache); /* what was called for longer ago is no demand */
        demand_note(cache, c);
    }
    bool yes = is_in_demand(cache, c);
    cache_leave(cache);
    return yes;
}

/* The top block of a hidden ring that has one; under HAKMEM_HARDEN any of its blocks. */
INLINE void *ring_pop(const struct cache *cache, struct ring *ring)
{
    return UNLIKELY(cache->hold) ? hold_pop(cache->hold, ring->slot, &ring->held_top) : *ring->held_top--;
}

void *ring_malloc(unsigned c, size_t size)
{
    struct cache *cache = cache_enter();
    if (UNLIKELY(!cache))
        return direct_malloc(c);
    void *block = NULL;
    struct ring *ring = &cache->ring[c];
    ring_hide(cache, c);
    if (LIKELY(ring_open(cache, c))) {
        bool empty = *ring->held_top == NULL;
        if (!empty)
            counter_add(&cache->counters.ring_mallocs, 1);
        if (empty)
            block = substitute(cache, c, size);
        if (!block && (!empty || ring_refill(cache, c, size) || ring_refill_hard(cache, c, size)))
            block = ring_pop(cache, ring);
        ring_publish(cache, c);
    } else {
        block = malloc_past_ring(cache, c);
    }
    ring_show(cache, c);
    cache_leave(cache);
    return block;
}

void *ring_malloc_zeroed(unsigned c)
{
    struct cache *cache = cache_enter();
    if (UNLIKELY(!cache))
        return NULL;
    void *block = NULL;
    bool empty = !cache->ring[c].slot || *ring_top(cache, c) == NULL;
    if (empty && is_in_demand(cache, c) && (cache->page[c] || find_page(cache, c) || make_page(cache, c, RING_ANY_SIZE)))
        block = page_take_zeroed(cache->page[c]);
    if (block)
        counter_add(&cache->counters.zeroed_blocks, 1);
    cache_leave(cache);
    return block;
}

/* ---- Flush ------------------------------------------------------------------------------------------------------- */

/* Passes `count` blocks on: to the depot, in batches, as far as it has room, and the others to their pages. */
static void blocks_pass_on(struct cache *cache, unsigned c, void *const *blocks, unsigned count, const char *call)
{
    unsigned all = count;
    bool hands_over = remote_serves(c) && thread_count() > 1; /* else nobody is there to take it */
    while (hands_over && count > 0) {
        unsigned batch = (unsigned)min_size(count, remote_batch(c));
        if (!remote_give(c, blocks, batch))
            break;
        counter_add(&cache->counters.flushed_to_depot, batch);
        blocks += batch;
        count -= batch;
    }
    page_return(blocks, count, call);
    counter_add(&cache->counters.flushed_to_pages, count);
    count_flush(cache, c, all, count, hands_over && count > 0);
}

/* Whether a larger ring would be of use: not if the thread only frees. */
static bool growth_is_worth(const struct ring *ring, unsigned c)
{
    size_t wanted = ring->capacity * 2u;
    return ring->drawn >= ring->capacity || (wanted <= PASSING_SLOTS && wanted * class_size(c) <= PASSING_BYTES);
}

/* Makes room in a full ring, which is hidden: a larger array if it may grow, else the older half of its blocks goes. */
static void ring_flush(struct cache *cache, unsigned c, const char *call)
{
    struct ring *ring = &cache->ring[c];
    if (growth_is_worth(ring, c) && ring_grow(cache, c))
        return;
    void **slot = ring->slot;
    unsigned count = (ring->capacity + 1u) / 2;
    counter_add(&cache->counters.flushes, 1);
    /* A thread that frees more than it allocates, and may go to sleep then, needs no page that others could use. */
    let_page_go(cache, c);
    blocks_pass_on(cache, c, slot + 1, count, call);
    ring_drop_oldest(ring, count);
    ring->drawn = (uint16_t)(ring->drawn - min_size(ring->drawn, count));
}

/* Whether the block is among the WATCHED_SLOTS newest of the ring whose top is given. */
INLINE bool ring_has_lately(const struct ring *ring, void *const *top, const void *block)
{
    size_t count = min_size((size_t)(top - ring->slot), WATCHED_SLOTS);
    void *const *stop = top - count;
#pragma GCC unroll 4
    for (; top != stop; top--)
        if (UNLIKELY(*top == block))
            return true;
    return false;
}

/* Ends the program unless the block is the start of one that is neither free in its page nor among the newest of the
 * ring, which has an array. */
INLINE void block_check(const struct page *page, const void *block, unsigned c, const struct ring *ring,
                        void *const *top, const char *call)
{
    enum error_id error;
    if (UNLIKELY(!page_has_live(page, block, &error)))
        error_fatal(error, call, block, class_size(c));
    if (UNLIKELY(ring_has_lately(ring, top, block)))
        error_fatal(ERROR_DOUBLE_FREE, call, block, class_size(c));
}

void ring_check_live(const void *block, unsigned c, const char *call)
{
    const struct ring *ring = &cache_self->ring[c];
    static const struct ring none = {.slot = CLOSED};
    bool has_ring = ring->slot && !cache_self->busy; /* else it may be changing under a signal handler */
    void *const *top = has_ring ? ring_top(cache_self, c) : CLOSED;
    thread_close_parked();
    block_check(page_of(block, call), block, c, has_ring ? ring : &none, top, call);
}

/* Blocks smaller than a cache line lie next to others, which are written to by whoever takes from the page. A thread
 * that was given a few of them, and has hardly begun to free, does better not to use them again. */
INLINE bool has_neighbours_of_others(const struct cache *cache, const struct page *page, unsigned c)
{
    return class_shares_lines(c) && load_relaxed(&page->holder) != cache->id && thread_count() > 1;
}

/* A free into a watched ring that has room, which is all that a thread of a short life does: a close look, and then as
 * on the fast path. False when there is more to do. */
INLINE bool watched_push(struct cache *cache, const struct page *page, void *block, unsigned c, const char *call)
{
    struct ring *ring = &cache->ring[c];
    if (cache->busy || ring->probation <= 1 || cache->top[c] == CLOSED || has_neighbours_of_others(cache, page, c))
        return false;
    cache->busy = true;
    signal_fence(); /* as in cache_enter */
    ring_hide(cache, c);
    /* A signal handler may have been here after the first look. */
    bool has_room = ring->slot && ring->probation > 1 && ring->held_top != ring->slot + ring->capacity;
    if (LIKELY(has_room)) {
        block_check(page, block, c, ring, ring->held_top, call);
        ring->probation--;
        *++ring->held_top = block;
    }
    ring_show(cache, c);
    signal_fence(); /* as in cache_leave */
    cache->busy = false;
    return has_room;
}

/* A free into a ring that is open, closed or full, or that needs more than a look. */
static NOINLINE void ring_free_hard(const struct page *page, void *block, unsigned c, const char *call)
{
    struct cache *cache = cache_enter();
    if (UNLIKELY(!cache || !ring_open(cache, c))) {
        free_past_ring(cache, c, block, call);
        if (cache)
            cache_leave(cache);
        else
            purge_if_due(0);
        return;
    }
    struct ring *ring = &cache->ring[c];
    ring_hide(cache, c);
    counter_add(&cache->counters.ring_frees, 1);
    /* Whoever gets here has time to look closely. */
    block_check(page, block, c, ring, ring->held_top, call);
    bool is_young = ring->probation > 0;
    if (is_young)
        ring->probation--;
    if (is_young && has_neighbours_of_others(cache, page, c)) {
        page_return(&block, 1, call);
    } else {
        if (ring->held_top == ring->slot + ring->capacity)
            ring_flush(cache, c, call);
        *++ring->held_top = block;
    }
    ring_publish(cache, c);
    ring_show(cache, c);
    cache_leave(cache);
}

/* A free under HAKMEM_HARDEN that harden_free is not for. The block's mark, which is gone by now, has said that it was
 * live. */
static NOINLINE void ring_free_held(void *block, unsigned c, const char *call)
{
    struct cache *cache = cache_enter();
    if (UNLIKELY(!cache)) {
        free_past_ring(NULL, c, block, call);
        purge_if_due(0);
        return;
    }
    if (LIKELY(cache->hold))
        block = hold_swap(cache->hold, c, block);
    if (block && !check_looks_at(class_size(c)))
        check_free(block, class_size(c), call);
    if (block && ring_open(cache, c)) {
        struct ring *ring = &cache->ring[c];
        ring_hide(cache, c);
        counter_add(&cache->counters.ring_frees, 1);
        if (ring->held_top == ring->slot + ring->capacity)
            ring_flush(cache, c, call);
        *++ring->held_top = block;
        ring_publish(cache, c);
        ring_show(cache, c);
    } else if (block) {
        free_past_ring(cache, c, block, call);
    }
    cache_leave(cache);
}

void ring_free(void *block, unsigned c, const char *call)
{
    thread_check_fork();
    thread_close_parked();
    if (check_is_hardened()) {
        ring_free_held(block, c, call);
        return;
    }
    const struct page *page = page_of(block, call);
    if (UNLIKELY(!watched_push(cache_self, page, block, c, call)))
        ring_free_hard(page, block, c, call);
}

/* ---- A cache's beginning and end --------------------------------------------------------------------------------- */

COLD void cache_open(struct cache *cache, uint32_t id)
{
    for (unsigned c = 0; c < CLASS_SLOTS; c++)
        cache->top[c] = cache->limit[c] = CLOSED;
    for (unsigned c = 0; c <= CLASS_LAST; c++) {
        ring_forget(cache, c);
        cache->page[c] = NULL;
    }
    if (load_relaxed(&cache->groups))
        group_open(load_relaxed(&cache->groups), id);
    cache->id = id;
    cache->busy = false;
    cache->fenced = false;
    cache->fence_at = 0;
    cache->fence_calls = 0;
    cache->reach = 0;
    cache->sweep_at = 0;
    cache->collected = load_relaxed(&collect_epoch);
    cache->tally = NULL;
    cache->version = 0;
}

COLD void cache_mend(struct cache *cache)
{
    if (cache->hold)
        hold_forget(cache->hold);
    size_t reach = 0;
    for (unsigned c = 1; c <= CLASS_LAST; c++) {
        cache->page[c] = NULL;
        if (cache->top[c] == CLOSED)
            ring_forget(cache, c);
        reach += cache->ring[c].capacity * class_size(c);
    }
    fetch_add_relaxed(&reach_of_all, reach - cache->reach); /* modulo 2^64 */
    cache->reach = reach;
    if (load_relaxed(&cache->groups))
        group_open(load_relaxed(&cache->groups), cache->id);
    cache->tally = NULL;
}

COLD void cache_harden(struct cache *cache)
{
    if (cache->hold)
        return;
    cache_veil(cache);
    cache->hold = hold_make();
}

COLD void cache_stir(struct cache *cache)
{
    if (cache->hold)
        hold_stir(cache->hold);
}

static COLD void cache_empty(struct cache *cache)
{
    if (cache->hold)
        hold_empty(cache->hold);
    for (unsigned c = 1; c <= CLASS_LAST; c++)
        ring_empty(cache, c);
    group_empty(load_relaxed(&cache->groups));
}

COLD void cache_close(struct cache *cache)
{
    cache_empty(cache);
    for (unsigned c = 1; c <= CLASS_LAST; c++)
        ring_close(cache, c);
    HAK_ASSERT(cache->reach == 0);
    tally_drop(cache);
}

/* How many blocks a ring of the class may hold while its cache is parked. */
static uint32_t parked_capacity(unsigned c)
{
    uint32_t first = policy_of(c)->first;
    size_t most = min_size(max_size(first, PARKED_BYTES / class_size(c)), WATCHED_SLOTS);
    return class_size(c) <= PARKED_MAX ? (uint32_t)most : 0;
}

void cache_park(struct cache *cache)
{
    for (unsigned c = 1; c <= CLASS_LAST; c++) {
        let_page_go(cache, c);
        if (!cache->ring[c].slot)
            continue;
        uint32_t most = parked_capacity(c);
        if (cache->ring[c].capacity > most)
            ring_shrink(cache, c, most);
        else
            ring_publish(cache, c);
    }
    group_empty(load_relaxed(&cache->groups));
    if (cache->hold)
        hold_empty(cache->hold);
    tally_drop(cache);
}

void cache_unpark(struct cache *cache)
{
    if (check_is_hardened()) {
        cache_harden(cache);
        cache_stir(cache); /* it may be one that a parent's thread has left */
    }
    cache_comply(cache);
    for (unsigned c = 1; c <= CLASS_LAST; c++) {
        struct ring *ring = &cache->ring[c];
        ring->growth = 0;
        ring->drawn = 0;
        if (!ring->slot)
            continue;
        ring_hide(cache, c);
        ring->probation = PROBATION;
        ring->refill = (uint16_t)min_size(REFILL_FIRST, ring->capacity);
        ring->swept = RING_NOT_SWEPT;
        ring_show(cache, c);
    }
}

COLD void ring_collect(void)
{
    struct cache *cache = cache_enter();
    if (!cache)
        return;
    cache_empty(cache);
    cache_leave(cache);
}

void ring_collect_all(void) { fetch_add_relaxed(&collect_epoch, 1); }

size_t ring_count(const struct cache *cache, unsigned c)
{
    /* Acquire: the rings are set up; pairs with site.c, which makes them. */
    size_t apart = group_blocks(load_acquire(&cache->groups), c, cache == cache_self);
    if (cache != cache_self)
        return apart + load_relaxed(&cache->ring[c].level);
    return apart + (cache->ring[c].slot ? (size_t)(ring_top(cache, c) - cache->ring[c].slot) : 0);
}

static bool ring_is_valid(const struct cache *cache, unsigned c)
{
    void **slot = cache->ring[c].slot, **top = ring_top(cache, c);
    uint32_t capacity = cache->ring[c].capacity;
    if (!slot)
        return top == CLOSED && cache->limit[c] == CLOSED;
    if (slot[0] || slot[-1] || top < slot || top > slot + capacity || capacity > POLICY_RING_MAX)
        return false;
    for (; *top; top--)
        if (map_class(*top) != c)
            return false;
    return true;
}

COLD bool cache_is_valid(const struct cache *cache)
{
    for (unsigned c = 1; c <= CLASS_LAST; c++) {
        const struct page *page = cache->page[c];
        if (!ring_is_valid(cache, c))
            return false;
        if (page && (page->class_id != c || load_relaxed(&page->state) != PAGE_OWNED || !page_is_valid(page)))
            return false;
    }
    return !load_relaxed(&cache->groups) || group_is_valid(load_relaxed(&cache->groups));
}
