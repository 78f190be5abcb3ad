/* harness.c - see harness.h: workers, blocks and the clock.
 * SPDX-License-Identifier: MIT */
#include "harness.h"

#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

struct run run;

static pthread_barrier_t start_barrier;
static atomic_uint measuring; /* workers whose steady state is not over */

/* ---- Ends -------------------------------------------------------------------------------------------------------- */

void fail(const char *what)
{
    dprintf(STDERR_FILENO, "hakmem-workloads: %s: %s\n", run.variant->id, what);
    _exit(1);
}

void block_wrong(const struct block *block, const char *what)
{
    dprintf(STDERR_FILENO, "hakmem-workloads: %s: wrong block: the one of %u bytes at %p %s\n", run.variant->id,
            (unsigned)block->size, block->data, what);
    _exit(3);
}

/* ---- Sizes, time and own memory ---------------------------------------------------------------------------------- */

size_t size_draw_uneven(struct random *random, const struct sizes *sizes)
{
    if (sizes->kind == SIZES_APP) {
        uint64_t percent = random_below(random, 100);
        return percent < 80   ? size_between(random, 16, 256)
               : percent < 95 ? size_between(random, 257, 2048)
                              : size_between(random, 2049, 32768);
    }
    unsigned doublings = (unsigned)__builtin_ctzl(sizes->max / sizes->min);
    if (sizes->kind == SIZES_POWERS)
        return sizes->min << random_below(random, doublings + 1);
    size_t base = sizes->min << random_below(random, doublings);
    return size_between(random, base, 2 * base);
}

uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void sleep_ns(uint64_t ns)
{
    struct timespec rest = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
    while (nanosleep(&rest, &rest) != 0)
        continue;
}

/* Populated, so that its pages are resident from the start and can be subtracted. */
static void *populated_alloc(size_t bytes, int kind)
{
    bytes = (bytes + MEMORY_PAGE - 1) / MEMORY_PAGE * MEMORY_PAGE;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, kind | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED)
        fail("mmap failed");
    rss_subtract(bytes);
    return memory;
}

void *own_alloc(size_t bytes) { return populated_alloc(bytes, MAP_PRIVATE); }
void *shared_alloc(size_t bytes) { return populated_alloc(bytes, MAP_SHARED); }

/* ---- The measured part ------------------------------------------------------------------------------------------- */

static void usage_add(struct usage *usage, int who)
{
    struct rusage raw;
    getrusage(who, &raw);
    usage->user += (double)raw.ru_utime.tv_sec + (double)raw.ru_utime.tv_usec * 1e-6;
    usage->system += (double)raw.ru_stime.tv_sec + (double)raw.ru_stime.tv_usec * 1e-6;
    usage->minor_faults += raw.ru_minflt;
    usage->major_faults += raw.ru_majflt;
    usage->voluntary_switches += raw.ru_nvcsw;
    usage->involuntary_switches += raw.ru_nivcsw;
}

static struct usage usage_now(void)
{
    struct usage usage = {0};
    usage_add(&usage, RUSAGE_SELF);
    usage_add(&usage, RUSAGE_CHILDREN);
    return usage;
}

void steady_begin(void)
{
    run.begin_usage = usage_now();
    run.begin_ns = clock_ns();
}

void steady_end(void)
{
    run.end_ns = clock_ns();
    run.end_usage = usage_now();
    rss_note(RSS_STEADY);
    rss_note(RSS_PEAK);
}

/* ---- Workers ----------------------------------------------------------------------------------------------------- */

static cpu_set_t allowed_cpus;

/* Round robin over the CPUs of the process: some systems pack the threads of a process on one CPU otherwise. */
void worker_pin(const struct worker *worker)
{
    if (!run.is_pinned)
        return;
    unsigned left = worker->number % (unsigned)CPU_COUNT(&allowed_cpus);
    size_t cpu = 0;
    while (!CPU_ISSET(cpu, &allowed_cpus) || left-- > 0)
        cpu++;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
}

struct worker *workers_prepare(unsigned count)
{
    run.worker_count = count;
    run.workers = own_alloc(count * sizeof *run.workers);
    for (unsigned i = 0; i < count; i++) {
        struct worker *worker = &run.workers[i];
        worker->number = i;
        worker->random.state = run.seed * UINT64_C(0x2545F4914F6CDD1D) + i;
        worker->random.state = random_next(&worker->random);
        worker->counted = run.variant->counted != 0 ? run.variant->counted : BLOCKS_COUNTED;
        worker->stride = 1;
        if (run.variant->is_timed || run.times_calls)
            worker->latency = latency_make();
    }
    if (sched_getaffinity(0, sizeof allowed_cpus, &allowed_cpus) != 0)
        fail("sched_getaffinity failed");
    atomic_store(&measuring, count);
    pthread_barrier_init(&start_barrier, NULL, count);
    return run.workers;
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    worker_pin(worker);
    worker->work(worker);
    return NULL;
}

void workers_run(void (*work)(struct worker *))
{
    struct worker *workers = workers_prepare(run.variant->threads);
    rss_note(RSS_START);
    for (unsigned i = 0; i < run.worker_count; i++)
        workers[i].work = work;
    for (unsigned i = 1; i < run.worker_count; i++)
        if (pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]) != 0)
            fail("pthread_create failed");
    worker_main(&workers[0]);
    for (unsigned i = 1; i < run.worker_count; i++)
        pthread_join(workers[i].thread, NULL);
}

/* What is about memory has no steady state: all of it counts. */
static bool is_all_measured(void) { return strcmp(run.variant->workload->kind, "memory") == 0; }

void worker_start(struct worker *worker)
{
    pthread_barrier_wait(&start_barrier);
    worker->start_ns = worker->looked_ns = clock_ns();
    if (worker->latency != NULL && is_all_measured())
        latency_open(worker->latency, true);
}

/* So often that an interval is neither much shorter nor much longer than 100 us. */
static void stride_adapt(struct worker *worker, uint64_t now)
{
    uint64_t interval = now - worker->looked_ns;
    if (interval < 50000)
        worker->stride *= 2;
    else if (interval > 200000 && worker->stride > 1)
        worker->stride /= 2;
    worker->looked_ns = now;
    worker->next_look = worker->operations + worker->stride;
}

static struct progress progress_take(const struct worker *worker, uint64_t now)
{
    return (struct progress){.ns = now, .busy_ns = worker->busy_ns, .operations = worker->operations};
}

/* A worker goes on until the last one is done, so that all are measured under the same load. */
static bool phase_look(struct worker *worker, uint64_t now)
{
    if (worker->number == 0)
        rss_sample();
    if (worker->end.ns != 0)
        return atomic_load_explicit(&measuring, memory_order_relaxed) > 0;
    if (worker->begin.ns == 0) {
        if (now - worker->start_ns < (uint64_t)(run.warmup * 1e9))
            return true;
        worker->begin = progress_take(worker, now);
        if (worker->latency != NULL)
            latency_open(worker->latency, true);
        if (worker->number == 0)
            steady_begin();
    }
    bool is_time = now - worker->begin.ns >= (uint64_t)(run.seconds * 1e9);
    if (!is_time || worker->made < worker->counted || worker->operations == worker->begin.operations)
        return true;
    worker->end = progress_take(worker, now);
    if (worker->latency != NULL)
        latency_open(worker->latency, false);
    if (worker->number == 0)
        steady_end();
    return atomic_fetch_sub(&measuring, 1) > 1;
}

bool worker_look(struct worker *worker)
{
    uint64_t now = clock_ns();
    stride_adapt(worker, now);
    return phase_look(worker, now);
}

bool worker_waits(struct worker *worker)
{
    sched_yield();
    return phase_look(worker, clock_ns());
}

/* ---- Blocks ------------------------------------------------------------------------------------------------------ */

void block_resize(struct worker *worker, struct block *block, size_t size)
{
    uint64_t word = block_check(block);
    if (block->counted)
        worker->checksum += word;
    struct block moved = *block;
    moved.data =
        worker->latency != NULL ? latency_realloc(worker->latency, block->data, size) : realloc(block->data, size);
    if (moved.data != NULL && size >= block->size)
        block_check(&moved);
    *block = block_adopt(worker, moved.data, size);
}

static uint64_t page_word(size_t offset) { return offset * UINT64_C(0xD1342543DE82EF95); }

/* The first mark at or behind an offset. */
static size_t page_mark(size_t offset)
{
    return offset < MEMORY_PAGE ? MEMORY_PAGE : (offset + MEMORY_PAGE - 1) / MEMORY_PAGE * MEMORY_PAGE;
}

void pages_write(const struct block *block, size_t from, size_t to)
{
    for (size_t i = page_mark(from); i + sizeof(uint64_t) < to; i += MEMORY_PAGE)
        *(uint64_t *)((char *)block->data + i) = page_word(i);
}

void pages_check(const struct block *block, size_t from, size_t to)
{
    for (size_t i = page_mark(from); i + sizeof(uint64_t) < to; i += MEMORY_PAGE)
        if (*(uint64_t *)((char *)block->data + i) != page_word(i))
            block_wrong(block, "has lost the content of a page");
}
