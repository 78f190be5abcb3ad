/* threads.c - throughput by the number of threads, in three mixes: where a curve stops climbing before the cores are
 * used up, threads wait for each other, in the allocator or in the system.
 * SPDX-License-Identifier: MIT */
#include "scale.h"

#include <math.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { ROUNDS = 3, LIVE = 256, CACHE_LINE = 64, RING = 1024, MEMORY_PERCENT = 40, GROWN_MIN = 100 };
/* Sizes as powers of two: of private blocks, of messages, and of what grows. */
enum { PRIVATE_LOW = 4, PRIVATE_HIGH = 9, MESSAGE_LOW = 4, MESSAGE_HIGH = 10, GROWN_LOW = 16, GROWN_HIGH = 20 };

static const double default_seconds[SCALES] = {[SCALE_TINY] = 0.02, [SCALE_MODEST] = 0.2, [SCALE_FULL] = 0.5};
static const uint64_t grown_counts[SCALES] = {[SCALE_TINY] = 500, [SCALE_MODEST] = 10000, [SCALE_FULL] = 20000};

/* ---- How many threads -------------------------------------------------------------------------------------------- */

static uint64_t threads_most(void)
{
    if (options.threads != 0)
        return options.threads;
    return options.scale == SCALE_TINY ? 2 : 2 * cpu_count();
}

/* 1, 2, 4, 6, 8, 12, 16, 24 ..., besides these the number of cores, and the most that are asked for. */
static uint64_t count_after(uint64_t count)
{
    uint64_t power = 1, cores = cpu_count(), most = threads_most();
    while (2 * power <= count)
        power *= 2;
    uint64_t next = power >= 4 && count < power * 3 / 2 ? power * 3 / 2 : 2 * power;
    if (count < cores && cores < next)
        next = cores;
    return next < most ? next : most;
}

static unsigned threads_cases(void)
{
    unsigned cases = 1;
    for (uint64_t count = 1; count < threads_most(); count = count_after(count))
        cases++;
    return cases;
}

/* ---- Threads ----------------------------------------------------------------------------------------------------- */

/* From a producer to a consumer. Positions only grow. */
struct ring {
    _Alignas(CACHE_LINE) atomic_size_t pushed;
    _Alignas(CACHE_LINE) atomic_size_t popped;
    _Alignas(CACHE_LINE) void *blocks[RING];
};

struct worker {
    _Alignas(2 * CACHE_LINE) pthread_t thread;
    unsigned number;
    struct random random;
    void (*work)(struct worker *);
    _Atomic uint64_t pairs; /* so far; written by the worker only */
    struct ring *ring;
    void **grown;
    uint64_t began_ns, grown_ns, frees_ns, freed_ns;
};

static struct {
    struct worker *workers;
    struct ring *rings;
    unsigned count;
    size_t grown_count; /* blocks of each worker */
    pthread_barrier_t barrier;
    atomic_bool is_over;
} all;

static bool worker_goes_on(void) { return !atomic_load_explicit(&all.is_over, memory_order_relaxed); }

static void worker_count_pair(struct worker *worker)
{
    uint64_t pairs = atomic_load_explicit(&worker->pairs, memory_order_relaxed);
    atomic_store_explicit(&worker->pairs, pairs + 1, memory_order_relaxed);
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    cpu_pin(worker->number);
    pthread_barrier_wait(&all.barrier);
    worker->work(worker);
    return NULL;
}

static void workers_start(void (*work)(struct worker *))
{
    atomic_store(&all.is_over, false);
    pthread_barrier_init(&all.barrier, NULL, all.count + 1);
    for (unsigned i = 0; i < all.count; i++) {
        struct worker *worker = &all.workers[i];
        worker->number = i;
        worker->random.state = i + 1;
        worker->work = work;
        worker->ring = &all.rings[i / 2];
        atomic_store(&worker->pairs, 0);
        worker->thread = thread_start(worker_main, worker);
    }
    pthread_barrier_wait(&all.barrier);
}

static void workers_join(void)
{
    for (unsigned i = 0; i < all.count; i++)
        pthread_join(all.workers[i].thread, NULL);
}

static uint64_t workers_pairs(void)
{
    uint64_t pairs = 0;
    for (unsigned i = 0; i < all.count; i++)
        pairs += atomic_load(&all.workers[i].pairs);
    return pairs;
}

/* Pairs in a second, in millions, after a warm-up of a fifth of the time. */
static double workers_rate(void (*work)(struct worker *))
{
    double seconds = options.seconds > 0 ? options.seconds : default_seconds[options.scale];
    workers_start(work);
    sleep_seconds(seconds / 5);
    uint64_t begin_ns = clock_ns(), begin = workers_pairs();
    sleep_seconds(seconds);
    uint64_t end_ns = clock_ns(), end = workers_pairs();
    atomic_store(&all.is_over, true);
    workers_join();
    return (double)(end - begin) * 1e3 / (double)(end_ns - begin_ns);
}

/* ---- Private blocks ---------------------------------------------------------------------------------------------- */

static void private_work(struct worker *worker)
{
    void *blocks[LIVE] = {NULL};
    while (worker_goes_on()) {
        void **block = &blocks[random_below(&worker->random, LIVE)];
        free(*block);
        *block = block_make_touched(random_size(&worker->random, PRIVATE_LOW, PRIVATE_HIGH));
        worker_count_pair(worker);
    }
    for (unsigned i = 0; i < LIVE; i++)
        free(blocks[i]);
}

/* ---- Producers and consumers ------------------------------------------------------------------------------------- */

static void producer_work(struct worker *worker)
{
    struct ring *ring = worker->ring;
    size_t pushed = atomic_load(&ring->pushed);
    while (worker_goes_on()) {
        if (pushed - atomic_load_explicit(&ring->popped, memory_order_acquire) == RING) {
            sched_yield();
            continue;
        }
        ring->blocks[pushed++ % RING] = block_make_touched(random_size(&worker->random, MESSAGE_LOW, MESSAGE_HIGH));
        atomic_store_explicit(&ring->pushed, pushed, memory_order_release);
    }
}

static bool message_free(struct ring *ring)
{
    size_t popped = atomic_load_explicit(&ring->popped, memory_order_relaxed);
    if (popped == atomic_load_explicit(&ring->pushed, memory_order_acquire))
        return false;
    free(ring->blocks[popped % RING]);
    atomic_store_explicit(&ring->popped, popped + 1, memory_order_release);
    return true;
}

static void consumer_work(struct worker *worker)
{
    while (worker_goes_on())
        if (message_free(worker->ring))
            worker_count_pair(worker);
        else
            sched_yield();
}

static void pair_work(struct worker *worker)
{
    if (worker->number % 2 == 0)
        producer_work(worker);
    else
        consumer_work(worker);
}

static double pairs_rate(void)
{
    double rate = workers_rate(pair_work);
    for (unsigned i = 0; i < all.count / 2; i++)
        while (message_free(&all.rings[i]))
            continue;
    return rate;
}

/* ---- Growing heaps ----------------------------------------------------------------------------------------------- */

static void grow_work(struct worker *worker)
{
    worker->began_ns = clock_ns();
    for (size_t i = 0; i < all.grown_count; i++)
        worker->grown[i] = block_make_touched(random_size(&worker->random, GROWN_LOW, GROWN_HIGH));
    worker->grown_ns = clock_ns();
    pthread_barrier_wait(&all.barrier);
    worker->frees_ns = clock_ns();
    for (size_t i = 0; i < all.grown_count; i++)
        free(worker->grown[i]);
    worker->freed_ns = clock_ns();
}

/* Mallocs, then frees, in a second, in millions: from when the first thread began until the last one was done. */
static void grow_rates(double *grows, double *shrinks)
{
    uint64_t began = UINT64_MAX, grown = 0, frees = UINT64_MAX, freed = 0;
    workers_start(grow_work);
    pthread_barrier_wait(&all.barrier);
    workers_join();
    for (unsigned i = 0; i < all.count; i++) {
        const struct worker *worker = &all.workers[i];
        began = worker->began_ns < began ? worker->began_ns : began;
        grown = worker->grown_ns > grown ? worker->grown_ns : grown;
        frees = worker->frees_ns < frees ? worker->frees_ns : frees;
        freed = worker->freed_ns > freed ? worker->freed_ns : freed;
    }
    double blocks = (double)all.grown_count * all.count;
    *grows = blocks * 1e3 / (double)(grown - began);
    *shrinks = blocks * 1e3 / (double)(freed - frees);
}

/* ---- All of it --------------------------------------------------------------------------------------------------- */

/* Of three. */
static double middle(const double *rates)
{
    double low = fmin(rates[0], rates[1]), high = fmax(rates[0], rates[1]);
    return fmax(low, fmin(high, rates[2]));
}

static void workers_prepare(unsigned count, size_t grown_count)
{
    all.count = count;
    all.grown_count = grown_count;
    all.workers = own_alloc(count * sizeof *all.workers);
    all.rings = own_alloc((count + 1) / 2 * sizeof *all.rings);
    for (unsigned i = 0; i < count; i++)
        all.workers[i].grown = own_alloc(grown_count * sizeof(void *));
}

static void threads_run(unsigned number)
{
    double private[ROUNDS], pairs[ROUNDS], grows[ROUNDS], shrinks[ROUNDS];
    uint64_t count = 1, each = grown_counts[options.scale];
    while (number-- > 0)
        count = count_after(count);
    case_name("%u", (unsigned)count);

    uint64_t fit = memory_available() / 100 * MEMORY_PERCENT / count / touch_bytes((size_t)1 << GROWN_HIGH);
    each = each < fit ? each : fit > GROWN_MIN ? fit : GROWN_MIN;
    if (!machine_allows(count * each << GROWN_HIGH, count * each * touch_bytes((size_t)1 << GROWN_HIGH),
                        MEMORY_PERCENT))
        return;
    workers_prepare((unsigned)count, each);
    for (unsigned i = 0; i < ROUNDS; i++) {
        private[i] = workers_rate(private_work);
        pairs[i] = count % 2 == 0 ? pairs_rate() : NAN;
        grow_rates(&grows[i], &shrinks[i]);
    }
    case_row((double[COLUMNS]){middle(private), middle(pairs), middle(grows), middle(shrinks)});
}

_Static_assert(ROUNDS == 3, "middle");

const struct measurement threads = {
    .name = "threads",
    .about = "small private blocks; producer and consumer; a heap grows, is freed",
    .label = "threads",
    .uses = OPTION_THREADS | OPTION_SECONDS,
    .columns = {{"private", "private_mps", UNIT_RATE},
                {"pairs", "pairs_mps", UNIT_RATE},
                {"grows", "grows_mps", UNIT_RATE},
                {"is freed", "freed_mps", UNIT_RATE}},
    .cases = threads_cases,
    .run = threads_run,
};
