#include "cache/cache.h"

#include "cache/capacity.h"
#include "cache/flush.h"
#include "cache/group.h"
#include "cache/hold.h"
#include "cache/remote.h"
#include "cache/thread.h"
#include "heap/check.h"
#include "heap/guard.h"
#include "heap/meta.h"
#include "policy/learn.h"
#include "system/lock.h"

enum {
    PARKED_MAX = 1024,      /* bytes of a block, up to which a thread that ends leaves its ring to the next, */
    PARKED_BYTES = 8 << 10  /* with so many bytes of blocks, or as many as a new ring may hold; 64 at most */
};

static _Atomic(uint32_t) collect_epoch; /* how often all threads were asked to empty their rings */

/* ---- What it holds ----------------------------------------------------------------------------------------------- */

COLD void cache_empty(struct cache *cache)
{
    HAK_ASSERT(cache->busy);
    if (cache->hold)
        hold_empty(cache->hold);
    for (unsigned c = 1; c <= CLASS_LAST; c++)
        ring_empty(cache, c);
    group_empty(load_relaxed(&cache->groups));
}

COLD void cache_give_up(struct cache *cache, unsigned c)
{
    HAK_ASSERT(cache->busy);
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

void ring_collect_all(void) { fetch_add_relaxed(&collect_epoch, 1); /* relaxed: soon is early enough, as the next */ }
uint32_t collects_asked(void) { return load_relaxed(&collect_epoch); }

COLD void cache_comply(struct cache *cache)
{
    const struct policy *policy = policy_now();
    if (LIKELY(cache->version == policy->version))
        return;
    cache->version = policy->version;
    if (policy->thrift)
        remote_flush(); /* nobody takes from it any more; what others are giving now goes when it has rested */
    for (unsigned c = 1; c <= CLASS_LAST; c++) {
        const struct class_policy *class = &policy->class[c];
        bool closes = policy->thrift && demand_needed(policy, c) > 0; /* to open again where there is demand */
        uint32_t most = closes ? 0 : policy->thrift ? class->first : class->capacity;
        if (cache->ring[c].array.capacity <= most)
            continue;
        struct ring_work work = ring_begin(cache, c);
        ring_shrink(work, most);
        ring_end(work);
    }
}

/* ---- Its beginning and end --------------------------------------------------------------------------------------- */

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

/* Its thread has earned none yet (tend.c). */
static void fences_forget(struct cache *cache)
{
    cache->fenced = false;
    cache->fence_at = 0;
    cache->fence_calls = 0;
}

COLD void cache_open(struct cache *cache, uint32_t id)
{
    for (unsigned c = 0; c < CLASS_SLOTS; c++)
        cache->top[c] = cache->limit[c] = ARRAY_CLOSED;
    for (unsigned c = 0; c <= CLASS_LAST; c++) {
        ring_forget(cache, c);
        cache->page[c] = NULL;
    }
    if (load_relaxed(&cache->groups))
        group_open(load_relaxed(&cache->groups), id);
    cache->id = id;
    cache->busy = false;
    fences_forget(cache);
    cache->reach = 0;
    cache->sweep_at = 0;
    cache->collected = load_relaxed(&collect_epoch);
    cache->tally = NULL;
    cache->version = 0;
    cache->ticks = 0;
    cache->count = (struct count){0};
    draw_open(&cache->draw, id);
}

COLD void cache_close(struct cache *cache)
{
    cache_empty(cache);
    for (unsigned c = 1; c <= CLASS_LAST; c++) {
        struct ring_work work = ring_begin(cache, c);
        ring_close(work);
        ring_end(work);
    }
    HAK_ASSERT(cache->reach == 0);
    tally_drop(cache);
}

/* How many blocks a ring of the class may hold while its cache is parked. */
static uint32_t parked_capacity(unsigned c)
{
    uint32_t first = policy_of(c)->first;
    size_t most = min_size(max_size(first, PARKED_BYTES / class_size(c)), ARRAY_LOOKED_AT);
    return class_size(c) <= PARKED_MAX ? (uint32_t)most : 0;
}

static void ring_park(struct cache *cache, unsigned c)
{
    struct ring_work work = ring_begin(cache, c);
    uint32_t most = parked_capacity(c);
    if (ring_of(work)->array.capacity > most)
        ring_shrink(work, most);
    ring_end(work);
}

void cache_park(struct cache *cache)
{
    HAK_ASSERT(cache->busy);
    for (unsigned c = 1; c <= CLASS_LAST; c++) {
        let_page_go(cache, c);
        if (array_is_open(&cache->ring[c].array))
            ring_park(cache, c);
    }
    group_empty(load_relaxed(&cache->groups));
    if (cache->hold)
        hold_empty(cache->hold);
    tally_drop(cache);
}

static void ring_unpark(struct cache *cache, unsigned c)
{
    struct ring_work work = ring_begin(cache, c);
    struct ring *ring = ring_of(work);
    ring->probation = RING_PROBATION;
    ring->refill = (uint16_t)min_size(REFILL_FIRST, ring->array.capacity);
    ring_end(work);
}

void cache_unpark(struct cache *cache)
{
    HAK_ASSERT(cache->busy);
    fences_forget(cache);
    if (check_is_hardened()) {
        cache_harden(cache);
        cache_stir(cache); /* it may be one that a parent's thread has left */
    }
    cache_comply(cache);
    for (unsigned c = 1; c <= CLASS_LAST; c++) {
        cache->ring[c].growth = 0;
        cache->ring[c].drawn = 0;
        if (array_is_open(&cache->ring[c].array))
            ring_unpark(cache, c);
    }
}

COLD void cache_mend(struct cache *cache)
{
    if (cache->hold)
        hold_forget(cache->hold);
    for (unsigned c = 1; c <= CLASS_LAST; c++) {
        cache->page[c] = NULL;
        if (cache->top[c] == ARRAY_CLOSED)
            ring_forget(cache, c);
    }
    cache_reach_mend(cache);
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
