/* latency.c - the duration of every single call, by the cycle counter, and what the slowest of them did. The counter's
 * rate is found by comparing it with the clock at both ends of a run, and what reading it costs is subtracted.
 * SPDX-License-Identifier: MIT */
#include "harness.h"

#include <dlfcn.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>

/* 32 bins for each doubling: a bin is at most 3 % wide. */
enum { BIN_BITS = 5, BINS_PER_DOUBLING = 1 << BIN_BITS, BINS = 60 * BINS_PER_DOUBLING };
/* Of each worker: what they did is asked of so many calls, which takes a microsecond or two each. */
enum { TRACED_CALLS = 500000 };
/* As printed: 8 for each doubling, some 27 for each power of ten. */
enum { BINS_PER_PRINTED = 4 };

static const char *const call_names[] = {
#define X(id, name) #name,
    TIMED_CALLS(X)
#undef X
};

/* What the system counts of a thread. */
struct events {
    long faults, waits, preemptions;
};

struct slow {
    uint64_t cycles;
    size_t size; /* that was asked for; 0: free */
    struct events events;
    uint64_t traced; /* cycles, of all steps; they are a little longer for being traced */
    unsigned step_count;
    struct step steps[STEPS];
};

/* In no order; `least` is the shortest of them. Calls during which the system ran something else on the processor are
 * told apart from others: how long they took says nothing of the allocator. */
struct slowest {
    size_t count;
    uint64_t least;
    struct slow *calls;
    uint64_t preempted, preempted_max; /* calls; cycles */
};

struct latency {
    bool is_open; /* durations are noted */
    uint64_t overhead;
    uint64_t bins[TIMED_COUNT][BINS];
    uint64_t max[TIMED_COUNT];
    struct slowest slowest[TIMED_COUNT];
    struct trace *trace; /* NULL unless the slowest are wanted, and when enough calls were traced */
    uint64_t traced_calls;
};

/* When a call began. */
struct moment {
    struct events events;
    uint64_t cycles;
};

/* Not before what stands before it is done, and done before what follows begins. */
uint64_t cycles_now(void)
{
#if defined(__x86_64__)
    uint32_t low, high;
    __asm__ volatile("lfence; rdtsc; lfence" : "=a"(low), "=d"(high)::"memory");
    return (uint64_t)high << 32 | low;
#elif defined(__aarch64__)
    uint64_t cycles;
    __asm__ volatile("isb; mrs %0, cntvct_el0; isb" : "=r"(cycles)::"memory");
    return cycles;
#else
    return clock_ns();
#endif
}

struct latency *latency_make(void)
{
    struct latency *latency = shared_alloc(sizeof *latency);
    latency->trace = run.slowest > 0 ? trace_make() : NULL;
    for (unsigned call = 0; call < TIMED_COUNT && run.slowest > 0; call++)
        latency->slowest[call].calls = shared_alloc(run.slowest * sizeof(struct slow));
    latency->overhead = UINT64_MAX;
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t begin = cycles_now();
        uint64_t cost = cycles_now() - begin;
        if (cost < latency->overhead)
            latency->overhead = cost;
    }
    return latency;
}

void latency_open(struct latency *latency, bool is_open) { latency->is_open = is_open; }

/* ---- The slowest ------------------------------------------------------------------------------------------------- */

static struct events events_now(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return (struct events){usage.ru_minflt + usage.ru_majflt, usage.ru_nvcsw, usage.ru_nivcsw};
}

static struct events events_since(const struct events *begin)
{
    struct events now = events_now();
    return (struct events){now.faults - begin->faults, now.waits - begin->waits, now.preemptions - begin->preemptions};
}

static void slowest_add(struct slowest *slowest, const struct slow *call)
{
    size_t place = slowest->count, least = 0;
    if (slowest->count < run.slowest)
        slowest->count++;
    else if (call->cycles <= slowest->least)
        return;
    for (size_t i = 0; place == run.slowest && i < run.slowest; i++)
        if (slowest->calls[i].cycles == slowest->least)
            place = i;
    slowest->calls[place] = *call;
    for (size_t i = 1; i < slowest->count; i++)
        if (slowest->calls[i].cycles < slowest->calls[least].cycles)
            least = i;
    slowest->least = slowest->calls[least].cycles;
}

/* ---- Every call -------------------------------------------------------------------------------------------------- */

static unsigned bin_of(uint64_t cycles)
{
    if (cycles < BINS_PER_DOUBLING)
        return (unsigned)cycles;
    unsigned top = 63 - (unsigned)__builtin_clzll(cycles);
    return (top - BIN_BITS + 1) * BINS_PER_DOUBLING + (unsigned)(cycles >> (top - BIN_BITS) & (BINS_PER_DOUBLING - 1));
}

/* The first number of cycles that is above the bin. */
static double bin_end(unsigned bin)
{
    if (bin < BINS_PER_DOUBLING)
        return bin + 1;
    unsigned shift = bin / BINS_PER_DOUBLING - 1;
    return (double)((uint64_t)(BINS_PER_DOUBLING + bin % BINS_PER_DOUBLING + 1) << shift);
}

static struct moment moment_now(const struct latency *latency)
{
    struct moment moment = {0};
    if (latency->trace != NULL) {
        moment.events = events_now();
        trace_begin(latency->trace);
    }
    moment.cycles = cycles_now();
    return moment;
}

static void slow_note(struct latency *latency, enum timed_call call, const struct moment *begin, uint64_t cycles,
                      size_t size)
{
    struct slow slow = {.size = size};
    uint64_t overhead;
    slow.step_count = trace_end(slow.steps, &slow.traced, &overhead);
    slow.cycles = cycles > overhead ? cycles - overhead : 0;
    slow.events = events_since(&begin->events);
    struct slowest *slowest = &latency->slowest[call];
    if (!latency->is_open)
        return;
    if (++latency->traced_calls == TRACED_CALLS)
        latency->trace = NULL;
    if (slow.events.preemptions == 0)
        slowest_add(slowest, &slow);
    else {
        slowest->preempted++;
        slowest->preempted_max = cycles > slowest->preempted_max ? cycles : slowest->preempted_max;
    }
}

static void latency_note(struct latency *latency, enum timed_call call, const struct moment *begin, size_t size)
{
    uint64_t cycles = cycles_now() - begin->cycles;
    cycles -= cycles < latency->overhead ? cycles : latency->overhead;
    if (latency->trace != NULL)
        slow_note(latency, call, begin, cycles, size);
    if (!latency->is_open)
        return;
    latency->bins[call][bin_of(cycles)]++;
    if (cycles > latency->max[call])
        latency->max[call] = cycles;
}

void *latency_malloc(struct latency *latency, size_t size)
{
    struct moment begin = moment_now(latency);
    void *data = malloc(size);
    latency_note(latency, TIMED_MALLOC, &begin, size);
    return data;
}

void *latency_calloc(struct latency *latency, size_t size)
{
    struct moment begin = moment_now(latency);
    void *data = calloc(1, size);
    latency_note(latency, TIMED_MALLOC, &begin, size);
    return data;
}

/* NULL when there is none. */
void *latency_aligned(struct latency *latency, size_t alignment, size_t size)
{
    void *data = NULL;
    struct moment begin = moment_now(latency);
    int error = posix_memalign(&data, alignment, size);
    latency_note(latency, TIMED_MALLOC, &begin, size);
    return error == 0 ? data : NULL;
}

void *latency_realloc(struct latency *latency, void *data, size_t size)
{
    struct moment begin = moment_now(latency);
    void *moved = realloc(data, size);
    latency_note(latency, TIMED_REALLOC, &begin, size);
    return moved;
}

void latency_free(struct latency *latency, void *data)
{
    struct moment begin = moment_now(latency);
    free(data);
    latency_note(latency, TIMED_FREE, &begin, 0);
}

/* ---- Output ------------------------------------------------------------------------------------------------------ */

static uint64_t calls_count(const struct latency *latency, enum timed_call call)
{
    uint64_t calls = 0;
    for (unsigned bin = 0; bin < BINS; bin++)
        calls += latency->bins[call][bin];
    return calls;
}

/* The duration that the given part of all calls did not exceed. */
static double percentile_ns(const struct latency *latency, enum timed_call call, double part)
{
    double left = (double)calls_count(latency, call) * part;
    unsigned bin = 0;
    while (bin < BINS - 1 && (left -= (double)latency->bins[call][bin]) > 0)
        bin++;
    double max = (double)latency->max[call];
    return (bin_end(bin) < max ? bin_end(bin) : max) / run.cycles_per_ns;
}

static void histogram_print(const struct latency *latency, enum timed_call call)
{
    const char *separator = "";
    for (unsigned bin = 0; bin < BINS; bin += BINS_PER_PRINTED) {
        uint64_t count = 0;
        for (unsigned i = bin; i < bin + BINS_PER_PRINTED; i++)
            count += latency->bins[call][i];
        if (count == 0)
            continue;
        double end = bin_end(bin + BINS_PER_PRINTED - 1) / run.cycles_per_ns;
        printf("%s[%.1f, %llu]", separator, end, (unsigned long long)count);
        separator = ", ";
    }
}

/* A step is told as the distance of its function from the beginning of the library. */
static void slow_print(const struct slow *slow)
{
    printf("{\"ns\": %.1f, \"size\": %zu, \"faults\": %ld, \"waits\": %ld, \"traced\": %.1f, \"steps\": [",
           (double)slow->cycles / run.cycles_per_ns, slow->size, slow->events.faults, slow->events.waits,
           (double)slow->traced / run.cycles_per_ns);
    const char *separator = "";
    for (unsigned i = 0; i < slow->step_count; i++) {
        Dl_info info;
        if (dladdr(slow->steps[i].function, &info) == 0)
            continue;
        printf("%s[%td, %.1f]", separator, (char *)slow->steps[i].function - (char *)info.dli_fbase,
               (double)slow->steps[i].cycles / run.cycles_per_ns);
        separator = ", ";
    }
    printf("]}");
}

static void call_print_json(const struct latency *latency, enum timed_call call)
{
    static const struct {
        const char *name;
        double part;
    } percentiles[] = {{"p50", 0.5}, {"p99", 0.99}, {"p99.9", 0.999}, {"p99.99", 0.9999}, {"p99.9999", 0.999999}};

    printf("\"%s\": {\"calls\": %llu, ", call_names[call], (unsigned long long)calls_count(latency, call));
    for (size_t i = 0; i < sizeof percentiles / sizeof *percentiles; i++)
        printf("\"%s\": %.1f, ", percentiles[i].name, percentile_ns(latency, call, percentiles[i].part));
    printf("\"max\": %.1f, \"histogram\": [", (double)latency->max[call] / run.cycles_per_ns);
    histogram_print(latency, call);
    printf("], \"preempted\": [%llu, %.1f], \"slowest\": [", (unsigned long long)latency->slowest[call].preempted,
           (double)latency->slowest[call].preempted_max / run.cycles_per_ns);
    for (size_t i = 0; i < latency->slowest[call].count; i++) {
        printf("%s", i == 0 ? "" : ", ");
        slow_print(&latency->slowest[call].calls[i]);
    }
    printf("]}");
}

static void slowest_join(struct slowest *sum, const struct slowest *more)
{
    for (size_t i = 0; i < more->count; i++)
        slowest_add(sum, &more->calls[i]);
    sum->preempted += more->preempted;
    if (more->preempted_max > sum->preempted_max)
        sum->preempted_max = more->preempted_max;
}

static void latency_add(struct latency *sum, const struct latency *more)
{
    for (unsigned call = 0; call < TIMED_COUNT; call++) {
        for (unsigned bin = 0; bin < BINS; bin++)
            sum->bins[call][bin] += more->bins[call][bin];
        if (more->max[call] > sum->max[call])
            sum->max[call] = more->max[call];
        slowest_join(&sum->slowest[call], &more->slowest[call]);
    }
}

/* Of calls that the workload makes. */
double latency_print_json(void)
{
    struct latency *sum = run.workers[0].latency;
    for (unsigned i = 1; i < run.worker_count; i++)
        latency_add(sum, run.workers[i].latency);
    printf(", \"latency\": {");
    const char *separator = "";
    for (unsigned call = 0; call < TIMED_COUNT; call++)
        if (sum->max[call] > 0) {
            printf("%s", separator);
            call_print_json(sum, call);
            separator = ", ";
        }
    printf("}");
    return percentile_ns(sum, TIMED_MALLOC, 0.999);
}
