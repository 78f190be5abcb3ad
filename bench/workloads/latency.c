/* latency.c - the duration of every single malloc and free, by the cycle counter. Its rate is found by comparing it
 * with the clock at both ends of a run, and what reading it costs is subtracted.
 * SPDX-License-Identifier: MIT */
#include "harness.h"

#include <stdio.h>

/* 32 bins for each doubling: a bin is at most 3 % wide. */
enum { BIN_BITS = 5, BINS_PER_DOUBLING = 1 << BIN_BITS, BINS = 60 * BINS_PER_DOUBLING };
/* As printed: 8 for each doubling, some 27 for each power of ten. */
enum { BINS_PER_PRINTED = 4 };

struct latency {
    bool is_open; /* in the steady state: durations are noted */
    uint64_t overhead;
    uint64_t bins[TIMED_CALLS][BINS];
    uint64_t max[TIMED_CALLS];
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
    struct latency *latency = own_alloc(sizeof *latency);
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

static void latency_note(struct latency *latency, enum timed_call call, uint64_t cycles)
{
    if (!latency->is_open)
        return;
    cycles -= cycles < latency->overhead ? cycles : latency->overhead;
    latency->bins[call][bin_of(cycles)]++;
    if (cycles > latency->max[call])
        latency->max[call] = cycles;
}

void *latency_malloc(struct latency *latency, size_t size)
{
    uint64_t begin = cycles_now();
    void *data = malloc(size);
    latency_note(latency, TIMED_MALLOC, cycles_now() - begin);
    return data;
}

void latency_free(struct latency *latency, void *data)
{
    uint64_t begin = cycles_now();
    free(data);
    latency_note(latency, TIMED_FREE, cycles_now() - begin);
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

static void call_print_json(const struct latency *latency, enum timed_call call, const char *name)
{
    static const struct {
        const char *name;
        double part;
    } percentiles[] = {{"p50", 0.5}, {"p99", 0.99}, {"p99.9", 0.999}, {"p99.99", 0.9999}};

    printf("\"%s\": {\"calls\": %llu, ", name, (unsigned long long)calls_count(latency, call));
    for (size_t i = 0; i < sizeof percentiles / sizeof *percentiles; i++)
        printf("\"%s\": %.1f, ", percentiles[i].name, percentile_ns(latency, call, percentiles[i].part));
    printf("\"max\": %.1f, \"histogram\": [", (double)latency->max[call] / run.cycles_per_ns);
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
    printf("]}");
}

double latency_print_json(void)
{
    struct latency *sum = run.workers[0].latency;
    for (unsigned i = 1; i < run.worker_count; i++) {
        const struct latency *latency = run.workers[i].latency;
        for (unsigned call = 0; call < TIMED_CALLS; call++) {
            for (unsigned bin = 0; bin < BINS; bin++)
                sum->bins[call][bin] += latency->bins[call][bin];
            if (latency->max[call] > sum->max[call])
                sum->max[call] = latency->max[call];
        }
    }
    printf(", \"latency\": {");
    call_print_json(sum, TIMED_MALLOC, "malloc");
    printf(", ");
    call_print_json(sum, TIMED_FREE, "free");
    printf("}");
    return percentile_ns(sum, TIMED_MALLOC, 0.999);
}
