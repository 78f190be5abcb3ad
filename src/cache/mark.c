#include "cache/mark.h"

#include "heap/page.h"

/* Puts a mark upon the block at `at`; where the array has no room, instead of it. Where the next block stands. */
static void **mark_put(struct block_array *array, void **at)
{
    array->marks++;
    if (array_is_full(array)) {
        page_return(at, 1, "malloc");
        *at = NULL;
        return at - 1;
    }
    __builtin_memmove(at + 2, at + 1, (size_t)(array->top - at) * sizeof *at);
    array->top++;
    at[1] = NULL;
    return at;
}

/* In the order in which they are going to be taken, so that each time it is as likely that a mark is met, the first
 * time and the last. */
COLD void ring_mark_some(struct ring_work work)
{
    struct block_array *array = &ring_of(work)->array;
    struct draw *draw = &work.cache->draw;
    size_t size = class_size(work.class_id);
    void **at = array->top;
    HAK_ASSERT(ring_is_in_work(work) && array_is_open(array) && array->marks == 0);
    while (draw->left <= (int64_t)(size * (size_t)(at - array->slot))) {
        at = mark_put(array, at - (size_t)(draw->left - 1) / size);
        draw_next(draw);
    }
    draw->left -= (int64_t)(size * (size_t)(at - array->slot));
    if (UNLIKELY(draw->interval != load_relaxed(&draw_interval))) /* relaxed: soon is early enough */
        work.cache->ticks = CACHE_TICKS - 1;
}

/* Forgets a ring's marks, and draws others. */
static void marks_renew(struct cache *cache, unsigned c)
{
    struct block_array *array = &cache->ring[c].array;
    if (!array_is_open(array))
        return;
    struct ring_work work = ring_begin(cache, c);
    array_unmark(array, (unsigned)array_entries(array));
    ring_mark(work);
    ring_end(work);
}

COLD void cache_draw_anew(struct cache *cache)
{
    struct draw *draw = &cache->draw;
    uint64_t interval = load_relaxed(&draw_interval); /* relaxed: soon is early enough */
    draw->last = NULL; /* what comes has marks of its own */
    if (draw->interval != interval) {
        draw->interval = interval;
        draw_next(draw);
    }
    for (unsigned c = 1; c <= CLASS_LAST && interval != 0; c++)
        marks_renew(cache, c);
}
