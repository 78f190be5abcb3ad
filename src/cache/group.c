#include "cache/group.h"

#include "system/error.h"
#include "system/lock.h"
#include "heap/map.h"
#include "heap/page.h"

enum { GROUP_BYTES = 64 << 10 };
_Static_assert((int)GROUP_ROOM <= (int)ARRAY_LOOKED_AT, "a second free is noticed wherever the block stands");

static _Atomic(uint8_t) group_classes[GROUP_COUNT]; /* [lock to write] of the groups given out */
static unsigned group_next = GROUP_FREE_FIRST; /* [lock] */

unsigned group_make(unsigned class_id)
{
    HAK_ASSERT(lock_is_held());
    if (group_next == GROUP_COUNT)
        return 0;
    store_relaxed(&group_classes[group_next], (uint8_t)class_id); /* relaxed: a group's number is published after it */
    return group_next++;
}

unsigned group_class(unsigned group) { return group < GROUP_FREE_FIRST ? group : load_relaxed(&group_classes[group]); }

static unsigned lane_capacity(unsigned group)
{
    return (unsigned)max_size(2, min_size(GROUP_ROOM, GROUP_BYTES / class_size(group_class(group))));
}

static size_t lane_level(const struct group_ring *ring)
{
    return array_is_open(&ring->array) ? array_entries(&ring->array) : 0;
}

void group_open(struct group_cache *cache, uint32_t holder)
{
    cache->holder = holder;
    for (unsigned group = GROUP_FREE_FIRST; group < GROUP_COUNT; group++) {
        struct group_ring *ring = group_ring_of(cache, group);
        array_forget(&ring->array);
        ring->page = NULL;
    }
}

/* Gives the ring an array, which it keeps; false when memory is out. */
static bool lane_open(struct group_ring *ring, unsigned group)
{
    return array_is_open(&ring->array) || array_resize(&ring->array, lane_capacity(group));
}

static void lane_let_page_go(struct group_ring *ring)
{
    struct page *page = ring->page;
    ring->page = NULL;
    if (page)
        page_release(page);
}

/* Up to `count` blocks from the page the ring holds, or from the next one. 0 when memory is out. */
static unsigned lane_take(struct group_cache *cache, unsigned group, void **out, unsigned count)
{
    struct group_ring *ring = group_ring_of(cache, group);
    for (;;) {
        unsigned taken = ring->page ? page_take(ring->page, out, count) : 0;
        if (taken > 0)
            return taken;
        lane_let_page_go(ring);
        ring->page = page_acquire_group(group_class(group), group, cache->holder);
        if (!ring->page)
            return 0;
    }
}

void *group_refill(struct group_cache *cache, unsigned group, unsigned *got)
{
    struct group_ring *ring = group_ring_of(cache, group);
    struct block_array *array = &ring->array;
    *got = 0;
    if (!lane_open(ring, group))
        return NULL;
    HAK_ASSERT(array_is_empty(array));
    *got = lane_take(cache, group, array->slot + 1, array->capacity);
    array->top = array->slot + *got;
    void *block = *got > 0 ? *array->top-- : NULL;
    array_publish(array);
    return block;
}

/* Returns the older `count` blocks of an open ring to their pages. */
static void lane_shorten(struct group_ring *ring, size_t count, const char *call)
{
    array_return_oldest(&ring->array, count, call);
    array_publish(&ring->array);
}

void group_return(struct group_cache *cache, unsigned group, void *block, const char *call)
{
    struct group_ring *ring = group_ring_of(cache, group);
    struct block_array *array = &ring->array;
    if (!lane_open(ring, group)) {
        page_return(&block, 1, call);
        return;
    }
    HAK_ASSERT(array_is_sound(array));
    if (UNLIKELY(array_has_lately(array, array->top, block)))
        error_fatal(ERROR_DOUBLE_FREE, call, block, class_size(group_class(group)));
    if (array_is_full(array)) {
        /* A thread that frees more than it allocates needs no page that others could use. */
        lane_let_page_go(ring);
        lane_shorten(ring, (array_entries(array) + 1) / 2, call);
    }
    array_push(array, block);
    array_publish(array);
}

void group_empty(struct group_cache *cache)
{
    for (unsigned group = GROUP_FREE_FIRST; cache && group < GROUP_COUNT; group++) {
        struct group_ring *ring = group_ring_of(cache, group);
        if (lane_level(ring) > 0)
            lane_shorten(ring, lane_level(ring), "free");
        lane_let_page_go(ring);
    }
}

/* A ring that was not used since it was last looked at. */
static void lane_rest(struct group_ring *ring)
{
    size_t level = lane_level(ring);
    if (level > 0)
        lane_shorten(ring, (level + 1) / 2, "free");
    else
        lane_let_page_go(ring);
}

void group_sweep(struct group_cache *cache)
{
    for (unsigned group = GROUP_FREE_FIRST; cache && group < GROUP_COUNT; group++) {
        struct group_ring *ring = group_ring_of(cache, group);
        if (!array_is_open(&ring->array))
            continue;
        if (array_entries(&ring->array) == ring->array.swept)
            lane_rest(ring);
        ring->array.swept = (uint16_t)array_entries(&ring->array);
    }
}

size_t group_blocks(const struct group_cache *cache, unsigned class_id, bool is_own)
{
    size_t count = 0;
    for (unsigned group = GROUP_FREE_FIRST; cache && group < GROUP_COUNT; group++) {
        const struct group_ring *ring = &cache->ring[group - GROUP_FREE_FIRST];
        if (group_class(group) == class_id) /* relaxed: pairs with array_publish */
            count += is_own ? lane_level(ring) : load_relaxed(&ring->array.level);
    }
    return count;
}

static bool lane_is_valid(const struct group_ring *ring, unsigned group)
{
    const struct block_array *array = &ring->array;
    const struct page *page = ring->page;
    if (!array_is_valid(array, array->top) || array->marks != 0)
        return false;
    if (!array_is_open(array))
        return !page;
    for (void **slot = array->top; *slot; slot--)
        if (map_class(*slot) != CLASS_GROUPED || load_relaxed(&map_page(*slot)->group) != group)
            return false;
    if (!page)
        return true;
    return load_relaxed(&page->group) == group && load_relaxed(&page->state) == PAGE_OWNED && page_is_valid(page);
}

bool group_is_valid(const struct group_cache *cache)
{
    for (unsigned group = GROUP_FREE_FIRST; group < GROUP_COUNT; group++)
        if (!lane_is_valid(&cache->ring[group - GROUP_FREE_FIRST], group))
            return false;
    return true;
}
