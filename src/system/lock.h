/* lock.h - the allocator's locks. No others exist.
 *
 * The heap's lock guards what is known of address space: runs, superslabs, descriptors, lists. It is held for some
 * hundred instructions, and never over a system call, which a debug build checks: whoever needs the system lets go
 * first, and looks again after.
 *
 * The growth lock is held by whoever asks the system for more address space, while it does. Others do not wait for it,
 * unless they need to grow, too, and then the system would make them wait for each other. It is taken before the heap's
 * lock, never with it in hand.
 *
 * Fork waits for neither: the child frees them, whoever held them (thread.c then repairs what they guard). */
#ifndef HAK_LOCK_H
#define HAK_LOCK_H

#include "base/atomic.h"
#include "base/base.h"

/* False when this very thread holds the lock already: a signal handler interrupted the holder and came back here.
 * The caller then fails as if memory were out. */
bool lock_acquire(void);
void lock_release(void);
bool lock_is_held(void);

/* The same for the growth lock. */
bool lock_growth_acquire(void);
void lock_growth_release(void);
bool lock_growth_is_held(void);

/* Whether any thread but the calling one has had a lock since the process began or was forked. In the child of a
 * fork, before lock_after_fork, it tells of the parent's, and the calling thread is the one that forked. */
bool lock_was_shared(void);

/* `word` reads as zero in the child of a fork that has not been through lock_after_fork. There, and while no such
 * word is known, who waits for long looks whether the holder exists in this process, and takes the lock over if not:
 * a signal handler that called _Fork may have interrupted a wait for a thread that the child does not have.
 * Elsewhere nobody does, since to a child of vfork, which shares this memory, its parent's threads do not seem to
 * exist. */
void lock_watch(const _Atomic(uint32_t) *word);

/* In the child of a fork, in its only thread: the thread has a new id, and nobody else holds anything. */
void lock_after_fork(void);

#endif
