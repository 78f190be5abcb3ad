#include "cache/refill.h"

#include "cache/capacity.h"
#include "cache/flush.h"
#include "cache/hold.h"
#include "cache/mark.h"
#include "cache/remote.h"
#include "cache/thread.h"
#include "heap/fill.h"
#include "heap/page.h"
#include "policy/learn.h"
#include "system/options.h"

enum {
    REFILL_BYTES = 4 << 10, /* of blocks that a ring may hold which grows because refills are many */
    GROWTH_MAX = 32,        /* pages: the most that is counted of `growth` */
    GROWTH_DENSE = 32,      /* units of full pages, a huge page's, behind which the next will probably be full, too, */
    GROWTH_KNOWN = 8,       /* and of a class that is known for that */
    SHARING_THREADS = 64    /* threads, of which each one's page of each class would be much: they take turns at them */
};

/* ---- Pages ------------------------------------------------------------------------------------------------------- */

/* The ring of a class that is larger than `c`, by `more` hundredths of `size` at most, and has a block; 0 if there
 * is none. */
static unsigned neighbour_with_block(const struct cache *cache, unsigned c, size_t size, unsigned more)
{
    for (unsigned other = class_host(c) + (c != CLASS_FITTED); other <= CLASS_FIXED_LAST; other++) {
        if (class_size(other) * 100 > size * (100 + more))
            return 0;
        if (*ring_top(cache, other))
            return other;
    }
    return 0;
}

/* The cache's next page of the class, which has free blocks already; false when there is none. */
static bool find_page(struct cache *cache, unsigned c)
{
    struct ring *ring = &cache->ring[c];
    cache->page[c] = page_find(c, 0, cache->id);
    if (!cache->page[c] && thread_close_vanished()) /* there may be one now */
        cache->page[c] = page_find(c, 0, cache->id);
    ring->growth = (uint8_t)(ring->growth - (cache->page[c] && ring->growth > 0));
    return cache->page[c] != NULL;
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
        return page_make(c, 0, cache->id, false, 0);
    size_t ahead = ((size_t)growth << UNIT_SHIFT) / PART;
    return page_make(c, 0, cache->id, grows_densely(cache, c), ahead);
}

static void count_new_page(struct cache *cache, unsigned c, size_t size)
{
    enum { LIKELY_MORE = 25 };
    if (!cache->tally || size == RING_ANY_SIZE)
        return;
    cache->tally->class[c].pages++;
    if (size > POLICY_MID_MIN) /* smaller blocks have no substitutes */
        cache->tally->class[c].neighbours += neighbour_with_block(cache, c, size, LIKELY_MORE) != 0;
    learn_note_size(c, size);
}

/* The cache's next page of the class, new; false when memory is out. No other page has a free block. */
static bool make_page(struct cache *cache, unsigned c, size_t size)
{
    struct ring *ring = &cache->ring[c];
    count_new_page(cache, c, size);
    cache->page[c] = make_page_for(cache, c);
    ring->growth = (uint8_t)min_size(ring->growth + 1u, GROWTH_MAX);
    return cache->page[c] != NULL;
}

bool cache_has_page(struct cache *cache, unsigned c)
{
    return cache->page[c] || find_page(cache, c) || make_page(cache, c, RING_ANY_SIZE);
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
            let_page_go(cache, c);
        }
        if (!find_page(cache, c) && !make_page(cache, c, size))
            return 0;
    }
}

/* ---- Substitutes ------------------------------------------------------------------------------------------------- */

/* Whether a block of the class can be had without a new page. */
static bool is_at_hand(struct cache *cache, unsigned c)
{
    if (cache->page[c] && page_is_drained(cache->page[c]))
        let_page_go(cache, c);
    return cache->page[c] || find_page(cache, c) || (remote_serves(c) && remote_has(c));
}

/* The block on top of a ring, or NULL: a signal handler may have been faster. */
static void *top_take(struct cache *cache, unsigned c)
{
    struct ring_work work = ring_begin(cache, c);
    struct block_array *array = &ring_of(work)->array;
    void *block = *array->top;
    array->top -= block != NULL;
    ring_end(work);
    return block;
}

void *ring_substitute(struct ring_work work, size_t size)
{
    struct cache *cache = work.cache;
    unsigned more = policy_of(work.class_id)->wmax;
    if (LIKELY(more == 0) || size == RING_ANY_SIZE || is_at_hand(cache, work.class_id))
        return NULL;
    unsigned other = neighbour_with_block(cache, work.class_id, size, more);
    if (other == 0)
        return NULL;
    if (cache->tally)
        cache->tally->class[work.class_id].substitutes++;
    return top_take(cache, other);
}

/* ---- Refills ----------------------------------------------------------------------------------------------------- */

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

/* A batch of the depot, for which the ring may have to grow; how many blocks, 0: there is none, or no room for it. */
static unsigned batch_take(struct ring_work work)
{
    unsigned c = work.class_id;
    struct block_array *array = &ring_of(work)->array;
    if (!remote_serves(c))
        return 0;
    while (remote_has(c) && array->capacity < remote_batch(c) && ring_grow(work))
        continue;
    unsigned got = array->capacity >= remote_batch(c) ? remote_take(c, array->slot + 1) : 0;
    if (got == 0)
        return 0;
    counter_add(&work.cache->counters.refills_from_depot, 1);
    if (work.cache->tally)
        work.cache->tally->class[c].batches_taken++;
    return got;
}

/* Most blocks that a refill takes from the page. */
static uint32_t refill_most(const struct ring *ring, unsigned c)
{
    return (uint32_t)ring->array.capacity * policy_of(c)->batch / POLICY_BATCH_MAX;
}

/* Blocks of pages; how many, 0: memory is out. */
static unsigned blocks_take(struct ring_work work, size_t size)
{
    unsigned c = work.class_id;
    struct ring *ring = ring_of(work);
    /* A ring into which nobody frees never overflows, and would be filled by a handful for ever. */
    if (ring->refill >= refill_most(ring, c) && ring->array.capacity * 2u * class_size(c) <= REFILL_BYTES)
        ring_grow(work);
    unsigned got = take_from_pages(work.cache, c, size, ring->array.slot + 1, ring->refill);
    if (got == 0)
        return 0;
    if (UNLIKELY(thread_count() > SHARING_THREADS))
        let_page_go(work.cache, c);
    counter_add(&work.cache->counters.refills_from_pages, 1);
    ring->refill = (uint16_t)max_size(1, min_size(ring->refill * 2u, refill_most(ring, c)));
    return got;
}

bool ring_refill(struct ring_work work, size_t size)
{
    struct ring *ring = ring_of(work);
    HAK_ASSERT(ring_is_in_work(work) && array_is_open(&ring->array) && array_is_empty(&ring->array));
    unsigned got = batch_take(work);
    if (got == 0)
        got = blocks_take(work, size);
    if (got == 0)
        return false;
    count_refill(work.cache, work.class_id, got);
    HAK_ASSERT(got <= ring->array.capacity && ring->array.marks == 0);
    ring->drawn = (uint16_t)min_size(ring->drawn + got, UINT16_MAX);
    ring->array.top = ring->array.slot + got;
    ring_mark(work);
    return true;
}
