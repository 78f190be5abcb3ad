#include "cache/ring.h"

#include "cache/capacity.h"
#include "cache/flush.h"
#include "cache/group.h"
#include "cache/hold.h"
#include "cache/thread.h"
#include "heap/check.h"
#include "heap/map.h"
#include "heap/page.h"
#include "heap/purge.h"
#include "system/os_clock.h"

/* ---- Past the rings ---------------------------------------------------------------------------------------------- */

/* Relaxed: a count. Where blocks are checked no thread has a cache, and all calls are such. */
static void count_direct(_Atomic(uint64_t) *counter)
{
    if (fetch_add_relaxed(counter, 1) % CACHE_TICKS == 0 && check_mode == CHECK_EXACT)
        process_tend();
}

/* Without a cache. */
static COLD void *direct_malloc(unsigned c)
{
    count_direct(&cache_none.counters.direct_mallocs);
    page_visit_begin();
    void *block = page_take_one(c, 0);
    page_visit_end();
    return block;
}

static COLD void direct_free(void *block, const char *call)
{
    count_direct(&cache_none.counters.direct_frees);
    page_visit_return(block, call);
    purge_if_due(0);
}

/* A block for a class without a ring: no page is held for it, since the thread may idle next. */
static void *malloc_past_ring(struct cache *cache, unsigned c)
{
    counter_add(&cache->counters.direct_mallocs, 1);
    void *block = page_take_one(c, 0);
    if (!block) {
        cache_give_up(cache, c);
        block = page_take_one(c, 0);
    }
    return block;
}

static void free_past_ring(struct cache *cache, unsigned c, void *block, const char *call)
{
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
    if (!demand_is_met(cache, c)) {
        if (os_milliseconds() >= cache->sweep_at)
            cache_tick(cache); /* what was called for longer ago is no demand */
        demand_note(cache, c);
    }
    bool yes = demand_is_met(cache, c);
    cache_leave(cache);
    return yes;
}

/* ---- malloc ------------------------------------------------------------------------------------------------------ */

static COLD bool ring_refill_hard(struct ring_work work, size_t size)
{
    cache_give_up(work.cache, work.class_id);
    return ring_refill(work, size);
}

/* The newest block of a ring in work that is not empty, or RING_MARK; under HAKMEM_HARDEN any of its blocks. */
INLINE void *ring_pop(struct ring_work work)
{
    struct block_array *array = &ring_of(work)->array;
    HAK_ASSERT(ring_is_in_work(work) && !array_is_empty(array));
    if (UNLIKELY(work.cache->hold))
        return hold_pop(work.cache->hold, array->slot, &array->top);
    void *block = *array->top--;
    if (LIKELY(block))
        return block;
    array->marks--;
    return RING_MARK;
}

/* A block of an open ring in work, which is filled if it is empty, or RING_MARK; NULL when memory is out. */
INLINE void *ring_take(struct ring_work work, size_t size)
{
    if (!array_is_empty(&ring_of(work)->array)) {
        counter_add(&work.cache->counters.ring_mallocs, 1);
        return ring_pop(work);
    }
    void *block = ring_substitute(work, size);
    if (!block && (ring_refill(work, size) || ring_refill_hard(work, size)))
        block = ring_pop(work);
    return block;
}

/* Whether a block of the class that came to the thread by another way than its ring was to be a sample. */
static bool is_due(struct cache *cache, unsigned c)
{
    bool is = UNLIKELY(cache->draw.due != 0) && cache->draw.due >> c & 1;
    cache->draw.due &= ~((uint64_t)is << c);
    return is;
}

void *ring_malloc(unsigned c, size_t size)
{
    struct cache *cache = cache_enter();
    if (UNLIKELY(!cache))
        return direct_malloc(c);
    void *block;
    struct ring_work work = ring_begin(cache, c);
    if (UNLIKELY(is_due(cache, c)))
        block = RING_MARK;
    else if (LIKELY(ring_open(work)))
        block = ring_take(work, size);
    else
        block = draw_falls(&cache->draw, class_size(c)) ? RING_MARK : malloc_past_ring(cache, c);
    ring_end(work);
    cache_leave(cache);
    return block;
}

/* A zeroed block of the class's page; NULL when there is none, or this one is to be a sample: the next one is, then. */
static void *zeroed_take(struct cache *cache, unsigned c)
{
    void *block = page_take_zeroed(cache->page[c]);
    if (block && UNLIKELY(draw_falls(&cache->draw, class_size(c)))) {
        cache->draw.due |= (uint64_t)1 << c;
        page_return(&block, 1, "calloc");
        return NULL;
    }
    if (block)
        counter_add(&cache->counters.zeroed_blocks, 1);
    return block;
}

void *ring_malloc_zeroed(unsigned c)
{
    struct cache *cache = cache_enter();
    if (UNLIKELY(!cache))
        return NULL;
    void *block = NULL;
    bool is_empty = !array_is_open(&cache->ring[c].array) || ring_entries(cache, c) == 0;
    if (is_empty && demand_is_met(cache, c) && cache_has_page(cache, c))
        block = zeroed_take(cache, c);
    cache_leave(cache);
    return block;
}

/* ---- A close look ------------------------------------------------------------------------------------------------ */

/* Ends the program unless the block is the start of one that is neither free in its page nor among the newest entries
 * of the ring, up to `top`; NULL: of none. */
INLINE void block_check(const struct page *page, const void *block, unsigned c, const struct block_array *array,
                        void *const *top, const char *call)
{
    enum error_id error;
    if (UNLIKELY(!page_has_live(page, block, &error)))
        error_fatal(error, call, block, class_size(c));
    if (UNLIKELY(array && array_has_lately(array, top, block)))
        error_fatal(ERROR_DOUBLE_FREE, call, block, class_size(c));
}

void ring_check_live(const void *block, unsigned c, const char *call)
{
    const struct cache *cache = cache_self;
    const struct block_array *array = &cache->ring[c].array;
    bool has_ring = array_is_open(array) && !cache->busy; /* else it may be changing under a signal handler */
    void *const *top = has_ring ? ring_top(cache, c) : NULL;
    thread_close_parked();
    block_check(page_of(block, call), block, c, has_ring ? array : NULL, top, call);
}

/* Blocks smaller than a cache line lie next to others, which are written to by whoever takes from the page. A thread
 * that was given a few of them, and has hardly begun to free, does better not to use them again. */
INLINE bool has_neighbours_of_others(const struct cache *cache, const struct page *page, unsigned c)
{
    return class_shares_lines(c) && load_relaxed(&page->holder) != cache->id && thread_count() > 1;
}

/* ---- free -------------------------------------------------------------------------------------------------------- */

/* A free into a watched ring that has room, which is all that a thread of a short life does: a close look, and then as
 * on the fast path. False when there is more to do. */
INLINE bool watched_push(struct cache *cache, const struct page *page, void *block, unsigned c, const char *call)
{
    struct ring *ring = &cache->ring[c];
    if (ring->probation <= 1 || cache->top[c] == ARRAY_CLOSED || has_neighbours_of_others(cache, page, c) ||
        !cache_enter_short(cache))
        return false;
    struct ring_work work = ring_begin(cache, c);
    /* A signal handler may have been here after the first look. */
    bool has_room = ring->probation > 1 && !array_is_full(&ring->array);
    if (LIKELY(has_room)) {
        block_check(page, block, c, &ring->array, ring->array.top, call);
        ring->probation--;
        array_push(&ring->array, block);
    }
    ring_end_short(work);
    cache_leave_short(cache);
    return has_room;
}

/* A free into a ring in work, which is open and may be watched or full. Whoever gets here has time to look closely. */
static void looked_push(struct ring_work work, const struct page *page, void *block, const char *call)
{
    struct ring *ring = ring_of(work);
    counter_add(&work.cache->counters.ring_frees, 1);
    block_check(page, block, work.class_id, &ring->array, ring->array.top, call);
    bool is_young = ring->probation > 0;
    if (is_young)
        ring->probation--;
    if (is_young && has_neighbours_of_others(work.cache, page, work.class_id))
        page_return(&block, 1, call);
    else
        ring_push(work, block, call);
}

/* A free into a ring that is open, closed or full, or that needs more than a look. */
static NOINLINE void ring_free_hard(const struct page *page, void *block, unsigned c, const char *call)
{
    struct cache *cache = cache_enter();
    if (UNLIKELY(!cache)) {
        direct_free(block, call);
        return;
    }
    struct ring_work work = ring_begin(cache, c);
    if (LIKELY(ring_open(work)))
        looked_push(work, page, block, call);
    else
        free_past_ring(cache, c, block, call);
    ring_end(work);
    cache_leave(cache);
}

/* A free under HAKMEM_HARDEN that harden_free is not for. The block's mark, which is gone by now, has said that it was
 * live. */
static NOINLINE void ring_free_held(void *block, unsigned c, const char *call)
{
    struct cache *cache = cache_enter();
    if (UNLIKELY(!cache)) {
        direct_free(block, call);
        return;
    }
    if (LIKELY(cache->hold))
        block = hold_swap(cache->hold, c, block);
    if (block && !check_looks_at(class_size(c)))
        check_free(block, class_size(c), call);
    struct ring_work work = ring_begin(cache, c);
    if (block && ring_open(work)) {
        counter_add(&cache->counters.ring_frees, 1);
        ring_push(work, block, call);
    } else if (block) {
        free_past_ring(cache, c, block, call);
    }
    ring_end(work);
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

/* ---- Samples ----------------------------------------------------------------------------------------------------- */

void ring_put_mark(unsigned c, const void *block, uint64_t bytes, const void *companion)
{
    struct cache *cache = cache_enter();
    if (UNLIKELY(!cache))
        return;
    struct ring_work work = ring_begin(cache, c);
    struct ring *ring = ring_of(work);
    counter_add(&cache->counters.ring_frees, 1);
    bool stays = draw_keeps(&cache->draw, block, class_size(c), bytes) && ring_open(work);
    const struct page *page = companion ? map_page(companion) : NULL;
    bool goes_back = page && ring->probation > 0 && has_neighbours_of_others(cache, page, c);
    if (stays && !goes_back) {
        ring_push(work, NULL, "free");
        ring->array.marks++;
    }
    ring_end(work);
    cache_leave(cache);
}

bool ring_draws(size_t size)
{
    struct cache *cache = thread_cache();
    if (!cache || !cache_enter_short(cache))
        return false;
    bool falls = draw_falls(&cache->draw, size);
    cache_leave_short(cache);
    return falls;
}

const void *ring_next(unsigned c)
{
    const struct cache *cache = cache_self;
    return cache->busy ? NULL : *ring_top(cache, c);
}

/* ---- All rings --------------------------------------------------------------------------------------------------- */

COLD void ring_collect(void)
{
    struct cache *cache = cache_enter();
    if (!cache)
        return;
    cache_empty(cache);
    cache_leave(cache);
}

size_t ring_count(const struct cache *cache, unsigned c)
{
    /* Acquire: the rings are set up; pairs with site.c, which makes them. */
    size_t apart = group_blocks(load_acquire(&cache->groups), c, cache == cache_self);
    const struct ring *ring = &cache->ring[c];
    if (cache != cache_self)
        return apart + load_relaxed(&ring->array.level); /* relaxed: pairs with array_publish */
    return apart + (array_is_open(&ring->array) ? ring_entries(cache, c) - ring->array.marks : 0);
}
