/* thread_test.c - caches come and go with threads, and the child of a fork finds a heap that it can use, whatever
 * the threads that are not in it were doing.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hakmem.h"
#include "system/lock.h"
#include "heap/map.h"
#include "system/options.h"
#include "cache/remote.h"
#include "cache/ring.h"
#include "heap/span.h"
#include "cache/thread.h"

/* ---- Caches ------------------------------------------------------------------------------------------------------ */

static size_t count_caches(bool attached_only)
{
    size_t count = 0;
    heap_lock();
    for (const struct cache *cache = thread_caches(); cache; cache = cache->next)
        count += cache->attached || !attached_only;
    lock_release();
    return count;
}

static void use_heap(void *seen)
{
    must(cache_self == &cache_none, "a new thread has a cache before its first malloc");
    hak_free(hak_malloc(100));
    must(cache_self != &cache_none && cache_self->attached, "a thread has no cache after its first malloc");
    *(struct cache **)seen = cache_self;
}

static void test_caches_are_used_again(void **state)
{
    (void)state;
    struct cache *first, *again;
    in_thread(use_heap, &first);
    size_t caches = count_caches(false), attached = count_caches(true);
    for (unsigned i = 0; i < 200; i++) {
        in_thread(use_heap, &again);
        assert_ptr_equal(again, first);
    }
    assert_int_equal(count_caches(false), caches);
    assert_int_equal(count_caches(true), attached);
}

/* ---- A handler that forks while a cache is in hand --------------------------------------------------------------- */

enum { CHILD_THREADS = 6, ROUNDS_MOST = 5000, CHILDREN_ENOUGH = 200 };

static volatile sig_atomic_t g_forked_in, g_is_child;
static volatile sig_atomic_t g_closes; /* the thread is in thread_close_parked */
static pthread_barrier_t g_all_there;

static void fork_in_handler(int signal)
{
    (void)signal;
    if (!g_closes || g_is_child)
        return;
    int saved = errno;
    pid_t child = fork();
    if (child == 0) {
        g_is_child = 1;
    } else if (child > 0) {
        int status = 0;
        waitpid(child, &status, 0);
        must(status == 0, "a child that a handler forked ended with status %x", (unsigned)status);
        g_forked_in++;
    }
    errno = saved;
}

static void *cache_of_thread(void *unused)
{
    (void)unused;
    hak_free(hak_malloc(100));
    pthread_barrier_wait(&g_all_there);
    return cache_self;
}

/* Each of the child's threads has a cache of its own. */
static void child_end(void)
{
    pthread_t threads[CHILD_THREADS];
    void *caches[CHILD_THREADS + 1] = {cache_self};
    pthread_barrier_init(&g_all_there, NULL, CHILD_THREADS);
    hak_free(hak_malloc(100));
    for (size_t i = 0; i < CHILD_THREADS; i++)
        if (pthread_create(&threads[i], NULL, cache_of_thread, NULL) != 0)
            _exit(2);
    for (size_t i = 0; i < CHILD_THREADS; i++)
        pthread_join(threads[i], &caches[i + 1]);
    for (size_t i = 0; i <= CHILD_THREADS; i++)
        for (size_t k = 0; k < i; k++)
            if (caches[i] == caches[k])
                _exit(3);
    _exit(0);
}

static void test_a_fork_while_a_cache_is_in_hand(void **state)
{
    (void)state;
    if (UNDER_TSAN)
        skip(); /* a thread behind fork */
    struct sigaction action = {.sa_handler = fork_in_handler}, before;
    hak_free(hak_malloc(100));
    sigaction(SIGALRM, &action, &before);
    for (unsigned i = 0; i < ROUNDS_MOST && g_forked_in < CHILDREN_ENOUGH; i++) {
        struct cache *seen;
        in_next_thread(use_heap, &seen);
        setitimer(ITIMER_REAL, &(struct itimerval){.it_value.tv_usec = 1 + i % 16}, NULL);
        g_closes = 1;
        thread_close_parked();
        g_closes = 0;
        if (g_is_child)
            child_end();
    }
    sleep_milliseconds(1); /* the last signal */
    sigaction(SIGALRM, &before, NULL);
    must(g_forked_in > 0, "no handler forked at the right time: nothing is tested");
    heap_must_be_valid("after handlers that forked");
}

static void only_free(void *block)
{
    hak_free(block);
    hak_free(NULL);
}

static void test_a_thread_that_only_frees(void **state)
{
    (void)state;
    void *blocks[100];
    for (size_t i = 0; i < COUNT_OF(blocks); i++)
        blocks[i] = hak_malloc(200);
    for (size_t i = 0; i < COUNT_OF(blocks); i++)
        in_thread(only_free, blocks[i]);
    heap_must_be_valid("after threads that only free");
}

/* The destructor of another key runs after the cache has been given back. */
static pthread_key_t g_late_key;

static void late(void *block)
{
    if (cache_self != &cache_none) { /* too early: wait for the next round of destructors */
        pthread_setspecific(g_late_key, block);
        return;
    }
    hak_free(block);
    char *other = hak_malloc(3000);
    must(other != NULL && cache_self == &cache_none, "a thread at its end cannot allocate, or has a cache again");
    memset(other, 1, 3000);
    other = hak_realloc(other, 2 * MIB);
    must(bytes_check(other, 3000, 1) == 3000, "realloc at a thread's end lost contents");
    hak_free(other);
    hak_free(hak_calloc(10, 1000));
}

static void leave_work_behind(void *unused)
{
    (void)unused;
    pthread_setspecific(g_late_key, hak_malloc(500));
}

static void test_late_calls(void **state)
{
    (void)state;
    struct page_totals before[CLASS_SLOTS];
    assert_int_equal(pthread_key_create(&g_late_key, late), 0);
    in_thread(leave_work_behind, NULL);
    hak_collect();
    for (unsigned c = 1; c <= CLASS_LAST; c++)
        before[c] = page_count(c);
    for (unsigned i = 0; i < 100; i++)
        in_thread(leave_work_behind, NULL);
    hak_collect();
    for (unsigned c = 1; c <= CLASS_LAST; c++) {
        struct page_totals after = page_count(c);
        must(before[c].pages == after.pages && before[c].free_blocks == after.free_blocks,
             "class %u: %zu pages with %zu free blocks became %zu with %zu", c, before[c].pages, before[c].free_blocks,
             after.pages, after.free_blocks);
    }
    pthread_key_delete(g_late_key);
}

/* ---- Fork -------------------------------------------------------------------------------------------------------- */

enum { THREADS = 2, OWN = 200, FORKS = UNDER_TSAN ? 8 : 32, CHILD_SECONDS = 20 };

struct block {
    char *start;
    size_t size;
};

static atomic_bool g_stop;
static struct block g_own[OWN];           /* of the forking thread, filled with a pattern */
static struct block g_theirs[THREADS][50]; /* of the other threads, which keep them all the time */
static atomic_uint g_ready;

static size_t any_size(uint64_t *random) { return random_size(random, random_next(random) % 100 ? 4000 : 3 * MIB); }

/* Takes locks, makes and unmakes pages, fills the depot and purges as fast as it can. */
static void *churn(void *argument)
{
    size_t id = (size_t)argument;
    struct block blocks[200] = {{NULL, 0}};
    uint64_t random = id + 1;
    for (size_t i = 0; i < COUNT_OF(g_theirs[0]); i++) {
        size_t size = any_size(&random);
        g_theirs[id][i] = (struct block){hak_malloc(size), size};
        pattern_fill(g_theirs[id][i].start, size, i);
    }
    atomic_fetch_add(&g_ready, 1);
    while (!atomic_load(&g_stop)) {
        struct block *block = &blocks[random_next(&random) % COUNT_OF(blocks)];
        hak_free(block->start);
        block->size = any_size(&random);
        block->start = hak_malloc(block->size);
        block->start[0] = block->start[block->size - 1] = 1;
        if (random_next(&random) % 500 == 0)
            hak_collect();
        if (random_next(&random) % 3000 == 0)
            hak_trim(0);
    }
    for (size_t i = 0; i < COUNT_OF(blocks); i++)
        hak_free(blocks[i].start);
    for (size_t i = 0; i < COUNT_OF(g_theirs[0]); i++)
        hak_free(g_theirs[id][i].start);
    return NULL;
}

static void must_be_whole(const struct block *block, size_t seed, const char *whose)
{
    size_t good = pattern_check(block->start, block->size, seed);
    must(good == block->size, "%s block of %zu bytes: byte %zu was changed", whose, block->size, good);
}

static void check_all(void)
{
    for (size_t i = 0; i < OWN; i++)
        must_be_whole(&g_own[i], i, "the child's own");
    for (size_t t = 0; t < THREADS; t++)
        for (size_t i = 0; i < COUNT_OF(g_theirs[0]); i++)
            must_be_whole(&g_theirs[t][i], i, "a vanished thread's");
}

static void child_thread(void *unused)
{
    (void)unused;
    for (size_t i = 0; i < 2000; i++)
        hak_free(hak_malloc(i * 7));
}

/* Uses up more than all the free memory there is, so that a block handed out twice would be noticed. */
static void child_work(uint64_t seed)
{
    static struct block blocks[5000];
    uint64_t random = seed;
    /* The first call of a child is any call. */
    switch (seed % 4) {
    case 0:
        hak_free(hak_malloc(100));
        break;
    case 1:
        g_own[1].start = hak_realloc(g_own[1].start, g_own[1].size = 5 * MIB);
        pattern_fill(g_own[1].start, g_own[1].size, 1);
        break;
    case 2:
        hak_trim(0);
        break;
    default:
        hak_free(g_own[0].start);
        g_own[0].start = hak_malloc(g_own[0].size);
        pattern_fill(g_own[0].start, g_own[0].size, 0);
    }
    heap_must_be_valid("in the child");
    for (size_t i = 0; i < COUNT_OF(blocks); i++) {
        blocks[i].size = random_size(&random, i % 200 ? 2000 : 500000);
        blocks[i].start = hak_malloc(blocks[i].size);
        must(blocks[i].start != NULL, "no memory in the child");
        pattern_fill(blocks[i].start, blocks[i].size, i);
    }
    check_all();
    for (size_t i = 0; i < COUNT_OF(blocks); i++) {
        must_be_whole(&blocks[i], i, "the child's new");
        hak_free(blocks[i].start);
    }
    check_all();
    for (size_t i = 0; i < OWN; i++)
        hak_free(g_own[i].start);
    for (size_t t = 0; t < THREADS; t++)
        for (size_t i = 0; i < COUNT_OF(g_theirs[0]); i++)
            hak_free(g_theirs[t][i].start);
    memset(g_own, 0, sizeof g_own);
    memset(g_theirs, 0, sizeof g_theirs);
    if (!UNDER_TSAN)
        in_thread(child_thread, NULL);
    hak_trim(0);
    heap_must_be_valid("in the child, in the end");
}

static void fork_among_threads(void)
{
    pthread_t threads[THREADS];
    uint64_t random = 17;
    for (size_t i = 0; i < OWN; i++) {
        g_own[i].size = any_size(&random);
        g_own[i].start = hak_malloc(g_own[i].size);
        pattern_fill(g_own[i].start, g_own[i].size, i);
    }
    atomic_store(&g_stop, false);
    atomic_store(&g_ready, 0);
    for (size_t i = 0; i < THREADS; i++)
        must(pthread_create(&threads[i], NULL, churn, (void *)i) == 0, "pthread_create failed");
    while (atomic_load(&g_ready) < THREADS)
        sleep_milliseconds(1);
    for (uint64_t i = 0; i < FORKS; i++) {
        pid_t child = i % 2 ? child_fork(CHILD_SECONDS) : fork();
        if (child == 0) {
            alarm(CHILD_SECONDS);
            child_work(i);
            _exit(0);
        }
        child_join(child, "a fork among threads");
    }
    atomic_store(&g_stop, true);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < OWN; i++) {
        must_be_whole(&g_own[i], i, "the parent's");
        hak_free(g_own[i].start);
    }
    heap_must_be_valid("in the parent");
}

static void test_fork_among_threads(void **state)
{
    (void)state;
    fork_among_threads();
}

static void in_check_mode(void *unused)
{
    (void)unused;
    option_values[OPTION_CHECK] = 1;
    in_thread((void (*)(void *))fork_among_threads, NULL); /* a thread that never had a cache */
}

static void test_fork_among_threads_without_caches(void **state)
{
    (void)state;
    if (UNDER_TSAN)
        skip(); /* no thread can be started behind fork there */
    static struct child_result result;
    child_run(in_check_mode, NULL, 120, &result);
    must_end_well(&result, "forks with HAKMEM_CHECK=1");
}

static void fork_in_fork(unsigned depth)
{
    pid_t child = fork();
    if (child == 0) {
        child_work(depth);
        if (depth > 0)
            fork_in_fork(depth - 1);
        _exit(0);
    }
    child_join(child, "a fork of a fork");
}

/* A process that has only one thread: all that it had, also what is in its rings and in the depot, is the child's
 * too. */
static void test_fork_alone(void **state)
{
    (void)state;
    static void *blocks[300];
    for (size_t i = 0; i < COUNT_OF(blocks); i++)
        blocks[i] = hak_malloc(2048);
    for (size_t i = 0; i < COUNT_OF(blocks); i++)
        hak_free(blocks[i]);
    size_t in_ring = ring_count(cache_self, class_of(2048)), in_depot = remote_count(class_of(2048));
    assert_true(in_ring > 0);
    pid_t child = child_fork(CHILD_SECONDS);
    if (child == 0) {
        hak_free(hak_malloc(77));
        must(ring_count(cache_self, class_of(2048)) == in_ring && remote_count(class_of(2048)) == in_depot,
             "the child of a process with one thread lost what that had cached");
        fork_in_fork(3);
        _exit(0);
    }
    child_join(child, "a fork of one thread");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fork_alone),
        cmocka_unit_test(test_caches_are_used_again),
        cmocka_unit_test(test_a_fork_while_a_cache_is_in_hand),
        cmocka_unit_test(test_a_thread_that_only_frees),
        cmocka_unit_test(test_late_calls),
        cmocka_unit_test(test_fork_among_threads),
        cmocka_unit_test(test_fork_among_threads_without_caches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
