#include "cache/thread.h"

#include "heap/check.h"
#include "insight/explain.h"
#include "heap/large.h"
#include "policy/learn.h"
#include "system/lock.h"
#include "heap/meta.h"
#include "system/options.h"
#include "system/os.h"
#include "heap/page.h"
#include "policy/profile.h"
#include "heap/purge.h"
#include "cache/remote.h"
#include "front/replace.h"
#include "system/report.h"
#include "cache/ring.h"
#include "insight/site.h"
#include "heap/span.h"
#include "insight/stats.h"

#include <errno.h>
#include <pthread.h>

extern char **environ;

/* NULL where libc does not have them: glibc before 2.34 has the first two in a library that only programs with
 * threads load, and musl has the fourth instead of the third, which in glibc is part of every program. */
#pragma weak pthread_key_create
#pragma weak pthread_setspecific
__attribute__((weak)) int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void),
                                            void *object);
#pragma weak pthread_atfork
extern void *__dso_handle __attribute__((visibility("hidden")));

enum { PARKED_MOST = 4 }; /* few threads end just before others begin; what more of them left would lie idle */

static _Atomic(uint32_t) first_fork_word = 1; /* until a page that is wiped on fork is had, and where there is none */
_Atomic(uint32_t) *thread_fork_word = &first_fork_word;

static struct cache *_Atomic caches; /* [lock to write] newest first; pairs release/acquire on publication */
static struct cache *spares;         /* [lock] caches without a thread, empty */
static struct cache *parked;         /* [lock] caches without a thread that hold blocks for the next one */
_Atomic(uint32_t) thread_parked;     /* [lock to write] of them, and of those about to be parked: at most PARKED_MOST */
static uint32_t cache_count;         /* [lock] ids given out */
static _Atomic(size_t) attached_count; /* [lock to write] caches that a thread uses */
_Atomic(bool) thread_has_options;    /* [lock to write] */
static bool fork_word_done;          /* [lock] */
static bool exit_key_made;           /* written by the constructor */
static pthread_key_t exit_key;       /* its destructor runs when a thread with a cache ends */

static struct report sites_report = {.fd = -1, .own = -1}; /* where the table of sites goes */

static __thread bool thread_ended __attribute__((tls_model("initial-exec"))); /* the thread gave its cache back, and gets no other */
/* Caches that are on no list and no thread's, which the thread is emptying (a signal handler may do so meanwhile,
 * too). */
static __thread uint32_t caches_in_hand __attribute__((tls_model("initial-exec")));

size_t thread_count(void) { return load_relaxed(&attached_count); /* relaxed: a share is computed from it, no more */ }

struct cache *thread_caches(void) { return load_acquire(&caches); /* pairs with cache_get */ }

/* Whether no thread may have a cache, so that every call takes the slow path. */
static bool may_have_none(void) { return option(OPTION_CHECK) || replace_stands_aside(); }

/* ---- Process start ----------------------------------------------------------------------------------------------- */

/* Under the lock. The loader may call malloc before libc has set `environ`; then the constructor comes here again. */
static void process_start(void)
{
    report_start();
    if (!fork_word_done) {
        void *word;
        fork_word_done = true;
        replace_open_views();
        if (os_map_wiped_on_fork(&word) == 0) {
            thread_fork_word = word;
            store_relaxed(thread_fork_word, 1);
            lock_watch(thread_fork_word);
        }
    }
    if (!load_relaxed(&thread_has_options) && environ) {
        store_relaxed(&thread_has_options, true);
        options_read(environ);
        check_start();
        policy_start();
        profile_load();
        learn_start();
        if (option(OPTION_STATS) || option(OPTION_EXPLAIN))
            report_keep(&report_stderr);
        if (option(OPTION_SITES)) {
            site_start();
            report_open(&sites_report, (int)option(OPTION_SITES_FD));
            report_keep(&sites_report);
        }
    }
}

void thread_start_now(void)
{
    if (lock_acquire()) {
        process_start();
        lock_release();
    }
}

static void thread_exit(void *cache);

/* In the only thread of the child: repairs at once, before that thread can start others. The word alone would do for
 * children that use malloc before they start threads, and it must where no handler runs: _Fork, clone. */
static void fork_child(void)
{
    store_relaxed(thread_fork_word, 0);
    thread_check_fork();
}

static __attribute__((constructor(101))) void process_constructor(void)
{
    thread_start_now();
    os_start();
    replace_start();
    if (__register_atfork)
        __register_atfork(NULL, NULL, fork_child, &__dso_handle);
    else if (pthread_atfork)
        pthread_atfork(NULL, NULL, fork_child);
    exit_key_made = pthread_key_create && pthread_setspecific && pthread_key_create(&exit_key, thread_exit) == 0;
    if (check_is_hardened()) { /* from now on all blocks that are given out have marks */
        ring_collect();
        page_seal_unchecked();
    }
    struct cache *cache = cache_self;
    if (cache == &cache_none)
        return;
    /* The first calls came before the options could be read. */
    if (may_have_none()) {
        cache_self = &cache_none;
        return;
    }
    if (exit_key_made)
        pthread_setspecific(exit_key, cache);
    if (check_is_hardened())
        cache_harden(cache);
    cache_veil(cache);
}

/* What was asked for by options. */
static COLD void reports_print(void)
{
    bool stats = option(OPTION_STATS), explains = option(OPTION_EXPLAIN) != REPORT_OFF;
    int fd = stats || explains ? report_fd(&report_stderr) : -1;
    if (stats && fd >= 0)
        stats_print(fd);
    else if (option(OPTION_EXPLAIN) == REPORT_ON && fd >= 0)
        explain_print(fd);
    if (option(OPTION_EXPLAIN) == REPORT_JSON && fd >= 0)
        explain_json(fd);
    fd = site_is_on() ? report_fd(&sites_report) : -1;
    if (fd >= 0)
        site_report(fd);
}

/* Nothing is torn down: other destructors, and other threads, go on allocating. But what is in rings, or held back, goes
 * back to its pages, which notice what was freed twice or written to after that, while there still is a now. */
static __attribute__((destructor)) void process_destructor(void)
{
    thread_check_fork();
    reports_print();
    profile_save();
    remote_flush();
    thread_close_parked();
    ring_collect();
    if (check_mode == CHECK_EXACT)
        check_all("exit");
}

/* ---- A thread's cache -------------------------------------------------------------------------------------------- */

/* Under the lock. */
static void cache_attached_set(struct cache *cache, bool attached)
{
    counter_add(&attached_count, (size_t)attached - (size_t)cache->attached); /* modulo 2^64 */
    cache->attached = attached;
}

/* Under the lock. `list`: spares if the cache holds nothing, else parked. */
static void cache_put(struct cache *cache, struct cache **list)
{
    cache_attached_set(cache, false);
    cache->next_spare = *list;
    *list = cache;
}

/* Under the lock; NULL when there is none. */
static struct cache *parked_take(void)
{
    struct cache *cache = parked;
    if (cache) {
        HAK_ASSERT(load_relaxed(&thread_parked) > 0);
        parked = cache->next_spare;
        counter_add(&thread_parked, -1u);
    }
    return cache;
}

/* Under the lock, which is free meanwhile: empties a cache that is on no list, for the next thread. */
static void cache_spare(struct cache *cache)
{
    caches_in_hand++;
    lock_release();
    cache_close(cache);
    lock_acquire();
    cache_put(cache, &spares);
    caches_in_hand--;
}

COLD void thread_close_parked_now(void)
{
    struct cache *cache;
    thread_check_fork();
    if (!lock_acquire())
        return;
    while ((cache = parked_take()) != NULL)
        cache_spare(cache);
    lock_release();
}

/* Under the lock. Where no destructor tells (the program took all keys before us), a cache whose thread is gone is
 * found by the thread's id; or by its being this thread's, which has no cache yet: the id is in use again. */
static COLD void reclaim_orphans(void)
{
    uint32_t self = os_thread_id();
    for (struct cache *cache = load_relaxed(&caches); cache; cache = cache->next)
        if (cache->attached && (cache->thread_id == self || !os_thread_exists(cache->thread_id))) {
            cache_attached_set(cache, false);
            cache_spare(cache);
        }
}

/* Under the lock: one that a thread has left, or a new one. */
static struct cache *cache_get(void)
{
    if (!exit_key_made)
        reclaim_orphans();
    struct cache *cache = parked_take();
    if (!cache && spares) {
        cache = spares;
        spares = cache->next_spare;
    }
    if (!cache) {
        cache = meta_alloc(META_OTHER, sizeof *cache);
        if (!cache)
            return NULL;
        cache->attached = false;
        cache->counters = (struct ring_counters){0};
        store_relaxed(&cache->groups, NULL);
        cache->hold = NULL;
        cache_open(cache, ++cache_count);
        cache->next = load_relaxed(&caches);
        store_release(&caches, cache); /* pairs with thread_caches */
    }
    cache->thread_id = exit_key_made ? 0 : os_thread_id();
    cache_attached_set(cache, true);
    return cache;
}

/* Gives the calling thread a cache. What a signal handler allocates meanwhile passes it by, for it is busy. */
static COLD struct cache *cache_take(void)
{
    if (!lock_acquire())
        return NULL;
    process_start();
    struct cache *cache = may_have_none() ? NULL : cache_get();
    if (cache) {
        cache->busy = true;
        signal_fence(); /* a handler that finds the cache finds it busy */
        cache_self = cache;
    }
    lock_release();
    if (cache) {
        cache_unpark(cache);
        signal_fence();
        cache->busy = false;
    }
    return cache;
}

static COLD struct cache *cache_attach(void)
{
    struct cache *cache = cache_take();
    if (!cache)
        return NULL;
    if (!exit_key_made)
        return cache;
    /* May call malloc, which finds the cache in place. Without a notice of its end the thread must not have a cache. */
    int saved = errno;
    bool noticed = pthread_setspecific(exit_key, cache) == 0;
    errno = saved;
    if (!noticed)
        thread_exit(cache);
    return noticed ? cache : NULL;
}

struct cache *thread_cache(void)
{
    struct cache *cache = cache_self;
    if (LIKELY(cache != &cache_none))
        return cache;
    return thread_ended || may_have_none() ? NULL : cache_attach();
}

/* Whether the calling thread, which ends, may park its cache. Counted before it does, since the lock is free
 * meanwhile. */
static bool parking_reserve(void)
{
    if (!lock_acquire())
        return false;
    bool may = load_relaxed(&thread_parked) < PARKED_MOST;
    counter_add(&thread_parked, may);
    lock_release();
    return may;
}

/* Destructors of other keys, and libc's own clean-up, still allocate and free afterwards: without a cache. */
static void thread_exit(void *argument)
{
    struct cache *cache = argument;
    thread_check_fork();
    caches_in_hand++;
    signal_fence(); /* a handler that finds the cache gone finds it in hand */
    cache_self = &cache_none;
    thread_ended = true;
    bool parks = parking_reserve();
    if (parks)
        cache_park(cache);
    else
        cache_close(cache);
    retain_share();
    if (lock_acquire()) {
        cache_put(cache, parks ? &parked : &spares);
        lock_release();
    }
    caches_in_hand--;
    purge_if_due();
}

/* ---- Fork -------------------------------------------------------------------------------------------------------- */

/* A thread with a cache, or with large blocks, has had the lock; others leave traces in the counts of direct calls. */
static bool was_alone(void)
{
    const struct ring_counters *direct = &cache_none.counters;
    return !lock_was_shared() && load_relaxed(&direct->direct_mallocs) == 0 && load_relaxed(&direct->direct_frees) == 0;
}

/* Memory was copied while other threads ran, so nothing that they were changing can be trusted to be of one moment.
 * What can: each bit of a used mask or bitmap that stands for something that was in use throughout. All else is
 * derived again. What threads had in their rings, vanished and ended ones, and what was in the depot, is lost to the
 * child. */
COLD void thread_repair(void)
{
    /* A signal handler has forked while its thread was giving a cache back, and will return into the middle of that:
     * the next slow path repairs. */
    if (caches_in_hand > 0)
        return;
    struct cache *self = cache_self == &cache_none ? NULL : cache_self;
    bool alone = was_alone();
    store_relaxed(thread_fork_word, 1);
    lock_after_fork();
    if (self)
        cache_stir(self);
    /* A lock that this very thread holds means that a signal handler forked in the middle of a slow path: then what it
     * guards is this thread's to finish. */
    if (alone || !lock_acquire())
        return;
    meta_after_fork();
    span_after_fork();
    page_after_fork(self ? self->id : PAGE_HELD_BRIEFLY);
    large_after_fork();
    remote_after_fork();
    purge_after_fork();
    learn_after_fork(self && self->tally);
    site_after_fork();
    spares = parked = NULL;
    store_relaxed(&thread_parked, 0);
    for (struct cache *cache = load_relaxed(&caches); cache; cache = cache->next)
        if (cache != self) {
            cache_forget(cache);
            cache_put(cache, &spares);
        }
    lock_release();
}
