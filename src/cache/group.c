#include "cache/group.h"

#include "system/error.h"
#include "system/lock.h"
#include "heap/map.h"
#include "heap/meta.h"
#include "heap/page.h"

enum { GROUP_BYTES = 64 << 10, REFILL_SAMPLES = 8, GROUP_SENTINELS = 2 };

static void *const nothing_apart[GROUP_SENTINELS] = {NULL, NULL};
#define CLOSED_APART ((void **)nothing_apart + GROUP_SENTINELS - 1)

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

static size_t lane_level(const struct group_ring *ring) { return ring->slot ? (size_t)(ring->top - ring->slot) : 0; }

static void lane_publish(struct group_ring *ring)
{
    store_relaxed(&ring->level, (uint32_t)lane_level(ring)); /* pairs with group_blocks */
}

void group_open(struct group_cache *cache, uint32_t holder)
{
    cache->holder = holder;
    for (unsigned group = 0; group < GROUP_COUNT; group++) {
        struct group_ring *ring = &cache->ring[group];
        ring->top = ring->limit = CLOSED_APART;
        ring->slot = ring->swept_top = NULL;
        ring->page = NULL;
        store_relaxed(&ring->level, 0);
    }
}

/* Gives the ring an array, which it keeps; false when memory is out. */
static bool lane_open(struct group_ring *ring, unsigned group)
{
    if (ring->slot)
        return true;
    size_t size = (GROUP_SENTINELS + GROUP_ROOM) * sizeof(void *);
    if (!meta_acquire(META_OTHER, size))
        return false;
    void **array = meta_alloc(META_OTHER, size);
    lock_release();
    if (!array)
        return false;
    array[0] = array[1] = NULL;
    ring->slot = ring->top = array + GROUP_SENTINELS - 1;
    ring->limit = ring->slot + lane_capacity(group);
    return true;
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
    struct group_ring *ring = &cache->ring[group];
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
    struct group_ring *ring = &cache->ring[group];
    *got = 0;
    if (!lane_open(ring, group))
        return NULL;
    HAK_ASSERT(ring->top == ring->slot);
    unsigned count = group < GROUP_FREE_FIRST ? REFILL_SAMPLES : lane_capacity(group);
    *got = lane_take(cache, group, ring->slot + 1, (unsigned)min_size(count, lane_capacity(group)));
    ring->top = ring->slot + *got;
    void *block = *got > 0 ? *ring->top-- : NULL;
    lane_publish(ring);
    return block;
}

/* Returns the older `count` blocks of the ring to their pages. */
static void lane_shorten(struct group_ring *ring, size_t count, const char *call)
{
    page_return(ring->slot + 1, (unsigned)count, call);
    for (void **slot = ring->slot + 1; slot + count <= ring->top; slot++)
        *slot = slot[count];
    ring->top -= count;
    lane_publish(ring);
}

/* Whether the block stands in the `ring` at or below `slot`. */
static bool lane_has(void *const *slot, const void *block)
{
    for (; *slot; slot--)
        if (*slot == block)
            return true;
    return false;
}

void group_return(struct group_cache *cache, unsigned group, void *block, const char *call)
{
    struct group_ring *ring = &cache->ring[group];
    if (!lane_open(ring, group)) {
        page_return(&block, 1, call);
        return;
    }
    if (UNLIKELY(lane_has(ring->top, block)))
        error_fatal(ERROR_DOUBLE_FREE, call, block, class_size(group_class(group)));
    if (ring->top == ring->limit) {
        /* A thread that frees more than it allocates needs no page that others could use. */
        lane_let_page_go(ring);
        lane_shorten(ring, (lane_level(ring) + 1) / 2, call);
    }
    *++ring->top = block;
    lane_publish(ring);
}

void group_empty(struct group_cache *cache)
{
    for (unsigned group = 1; cache && group < GROUP_COUNT; group++) {
        struct group_ring *ring = &cache->ring[group];
        if (lane_level(ring) > 0)
            lane_shorten(ring, lane_level(ring), "free");
        lane_let_page_go(ring);
    }
}

void group_sweep(struct group_cache *cache)
{
    for (unsigned group = 1; cache && group < GROUP_COUNT; group++) {
        struct group_ring *ring = &cache->ring[group];
        if (ring->slot && ring->top == ring->swept_top) {
            if (lane_level(ring) > 0)
                lane_shorten(ring, (lane_level(ring) + 1) / 2, "free");
            else
                lane_let_page_go(ring);
        }
        ring->swept_top = ring->slot ? ring->top : NULL;
    }
}

size_t group_blocks(const struct group_cache *cache, unsigned class_id, bool is_own)
{
    size_t count = 0;
    for (unsigned group = 1; cache && group < GROUP_COUNT; group++)
        if (group_class(group) == class_id)
            count += is_own ? lane_level(&cache->ring[group]) : load_relaxed(&cache->ring[group].level);
    return count;
}

static bool lane_is_valid(const struct group_ring *ring, unsigned group)
{
    const struct page *page = ring->page;
    if (!ring->slot)
        return ring->top == CLOSED_APART && ring->limit == CLOSED_APART && !page;
    if (ring->slot[0] || ring->slot[-1] || ring->top < ring->slot || ring->top > ring->limit)
        return false;
    for (void **slot = ring->top; *slot; slot--)
        if (map_class(*slot) != CLASS_GROUPED || load_relaxed(&map_page(*slot)->group) != group)
            return false;
    if (!page)
        return true;
    return load_relaxed(&page->group) == group && load_relaxed(&page->state) == PAGE_OWNED && page_is_valid(page);
}

bool group_is_valid(const struct group_cache *cache)
{
    for (unsigned group = 1; group < GROUP_COUNT; group++)
        if (!lane_is_valid(&cache->ring[group], group))
            return false;
    return true;
}
