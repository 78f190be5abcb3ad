#include "cache/tend.h"

#include "cache/cache.h"
#include "cache/capacity.h"
#include "cache/flush.h"
#include "cache/group.h"
#include "cache/mark.h"
#include "cache/remote.h"
#include "cache/thread.h"
#include "heap/limit.h"
#include "heap/meta.h"
#include "heap/page.h"
#include "heap/purge.h"
#include "policy/learn.h"
#include "system/lock.h"
#include "system/os_clock.h"

/* A ring that was not used for so long loses half of its blocks; where slow paths are few, and the look at the clock is
 * a sentry's (below), so much later. Milliseconds. */
enum { IDLE_MILLISECONDS = 250, SENTRY_MILLISECONDS = 750 };

/* Calls that fences may make slow in a millisecond while memory waits, 0.2 % of it; what was not used adds up to so
 * many. */
enum { FENCE_RATE = 40, FENCE_CALLS = 16384 };

/* The same while nothing waits, for a thread that keeps a watch in case any will (is_sentry). Its rings are hidden when
 * SENTRY_FIRST have added up. SENTRY_REACH: bytes of blocks that a thread's rings may hold without being worth it. */
enum { SENTRY_RATE = 4, SENTRY_CALLS = 256, SENTRY_FIRST = 64, SENTRY_REACH = 1 << 20 };

/* ---- Now and then ------------------------------------------------------------------------------------------------ */

/* A class without a ring may have a page. */
static void closed_ring_sweep(struct cache *cache, unsigned c)
{
    struct ring *ring = &cache->ring[c];
    if (ring->demand == 0)
        let_page_go(cache, c);
    ring->demand = 0;
}

/* Memory that rings hold for nothing goes back: that of rings which were not used since the last look. */
static COLD void cache_sweep(struct cache *cache)
{
    for (unsigned c = 1; c <= CLASS_LAST; c++) {
        struct block_array *array = &cache->ring[c].array;
        if (!array_is_open(array))
            closed_ring_sweep(cache, c);
        else if (ring_entries(cache, c) == array->swept)
            ring_rest(cache, c);
    }
    group_sweep(load_relaxed(&cache->groups));
}

/* From now on each ring's next use is seen: it is hidden, and the work that shows it says so. (A level says little:
 * between two requests all blocks may be back.) */
static COLD void cache_watch_use(struct cache *cache)
{
    for (unsigned c = 1; c <= CLASS_LAST; c++) {
        struct block_array *array = &cache->ring[c].array;
        ring_hide(cache, c);
        array->swept = array_is_open(array) ? (uint16_t)ring_entries(cache, c) : ARRAY_NOT_SWEPT;
    }
}

/* Threads that never come here never count. */
static COLD void tally_make(struct cache *cache)
{
    if (!learn_is_on() || !meta_acquire(META_OTHER, sizeof *cache->tally))
        return;
    cache->tally = meta_alloc(META_OTHER, sizeof *cache->tally);
    lock_release();
    if (cache->tally)
        learn_join(cache->tally);
}

/* Calls all threads' blocks in, once for each look that has found little room (limit.h). */
static void alarm_answer(void)
{
    static _Atomic(uint32_t) answered; /* relaxed: elects one thread */
    uint32_t before = load_relaxed(&answered), alarms = load_relaxed(&limit_alarms);
    if (UNLIKELY(alarms != before) && cas_relaxed(&answered, &before, alarms))
        ring_collect_all();
}

COLD void cache_tick(struct cache *cache)
{
    uint64_t now = os_milliseconds();
    cache->ticks = 0;
    if (cache->tally)
        learn_tick(cache->tally, now, reach_of_all_now());
    else
        tally_make(cache);
    cache_comply(cache);
    if (cache->draw.interval != load_relaxed(&draw_interval)) /* relaxed: as there */
        cache_draw_anew(cache);
    thread_close_vanished();
    if (now < cache->sweep_at)
        return;
    cache->sweep_at = now + IDLE_MILLISECONDS;
    if (remote_flush_resting())
        thread_close_parked();
    cache_sweep(cache);
    cache_draw_anew(cache);
    cache_watch_use(cache);
    retain_tick(now);
    alarm_answer();
    thread_tick(now);
}

/* ---- Entering and leaving ---------------------------------------------------------------------------------------- */

struct cache *cache_enter(void)
{
    thread_check_fork();
    struct cache *cache = thread_cache();
    if (UNLIKELY(!cache || !cache_enter_short(cache)))
        return NULL;
    if (UNLIKELY(++cache->ticks >= CACHE_TICKS))
        cache_tick(cache);
    if (UNLIKELY(cache->collected != collects_asked())) {
        cache->collected = collects_asked();
        cache_empty(cache);
    }
    return cache;
}

/* Whether memory may come to wait without a slow path of this thread: others hand it over, or it lies in its rings. */
static bool is_sentry(const struct cache *cache) { return thread_count() > 1 || cache->reach > SENTRY_REACH; }

/* A millisecond or more has passed; a thread that has just begun has earned nothing. */
static void fence_earn(struct cache *cache, uint64_t now, bool waits)
{
    uint64_t passed = cache->fence_at > 0 ? now - cache->fence_at : 0;
    uint64_t calls = cache->fence_calls + passed * (waits ? FENCE_RATE : SENTRY_RATE);
    cache->fence_calls = (uint32_t)min_size(calls, waits ? FENCE_CALLS : SENTRY_CALLS);
    cache->fence_at = now;
    retain_tick(now);
    if (now >= cache->sweep_at + SENTRY_MILLISECONDS)
        cache->ticks = CACHE_TICKS; /* few slow paths are no reason to leave idle rings and the depot alone */
}

static COLD void cache_fence(struct cache *cache, bool waits)
{
    uint64_t now = os_milliseconds();
    if (now > cache->fence_at)
        fence_earn(cache, now, waits);
    if (!cache->fenced && !waits && cache->fence_calls < SENTRY_FIRST)
        return;
    if (cache->fence_calls > 0) {
        cache->fence_calls--;
        if (!cache->fenced)
            cache_veil(cache);
    }
    cache->fenced = cache->fence_calls > 0;
}

void cache_leave(struct cache *cache)
{
    bool waits = load_relaxed(&retain_waits); /* relaxed: a hint */
    if (waits || is_sentry(cache))
        cache_fence(cache, waits);
    else
        cache->fenced = false; /* each ring shows when its next slow path ends */
    purge_if_due(0);
    if (UNLIKELY(load_relaxed(&retain_moved))) /* relaxed: a hint */
        thread_note_moved();
    cache_leave_short(cache);
}

static COLD void process_tend_now(uint64_t now)
{
    page_visit_begin(); /* whoever interrupts it finds it at work */
    retain_tick(now);
    thread_tick(now);
    if (load_relaxed(&retain_moved)) /* relaxed: a hint */
        thread_note_moved();
    page_visit_end();
}

COLD void process_tend(void)
{
    static _Atomic(uint64_t) next_at; /* milliseconds; relaxed: elects one thread */
    if (page_is_visited())
        return;
    uint64_t now = os_milliseconds(), at = load_relaxed(&next_at);
    if (now >= at && cas_relaxed(&next_at, &at, now + IDLE_MILLISECONDS))
        process_tend_now(now);
}

COLD void ring_fence(void)
{
    struct cache *cache = cache_enter();
    if (cache)
        cache_leave(cache);
}
