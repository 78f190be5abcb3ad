#include "cache/state.h"

#include "cache/group.h"
#include "heap/map.h"
#include "heap/page.h"
#include "system/options.h"

#define CLOSED_8                                                                                                    \
    ARRAY_CLOSED, ARRAY_CLOSED, ARRAY_CLOSED, ARRAY_CLOSED, ARRAY_CLOSED, ARRAY_CLOSED, ARRAY_CLOSED, ARRAY_CLOSED
#define CLOSED_64 CLOSED_8, CLOSED_8, CLOSED_8, CLOSED_8, CLOSED_8, CLOSED_8, CLOSED_8, CLOSED_8
_Static_assert(CLASS_SLOTS == 64, "CLOSED_64 fills a cache");

struct cache cache_none = {.top = {CLOSED_64}, .limit = {CLOSED_64}};
__thread struct cache *cache_self __attribute__((tls_model("initial-exec"))) = &cache_none;

/* No block is ever above NULL, so a push meets a full ring. */
#define NO_ROOM ((void **)NULL)

void ring_hide(struct cache *cache, unsigned c)
{
    struct block_array *array = &cache->ring[c].array;
    if (!array_is_open(array) || ring_is_hidden(cache, c))
        return;
    cache->limit[c] = NO_ROOM;
    do {
        signal_fence();
        array->top = cache->top[c];
        signal_fence();
    } while (!cas_in_thread(&cache->top[c], array->top, ARRAY_CLOSED));
    signal_fence();
}

void ring_show(struct cache *cache, unsigned c)
{
    struct ring *ring = &cache->ring[c];
    void **slot = ring->array.slot;
    HAK_ASSERT(ring_is_in_work((struct ring_work){cache, c}) && array_is_sound(&ring->array));
    if (!slot || cache->fenced || option(OPTION_STATS) == STATS_ALL || check_is_on() || count_is_on())
        return;
    signal_fence();
    cache->top[c] = ring->array.top;
    signal_fence();
    cache->limit[c] = slot + (ring->probation > 0 ? 0 : ring->array.capacity);
}

void ring_finish(struct cache *cache, unsigned c)
{
    array_publish(&cache->ring[c].array);
    ring_show(cache, c);
}

void ring_forget(struct cache *cache, unsigned c)
{
    struct ring *ring = &cache->ring[c];
    cache->top[c] = cache->limit[c] = ARRAY_CLOSED;
    array_forget(&ring->array);
    ring->probation = 0;
    ring->demand = 0;
    ring->drawn = 0;
    ring->growth = 0;
}

void cache_veil(struct cache *cache)
{
    for (unsigned c = 1; c <= CLASS_LAST; c++)
        ring_hide(cache, c);
}

static bool ring_is_valid(const struct cache *cache, unsigned c)
{
    const struct block_array *array = &cache->ring[c].array;
    void **top = ring_top(cache, c);
    if (!array_is_valid(array, top) || array->capacity > POLICY_RING_MAX)
        return false;
    if (!array_is_open(array))
        return cache->limit[c] == ARRAY_CLOSED;
    for (; top != array->slot; top--)
        if (*top && map_class(*top) != c)
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
