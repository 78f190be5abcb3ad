/* capacity.h - how many blocks a ring may hold, and whether its class is to have one.
 *
 * A ring grows when it overflows with blocks that the thread has drawn itself (flush.h), and a little when refills take
 * as many as they may (refill.h), within the policy's bounds for the ring, the thread and the process. A block above
 * CLASS_TABLE_MAX is expensive to keep, and to use: its class has a ring only as long as it is in demand; else blocks
 * are runs (large.h), and those of its pages that are freed go back one by one. Under thrift, classes above
 * POLICY_MID_MIN have rings only while in much demand, too; else their blocks come and go one by one. */
#ifndef HAK_CAPACITY_H
#define HAK_CAPACITY_H

#include "cache/state.h"

enum { REFILL_FIRST = 4 }; /* blocks that the first refill asks for */

/* The four below are for a ring in work. */

/* Opens it, if it is closed; false when the class is to have no ring, for now, or memory is out. */
bool ring_open_now(struct ring_work work);
INLINE bool ring_open(struct ring_work work)
{
    return LIKELY(array_is_open(&ring_of(work)->array)) || ring_open_now(work);
}

/* Doubles the capacity of one that is open; false when it is as large as it may be, or memory is out. */
bool ring_grow(struct ring_work work);

/* Makes one that is open smaller, or closes it (0); what does not fit any more, the oldest, goes to its pages. */
void ring_shrink(struct ring_work work, uint32_t capacity);

/* Closes an empty one, if it is open. */
void ring_close(struct ring_work work);

/* Bytes that the rings of all threads could hold; of the moment. */
size_t reach_of_all_now(void);

/* In the child of a fork: the cache's rings, some of which are lost, can hold no more than they do. */
void cache_reach_mend(struct cache *cache);

/* Calls while the ring is closed, between two sweeps, for which it opens; 0: it needs none. */
unsigned demand_needed(const struct policy *policy, unsigned class_id);

/* Whether the class is to have a ring, and, above CLASS_TABLE_MAX, pages; one more call for a class without. */
bool demand_is_met(const struct cache *cache, unsigned class_id);
void demand_note(struct cache *cache, unsigned class_id);

#endif
