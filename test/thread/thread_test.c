/* thread_test.c - threads come and go in every way a program has, and neither blocks, nor memory, nor mappings are
 * lost.
 * SPDX-License-Identifier: MIT */
#include "churn.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#include <cmocka.h>

static pthread_t thread_start(void *(*body)(void *), void *argument)
{
    pthread_t thread;
    int failed = pthread_create(&thread, NULL, body, argument);
    must(failed == 0, "pthread_create: %s", strerror(failed));
    return thread;
}

static void *thread_join(pthread_t thread)
{
    void *result = NULL;
    int failed = pthread_join(thread, &result);
    must(failed == 0, "pthread_join: %s", strerror(failed));
    return result;
}

/* ---- Blocks that outlive their thread ---------------------------------------------------------------------------- */

enum { ESTATE_BLOCKS = 2000, ESTATE_THREADS = 8 };

struct estate {
    void *blocks[ESTATE_BLOCKS];
    size_t sizes[ESTATE_BLOCKS];
    uint64_t seed;
};

static void *estate_leave(void *argument)
{
    struct estate *estate = argument;
    uint64_t random = estate->seed;
    for (size_t i = 0; i < ESTATE_BLOCKS; i++) {
        estate->sizes[i] = random_size(&random, i % 200 == 0 ? 2 * MIB : 4000);
        estate->blocks[i] = malloc(estate->sizes[i]);
        pattern_fill(estate->blocks[i], estate->sizes[i], i);
    }
    return NULL;
}

static void *estate_settle(void *argument)
{
    struct estate *estate = argument;
    for (size_t i = 0; i < ESTATE_BLOCKS; i++) {
        size_t good = pattern_check(estate->blocks[i], estate->sizes[i], i);
        must(good == estate->sizes[i], "a block of %zu bytes of an ended thread: byte %zu was changed",
             estate->sizes[i], good);
        free(estate->blocks[i]);
    }
    return NULL;
}

static size_t estates_bytes(const struct estate *estates)
{
    size_t bytes = 0;
    for (size_t i = 0; i < ESTATE_THREADS; i++) {
        for (size_t k = 0; k < ESTATE_BLOCKS; k++) {
            bytes += estates[i].sizes[k];
        }
    }
    return bytes;
}

static void test_blocks_outlive_their_thread(void **state)
{
    (void)state;
    static struct estate estates[ESTATE_THREADS];
    size_t before = process_anonymous();
    size_t most = 0;
    for (size_t round = 0; round < 20; round++) {
        pthread_t threads[ESTATE_THREADS];
        for (size_t i = 0; i < ESTATE_THREADS; i++) {
            estates[i].seed = round * 100 + i + 1;
            threads[i] = thread_start(estate_leave, &estates[i]);
        }
        for (size_t i = 0; i < ESTATE_THREADS; i++) {
            thread_join(threads[i]);
        }
        for (size_t i = 0; i < ESTATE_THREADS; i++) {
            if (i % 2 == 0) {
                estate_settle(&estates[i]);
            } else {
                thread_join(thread_start(estate_settle, &estates[i]));
            }
        }
        size_t live = estates_bytes(estates);
        most = live > most ? live : most;
        size_t now = process_anonymous();
        must(now <= before + 3 * most + 16 * MIB,
             "round %zu: at most %zu KiB were live at once, all is freed, RSS is %zu KiB", round + 1, most / KIB,
             now / KIB);
    }
    malloc_trim(0);
    size_t after = process_anonymous();
    must(after <= before + 2 * MIB, "all freed and trimmed: RSS was %zu KiB before, is %zu KiB", before / KIB,
         after / KIB);
}

/* ---- The order of things at a thread's end ----------------------------------------------------------------------- */

enum { LATE_KEYS = 40 };

static pthread_key_t g_late_keys[LATE_KEYS];
static atomic_size_t g_late_calls;

struct late {
    unsigned round;
    void *block;
};

/* Allocates and frees in each of the four rounds that the C library grants. */
static void late_destructor(void *argument)
{
    struct late *late = argument;
    atomic_fetch_add(&g_late_calls, 1);
    free(late->block);
    late->block = malloc(3000 + late->round * 100);
    must(late->block != NULL, "malloc in a destructor failed");
    memset(late->block, 0x44, 3000);
    churn_run(late->round + 1, 3000, 20);
    if (++late->round < PTHREAD_DESTRUCTOR_ITERATIONS) {
        for (size_t i = 0; i < LATE_KEYS; i += LATE_KEYS - 1) {
            if (pthread_getspecific(g_late_keys[i]) == NULL) {
                pthread_setspecific(g_late_keys[i], late);
                return;
            }
        }
    }
    free(late->block);
    free(late);
}

int __cxa_thread_atexit_impl(void (*destructor)(void *), void *object, void *dso);
extern void *__dso_handle;

/* What a C++ thread_local's destructor does; it runs before those of the keys. */
static void object_destructor(void *object)
{
    free(object);
    churn_run(7, 3000, 20);
}

static void *late_thread(void *argument)
{
    size_t number = (size_t)argument;
    struct late *late = calloc(1, sizeof *late);
    late->block = malloc(100);
    /* The first key has a place in the thread's descriptor; for the last the C library allocates. */
    pthread_setspecific(g_late_keys[number % 2 == 0 ? 0 : LATE_KEYS - 1], late);
    __cxa_thread_atexit_impl(object_destructor, malloc(500), &__dso_handle);
    /* Texts that the C library frees after all destructors. */
    strerror(10000 + (int)number);
    dlsym(RTLD_DEFAULT, "no such symbol");
    dlerror();
    return NULL;
}

static void late_threads(size_t count)
{
    for (size_t i = 0; i < count; i += 4) {
        pthread_t threads[4];
        for (size_t k = 0; k < 4; k++) {
            threads[k] = thread_start(late_thread, (void *)(i + k));
        }
        for (size_t k = 0; k < 4; k++) {
            thread_join(threads[k]);
        }
    }
}

static void test_allocation_in_destructors(void **state)
{
    (void)state;
    for (size_t i = 0; i < LATE_KEYS; i++) {
        must(pthread_key_create(&g_late_keys[i], late_destructor) == 0, "pthread_key_create failed");
    }
    late_threads(200);
    size_t rss = process_anonymous();
    size_t mappings = process_mappings();
    atomic_store(&g_late_calls, 0);
    late_threads(3000);
    size_t rss_after = process_anonymous();
    size_t mappings_after = process_mappings();
    size_t calls = atomic_load(&g_late_calls);
    for (size_t i = 0; i < LATE_KEYS; i++) {
        pthread_key_delete(g_late_keys[i]);
    }
    must(calls == 3000 * PTHREAD_DESTRUCTOR_ITERATIONS, "expected %d destructor calls, saw %zu",
         3000 * PTHREAD_DESTRUCTOR_ITERATIONS, calls);
    must(rss_after <= rss + 2 * MIB, "3000 threads that allocate in destructors: RSS grew from %zu to %zu KiB",
         rss / KIB, rss_after / KIB);
    must(mappings_after <= mappings + 8, "3000 threads that allocate in destructors: mappings grew from %zu to %zu",
         mappings, mappings_after);
}

/* ---- Many threads ------------------------------------------------------------------------------------------------ */

static void *short_thread(void *argument)
{
    churn_run((uint64_t)(size_t)argument, 20000, 60);
    return NULL;
}

static void short_threads(size_t count)
{
    for (size_t i = 0; i < count; i += 2) {
        pthread_t first = thread_start(short_thread, (void *)(i + 1));
        pthread_t second = thread_start(short_thread, (void *)(i + 2));
        thread_join(first);
        thread_join(second);
    }
}

static void test_10000_short_threads_leave_nothing(void **state)
{
    (void)state;
    short_threads(500);
    size_t rss = process_anonymous();
    size_t mappings = process_mappings();
    short_threads(10000);
    size_t rss_after = process_anonymous();
    size_t mappings_after = process_mappings();
    must(rss_after <= rss + 2 * MIB, "10,000 short threads: RSS grew from %zu to %zu KiB", rss / KIB, rss_after / KIB);
    must(mappings_after <= mappings + 8, "10,000 short threads: mappings grew from %zu to %zu", mappings,
         mappings_after);
}

enum { IDLE_THREADS = 200 };

static pthread_barrier_t g_idle_barrier;

static void *idle_thread(void *argument)
{
    churn_run((uint64_t)(size_t)argument, 4000, 300);
    pthread_barrier_wait(&g_idle_barrier);
    pthread_barrier_wait(&g_idle_barrier);
    return NULL;
}

static void test_200_idle_threads_are_cheap(void **state)
{
    (void)state;
    pthread_t threads[IDLE_THREADS];
    pthread_barrier_init(&g_idle_barrier, NULL, IDLE_THREADS + 1);
    size_t before = process_anonymous();
    for (size_t i = 0; i < IDLE_THREADS; i++) {
        threads[i] = thread_start(idle_thread, (void *)(i + 1));
    }
    pthread_barrier_wait(&g_idle_barrier);
    size_t during = process_anonymous();
    void *block = malloc(100);
    free(block);
    pthread_barrier_wait(&g_idle_barrier);
    for (size_t i = 0; i < IDLE_THREADS; i++) {
        thread_join(threads[i]);
    }
    malloc_trim(0);
    size_t after = process_anonymous();
    pthread_barrier_destroy(&g_idle_barrier);
    /* A stack takes 8 to 16 KiB of it. */
    size_t each = (during - before) / IDLE_THREADS;
    must(each <= 192 * KIB, "200 idle threads: expected at most 192 KiB each, saw %zu KiB", each / KIB);
    must(after <= before + 6 * MIB, "200 idle threads ended: RSS was %zu KiB before, is %zu KiB", before / KIB,
         after / KIB);
}

/* ---- Blocks that travel ------------------------------------------------------------------------------------------ */

enum { FREE_ONLY_BLOCKS = 100000, FREE_ONLY_THREADS = 4 };

static void *g_travellers[FREE_ONLY_BLOCKS];

/* Never allocates: its end must give back what it collected. */
static void *free_only_thread(void *argument)
{
    for (size_t i = (size_t)argument; i < FREE_ONLY_BLOCKS; i += FREE_ONLY_THREADS) {
        free(g_travellers[i]);
    }
    return NULL;
}

/* However often: what stays of free memory is no more than was in use at once. */
static void test_threads_that_only_free(void **state)
{
    (void)state;
    size_t before = process_anonymous();
    for (size_t round = 0; round < 24; round++) {
        size_t most = before + 4 * MIB;
        for (size_t i = 0; i < FREE_ONLY_BLOCKS; i++) {
            g_travellers[i] = malloc(100 + i % 5 * 100);
            memset(g_travellers[i], 1, 100);
            most += malloc_usable_size(g_travellers[i]) / 5 * 6;
        }
        pthread_t threads[FREE_ONLY_THREADS];
        for (size_t i = 0; i < FREE_ONLY_THREADS; i++) {
            threads[i] = thread_start(free_only_thread, (void *)i);
        }
        for (size_t i = 0; i < FREE_ONLY_THREADS; i++) {
            thread_join(threads[i]);
        }
        size_t now = process_anonymous();
        must(now <= most, "RSS was %zu KiB before, is %zu after %zu rounds, expected %zu at most", before / KIB,
             now / KIB, round + 1, most / KIB);
    }
}

enum { QUEUE = 256, HAND_OVERS = 300000 };

struct channel {
    void *_Atomic slots[QUEUE];
    size_t size;
    size_t count;
};

static void *producer(void *argument)
{
    struct channel *channel = argument;
    for (size_t i = 0; i < channel->count; i++) {
        uint64_t *block = malloc(channel->size);
        must(block != NULL, "malloc(%zu) failed", channel->size);
        block[0] = i;
        block[channel->size / 8 - 1] = ~i;
        while (atomic_load(&channel->slots[i % QUEUE]) != NULL) {
            sched_yield();
        }
        atomic_store(&channel->slots[i % QUEUE], block);
    }
    return NULL;
}

static void *consumer(void *argument)
{
    struct channel *channel = argument;
    for (size_t i = 0; i < channel->count; i++) {
        uint64_t *block;
        while ((block = atomic_exchange(&channel->slots[i % QUEUE], NULL)) == NULL) {
            sched_yield();
        }
        must(block[channel->size / 8 - 1] == ~block[0], "block %zu arrived with other contents", i);
        free(block);
    }
    return NULL;
}

static void test_producer_and_consumer(void **state)
{
    (void)state;
    static const size_t sizes[] = {32, 600, 9000, 100000};
    for (size_t s = 0; s < COUNT_OF(sizes); s++) {
        static struct channel channel;
        channel.size = sizes[s] / 8 * 8;
        channel.count = sizes[s] > 50000 ? HAND_OVERS / 20 : sizes[s] > 5000 ? HAND_OVERS / 3 : HAND_OVERS;
        size_t before = process_anonymous();
        pthread_t from = thread_start(producer, &channel);
        pthread_t to = thread_start(consumer, &channel);
        thread_join(from);
        thread_join(to);
        size_t after = process_anonymous();
        size_t bound = QUEUE * channel.size * 2 + 16 * MIB;
        must(after <= before + bound,
             "%zu blocks of %zu bytes from a producer to a consumer: RSS grew from %zu to %zu KiB, bound %zu",
             channel.count, channel.size, before / KIB, after / KIB, bound / KIB);
    }
}

enum { SLEEPER_BLOCKS = 20000, SLEEPERS = 20 };

static pthread_barrier_t g_sleepers_filled;
static pthread_barrier_t g_sleepers_end;
static void *g_sleeper_blocks[SLEEPER_BLOCKS];

static void *sleeper(void *argument)
{
    for (size_t i = 0; i < SLEEPER_BLOCKS; i++) {
        g_sleeper_blocks[i] = malloc(1000);
        memset(g_sleeper_blocks[i], 1, 1000);
    }
    pthread_barrier_wait(&g_sleepers_filled);
    pthread_barrier_wait(&g_sleepers_end);
    return argument;
}

/* The threads that allocated sleep; what another freed for them must serve the next. */
static void test_owners_sleep_while_others_free(void **state)
{
    (void)state;
    pthread_t threads[SLEEPERS];
    pthread_barrier_init(&g_sleepers_filled, NULL, 2);
    pthread_barrier_init(&g_sleepers_end, NULL, SLEEPERS + 1);
    size_t first = 0;
    size_t last = 0;
    for (size_t i = 0; i < SLEEPERS; i++) {
        threads[i] = thread_start(sleeper, NULL);
        pthread_barrier_wait(&g_sleepers_filled);
        for (size_t k = 0; k < SLEEPER_BLOCKS; k++) {
            free(g_sleeper_blocks[k]);
        }
        last = process_anonymous();
        first = i == 0 ? last : first;
    }
    pthread_barrier_wait(&g_sleepers_end);
    for (size_t i = 0; i < SLEEPERS; i++) {
        thread_join(threads[i]);
    }
    must(last <= first * 2 + 8 * MIB,
         "%d sleeping threads, whose 20 MB each were freed by another: RSS grew from %zu to %zu KiB", SLEEPERS,
         first / KIB, last / KIB);
}

/* ---- Ends of other kinds ----------------------------------------------------------------------------------------- */

static void cancel_cleanup(void *argument)
{
    struct churn *churn = argument;
    churn_end(churn);
}

static void *cancelled_thread(void *argument)
{
    struct churn churn;
    churn_begin(&churn, (uint64_t)(size_t)argument, 20000);
    pthread_cleanup_push(cancel_cleanup, &churn);
    for (;;) {
        churn_steps(&churn, 10);
        pthread_testcancel();
    }
    pthread_cleanup_pop(1);
    return NULL;
}

static void test_cancelled_threads(void **state)
{
    (void)state;
    size_t first = 0;
    for (size_t i = 0; i < 400; i++) {
        pthread_t thread = thread_start(cancelled_thread, (void *)(i + 1));
        if (i % 4 == 0) {
            usleep(500);
        }
        must(pthread_cancel(thread) == 0, "pthread_cancel failed");
        void *result = thread_join(thread);
        must(result == PTHREAD_CANCELED, "a cancelled thread returned %p", result);
        first = i == 50 ? process_anonymous() : first;
    }
    size_t last = process_anonymous();
    must(last <= first + 2 * MIB, "350 cancelled threads: RSS grew from %zu to %zu KiB", first / KIB, last / KIB);
    churn_run(5, 100000, 1000);
}

static void *endless_thread(void *argument)
{
    struct churn churn;
    churn_begin(&churn, (uint64_t)(size_t)argument, 200000);
    for (;;) {
        churn_steps(&churn, 100);
    }
    return NULL;
}

static void *g_freed_at_exit;

static void exit_handler(void)
{
    free(g_freed_at_exit);
    churn_run(11, 200000, 300);
}

static void exit_body(void *argument)
{
    g_freed_at_exit = malloc(5000);
    atexit(exit_handler);
    for (size_t i = 0; i < 4; i++) {
        thread_start(endless_thread, (void *)(i + 1));
    }
    usleep((useconds_t)(size_t)argument * 300);
    exit(0);
}

static void test_threads_run_during_exit(void **state)
{
    (void)state;
    for (size_t i = 0; i < 40; i++) {
        struct child_result result;
        child_run(exit_body, (void *)i, 20, &result);
        must_end_well(&result, "exit() with four threads that allocate");
    }
}

static void *survivor_thread(void *argument)
{
    usleep(5000);
    churn_run((uint64_t)(size_t)argument, 200000, 5000);
    exit(0);
}

static void main_leaves_body(void *argument)
{
    (void)argument;
    churn_run(3, 200000, 1000);
    thread_start(endless_thread, (void *)1);
    thread_start(survivor_thread, (void *)2);
    pthread_exit(NULL);
}

static void test_main_leaves_by_pthread_exit(void **state)
{
    (void)state;
    for (size_t i = 0; i < 10; i++) {
        struct child_result result;
        child_run(main_leaves_body, NULL, 20, &result);
        must_end_well(&result, "main leaves by pthread_exit, other threads go on");
    }
}

/* ---- Signals ----------------------------------------------------------------------------------------------------- */

enum { SIGNALS = 3000, KEPT_BLOCKS = 8 };
static atomic_uint g_signals;

/* Blocks that live from one signal to others, and are large: with those there is no fast path, in which a handler must
 * not allocate. It may be refused memory in the middle of another call, but it must not hang or harm. */
static void allocating_handler(int number)
{
    static uint64_t random = 3;
    static struct {
        char *start;
        size_t size;
    } kept[KEPT_BLOCKS], *block;
    int saved = errno;
    (void)number;
    block = &kept[random_next(&random) % KEPT_BLOCKS];
    if (block->start != NULL) {
        must(pattern_check(block->start, 100, block->size) == 100,
             "a block of %zu bytes in a signal handler has other contents", block->size);
    }
    free(block->start);
    block->size = 1100 * KIB + random_next(&random) % MIB;
    block->start = malloc(block->size);
    if (block->start != NULL) {
        pattern_fill(block->start, 100, block->size);
    }
    atomic_fetch_add(&g_signals, 1);
    errno = saved;
}

static void signals_body(void *argument)
{
    (void)argument;
    char *blocks[KEPT_BLOCKS] = {NULL};
    uint64_t random = 4;
    struct sigaction action = {.sa_handler = allocating_handler, .sa_flags = SA_RESTART};
    struct itimerval timer = {{0, 150}, {0, 150}};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
    for (size_t i = 0; atomic_load(&g_signals) < SIGNALS; i = (i + 1) % KEPT_BLOCKS) {
        must(blocks[i] == NULL || pattern_check(blocks[i], 100, i) == 100, "a block has other contents");
        free(blocks[i]);
        blocks[i] = malloc(1100 * KIB + random_next(&random) % MIB);
        must(blocks[i] != NULL, "malloc: NULL");
        pattern_fill(blocks[i], 100, i);
    }
}

static void test_signal_handlers_that_allocate(void **state)
{
    (void)state;
    struct child_result result;
    child_run(signals_body, NULL, 30, &result);
    must_end_well(&result, "signals whose handler allocates and frees");
}

/* ---- Small stacks ------------------------------------------------------------------------------------------------ */

/* Every slow path that one call can reach: fresh sizes, refills, large blocks, aligned ones, resizing, trimming. */
static void exercise_slow_paths(void)
{
    static void *blocks[2000];
    static const size_t sizes[] = {16, 100, 1000, 8000, 33000, 300000, 3000000, 70000000};
    for (size_t s = 0; s < COUNT_OF(sizes); s++) {
        size_t count = sizes[s] < 5000 ? 2000 : sizes[s] < 50000 ? 200 : 2;
        for (size_t i = 0; i < count; i++) {
            blocks[i] = i % 3 == 0 ? calloc(1, sizes[s]) : malloc(sizes[s]);
            must(blocks[i] != NULL, "malloc(%zu) on a small stack failed", sizes[s]);
        }
        for (size_t i = 0; i < count; i += 7) {
            blocks[i] = realloc(blocks[i], sizes[s] * 2);
            must(blocks[i] != NULL, "realloc(%zu) on a small stack failed", sizes[s] * 2);
        }
        for (size_t i = 0; i < count; i++) {
            free(blocks[i]);
        }
        free(aligned_alloc(64 * KIB, sizes[s]));
    }
    malloc_trim(0);
}

static void *small_stack_thread(void *argument)
{
    exercise_slow_paths();
    return argument;
}

static void test_threads_with_the_smallest_stack(void **state)
{
    (void)state;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    int failed = pthread_attr_setstacksize(&attributes, (size_t)PTHREAD_STACK_MIN);
    must(failed == 0, "pthread_attr_setstacksize: %s", strerror(failed));
    for (size_t i = 0; i < 3; i++) {
        pthread_t thread;
        failed = pthread_create(&thread, &attributes, small_stack_thread, NULL);
        must(failed == 0, "a thread with a stack of %zu bytes cannot be created: %s", (size_t)PTHREAD_STACK_MIN,
             strerror(failed));
        thread_join(thread);
    }
    pthread_attr_destroy(&attributes);
}

enum { TINY_STACK = 8192, TINY_MARK = 0xA7 };

/* Coroutines run on stacks of 8 KiB: the deepest path of the allocator may take a quarter of that. */
static void test_stack_use_is_small(void **state)
{
    (void)state;
    ucontext_t here;
    ucontext_t there;
    char *region = mmap(NULL, TINY_STACK + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(region != MAP_FAILED && mprotect(region, 4096, PROT_NONE) == 0, "no stack of 8 KiB: %s", strerror(errno));
    char *stack = region + 4096;
    memset(stack, TINY_MARK, TINY_STACK);
    getcontext(&there);
    there.uc_stack.ss_sp = stack;
    there.uc_stack.ss_size = TINY_STACK;
    there.uc_link = &here;
    makecontext(&there, exercise_slow_paths, 0);
    swapcontext(&here, &there);
    size_t used = TINY_STACK - bytes_check(stack, TINY_STACK, TINY_MARK);
    must(used <= TINY_STACK / 4, "the deepest path used %zu bytes of stack, expected at most %d", used, TINY_STACK / 4);
    munmap(region, TINY_STACK + 4096);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_outlive_their_thread),
        cmocka_unit_test(test_allocation_in_destructors),
        cmocka_unit_test(test_10000_short_threads_leave_nothing),
        cmocka_unit_test(test_200_idle_threads_are_cheap),
        cmocka_unit_test(test_threads_that_only_free),
        cmocka_unit_test(test_producer_and_consumer),
        cmocka_unit_test(test_owners_sleep_while_others_free),
        cmocka_unit_test(test_cancelled_threads),
        cmocka_unit_test(test_threads_run_during_exit),
        cmocka_unit_test(test_main_leaves_by_pthread_exit),
        cmocka_unit_test(test_signal_handlers_that_allocate),
        cmocka_unit_test(test_threads_with_the_smallest_stack),
        cmocka_unit_test(test_stack_use_is_small),
    };
    return RUN_TESTS(tests);
}
