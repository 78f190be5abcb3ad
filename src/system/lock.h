/* lock.h - the allocator's locks. No others exist but those that are one object's own.
 *
 * The heap's lock guards what is known of address space: runs, superslabs, descriptors, lists. It is held for some
 * hundred instructions, and never over a system call, which a debug build checks: whoever needs the system lets go
 * first, and looks again after.
 *
 * The growth lock is held by whoever asks the system for more address space, while it does. Others do not wait for it,
 * unless they need to grow, too, and then the system would make them wait for each other. It is taken before the heap's
 * lock, never with it in hand.
 *
 * Fork waits for neither: the child takes them, whoever held them (thread.c then repairs what they guard). */
#ifndef HAK_LOCK_H
#define HAK_LOCK_H

#include "base/atomic.h"
#include "base/base.h"

/* False when this very thread holds the lock already: a signal handler interrupted the holder and came back here; or
 * has interrupted the repair of a child (lock_watch). The caller then fails as if memory were out. */
bool lock_acquire(void);
void lock_release(void);
bool lock_is_held(void);

/* The same for the growth lock; false also in a signal handler that interrupted the holder of the heap's. */
bool lock_growth_acquire(void);
void lock_growth_release(void);
bool lock_growth_is_held(void);

/* A lock of one object's own (cache/arena.h), all zero when it is free. Taken before the others, and system calls may
 * be made with it in hand. */
struct lock {
    _Atomic(uint32_t) word; /* the holder's thread id, and whether somebody sleeps; 0: free */
};
bool lock_own_acquire(struct lock *lock);
void lock_own_release(struct lock *lock);

/* `word` reads as zero in the child of a fork that has not been through lock_after_fork. Who has to wait there, for a
 * signal handler that forked has interrupted a slow path, may wait for a thread that the child does not have. `repair`
 * puts right what that was changing: then it has called lock_after_fork and released what it got. Or it returns false,
 * since it is at work already, and this is a signal handler that has interrupted it. Without it, and while no such word
 * is known, who waits for long looks whether the holder exists in this process, and takes the lock over if not.
 * Elsewhere nobody does, since to a child of vfork, which shares this memory, its parent's threads do not seem to
 * exist. */
void lock_watch(const _Atomic(uint32_t) *word, bool (*repair)(void));

/* In the child of a fork, while no other thread of it is in here: the thread has a new id, and both locks, whoever had
 * them. */
enum lock_left {
    LOCK_WAS_FREE,
    LOCK_WAS_OWN, /* the calling thread's, which a signal handler has interrupted: it is that one's to release */
    LOCK_WAS_HELD /* by a thread that does not exist in the child */
};
struct locks_left {
    enum lock_left growth, heap;
};
struct locks_left lock_after_fork(void);

/* In the child of a fork, after lock_after_fork: the lock is the calling thread's, in whose hands it stays, or becomes
 * free. Who had it. Threads that wait for it see whatever the caller wrote before. */
enum lock_left lock_own_after_fork(struct lock *lock);

/* The calling thread's id. */
uint32_t lock_own_thread(void);

/* Whether the calling thread's id is another than when it last asked for the lock: it is the one that forked, and has
 * not been through lock_after_fork. (False if it never asked.) */
bool lock_thread_has_forked(void);

/* In the thread that has forked, which holds no lock: another thread of the child may be the one that calls
 * lock_after_fork. */
void lock_renew_thread(void);

#endif
