/* result.c - the line of JSON that a run ends with.
 * SPDX-License-Identifier: MIT */
#include "harness.h"

#include "hakmem.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>

enum { STATS = 256 };

/* ---- Who served -------------------------------------------------------------------------------------------------- */

/* The functions of the family that workloads call, each with the object whose function answers. */
static void objects_print(void)
{
    static const char *const calls[] = {"malloc", "free", "calloc", "realloc", "posix_memalign"};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        Dl_info info;
        void *address = dlsym(RTLD_DEFAULT, calls[i]);
        if (address != NULL && dladdr(address, &info) != 0)
            printf("\"%s\": \"%s\", ", calls[i], info.dli_fname);
    }
}

/* How many allocations each layer of hakmem served. */
static void layers_print(void)
{
    static const char *const layers[] = {"ring", "depot", "page", "zeroed", "large", "direct"};
    static hak_stat_t stats[STATS];
    size_t (*stats_get)(hak_stat_t *, size_t);
    *(void **)&stats_get = dlsym(RTLD_DEFAULT, "hak_stats");
    if (stats_get == NULL) {
        printf("\"hakmem\": null");
        return;
    }
    size_t count = stats_get(stats, STATS);
    const char *separator = "";
    printf("\"hakmem\": {");
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
        for (size_t k = 0; k < count && k < STATS; k++)
            if (strncmp(stats[k].name, "malloc.", 7) == 0 && strcmp(stats[k].name + 7, layers[i]) == 0) {
                printf("%s\"%s\": %llu", separator, layers[i], (unsigned long long)stats[k].value);
                separator = ", ";
            }
    printf("}");
}

/* ---- What was measured ------------------------------------------------------------------------------------------- */

/* Each worker's own rate, from its own steady state, added up: of all its time, or of the time it counted as busy. */
static double rate_sum(void)
{
    double rate = 0;
    for (unsigned i = 0; i < run.worker_count; i++) {
        const struct progress *begin = &run.workers[i].begin;
        const struct progress *end = &run.workers[i].end;
        uint64_t ns = end->busy_ns != begin->busy_ns ? end->busy_ns - begin->busy_ns : end->ns - begin->ns;
        if (ns > 0)
            rate += (double)(end->operations - begin->operations) / ((double)ns * 1e-9);
    }
    return rate;
}

static void usage_print(void)
{
    const struct usage *begin = &run.begin_usage;
    const struct usage *end = &run.end_usage;
    printf(", \"seconds\": %.6f, \"user\": %.6f, \"system\": %.6f", (double)(run.end_ns - run.begin_ns) * 1e-9,
           end->user - begin->user, end->system - begin->system);
    printf(", \"minor_faults\": %ld, \"major_faults\": %ld, \"voluntary_switches\": %ld, \"involuntary_switches\": %ld",
           end->minor_faults - begin->minor_faults, end->major_faults - begin->major_faults,
           end->voluntary_switches - begin->voluntary_switches,
           end->involuntary_switches - begin->involuntary_switches);
}

void result_print(void)
{
    uint64_t operations = 0, checksum = 0;
    for (unsigned i = 0; i < run.worker_count; i++) {
        const struct worker *worker = &run.workers[i];
        operations += worker->end.ns != 0 ? worker->end.operations - worker->begin.operations : worker->operations;
        checksum += worker->checksum;
    }
    printf("{\"variant\": \"%s\", \"unit\": \"%s\", \"operations\": %llu, \"checksum\": \"%016llx\"", run.variant->id,
           run.variant->workload->unit, (unsigned long long)operations, (unsigned long long)checksum);
    usage_print();
    rss_print_json();
    double value = isnan(run.value) ? rate_sum() : run.value;
    if (run.workers[0].latency != NULL) {
        double slow = latency_print_json();
        value = run.variant->is_timed ? slow : value;
    }
    printf(", \"value\": %.10g, \"service\": {", value);
    objects_print();
    layers_print();
    printf("}}\n");
}
