/* stats.h - what the allocator can say of itself. Gathered on request by walking the heap; nothing is kept for it on
 * the way but what slow paths count. The table of statistics is stats.def. */
#ifndef HAK_STATS_H
#define HAK_STATS_H

#include "base/base.h"

struct stats {
#define X(field, name, unit, doc) uint64_t field;
#include "insight/stats.def"
#undef X
};

/* Figures of running threads are read without stopping them, so sums may be off by what happens meanwhile. */
void stats_gather(struct stats *out);

/* All of them as a table for people, and explanations. Allocates nothing. */
void stats_print(int fd, const struct stats *stats);

#endif
