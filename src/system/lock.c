#include "system/lock.h"

#include "base/atomic.h"
#include "system/os.h"

enum {
    SPINS = 100,          /* about as long as the lock is held */
    WAIT_MILLISECONDS = 50 /* then whether the holder still exists is looked at */
};
#define CONTENDED ((uint32_t)1 << 31) /* somebody sleeps; the other bits are the holder's thread id, 0 = free */

static _Atomic(uint32_t) lock_word;
static __thread volatile uint32_t lock_thread_id __attribute__((tls_model("initial-exec"))); /* 0 = not known yet */

static const _Atomic(uint32_t) *fork_word; /* lock_watch; written before there are other threads */
static bool (*fork_repair)(void);          /* the same */
static _Atomic(uint32_t) first_holder; /* thread id; 0 = nobody yet */
static _Atomic(bool) shared;           /* another thread than that has had the lock */

static uint32_t thread_id(void)
{
    if (UNLIKELY(lock_thread_id == 0))
        lock_thread_id = os_thread_id();
    return lock_thread_id;
}

/* Pairs with the release in lock_release. */
static bool lock_try(uint32_t from, uint32_t to) { return cas_acquire(&lock_word, &from, to); }

static bool may_be_orphaned(void) { return !fork_word || load_relaxed(fork_word) == 0; }

/* False in the middle of the repair of a child. */
static COLD bool lock_wait(uint32_t self)
{
    for (unsigned i = 0; i < SPINS; i++)
        if (load_relaxed(&lock_word) == 0 && lock_try(0, self))
            return true;
    for (;;) {
        if (fork_repair && load_relaxed(fork_word) == 0 && !fork_repair()) /* relaxed: that one looks again */
            return false;
        uint32_t seen = load_relaxed(&lock_word);
        /* Acquired as contended: whether others still sleep is not known. */
        if (seen == 0) {
            if (lock_try(0, self | CONTENDED))
                return true;
            continue;
        }
        if (!(seen & CONTENDED) && !lock_try(seen, seen | CONTENDED))
            continue;
        os_wait(&lock_word, seen | CONTENDED, WAIT_MILLISECONDS);
        if (!fork_repair && may_be_orphaned() && load_relaxed(&lock_word) == (seen | CONTENDED) &&
            !os_thread_exists(seen & ~CONTENDED) && lock_try(seen | CONTENDED, self | CONTENDED))
            return true;
    }
}

/* Relaxed: whoever asks has stopped all others, by being the child of a fork. */
static void note_holder(uint32_t self)
{
    uint32_t first = load_relaxed(&first_holder);
    if (first == 0)
        store_relaxed(&first_holder, self);
    else if (UNLIKELY(first != self) && !load_relaxed(&shared))
        store_relaxed(&shared, true);
}

/* A signal handler that forked between the look at the thread's id and the lock's being taken made this another
 * thread, which has taken the lock in the name of its parent. */
static uint32_t correct_holder(uint32_t self)
{
    while (UNLIKELY(self != lock_thread_id)) {
        self = lock_thread_id;
        store_relaxed(&lock_word, self); /* nobody else is there to sleep */
        signal_fence();
    }
    return self;
}

bool lock_acquire(void)
{
    uint32_t self = thread_id();
    signal_fence();
    if (UNLIKELY(!lock_try(0, self))) {
        if ((load_relaxed(&lock_word) & ~CONTENDED) == self || !lock_wait(self))
            return false;
    }
    signal_fence();
    note_holder(correct_holder(self));
    return true;
}

bool lock_was_shared(void)
{
    uint32_t first = load_relaxed(&first_holder);
    return load_relaxed(&shared) || (first != 0 && first != thread_id());
}

void lock_watch(const _Atomic(uint32_t) *word, bool (*repair)(void))
{
    fork_word = word;
    fork_repair = repair;
}

void lock_release(void)
{
    /* Release: pairs with the acquire in lock_try. */
    if (exchange_release(&lock_word, 0) & CONTENDED)
        os_wake_one(&lock_word);
}

bool lock_is_held(void)
{
    uint32_t self, holder;
    do {
        self = thread_id();
        holder = load_relaxed(&lock_word) & ~CONTENDED;
    } while (UNLIKELY(self != lock_thread_id)); /* a signal handler has forked in between: see correct_holder */
    return holder == self;
}

enum lock_left lock_after_fork(void)
{
    uint32_t holder = load_relaxed(&lock_word) & ~CONTENDED;
    bool mine = lock_thread_id != 0 && holder == lock_thread_id;
    lock_thread_id = os_thread_id();
    store_relaxed(&lock_word, lock_thread_id); /* never free in between, for a signal handler to take */
    store_relaxed(&first_holder, lock_thread_id);
    store_relaxed(&shared, false);
    return mine ? LOCK_WAS_OWN : holder != 0 ? LOCK_WAS_HELD : LOCK_WAS_FREE;
}

bool lock_thread_has_forked(void) { return lock_thread_id != 0 && lock_thread_id != os_thread_id(); }

void lock_renew_thread(void) { lock_thread_id = os_thread_id(); }
