/* purge.h - free memory goes back to the system: free runs, whole superslabs first, and then holes, the pages of
 * memory under free blocks in pages that are in use. How much, retain.h says. Not under the lock; any thread. */
#ifndef HAK_PURGE_H
#define HAK_PURGE_H

#include "heap/retain.h"

/* Purges what is beyond the budget, a part at a time: 4 MiB or half a millisecond of work, or as much as the caller has
 * just freed, or as is beyond a limit, if that is more. One thread at a time does; others return at once. */
void purge_excess(size_t freed) COLD;

/* To be called at the end of every slow path that may have freed memory, so many bytes in one piece. */
INLINE void purge_if_due(size_t freed)
{
    if (UNLIKELY(load_relaxed(&retain_due))) /* relaxed: a hint */
        purge_excess(freed);
}

/* Purges everything but `keep_bytes` of free runs. Returns the bytes that may have gone (memory that was not resident
 * counts too, but pages in which nothing was freed since the last time are left out). */
size_t purge_all(size_t keep_bytes);

/* Between these nobody purges, so that a page's blocks that are not free are in the program's hands, or in caches.
 * Waits for whoever is at work; false in a signal handler that interrupted this very thread there. */
bool purge_hold(void);
void purge_let_go(void);

/* In the child of a fork: no other thread is at work. */
void purge_after_fork(void);

#endif
