/* growth.h - how the live memory of a process came to be what it is, by the record's history.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TOOLS_GROWTH_H
#define HAKMEM_TOOLS_GROWTH_H

#include <stdint.h>

#include "read/record.h"

/* Times are milliseconds ago. */
struct growth {
    uint64_t lasted;    /* since the record began */
    uint64_t now;       /* bytes live */
    uint64_t before;    /* when they were last less than four fifths of what they are */
    uint64_t before_ago; /* 0: never */
    uint64_t steady;    /* for so long they have been within a tenth of what they are */
    uint64_t by_minute; /* bytes that they grow by, over the later half; 0 unless they do to the end */
};

/* `now`: bytes that are live now. */
struct growth growth_read(const struct record *record, uint64_t now);

/* Bytes by which live memory has grown in the last minute, or by a minute, as far back as history goes; negative:
 * shrunk. */
int64_t growth_last_minute(const struct record *record, uint64_t now);

/* How many percent of the whole the part is; no more than 1000. */
unsigned percent(uint64_t part, uint64_t whole);

/* Below this age, in milliseconds, no growth is judged. */
enum { GROWTH_YOUNG = 10000 };

#endif
