/* lock_test.c - the only lock: one holder at a time, no deadlock with oneself, and a holder that does not exist any
 * more.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "system/lock.h"
#include "system/os_call.h"
#include "cache/thread.h"

/* ---- Mutual exclusion -------------------------------------------------------------------------------------------- */

enum { THREADS = 4, ROUNDS = UNDER_TSAN ? 20000 : 200000 };

/* Not atomic: the lock has to order the accesses. */
static size_t g_counter;
static bool g_inside;

static void *count(void *unused)
{
    (void)unused;
    for (size_t i = 0; i < ROUNDS; i++) {
        must(lock_acquire(), "lock_acquire refused a thread that does not hold the lock");
        must(!g_inside, "two threads hold the lock");
        g_inside = true;
        g_counter++;
        if (i % 1000 == 0)
            sched_yield();
        g_inside = false;
        lock_release();
    }
    return NULL;
}

static void test_one_at_a_time(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count, NULL), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(g_counter, (size_t)THREADS * ROUNDS);
}

/* ---- The same thread again --------------------------------------------------------------------------------------- */

static bool g_handler_got_it = true;

static void handler(int number)
{
    (void)number;
    g_handler_got_it = lock_acquire();
}

static void test_same_thread_is_refused(void **state)
{
    (void)state;
    assert_false(lock_is_held());
    assert_true(lock_acquire());
    assert_true(lock_is_held());
    assert_false(lock_acquire());
    signal(SIGUSR1, handler);
    raise(SIGUSR1);
    assert_false(g_handler_got_it);
    assert_true(lock_is_held());
    assert_false(lock_growth_acquire()); /* it comes first, or others would wait for each other */
    lock_release();
    assert_false(lock_is_held());
    assert_true(lock_acquire());
    lock_release();
}

/* ---- Waiting ----------------------------------------------------------------------------------------------------- */

struct wait {
    atomic_bool held, released;
    double released_at, acquired_at;
};

static void *wait_for_lock(void *argument)
{
    struct wait *wait = argument;
    while (!atomic_load(&wait->held))
        sched_yield();
    must(lock_acquire(), "lock_acquire refused");
    wait->acquired_at = clock_seconds();
    must(atomic_load(&wait->released), "the lock was taken from a holder that exists");
    lock_release();
    return NULL;
}

/* Holds the lock for so long and returns how long after the release a sleeping thread had it. */
static double hand_over(unsigned hold_milliseconds)
{
    struct wait wait = {.released_at = 0};
    pthread_t thread;
    must(pthread_create(&thread, NULL, wait_for_lock, &wait) == 0, "pthread_create failed");
    must(lock_acquire(), "lock_acquire refused");
    atomic_store(&wait.held, true);
    sleep_milliseconds(hold_milliseconds);
    wait.released_at = clock_seconds();
    atomic_store(&wait.released, true);
    lock_release();
    pthread_join(thread, NULL);
    return wait.acquired_at - wait.released_at;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void test_release_wakes_who_sleeps(void **state)
{
    (void)state;
    double delays[15];
    for (size_t i = 0; i < COUNT_OF(delays); i++)
        delays[i] = hand_over(5);
    qsort(delays, COUNT_OF(delays), sizeof delays[0], compare);
    double median = delays[COUNT_OF(delays) / 2];
    /* Unwoken, a sleeper looks again after 50 ms: 45 ms after the release. */
    must(median < 0.020, "half of the sleepers had the lock only %.1f ms after its release", median * 1000);
}

static void test_a_slow_holder_keeps_it(void **state)
{
    (void)state;
    hand_over(200);
}

/* ---- Fork -------------------------------------------------------------------------------------------------------- */

static atomic_bool g_holding, g_let_go;

static void *hold(void *unused)
{
    (void)unused;
    must(lock_acquire(), "lock_acquire refused");
    atomic_store(&g_holding, true);
    while (!atomic_load(&g_let_go))
        sleep_milliseconds(1);
    lock_release();
    return NULL;
}

static pthread_t holder_start(void)
{
    pthread_t thread;
    atomic_store(&g_holding, false);
    atomic_store(&g_let_go, false);
    must(pthread_create(&thread, NULL, hold, NULL) == 0, "pthread_create failed");
    while (!atomic_load(&g_holding))
        sched_yield();
    return thread;
}

static void holder_end(pthread_t thread)
{
    atomic_store(&g_let_go, true);
    pthread_join(thread, NULL);
}

static void test_vanished_holder(void **state)
{
    (void)state;
    pthread_t thread = holder_start();
    pid_t child = child_fork(10);
    if (child == 0) {
        must(lock_acquire(), "the child cannot take over the lock");
        lock_release();
        must(lock_acquire(), "the child cannot take the lock again");
        lock_release();
        _exit(0);
    }
    child_join(child, "the lock of a vanished thread");
    holder_end(thread);
}

static void test_after_fork_forgets_others(void **state)
{
    (void)state;
    pthread_t thread = holder_start();
    pid_t child = child_fork(10);
    if (child == 0) {
        double start = clock_seconds();
        must(lock_after_fork().heap == LOCK_WAS_HELD,
             "a vanished thread had the lock, and lock_after_fork does not tell");
        must(!lock_acquire(), "the lock is free in the middle of the repair");
        lock_release();
        lock_growth_release();
        struct locks_left left = lock_after_fork();
        must(left.heap == LOCK_WAS_FREE && left.growth == LOCK_WAS_FREE,
             "nobody has the locks, and lock_after_fork tells of somebody");
        lock_release();
        lock_growth_release();
        must(lock_acquire(), "the lock is not free after lock_after_fork");
        must(clock_seconds() - start < 0.030, "the lock was waited for after lock_after_fork");
        must(lock_is_held(), "the child's thread does not know itself");
        lock_release();
        _exit(0);
    }
    child_join(child, "lock_after_fork");
    holder_end(thread);
}

/* As when a signal handler forks in the middle of a slow path: the child's thread goes on to finish what it began. */
static void test_after_fork_keeps_its_own(void **state)
{
    (void)state;
    assert_true(lock_growth_acquire());
    assert_true(lock_acquire());
    pid_t child = child_fork(10);
    if (child == 0) {
        os_forbid_calls(false); /* as slow paths do */
        /* Under ThreadSanitizer the fork handler has run, which has told the lock. */
        must(UNDER_TSAN || lock_thread_has_forked(), "the thread does not know that it has forked");
        struct locks_left left = lock_after_fork();
        must(left.heap == LOCK_WAS_OWN && left.growth == LOCK_WAS_OWN,
             "the forking thread's own locks are taken for another's");
        must(!lock_thread_has_forked(), "lock_after_fork did not give the thread its new id");
        must(lock_is_held(), "the lock that the forking thread held is lost");
        must(!lock_acquire(), "the lock that the forking thread held was given to it again");
        lock_release();
        must(lock_growth_is_held(), "the growth lock that the forking thread held is lost");
        lock_growth_release();
        must(lock_growth_acquire(), "the growth lock cannot be taken after its release");
        lock_growth_release();
        must(lock_acquire(), "the lock cannot be taken after its release");
        _exit(0);
    }
    lock_release();
    lock_growth_release();
    child_join(child, "the forking thread's own lock");
}

static void *hold_for_a_while(void *argument)
{
    struct wait *wait = argument;
    must(lock_acquire(), "lock_acquire refused");
    atomic_store(&wait->held, true);
    sleep_milliseconds(150);
    wait->released_at = clock_seconds();
    atomic_store(&wait->released, true);
    lock_release();
    return NULL;
}

/* It shares the memory, and so the lock, with threads that do not exist in its own process. */
static void test_a_child_of_vfork_respects_the_lock(void **state)
{
    (void)state;
    if (UNDER_TSAN)
        skip(); /* which makes a fork of it */
    static struct wait wait;
    static volatile bool released;
    static _Atomic(uint32_t) no_fork = 1;
    pthread_t thread;
    lock_watch(&no_fork, NULL);
    assert_int_equal(pthread_create(&thread, NULL, hold_for_a_while, &wait), 0);
    while (!atomic_load(&wait.held))
        sched_yield();
    pid_t child = vfork();
    if (child == 0) {
        if (!lock_acquire())
            _exit(1);
        released = atomic_load(&wait.released);
        wait.acquired_at = clock_seconds();
        lock_release();
        _exit(0);
    }
    pthread_join(thread, NULL);
    child_join(child, "a child of vfork");
    must(released, "a child of vfork took the lock %.0f ms before its holder's release",
         (wait.released_at - wait.acquired_at) * 1000);
    assert_true(lock_acquire());
    lock_release();
}

static void test_new_threads_of_a_child_respect_the_lock(void **state)
{
    (void)state;
    if (UNDER_TSAN)
        skip(); /* no thread can be started behind fork there */
    pid_t child = child_fork(10);
    if (child == 0) {
        thread_check_fork();
        hand_over(200);
        _exit(0);
    }
    child_join(child, "threads of a child");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_at_a_time),
        cmocka_unit_test(test_same_thread_is_refused),
        cmocka_unit_test(test_release_wakes_who_sleeps),
        cmocka_unit_test(test_a_slow_holder_keeps_it),
        cmocka_unit_test(test_vanished_holder),
        cmocka_unit_test(test_after_fork_forgets_others),
        cmocka_unit_test(test_after_fork_keeps_its_own),
        cmocka_unit_test(test_new_threads_of_a_child_respect_the_lock),
        cmocka_unit_test(test_a_child_of_vfork_respects_the_lock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
