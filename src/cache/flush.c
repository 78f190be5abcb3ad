#include "cache/flush.h"

#include "cache/capacity.h"
#include "cache/remote.h"
#include "cache/thread.h"
#include "heap/page.h"
#include "policy/learn.h"

enum {
    PASSING_SLOTS = 126,       /* capacity of a ring through which blocks only pass: two batches, */
    PASSING_BYTES = 512 << 10  /* and at most so many bytes */
};

void let_page_go(struct cache *cache, unsigned c)
{
    struct page *page = cache->page[c];
    cache->page[c] = NULL;
    if (page)
        page_release(page);
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
    size_t wanted = ring->array.capacity * 2u;
    return ring->drawn >= ring->array.capacity || (wanted <= PASSING_SLOTS && wanted * class_size(c) <= PASSING_BYTES);
}

void ring_flush(struct ring_work work, const char *call)
{
    struct cache *cache = work.cache;
    struct ring *ring = ring_of(work);
    HAK_ASSERT(ring_is_in_work(work) && array_is_full(&ring->array));
    if (growth_is_worth(ring, work.class_id) && ring_grow(work))
        return;
    counter_add(&cache->counters.flushes, 1);
    /* A thread that frees more than it allocates, and may go to sleep then, needs no page that others could use. */
    let_page_go(cache, work.class_id);
    unsigned count = array_unmark(&ring->array, (ring->array.capacity + 1u) / 2);
    blocks_pass_on(cache, work.class_id, ring->array.slot + 1, count, call);
    array_drop_oldest(&ring->array, count);
    ring->drawn = (uint16_t)(ring->drawn - min_size(ring->drawn, count));
}

void ring_empty(struct cache *cache, unsigned c)
{
    struct ring_work work = ring_begin(cache, c);
    struct block_array *array = &ring_of(work)->array;
    if (array_is_open(array))
        array_return_oldest(array, array_entries(array), "free");
    ring_end(work);
    let_page_go(cache, c);
}

COLD void ring_let_pass(struct cache *cache, unsigned c)
{
    struct ring_work work = ring_begin(cache, c);
    if (ring_of(work)->array.capacity > PASSING_SLOTS)
        ring_shrink(work, 0); /* to open again when a block is freed */
    ring_end(work);
}

/* One that has nothing left to lose but its capacity, which keeps others from growing. */
static void ring_rest_empty(struct ring_work work)
{
    const struct policy *policy = policy_now();
    uint32_t first = policy->class[work.class_id].first;
    if (demand_needed(policy, work.class_id) > 0)
        ring_close(work);
    else if (policy->rests && ring_of(work)->array.capacity > first)
        ring_shrink(work, first);
}

void ring_rest(struct cache *cache, unsigned c)
{
    struct ring_work work = ring_begin(cache, c);
    struct block_array *array = &ring_of(work)->array;
    bool was_empty = array_is_empty(array);
    array_return_oldest(array, (array_entries(array) + 1) / 2, "free");
    if (was_empty)
        let_page_go(cache, c);
    if (array_is_empty(array))
        ring_rest_empty(work);
    ring_end(work);
}
