#include "insight/sample.h"

#include "base/atomic.h"
#include "cache/group.h"
#include "cache/ring.h"
#include "cache/thread.h"
#include "heap/large.h"
#include "heap/map.h"
#include "heap/page.h"
#include "insight/guarded.h"
#include "insight/ledger.h"
#include "insight/probe.h"
#include "insight/site.h"

enum { APART_LEAST = 64 }; /* bytes of the smallest block apart */

static bool block_begin(const void *block, size_t size, const void *companion, uintptr_t from)
{
    uint64_t bytes = draw_bytes(size, cache_self->draw.interval) * cache_self->draw.times;
    cache_self->draw.times = 1;
    const struct record_sample *sample =
        ledger_begin(block, &(struct ledger_entry){.size = size, .bytes = bytes, .companion = companion, .from = from});
    if (!sample)
        return false;
    if (site_is_on())
        site_sample_begun(sample);
    probe_alloc(block, size, bytes);
    return true;
}

struct ended {
    size_t size;
    uint64_t bytes; /* that it stood for; 0: the block was no sample */
    const void *companion;
};

static struct ended block_end(const void *block)
{
    struct record_sample *sample = ledger_find(block);
    if (!sample)
        return (struct ended){0};
    struct ended ended = {.size = load_relaxed(&sample->size), .bytes = load_relaxed(&sample->bytes)};
    ended.companion = (const void *)load_relaxed(&sample->companion);
    if (site_is_on())
        site_sample_ended(sample);
    probe_free(block);
    ledger_end(sample);
    return ended;
}

/* What draw.h is told of a block, to know whether it is the same again: cells are taken in turn, so each call gets
 * another address there. */
static const void *block_known_as(const void *block, unsigned c) { return cell_has(block) ? &class_info[c] : block; }

static void mark_after(const void *block, struct ended ended)
{
    unsigned c = class_of(ended.size);
    if (LIKELY(ended.bytes > 0))
        ring_put_mark(c, block_known_as(block, c), ended.bytes, ended.companion);
}

/* The class whose pages samples of the class lie in: few, since each has pages of its own. */
static unsigned class_apart(unsigned c)
{
    size_t size = max_size(class_size(c), APART_LEAST);
    return class_of(is_power_of_two(size) ? size : (size_t)2 << highest_bit(size));
}

/* A block above CLASS_TABLE_MAX is a run, which needs no page. */
static void *medium_make(size_t size, const void *companion, uintptr_t from)
{
    bool zeroed;
    void *block = large_malloc(size, BLOCK_ALIGN, 0, &zeroed);
    if (block && block_begin(block, size, companion, from))
        large_set_sampled(block, LARGE_FROM_RING);
    return block;
}

static void *small_make(unsigned c, const void *companion, uintptr_t from)
{
    unsigned apart = class_apart(c);
    page_visit_begin();
    void *block = page_take_one(apart, apart);
    page_visit_end();
    if (block && block_begin(block, class_size(c), companion, from)) {
        fetch_add_relaxed(&draw_surplus, class_size(apart) - class_size(c));
        return block;
    }
    if (block)
        page_visit_return(block, "malloc");
    return NULL;
}

/* In a cell, now and then. Where there is no room in the ledger, the block is no sample, and is guarded all the
 * same. */
static void *guarded_make(unsigned c, const void *companion, uintptr_t from)
{
    void *block = guarded_malloc(class_size(c), from);
    if (block)
        block_begin(block, class_size(c), companion, from);
    return block;
}

NOINLINE void *sample_malloc(unsigned c, size_t size, uintptr_t from)
{
    const void *companion = ring_next(c);
    void *block = guarded_make(c, companion, from);
    if (LIKELY(!block))
        block = class_size(c) > CLASS_TABLE_MAX ? medium_make(class_size(c), companion, from)
                                                : small_make(c, companion, from);
    if (LIKELY(block)) {
        draw_note_block(&cache_self->draw, block_known_as(block, c));
        return block;
    }
    /* No sample falls into what comes instead: of a block that is much larger than the interval each would be one
     * again. That is said anew each time, since the ring's upkeep draws marks when the interval has changed, and a
     * ring that is filled after that may get nothing but marks. */
    do {
        cache_self->draw.left = INT64_MAX;
        block = ring_malloc(c, size);
    } while (block == RING_MARK);
    draw_next(&cache_self->draw);
    return block;
}

NOINLINE void sample_free(void *block, const char *call)
{
    enum error_id error;
    thread_check_fork();
    const struct page *page = map_page(block);
    if (UNLIKELY(!page))
        error_fatal(ERROR_NOT_LIVE, call, block, 0);
    if (UNLIKELY(!page_has_live(page, block, &error)))
        error_fatal(error, call, block, class_size(page->class_id));
    struct ended ended = block_end(block);
    if (LIKELY(ended.bytes > 0))
        fetch_sub_relaxed(&draw_surplus, class_size(page->class_id) - ended.size);
    page_visit_return(block, call);
    mark_after(block, ended);
}

COLD void sample_free_guarded(void *block, const char *call)
{
    thread_check_fork();
    guarded_claim(block, call);
    struct ended ended = block_end(block);
    guarded_end(block);
    mark_after(block, ended);
}

NOINLINE size_t sample_size(const void *block)
{
    const struct record_sample *sample = ledger_find(block);
    return sample ? load_relaxed(&sample->size) : 0;
}

NOINLINE void sample_note_large(void *block, size_t size, uintptr_t from)
{
    if (ring_draws(size) && block_begin(block, size, NULL, from))
        large_set_sampled(block, LARGE_SAMPLED);
}

NOINLINE void sample_forget_large(void *block, bool is_freed)
{
    struct ended ended = block_end(block);
    bool is_ring = large_sampled(block) == LARGE_FROM_RING;
    large_set_sampled(block, LARGE_UNSAMPLED);
    if (is_freed && is_ring)
        mark_after(block, ended);
}
