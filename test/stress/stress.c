/* stress.c - see stress.h.
 * SPDX-License-Identifier: MIT */
#include "stress.h"

#include "perturb.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { PART = 64 };

static atomic_bool g_over;
static pthread_barrier_t g_barrier;
static unsigned g_seconds = 3;
static uint64_t g_seed = 1;

bool stress_over(void) { return atomic_load_explicit(&g_over, memory_order_relaxed); }
unsigned stress_seconds(void) { return g_seconds; }
uint64_t stress_seed(void) { return g_seed; }

/* Seldom enough that much gets done between two pauses, often enough that every place has its turn. */
void perturb(void)
{
    static _Thread_local uint64_t random;
    random = random * UINT64_C(6364136223846793005) + (uintptr_t)&random;
    if (random >> 57 == 0)
        sched_yield();
}

struct start {
    pthread_t thread;
    unsigned id;
    void (*worker)(unsigned, uint64_t *);
};

static void *start_worker(void *argument)
{
    const struct start *start = argument;
    uint64_t random = (g_seed * STRESS_THREADS + start->id + 1) * UINT64_C(0x9E3779B97F4A7C15);
    start->worker(start->id, &random);
    return NULL;
}

void stress_run(int count, char **arguments, void (*worker)(unsigned, uint64_t *))
{
    struct start starts[STRESS_THREADS];
    if (count > 1)
        g_seconds = (unsigned)strtoul(arguments[1], NULL, 10);
    if (count > 2)
        g_seed = strtoull(arguments[2], NULL, 10);
    pthread_barrier_init(&g_barrier, NULL, STRESS_THREADS);
    for (unsigned i = 0; i < STRESS_THREADS; i++) {
        starts[i].id = i;
        starts[i].worker = worker;
        must(pthread_create(&starts[i].thread, NULL, start_worker, &starts[i]) == 0, "pthread_create failed");
    }
    sleep_milliseconds(g_seconds * 1000);
    atomic_store(&g_over, true);
    for (unsigned i = 0; i < STRESS_THREADS; i++)
        pthread_join(starts[i].thread, NULL);
    pthread_barrier_destroy(&g_barrier);
}

bool stress_meet(void (*verify)(void))
{
    static bool last_round; /* ordered by the barrier */
    if (pthread_barrier_wait(&g_barrier) == PTHREAD_BARRIER_SERIAL_THREAD) {
        verify();
        last_round = stress_over();
    }
    pthread_barrier_wait(&g_barrier);
    return !last_round;
}

/* ---- Blocks in hand ---------------------------------------------------------------------------------------------- */

/* The first and the last bytes. A block that is not longer than both is filled whole. */
struct item item_make(void *block, size_t size, uint64_t *random)
{
    struct item item = {block, size, random_next(random)};
    size_t part = size <= 2 * PART ? size : PART;
    pattern_fill(item.block, part, item.seed);
    if (part < size)
        pattern_fill(item.block + size - PART, PART, ~item.seed);
    return item;
}

void item_check(const struct item *item, const char *what)
{
    size_t part = item->size <= 2 * PART ? item->size : PART;
    size_t good = pattern_check(item->block, part, item->seed);
    if (good == part && part < item->size && pattern_check(item->block + item->size - PART, PART, ~item->seed) != PART)
        good = item->size - PART;
    must(good == part, "%s: block %p of %zu bytes: byte %zu was changed by somebody else", what, (void *)item->block,
         item->size, good);
}

/* ---- Exchange ---------------------------------------------------------------------------------------------------- */

/* Places with a flag each: whoever sets it may look. No memory is needed, and nobody waits. */
static struct place {
    atomic_flag busy;
    struct item item;
} g_exchange[64];

struct item item_swap(struct item item, uint64_t *random)
{
    struct place *place = &g_exchange[random_next(random) % COUNT_OF(g_exchange)];
    if (atomic_flag_test_and_set_explicit(&place->busy, memory_order_acquire))
        return item;
    struct item other = place->item;
    place->item = item;
    atomic_flag_clear_explicit(&place->busy, memory_order_release);
    return other;
}

struct item item_leftover(void)
{
    struct item item = {NULL, 0, 0};
    for (size_t i = 0; i < COUNT_OF(g_exchange) && !item.block; i++) {
        item = g_exchange[i].item;
        g_exchange[i].item.block = NULL;
    }
    return item;
}
