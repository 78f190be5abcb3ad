#include "system/lock.h"

#include "base/atomic.h"
#include "system/os_call.h"
#include "system/os_thread.h"

enum {
    SPINS = 100,          /* about as long as the heap's lock is held */
    WAIT_MILLISECONDS = 50 /* then whether the holder still exists is looked at */
};
#define CONTENDED ((uint32_t)1 << 31) /* somebody sleeps; the other bits are the holder's thread id, 0 = free */

static struct lock heap_lock CACHE_ALIGNED, growth_lock CACHE_ALIGNED;

static __thread volatile uint32_t lock_thread_id __attribute__((tls_model("initial-exec"))); /* 0 = not known yet */

static uint32_t id_before_fork;            /* of the thread that repairs the child, in the parent */

static const _Atomic(uint32_t) *fork_word; /* lock_watch; written before there are other threads */
static bool (*fork_repair)(void);          /* the same */

static uint32_t thread_id(void)
{
    if (UNLIKELY(lock_thread_id == 0))
        lock_thread_id = os_thread_id();
    return lock_thread_id;
}

/* Pairs with the release in lock_release. */
static bool lock_try(struct lock *lock, uint32_t from, uint32_t to) { return cas_acquire(&lock->word, &from, to); }

static bool may_be_orphaned(void) { return !fork_word || load_relaxed(fork_word) == 0; }

/* False in the middle of the repair of a child. */
static COLD bool lock_wait(struct lock *lock, uint32_t self)
{
    for (unsigned i = 0; i < SPINS; i++)
        if (load_relaxed(&lock->word) == 0 && lock_try(lock, 0, self))
            return true;
    for (;;) {
        if (fork_repair && load_relaxed(fork_word) == 0 && !fork_repair()) /* relaxed: that one looks again */
            return false;
        uint32_t seen = load_relaxed(&lock->word);
        /* Acquired as contended: whether others still sleep is not known. */
        if (seen == 0) {
            if (lock_try(lock, 0, self | CONTENDED))
                return true;
            continue;
        }
        if (!(seen & CONTENDED) && !lock_try(lock, seen, seen | CONTENDED))
            continue;
        os_wait(&lock->word, seen | CONTENDED, WAIT_MILLISECONDS);
        if (!fork_repair && may_be_orphaned() && load_relaxed(&lock->word) == (seen | CONTENDED) &&
            !os_thread_exists(seen & ~CONTENDED) && lock_try(lock, seen | CONTENDED, self | CONTENDED))
            return true;
    }
}

/* A signal handler that forked between the look at the thread's id and the lock's being taken made this another
 * thread, which has taken the lock in the name of its parent. */
static void correct_holder(struct lock *lock, uint32_t self)
{
    while (UNLIKELY(self != lock_thread_id)) {
        self = lock_thread_id;
        store_relaxed(&lock->word, self); /* nobody else is there to sleep */
        signal_fence();
    }
}

static bool take(struct lock *lock)
{
    uint32_t self = thread_id();
    signal_fence();
    if (UNLIKELY(!lock_try(lock, 0, self))) {
        if ((load_relaxed(&lock->word) & ~CONTENDED) == self || !lock_wait(lock, self))
            return false;
    }
    signal_fence();
    correct_holder(lock, self);
    return true;
}

static void let_go(struct lock *lock)
{
    /* Release: pairs with the acquire in lock_try. */
    if (exchange_release(&lock->word, 0) & CONTENDED)
        os_wake_one(&lock->word);
}

static bool is_mine(const struct lock *lock)
{
    uint32_t self, holder;
    do {
        self = thread_id();
        holder = load_relaxed(&lock->word) & ~CONTENDED;
    } while (UNLIKELY(self != lock_thread_id)); /* a signal handler has forked in between: see correct_holder */
    return holder == self;
}

bool lock_acquire(void)
{
    bool taken = take(&heap_lock);
    os_forbid_calls(taken); /* whoever is in a signal handler may make them */
    return taken;
}

void lock_release(void)
{
    os_forbid_calls(false);
    let_go(&heap_lock);
}

bool lock_is_held(void) { return is_mine(&heap_lock); }

/* With the heap's lock in hand, this is a signal handler: who has this one may be waiting for that. */
bool lock_growth_acquire(void) { return !lock_is_held() && take(&growth_lock); }

void lock_growth_release(void) { let_go(&growth_lock); }
bool lock_growth_is_held(void) { return is_mine(&growth_lock); }

bool lock_own_acquire(struct lock *lock)
{
    HAK_ASSERT(!lock_is_held());
    return take(lock);
}

void lock_own_release(struct lock *lock) { let_go(lock); }

void lock_watch(const _Atomic(uint32_t) *word, bool (*repair)(void))
{
    fork_word = word;
    fork_repair = repair;
}

/* Takes it, whoever had it. `before`: the thread's id in the parent. */
static enum lock_left inherit(struct lock *lock, uint32_t before)
{
    uint32_t holder = load_relaxed(&lock->word) & ~CONTENDED;
    store_relaxed(&lock->word, lock_thread_id); /* never free in between, for a signal handler to take */
    if (holder == 0)
        return LOCK_WAS_FREE;
    return holder == before ? LOCK_WAS_OWN : LOCK_WAS_HELD;
}

struct locks_left lock_after_fork(void)
{
    uint32_t before = id_before_fork = lock_thread_id;
    os_forbid_calls(false); /* though a signal handler may have forked that interrupted the lock's holder */
    lock_thread_id = os_thread_id();
    return (struct locks_left){.growth = inherit(&growth_lock, before), .heap = inherit(&heap_lock, before)};
}

enum lock_left lock_own_after_fork(struct lock *lock)
{
    uint32_t holder = load_relaxed(&lock->word) & ~CONTENDED;
    bool is_own = holder != 0 && holder == id_before_fork;
    store_release(&lock->word, is_own ? lock_thread_id : 0); /* pairs with lock_try */
    return holder == 0 ? LOCK_WAS_FREE : is_own ? LOCK_WAS_OWN : LOCK_WAS_HELD;
}

uint32_t lock_own_thread(void) { return thread_id(); }

bool lock_thread_has_forked(void) { return lock_thread_id != 0 && lock_thread_id != os_thread_id(); }

void lock_renew_thread(void) { lock_thread_id = os_thread_id(); }
