/* os_thread_test.c - threads wait for each other, and are known to be there.
 * SPDX-License-Identifier: MIT */
#include "os_tests.h"

#include <pthread.h>
#include <stdatomic.h>

#include "system/os_process.h"
#include "system/os_thread.h"

static _Atomic(uint32_t) g_word;
static double g_woken_at;

static void *wait_on_word(void *unused)
{
    (void)unused;
    while (atomic_load(&g_word) == 1)
        os_wait(&g_word, 1, 5000);
    g_woken_at = clock_seconds();
    return NULL;
}

static void test_wait_and_wake(void **state)
{
    (void)state;
    double start = clock_seconds();
    atomic_store(&g_word, 1);
    os_wait(&g_word, 2, 5000);
    assert_true(clock_seconds() - start < 2);
    os_wait(&g_word, 1, 30);
    assert_true(clock_seconds() - start >= 0.025);

    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, wait_on_word, NULL), 0);
    sleep_milliseconds(50);
    start = clock_seconds();
    atomic_store(&g_word, 0);
    os_wake_one(&g_word);
    pthread_join(thread, NULL);
    must(g_woken_at - start < 2, "woken after %.1f s", g_woken_at - start);
}

static void *tell_id(void *id)
{
    *(uint32_t *)id = os_thread_id();
    must(os_thread_exists(*(uint32_t *)id), "a running thread does not exist");
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    pthread_t thread;
    uint32_t id = 0;
    assert_int_equal(os_thread_id(), gettid());
    assert_true(os_thread_exists(os_thread_id()));
    assert_false(os_thread_exists((uint32_t)getppid()));
    assert_int_equal(pthread_create(&thread, NULL, tell_id, &id), 0);
    pthread_join(thread, NULL);
    assert_int_not_equal(id, os_thread_id());
    for (unsigned i = 0; i < 100 && os_thread_exists(id); i++)
        sleep_milliseconds(10); /* the kernel ends a thread a little after its join */
    assert_false(os_thread_exists(id));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wait_and_wake),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
