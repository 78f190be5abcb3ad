#include "cache/harden.h"

#include "base/atomic.h"
#include "cache/hold.h"
#include "cache/ring.h"
#include "cache/thread.h"
#include "heap/check.h"
#include "heap/map.h"
#include "heap/page.h"

/* No signal handler's, and no call that the clock is waiting for (cache_fence). */
static bool may_be_short(const struct cache *cache) { return !cache->busy && !cache->fenced; }

NOINLINE void *harden_malloc(size_t size)
{
    size_t room = size + CHECK_MARK;
    struct cache *cache = cache_self;
    if (UNLIKELY(room > CLASS_TABLE_MAX || room < size || !cache->hold || !may_be_short(cache)))
        return NULL;
    unsigned c = class_of_table(room);
    struct ring *ring = &cache->ring[c];
    cache->busy = true;
    signal_fence(); /* as in cache_enter */
    void *block = LIKELY(ring->held_top != ring->slot) ? hold_pop(cache->hold, ring->slot, &ring->held_top) : NULL;
    signal_fence(); /* as in cache_leave */
    cache->busy = false;
    if (LIKELY(block))
        check_begin(block, class_size(c), size, "malloc");
    return block;
}

/* Whether a block of the class begins at the address, which is in one of its pages. */
static bool is_start(const struct page *page, const void *block, const struct class_info *info)
{
    /* A page of one unit need not be asked where it begins. */
    size_t offset = info->units == 1 ? (uintptr_t)block % UNIT_SIZE : (size_t)((const char *)block - page->start);
    uint32_t index = class_offset_index(info, offset);
    return index < info->blocks && offset == (size_t)index * info->size;
}

NOINLINE bool harden_free(void *block, unsigned c)
{
    struct cache *cache = cache_self;
    const struct page *page = map_page(block);
    const struct class_info *info = &class_info[c];
    if (UNLIKELY(!cache->hold || !may_be_short(cache) || !page || !is_start(page, block, info) || !page->checked))
        return false;
    struct ring *ring = &cache->ring[c];
    if (UNLIKELY(!ring->slot || ring->held_top == ring->slot + ring->capacity))
        return false;
    check_end(block, info->size, "free", thread_count() > 1);
    cache->busy = true;
    signal_fence();
    void *oldest = hold_swap(cache->hold, c, block);
    if (LIKELY(oldest))
        *++ring->held_top = oldest;
    signal_fence();
    cache->busy = false;
    if (oldest && !check_looks_at(info->size))
        check_free(oldest, info->size, "free");
    return true;
}
