/* remote.h - the depot: how batches of free blocks travel between threads, whole, without their pages being touched.
 *
 * For each class a few slots, each with room for one batch. Two masks say which slots are taken and which are full:
 *
 *   free      -> claimed by whoever sets its bit in `claimed`; it then writes the batch
 *   claimed   -> full when the writer sets its bit in `full`
 *   full      -> emptying, by whoever clears its bit in `full`; it then reads the batch
 *   emptying  -> free when the reader clears its bit in `claimed`
 *
 * A bit is won by one thread only, slots are never linked, and so there is no ABA and nothing to reclaim. All depots
 * together hold at most as many bytes as the policy says. A batch that nobody wanted for a whole interval goes back
 * to its pages (remote_flush_resting).
 *
 * Which classes use the depot is the policy's choice; those below 1 KiB do not, unless it learns better: their
 * blocks are returned to the bitmaps, where many of them fit a word, pages can empty, and neighbours in a cache line
 * stay with one thread. Methods: Bonwick and Adams, "Magazines and Vmem", 2001. */
#ifndef HAK_REMOTE_H
#define HAK_REMOTE_H

#include "policy/policy.h"

#define REMOTE_BATCH_MAX 62u

INLINE bool remote_serves(unsigned class_id) { return policy_now()->class[class_id].hands_over; }

/* Blocks of a batch of the class, from 1 to REMOTE_BATCH_MAX. */
INLINE unsigned remote_batch(unsigned class_id)
{
    size_t fit = ((size_t)256 << 10) / class_size(class_id);
    return (unsigned)max_size(1, min_size(fit, REMOTE_BATCH_MAX));
}

/* Hands over `count` blocks (1 .. REMOTE_BATCH_MAX); false when the depot is full. Any thread. */
bool remote_give(unsigned class_id, void *const *blocks, unsigned count);

/* Takes a batch into `out` (room for REMOTE_BATCH_MAX); how many blocks, 0 when there is none. Any thread. */
unsigned remote_take(unsigned class_id, void **out);

/* Called now and then by slow paths: at most once in an interval, returns the batches that rested through it to
 * their pages, and tells that an interval is over. */
bool remote_flush_resting(void);

/* Whether there is a batch of the class to take, as of the moment. Cheap. */
bool remote_has(unsigned class_id);

/* Returns all batches to their pages. */
void remote_flush(void);

/* Blocks of the class in the depot; inexact while threads run. */
size_t remote_count(unsigned class_id);

/* In the child of a fork, while nobody uses the depot: batches that vanished threads were writing or reading are given
 * up. Those that are full stay. */
void remote_after_fork(void);

#endif
