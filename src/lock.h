/* lock.h - the allocator's only lock, which guards the structures of address space: runs, superslabs, metadata.
 *
 * No other lock exists, it is held over no system call that may block for long, and it is never held across fork: when
 * the child of a fork finds it held by a thread that does not exist there, it takes it over (thread.c then repairs what it guards). */
#ifndef HAK_LOCK_H
#define HAK_LOCK_H

#include "base.h"

/* False when this very thread holds the lock already: a signal handler interrupted the holder and came back here. The caller
 * then fails as if memory were out. */
bool lock_acquire(void);
void lock_release(void);
bool lock_is_held(void);

/* In the child of a fork, in its only thread: the thread has a new id, and nobody else holds anything. */
void lock_after_fork(void);

#endif
