/* growth.c - see growth.h.
 * SPDX-License-Identifier: MIT */
#include "read/growth.h"

#include <stdbool.h>

/* Percent of what is live now. */
enum {
    GROWN_FROM = 80, /* what was less is "before" */
    STEADY_WITHIN = 10,
    GROWS_SINCE_HALF = 10,  /* more than at half of the time, and */
    GROWS_SINCE_QUARTER = 2 /* more than when a quarter was left: it still grows */
};

unsigned percent(uint64_t part, uint64_t whole)
{
    double share = whole > 0 ? (double)part * 100 / (double)whole : 0;
    return share < 1000 ? (unsigned)share : 1000;
}

/* Bytes by the minute; cut where a record that makes no sense has more than fits. */
static int64_t rate(uint64_t from, uint64_t to, uint64_t milliseconds)
{
    const double most = (double)(UINT64_C(1) << 60);
    double bytes = ((double)to - (double)from) * 60000 / (double)milliseconds;
    return (int64_t)(bytes > most ? most : bytes < -most ? -most : bytes);
}

struct moment {
    uint64_t ago, live;
};

/* Moments have the numbers 0 to moments() - 1, the earliest first. The last is the latest snapshot's. */
static uint32_t moments(const struct record *record) { return record_header(record)->history_count + 1; }

/* False for one that is of no time. */
static bool moment_get(const struct record *record, uint32_t number, struct moment *moment)
{
    const struct record_header *header = record_header(record);
    bool is_last = number == header->history_count;
    uint64_t at = is_last ? header->taken_at : header->history[number].at, now = record_now(record);
    if (at == 0 || at > now)
        return false;
    moment->ago = now - at;
    moment->live = is_last ? record_value(record, "bytes.live") + record_value(record, "bytes.large")
                           : header->history[number].live;
    return true;
}

/* The last moment that is as old; what is not known to have changed has not. False when none is. */
static bool moment_before(const struct record *record, uint64_t ago, struct moment *found)
{
    struct moment moment;
    for (uint32_t i = moments(record); i-- > 0;)
        if (moment_get(record, i, &moment) && moment.ago >= ago) {
            *found = moment;
            return true;
        }
    return false;
}

static bool is_within(uint64_t a, uint64_t b, uint64_t share) { return (a > b ? a - b : b - a) <= a / 100 * share; }

/* Goes back through the history, latest first. */
static void growth_look_back(struct growth *growth, const struct record *record)
{
    struct moment moment;
    bool is_steady = true;
    for (uint32_t i = moments(record); i-- > 0;) {
        if (!moment_get(record, i, &moment))
            continue;
        is_steady = is_steady && is_within(growth->now, moment.live, STEADY_WITHIN);
        if (is_steady)
            growth->steady = moment.ago;
        if (growth->before_ago == 0 && percent(moment.live, growth->now) < GROWN_FROM) {
            growth->before = moment.live;
            growth->before_ago = moment.ago;
        }
    }
}

struct growth growth_read(const struct record *record, uint64_t now)
{
    struct growth growth = {.lasted = record_lasted(record), .now = now};
    struct moment half, late;
    growth_look_back(&growth, record);
    if (growth.lasted >= GROWTH_YOUNG && moment_before(record, growth.lasted / 2, &half) &&
        moment_before(record, growth.lasted / 4, &late) && percent(half.live, now) <= 100 - GROWS_SINCE_HALF &&
        percent(late.live, now) <= 100 - GROWS_SINCE_QUARTER && late.live >= half.live)
        growth.by_minute = (uint64_t)rate(half.live, now, half.ago);
    return growth;
}

int64_t growth_last_minute(const struct record *record, uint64_t now)
{
    const uint64_t minute = 60000;
    struct moment then;
    bool is_known = moment_before(record, minute, &then);
    for (uint32_t i = 0; i < moments(record) && !is_known; i++)
        is_known = moment_get(record, i, &then);
    return is_known && then.ago >= GROWTH_YOUNG ? rate(then.live, now, then.ago) : 0;
}
