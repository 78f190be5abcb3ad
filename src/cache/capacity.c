#include "cache/capacity.h"

#include "cache/thread.h"
#include "policy/learn.h"

enum {
    OPENING_PART = 8,    /* of what is left of a thread's share a new ring may hold, */
    OPENING_LEAST = 1024, /* or so many bytes, if that is more */
    DEMAND = 32,         /* calls for which a class above CLASS_TABLE_MAX gets a ring, */
    DEMAND_THRIFT = 256  /* and one above POLICY_MID_MIN under thrift */
};

/* Bytes that all rings could hold. Relaxed: a bound, not a condition. */
static _Atomic(size_t) reach_of_all;

size_t reach_of_all_now(void) { return load_relaxed(&reach_of_all); /* relaxed: as above */ }

/* By `more` bytes, modulo 2^64: it may become smaller. */
static void reach_add(struct cache *cache, size_t more)
{
    cache->reach += more;
    fetch_add_relaxed(&reach_of_all, more); /* relaxed: as above */
}

COLD void cache_reach_mend(struct cache *cache)
{
    size_t reach = 0;
    for (unsigned c = 1; c <= CLASS_LAST; c++)
        reach += cache->ring[c].array.capacity * class_size(c);
    reach_add(cache, reach - cache->reach);
}

/* Moves a ring in work to an array of the given capacity; false when memory is out. */
static bool ring_resize(struct ring_work work, uint32_t capacity)
{
    struct block_array *array = &ring_of(work)->array;
    uint32_t before = array->capacity;
    HAK_ASSERT(ring_is_in_work(work) && capacity <= POLICY_RING_MAX);
    if (!array_resize(array, capacity))
        return false;
    reach_add(work.cache, ((size_t)capacity - before) * class_size(work.class_id));
    return true;
}

/* Bytes that a thread's rings may hold. An equal share for each: what idle ones do not use is not for others, but nor
 * can they keep it from them. */
static size_t thread_share(const struct policy *policy)
{
    size_t share = min_size(policy->thread_bytes_max, policy->all_bytes / max_size(thread_count(), 1));
    return max_size(share, policy->thread_bytes_min);
}

bool ring_grow(struct ring_work work)
{
    struct cache *cache = work.cache;
    const struct policy *policy = policy_now();
    uint32_t capacity = ring_of(work)->array.capacity, most = policy->class[work.class_id].capacity;
    size_t more = capacity * class_size(work.class_id);
    HAK_ASSERT(ring_is_in_work(work) && capacity > 0);
    if (capacity >= most)
        return false;
    if (cache->reach + more > thread_share(policy)) {
        if (cache->tally)
            cache->tally->class[work.class_id].refused++;
        return false;
    }
    return ring_resize(work, (uint32_t)min_size(capacity * 2u + ARRAY_SENTINELS, most));
}

void ring_close(struct ring_work work)
{
    struct block_array array = ring_of(work)->array;
    HAK_ASSERT(ring_is_in_work(work));
    if (!array_is_open(&array))
        return;
    size_t bytes = array.capacity * class_size(work.class_id);
    ring_forget(work.cache, work.class_id);
    array_close(&array); /* the ring does not have it any more, whoever looks meanwhile */
    reach_add(work.cache, -bytes);
}

COLD void ring_shrink(struct ring_work work, uint32_t capacity)
{
    struct ring *ring = ring_of(work);
    size_t used = array_entries(&ring->array), surplus = used > capacity ? used - capacity : 0;
    HAK_ASSERT(ring_is_in_work(work));
    array_return_oldest(&ring->array, surplus, "free");
    if (capacity == 0) {
        ring_close(work);
        return;
    }
    ring_resize(work, capacity);
    ring->refill = (uint16_t)min_size(ring->refill, ring->array.capacity);
}

/* Even one block in each ring, above POLICY_MID_MIN, would be most of what a thread holds that mostly idles. */
unsigned demand_needed(const struct policy *policy, unsigned c)
{
    bool is_mid_in_thrift = policy->thrift && class_size(c) > POLICY_MID_MIN;
    return policy_is_large(c) ? DEMAND : is_mid_in_thrift ? DEMAND_THRIFT : 0;
}

bool demand_is_met(const struct cache *cache, unsigned c)
{
    return cache->ring[c].demand >= demand_needed(policy_now(), c);
}

void demand_note(struct cache *cache, unsigned c)
{
    uint16_t *demand = &cache->ring[c].demand;
    *demand = (uint16_t)min_size(*demand + 1u, DEMAND_THRIFT);
}

/* How many blocks a new ring may hold. */
static uint32_t opening_capacity(const struct cache *cache, unsigned c)
{
    size_t share = thread_share(policy_now()), left = share > cache->reach ? share - cache->reach : 0;
    size_t bytes = max_size(left / OPENING_PART, OPENING_LEAST);
    return (uint32_t)min_size(policy_of(c)->first, max_size(1, bytes / class_size(c)));
}

bool ring_open_now(struct ring_work work)
{
    struct cache *cache = work.cache;
    struct ring *ring = ring_of(work);
    HAK_ASSERT(ring_is_in_work(work) && !array_is_open(&ring->array));
    if (!demand_is_met(cache, work.class_id))
        return false;
    uint32_t first = opening_capacity(cache, work.class_id);
    if (!ring_resize(work, first))
        return false;
    ring->refill = (uint16_t)min_size(REFILL_FIRST, first);
    ring->probation = RING_PROBATION;
    return true;
}
