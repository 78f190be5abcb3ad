/* lock.h - the allocator's only lock, which guards the structures of address space: runs, superslabs, metadata.
 *
 * No other lock exists. Purges are made without it, but calls that map, unmap, resize and move mappings are made
 * under it: a block of gigabytes that shrinks or moves may hold it for a second. Fork does not wait for it: the
 * child frees it, whoever held it (thread.c then repairs what it guards). */
#ifndef HAK_LOCK_H
#define HAK_LOCK_H

#include "base/atomic.h"
#include "base/base.h"

/* False when this very thread holds the lock already: a signal handler interrupted the holder and came back here.
 * The caller then fails as if memory were out. */
bool lock_acquire(void);
void lock_release(void);
bool lock_is_held(void);

/* Whether any thread but the calling one has had the lock since the process began or was forked. In the child of a
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
