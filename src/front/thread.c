#include "cache/thread.h"

#include "cache/arena.h"
#include "cache/count.h"
#include "front/children.h"
#include "heap/check.h"
#include "insight/explain.h"
#include "insight/record_file.h"
#include "insight/recorder.h"
#include "insight/guarded.h"
#include "insight/ledger.h"
#include "insight/modules.h"
#include "heap/ground.h"
#include "heap/guard.h"
#include "heap/huge.h"
#include "heap/large.h"
#include "heap/limit.h"
#include "policy/learn.h"
#include "system/lock.h"
#include "heap/meta.h"
#include "system/options.h"
#include "system/os_advise.h"
#include "system/os_clock.h"
#include "system/os_map.h"
#include "system/os_stack.h"
#include "system/os_thread.h"
#include "system/os_watch.h"
#include "heap/page.h"
#include "policy/profile.h"
#include "heap/purge.h"
#include "cache/remote.h"
#include "front/replace.h"
#include "system/report.h"
#include "system/text.h"
#include "cache/ring.h"
#include "insight/lives.h"
#include "insight/site.h"
#include "heap/span.h"
#include "insight/bill.h"

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

/* What the child of a fork is to know. In memory that reads as zero there, if such is to be had; until then, and where
 * there is none, the fork handler clears it. */
struct fork_note {
    _Atomic(uint32_t) word;        /* 0: in a child that is to be repaired */
    _Atomic(uint32_t) claimed;     /* a thread of the child does that, or has done it */
    _Atomic(bool) has_forker;      /* the handler has run to its end; until the repair the next is set */
    struct cache *_Atomic forker;  /* the cache of the thread that forked, if it had one; in no slow path */
};
static struct fork_note first_note = {.word = 1};
static struct fork_note *note = &first_note;
_Atomic(uint32_t) *thread_fork_word = &first_note.word;

static struct cache *_Atomic caches; /* [lock to write] newest first; pairs release/acquire on publication */
static struct cache *spares;         /* [lock] caches without a thread, empty */
static struct cache *parked;         /* [lock] caches without a thread that hold blocks for the next one */
_Atomic(uint32_t) thread_parked;     /* [lock to write] of them, and of those about to be parked: at most PARKED_MOST */
static uint32_t cache_count;         /* [lock] ids given out */

/* Caches of threads that this process does not have, for it is a child. None is written to before it is needed: they
 * are told from others by the generation, which is a new one in each child. */
static uint32_t generation;          /* [lock] of processes; that of a cache is the one in which a thread last had it */
static uint32_t lists_lost;          /* [lock] the lists above hold no cache of an older generation */
static struct cache *vanished;       /* [lock] before this one in `caches` there is none left */
_Atomic(bool) thread_has_vanished;   /* [lock to write] there may be one from there on */

static _Atomic(size_t) attached_count; /* [lock to write] caches that a thread uses */
_Atomic(bool) thread_has_options;    /* [lock to write] */
static bool fork_word_done;          /* [lock] */
static bool exit_key_made;           /* written by the constructor */
static pthread_key_t exit_key;       /* its destructor runs when a thread with a cache ends */

static struct report sites_report = {.fd = -1, .own = -1}; /* where the table of sites goes */

/* The thread gave its cache back, and gets no other. */
static __thread bool thread_ended __attribute__((tls_model("initial-exec")));
/* Caches that are on no list and no thread's, which the thread is emptying (a signal handler may do so meanwhile,
 * too). */
static __thread uint32_t caches_in_hand __attribute__((tls_model("initial-exec")));
static __thread bool repairs __attribute__((tls_model("initial-exec"))); /* the thread is in thread_repair */

size_t thread_count(void) { return load_relaxed(&attached_count); /* relaxed: a share is computed from it, no more */ }

struct cache *thread_caches(void) { return load_acquire(&caches); /* pairs with cache_get */ }

/* Whether no thread may have a cache, so that every call takes the slow path. */
static bool may_have_none(void) { return option(OPTION_CHECK) || replace_stands_aside(); }

/* ---- Process start ----------------------------------------------------------------------------------------------- */

/* For a thread in the middle of a slow path, in which a signal handler forked: it waits for a lock whose holder the
 * child does not have. False when that path is the repair itself. */
static COLD bool repair_for_lock(void)
{
    thread_check_fork();
    return load_relaxed(thread_fork_word) != 0; /* relaxed: thread_check_fork has looked */
}

/* Under the growth lock. The loader may call malloc before libc has set `environ`; then the constructor comes here
 * again. */
static void process_start(void)
{
    report_start();
    if (!fork_word_done) {
        void *page;
        fork_word_done = true;
        replace_open_views();
        if (os_map_wiped_on_fork(&page) == 0) {
            note = page;
            store_relaxed(&note->word, 1); /* relaxed, as the next: there are no other threads yet */
            thread_fork_word = &note->word;
            lock_watch(thread_fork_word, repair_for_lock);
        }
    }
    if (!load_relaxed(&thread_has_options) && environ) {
        store_relaxed(&thread_has_options, true);
        options_read(environ);
        limit_start();
        if (!huge_is(HUGE_LEARN))
            span_tell_huge();
        check_start();
        policy_start();
        profile_load();
        learn_start();
        record_file_start(); /* which may take the option away */
        draw_start();
        count_start();
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
    if (lock_growth_acquire()) {
        process_start();
        lock_growth_release();
    }
}

static void thread_exit(void *cache);

static void fork_child(void);

static __attribute__((constructor(101))) void process_constructor(void)
{
    thread_start_now();
    os_stack_start();
    os_watch_start();
    replace_start();
    if (!option(OPTION_CHILDREN) && environ)
        children_exclude(environ);
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

/* What else there is to know, in a line below the statistics. */
static COLD void advice_print(int fd, bool all)
{
    struct text text;
    bool children = option(OPTION_STATS_CHILDREN);
    text_begin(&text, fd);
    if (replace_stands_aside())
        text_string(&text, "The memory is another malloc's, which has to have every block: a sanitizer's, or\n"
                           "that of a libc whose functions know no other (musl before 1.1.20)\n");
    text_string(&text, all ? "" : "HAKMEM_STATS=all: every statistic");
    text_string(&text, all || children ? "" : "; ");
    text_string(&text, children ? "" : "HAKMEM_STATS_CHILDREN=1: its children, too");
    text_string(&text, all && children ? "" : "\n");
    text_end(&text);
}

/* What was asked for by options. */
static COLD void reports_print(void)
{
    bool stats = options_want_stats(), all = option(OPTION_STATS) == STATS_ALL;
    bool explains = option(OPTION_EXPLAIN) != REPORT_OFF;
    int fd = stats || explains ? report_fd(&report_stderr) : -1;
    if (stats && fd >= 0) {
        bill_print(fd, all);
        advice_print(fd, all);
    }
    if (!(stats && all) && option(OPTION_EXPLAIN) == REPORT_ON && fd >= 0)
        explain_print(fd);
    if (option(OPTION_EXPLAIN) == REPORT_JSON && fd >= 0)
        explain_json(fd);
    fd = site_is_asked() ? report_fd(&sites_report) : -1;
    if (fd >= 0)
        site_report(fd);
}

static COLD void after_snapshot(enum recorder_snapshot taken)
{
    if (taken == RECORDER_NONE)
        return;
    if (taken == RECORDER_PEAK)
        ledger_note_peak();
    ledger_look();
    if (recorder_is_file())
        modules_look();
}

COLD size_t thread_trim(size_t keep)
{
    guard_let_go();
    arena_trim_all();
    thread_close_left();
    remote_flush();
    return purge_all(keep);
}

/* It was asked from outside that what is free go back. Relaxed: whoever ends a slow path next does it. */
static _Atomic(bool) trim_begun;

/* The thread, which is at the beginning of a slow path, empties its rings then, others at their next; and the end of
 * the slow path calls thread_note_moved. */
static COLD void trim_begin(void)
{
    ring_collect_all();
    store_relaxed(&trim_begun, true);
    store_relaxed(&retain_moved, true);
}

static COLD void trim_finish(void)
{
    uint64_t number = recorder_asked();
    store_relaxed(&trim_begun, false);
    if (number != 0)
        recorder_answer(number, thread_trim(0));
}

COLD void thread_note_moved(void)
{
    if (UNLIKELY(load_relaxed(&trim_begun)))
        trim_finish();
    after_snapshot(recorder_note(os_milliseconds()));
}

void thread_tick(uint64_t now)
{
    lives_tick(now);
    site_comply(cache_self);
    if (UNLIKELY(count_tick(now, recorder_count_until())))
        recorder_note_counting(now, count_is_on());
    after_snapshot(recorder_tick(now));
    if (UNLIKELY(recorder_asked() != 0))
        trim_begin();
}

/* Nothing is torn down: other destructors, and other threads, go on allocating. But what is in rings, or held back,
 * goes back to its pages, which notice what was freed twice or written to after that, while there still is a now. */
static __attribute__((destructor)) void process_destructor(void)
{
    thread_check_fork();
    reports_print();
    recorder_end();
    if (recorder_is_file())
        modules_look();
    profile_save();
    remote_flush();
    thread_close_parked(); /* and not what threads have left that a child does not have: that may be much */
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

/* A cache that is no thread's is being changed, and so on no list: as if its thread were in a slow path. */
static void cache_take_in_hand(struct cache *cache)
{
    cache->busy = true;
    caches_in_hand++;
    signal_fence(); /* a handler, or the child of a fork, that finds it changed finds it busy */
}

/* Under the lock. `list` as in cache_put. */
static void cache_put_down(struct cache *cache, struct cache **list)
{
    signal_fence(); /* pairs with the one in cache_take_in_hand */
    cache->busy = false;
    cache_put(cache, list);
}

/* Under the lock, which is free meanwhile: empties a cache that is on no list, for the next thread. */
static void cache_spare(struct cache *cache)
{
    cache_take_in_hand(cache);
    lock_release();
    cache_close(cache);
    lock_acquire();
    cache_put_down(cache, &spares);
    caches_in_hand--;
}

/* Under the lock: whether no thread of this process ever had the cache, and it is on no list. One that was left busy in
 * too many slow paths at once stays as it is. */
static bool has_vanished(const struct cache *cache)
{
    return cache->generation != generation && (cache->attached || cache->generation < lists_lost) && !cache->busy;
}

/* Under the lock: the cache of a thread that does not exist in this process, as that has left it; NULL when there is
 * none. */
static COLD struct cache *vanished_take(void)
{
    while (vanished && !has_vanished(vanished))
        vanished = vanished->next;
    struct cache *cache = vanished;
    store_relaxed(&thread_has_vanished, cache != NULL);
    if (!cache)
        return NULL;
    HAK_ASSERT(cache_is_valid(cache));
    cache->generation = generation;
    cache->attached = false; /* the count does not have it */
    if (cache->tally)
        learn_join(cache->tally);
    return cache;
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

COLD bool thread_close_vanished_now(void)
{
    if (!lock_acquire())
        return false;
    struct cache *cache = vanished_take();
    if (cache)
        cache_spare(cache);
    lock_release();
    return cache != NULL;
}

COLD void thread_close_left(void)
{
    thread_close_parked();
    while (thread_close_vanished())
        continue;
}

/* The thread id of a cache that is attached and whose thread is gone; 0: it is not. Not under the lock. */
static COLD uint32_t orphan_of(const struct cache *cache, uint32_t self)
{
    if (!lock_acquire())
        return 0;
    uint32_t id = cache->attached && cache->generation == generation ? cache->thread_id : 0;
    lock_release();
    return id == self || (id && !os_thread_exists(id)) ? id : 0;
}

/* Where no destructor tells (the program took all keys before us), a cache whose thread is gone is found by the
 * thread's id; or by its being this thread's, which has no cache yet: the id is in use again. */
static COLD void reclaim_orphans(uint32_t self)
{
    for (struct cache *cache = load_acquire(&caches); cache; cache = cache->next) { /* as thread_caches */
        uint32_t id = orphan_of(cache, self);
        if (id == 0 || !lock_acquire())
            continue;
        if (cache->attached && cache->thread_id == id) { /* or another thread was faster */
            cache_attached_set(cache, false);
            cache_spare(cache);
        }
        lock_release();
    }
}

/* Under the lock: one that a thread has left, or a new one. `thread_id`: 0 where its end will be told. */
static struct cache *cache_get(uint32_t thread_id)
{
    struct cache *cache = parked_take();
    if (!cache && load_relaxed(&thread_has_vanished))
        cache = vanished_take();
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
    cache->thread_id = thread_id;
    cache->generation = generation;
    cache_attached_set(cache, true);
    return cache;
}

/* Gives the calling thread a cache. What a signal handler allocates meanwhile passes it by, for it is busy. */
static COLD struct cache *cache_take(void)
{
    uint32_t thread_id = 0;
    thread_check_fork();
    thread_start();
    if (!exit_key_made) {
        thread_id = os_thread_id();
        reclaim_orphans(thread_id);
    }
    if (may_have_none() || !meta_acquire(META_OTHER, sizeof(struct cache)))
        return NULL;
    struct cache *cache = cache_get(thread_id);
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
    cache_take_in_hand(cache);
    cache_self = &cache_none;
    thread_ended = true;
    bool parks = parking_reserve();
    if (parks)
        cache_park(cache);
    else
        cache_close(cache);
    retain_share();
    if (lock_acquire()) {
        cache_put_down(cache, parks ? &parked : &spares);
        lock_release();
    }
    caches_in_hand--;
    purge_if_due(0);
}

/* ---- Fork -------------------------------------------------------------------------------------------------------- */

/* What the child of a fork sees of threads that it does not have is, for each, a prefix of what that thread wrote, in
 * the order of its instructions, and all prefixes are of one moment: who has read what another wrote is not further
 * than that one. For Linux shares the pages, with the writers stopped at their first write to a page that is shared
 * already (a fault that waits until the copy is complete), and lets the child run after all processors have forgotten
 * that they might write, and have written what they had. So the child sees of a thread what a signal handler would that
 * interrupts it; and slow paths are made for handlers: a cache is busy, and a ring hidden, while they are changed.
 *
 * So what the lock guards is whole if nobody has it, a cache is if it is not busy, and a ring if it is not hidden. What
 * is not whole is derived again from what cannot be half done, single bits: the used mask of a superslab, the bitmap of
 * a page, the masks of the depot. Of the fast path, which nothing announces, a push may be half done: the block is in
 * the ring's array, above its top. It is lost. A pop is one write. */

enum { BUSY_MOST = 256 }; /* threads that may be in slow paths at once; what more of them hold is lost to the child */

/* Whether the calling thread, in a signal handler, has interrupted itself in the middle of a slow path; `busy`: its
 * cache is, or was. */
static bool is_midway(bool busy)
{
    return busy || caches_in_hand > 0 || page_is_visited() || lock_is_held() || lock_growth_is_held();
}

/* Whether a handler that ran before has allocated, so that the child is repaired. If not, and the word is set, the page
 * was not wiped and is the parent's: which has not been repaired, or ran its own handler to the end. */
static bool is_repaired(void)
{
    return load_relaxed(&note->word) != 0 && load_relaxed(&note->claimed) != 0 && !load_relaxed(&note->has_forker);
}

/* In the only thread of the child. A child that only goes on to exec is to pay no more than this. */
static COLD void fork_child(void)
{
    if (is_repaired())
        return;
    store_relaxed(&note->claimed, 0); /* relaxed, as the others: this is the only thread */
    store_relaxed(&note->has_forker, false);
    signal_fence(); /* a handler that finds the word cleared can claim the repair */
    store_relaxed(&note->word, 0);
    if (is_midway(cache_self->busy)) { /* before there are other threads: none but this one knows */
        thread_check_fork();
        if (load_relaxed(&note->word) == 0)
            return; /* in the middle of the parent's repair: this child's comes at its next slow path */
    } else {
        lock_renew_thread();
        store_relaxed(&note->forker, cache_self == &cache_none ? NULL : cache_self);
    }
    cache_stir(cache_self);
    store_relaxed(&note->has_forker, true);
}

/* What is known of the thread that forked, which may be the calling one. */
struct forker {
    bool known;          /* that no cache but this one belongs to a thread of the child: */
    struct cache *cache; /* NULL: it has none */
    bool midway;         /* it is in the middle of a slow path */
};

static struct forker forker_find(bool was_busy)
{
    /* A cache in hand is on no list, and one that is being found under the lock may be. */
    bool settled = caches_in_hand == 0 && !lock_is_held();
    if (load_relaxed(&note->has_forker))
        return (struct forker){.known = settled, .cache = load_relaxed(&note->forker), .midway = is_midway(was_busy)};
    /* No handler has run, as with _Fork and clone. A thread of the child may have been faster than the one that forked:
     * whose caches are whose is not known then. */
    bool known = settled && lock_thread_has_forked();
    struct cache *cache = known && cache_self != &cache_none ? cache_self : NULL;
    return (struct forker){.known = known, .cache = cache, .midway = !known || is_midway(was_busy)};
}

/* False when another thread has done it, or does; that is waited for. (If a handler forks meanwhile, there is no such
 * thread, and the next look claims.) */
static bool repair_claim(void)
{
    enum { LOOKS = 100, PAUSE_MILLISECONDS = 1 };
    for (unsigned i = 0; load_acquire(&note->word) == 0; i++) { /* pairs with repair_end */
        uint32_t nobody = 0;
        if (cas_acquire(&note->claimed, &nobody, 1)) /* elects one; the fork itself orders what that finds */
            return true;
        if (i >= LOOKS)
            os_wait(&note->word, 0, PAUSE_MILLISECONDS);
    }
    return false;
}

/* If a handler forked meanwhile, this is a child's child, and has yet to be repaired. */
static void repair_end(void)
{
    if (load_relaxed(&note->claimed) != 0)
        store_release(&note->word, 1); /* pairs with thread_check_fork and repair_claim */
}

/* Under the lock: the caches of vanished threads that were in slow paths. How many; their holders' numbers in `out`. */
static unsigned busy_find(const struct cache *own, uint32_t out[BUSY_MOST])
{
    unsigned count = 0;
    for (const struct cache *cache = load_relaxed(&caches); cache && count < BUSY_MOST; cache = cache->next)
        if (cache->busy && cache != own)
            out[count++] = cache->id;
    return count;
}

/* Under the lock: these get whole, and are like all others then. */
static COLD void busy_mend(const uint32_t *ids, unsigned count)
{
    for (struct cache *cache = load_relaxed(&caches); cache && count > 0; cache = cache->next)
        for (unsigned i = 0; i < count; i++)
            if (cache->id == ids[i]) {
                cache_mend(cache);
                cache->attached = true; /* so that it counts as a vanished thread's even if it was in hand */
                signal_fence();         /* half of it, and it is still busy */
                cache->busy = false;
            }
}

/* Under the lock: all caches but this one are vanished threads'. `torn`: the lists of caches may be half changed. */
static void caches_inherit(struct cache *own, bool torn)
{
    uint32_t waiting = 0;
    generation++;
    if (own) {
        own->generation = generation;
        own->thread_id = exit_key_made ? 0 : os_thread_id();
    }
    store_relaxed(&attached_count, own != NULL);
    if (torn) {
        spares = parked = NULL;
        lists_lost = generation;
    }
    for (const struct cache *cache = parked; cache; cache = cache->next_spare)
        waiting++;
    store_relaxed(&thread_parked, waiting); /* a thread that was about to park another has not come to that */
    vanished = load_relaxed(&caches);
    store_relaxed(&thread_has_vanished, vanished && (vanished != own || own->next));
}

/* Under the lock. `torn`: a thread that is gone had it. */
static COLD void heap_repair(struct forker forker, bool torn)
{
    uint32_t busy[BUSY_MOST];
    unsigned count = forker.known ? busy_find(forker.cache, busy) : 0;
    bool visited = page_forget_visitors();
    if (torn) {
        meta_after_fork();
        span_after_fork();
        large_after_fork();
    }
    if (torn || visited || count > 0) {
        page_after_fork(
            &(struct page_cut){.vanished = busy, .count = count, .midway = forker.midway, .torn = torn});
        if (!forker.midway)
            remote_after_fork();
    }
    if (forker.known) {
        busy_mend(busy, count);
        caches_inherit(forker.cache, torn);
        learn_after_fork(forker.cache && forker.cache->tally);
    }
    arena_after_fork();
    purge_after_fork();
    limit_after_fork();
}

COLD void thread_repair(void)
{
    static bool unfinished; /* a child was forked in the middle of this */
    if (repairs)
        return; /* a signal handler that interrupts it, and does without a cache */
    struct cache *self = cache_self;
    bool was_busy = self->busy;
    if (self != &cache_none)
        self->busy = true;
    repairs = true;
    signal_fence(); /* a handler finds both */
    cache_stir(self); /* in a child without handlers nobody has done so */
    if (repair_claim()) {
        struct forker forker = forker_find(was_busy);
        bool torn = unfinished;
        unfinished = true;
        os_lock_memory(false);
        struct locks_left left = lock_after_fork();
        /* A lock that this very thread had means that a signal handler forked in the middle of a slow path: then what
         * it guards is this thread's to finish, and no other thread's to have left half done. */
        if (left.growth == LOCK_WAS_HELD || (torn && left.growth == LOCK_WAS_FREE))
            ground_after_fork();
        if (left.heap != LOCK_WAS_OWN)
            heap_repair(forker, torn || left.heap == LOCK_WAS_HELD);
        else
            arena_after_fork(); /* whose locks may be vanished threads' all the same */
        unfinished = false;
        if (left.heap != LOCK_WAS_OWN)
            lock_release();
        if (left.growth != LOCK_WAS_OWN)
            lock_growth_release();
        recorder_after_fork();
        if (!forker.midway) { /* else it may be writing an entry itself */
            ledger_after_fork();
            lives_after_fork();
            guarded_after_fork();
            modules_after_fork();
        }
        repair_end();
    }
    signal_fence(); /* as above */
    repairs = false;
    if (self != &cache_none)
        self->busy = was_busy;
}
