#include "cache/counted.h"

#include "cache/ring.h"
#include "cache/thread.h"

static bool enter_cache(struct cache *cache) { return cache != &cache_none && cache_enter_as_fast(cache); }

/* Now and then the next call has to look at the clock: nothing else may make a thread do that which has all that it
 * asks for in its rings, and so does not see that nobody wants it to count any more. */
static COLD uint64_t size_draw(struct cache *cache, size_t size)
{
    uint64_t window_at = cache->count.window_at, bytes = count_draw(&cache->count, &cache->draw.random, size);
    if (cache->count.window_at != window_at)
        cache->ticks = CACHE_TICKS;
    return bytes;
}

/* By a thread in a slow path. */
static uint64_t size_note(struct cache *cache, size_t size)
{
    cache->count.left -= (int64_t)size;
    return LIKELY(cache->count.left > 0) ? 0 : size_draw(cache, size);
}

/* The newest block of a hidden ring, or NULL: it has none, or a mark is on top, or this one is due to be a sample. */
static void *hidden_pop(struct cache *cache, unsigned c)
{
    struct block_array *array = &cache->ring[c].array;
    if (UNLIKELY(!ring_is_hidden(cache, c) || cache->draw.due >> c & 1))
        return NULL;
    void *block = *array->top;
    array->top -= block != NULL;
    array_note_use(array);
    return block;
}

NOINLINE void *counted_malloc(size_t size, uint64_t *bytes)
{
    struct cache *cache = cache_self;
    if (UNLIKELY(size > CLASS_TABLE_MAX || !enter_cache(cache)))
        return NULL;
    unsigned c = class_of_table(size);
    void *block = hidden_pop(cache, c);
    if (LIKELY(block))
        *bytes = size_note(cache, class_size(c));
    cache_leave_short(cache);
    return block;
}

/* With the same look at what was freed last as on the fast path. */
static bool hidden_push(struct cache *cache, unsigned c, void *block)
{
    struct ring *ring = &cache->ring[c];
    void **top = ring->array.top;
    if (UNLIKELY(!ring_is_hidden(cache, c) || ring->probation > 0 || array_is_full(&ring->array) || top[0] == block ||
                 top[-1] == block))
        return false;
    array_push(&ring->array, block);
    array_note_use(&ring->array);
    return true;
}

NOINLINE bool counted_free(void *block, unsigned entry)
{
    struct cache *cache = cache_self;
    /* The page map's entries are of whole units, whatever the address is. */
    bool has_ring = entry != 0 && entry <= CLASS_LAST;
    if (UNLIKELY(!has_ring || (uintptr_t)block % BLOCK_ALIGN != 0 || !enter_cache(cache)))
        return false;
    bool done = hidden_push(cache, entry, block);
    cache_leave_short(cache);
    return done;
}

NOINLINE uint64_t counted_note(size_t size)
{
    struct cache *cache = thread_cache();
    if (UNLIKELY(!cache || !cache_enter_short(cache)))
        return 0;
    uint64_t bytes = size_note(cache, size);
    cache_leave_short(cache);
    return bytes;
}
