#include "cache/count.h"

#include "cache/draw.h"
#include "system/options.h"
#include "system/os_clock.h"

enum { COUNT_WIDEN_MOST = 20 }; /* times */

_Atomic(uint8_t) count_mode;
static uint64_t interval_least; /* [const], as the next */
static uint32_t drawn_most; /* a thread that draws more in a window doubles its interval; one that draws an eighth
                               halves it */

/* Where calls are counted one by one, or have sites, each has to go the long way; and under HAKMEM_CHECK no thread has
 * a cache, to count with. */
static uint8_t mode_until(uint64_t now, uint64_t until)
{
    if ((!option(OPTION_ALLOCATED) && now >= until) || check_mode == CHECK_EXACT)
        return COUNT_OFF;
    bool is_watched = check_is_on() || option(OPTION_SITES) || option(OPTION_STATS) == STATS_ALL;
    return is_watched ? COUNT_ON : COUNT_SHORT;
}

COLD void count_start(void)
{
    interval_least = option(OPTION_SAMPLE) ? option(OPTION_SAMPLE) : OPTION_DEFAULT_SAMPLE;
    drawn_most = draw_window(interval_least);
    store_relaxed(&count_mode, mode_until(0, 0));
}

bool count_tick(uint64_t now, uint64_t until)
{
    uint8_t mode = load_relaxed(&count_mode), wanted = mode_until(now, until);
    return mode != wanted && cas_relaxed(&count_mode, &mode, wanted); /* elects who says so */
}

/* Any interval will do that is chosen without a look at what comes next. */
static COLD void interval_choose(struct count *count)
{
    uint64_t now = os_milliseconds();
    if (count->taken < drawn_most && now - count->window_at < DRAW_MILLISECONDS)
        return;
    if (count->taken >= drawn_most && count->interval < interval_least << COUNT_WIDEN_MOST)
        count->interval *= 2;
    else if (count->taken < drawn_most / 8 && count->interval > interval_least)
        count->interval /= 2;
    count->window_at = now;
    count->taken = 0;
}

COLD uint64_t count_draw(struct count *count, uint64_t *random, size_t size)
{
    if (count->interval == 0) {
        count->interval = interval_least;
        count->left = draw_distance(random, count->interval) - (int64_t)size;
        if (count->left > 0)
            return 0;
    }
    uint64_t bytes = draw_bytes(size, count->interval);
    count->taken++;
    interval_choose(count);
    count->left = draw_distance(random, count->interval);
    return bytes;
}
