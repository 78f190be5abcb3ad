/* keys_test.c - all thread-specific keys are taken before the library can get one: threads must still come and go
 * without losing memory.
 * SPDX-License-Identifier: MIT */
#include "churn.h"

#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static pthread_key_t g_keys[PTHREAD_KEYS_MAX];
static size_t g_taken;

static void keys_take(void)
{
    while (g_taken < PTHREAD_KEYS_MAX && pthread_key_create(&g_keys[g_taken], NULL) == 0) {
        g_taken++;
    }
}

/* Runs before the constructors of every library. */
__attribute__((section(".preinit_array"), used)) static void (*const g_first)(void) = keys_take;

static void *leaves_blocks(void *argument)
{
    void **blocks = argument;
    churn_run((uint64_t)(uintptr_t)argument, 20000, 100);
    for (size_t i = 0; i < 100; i++) {
        blocks[i] = malloc(1000);
        memset(blocks[i], 1, 1000);
    }
    return NULL;
}

static void threads_run(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        void *blocks[100];
        pthread_t thread;
        must(pthread_create(&thread, NULL, leaves_blocks, blocks) == 0, "pthread_create failed");
        pthread_join(thread, NULL);
        for (size_t k = 0; k < COUNT_OF(blocks); k++) {
            free(blocks[k]);
        }
    }
}

static void test_threads_without_a_key(void **state)
{
    (void)state;
    must(g_taken == PTHREAD_KEYS_MAX, "expected to take all %d keys, got %zu", PTHREAD_KEYS_MAX, g_taken);
    threads_run(300);
    size_t rss = process_anonymous();
    size_t mappings = process_mappings();
    threads_run(3000);
    size_t rss_after = process_anonymous();
    size_t mappings_after = process_mappings();
    must(rss_after <= rss + 4 * MIB, "3000 threads without a key: RSS grew from %zu to %zu KiB", rss / KIB,
         rss_after / KIB);
    must(mappings_after <= mappings + 8, "3000 threads without a key: mappings grew from %zu to %zu", mappings,
         mappings_after);
}

/* The last key lies where the C library allocates for it. */
static void test_setting_a_high_key(void **state)
{
    (void)state;
    for (size_t i = 0; i < PTHREAD_KEYS_MAX; i++) {
        must(pthread_setspecific(g_keys[i], &g_keys[i]) == 0, "pthread_setspecific of key %zu failed", i);
    }
    churn_run(1, 100000, 1000);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_without_a_key),
        cmocka_unit_test(test_setting_a_high_key),
    };
    return RUN_TESTS(tests);
}
