/* hakmem-workloads - runs one variant of one workload and prints what came of it as a line of JSON.
 *
 *   hakmem-workloads --list
 *   hakmem-workloads --host
 *   hakmem-workloads VARIANT [--seconds S] [--warmup S] [--idle S] [--seed N] [--pin 0|1] [--calls 0|1] [--slowest N]
 *
 * --host: what a page fault, a system call, a cache miss and a huge page take here. --calls 1: every call is timed by
 * itself, which disturbs what the workload measures. --slowest: with what the slowest of these did.
 *
 * Exit status: 0; 1 something failed; 2 wrong usage; 3 a block was wrong: it lost what was written to it, say.
 * SPDX-License-Identifier: MIT */
#include "workloads.h"

#include <math.h>
#include <stdio.h>

enum { DEFAULT_SEED = 20251, WARMUP_MS = 200, IDLE_SECONDS = 10, SECONDS_MAX = 3600, SLOWEST_MAX = 1000 };

/* ---- --list ------------------------------------------------------------------------------------------------------ */

static double variant_seconds(const struct variant *variant) { return variant->seconds > 0 ? variant->seconds : 1; }

static void variant_print(const struct variant *variant)
{
    printf("{\"id\": \"%s\", \"title\": \"%s\", \"threads\": %u, \"args\": [\"%s\"], ", variant->id, variant->title,
           variant->threads, variant->id);
    printf("\"quick\": %s, \"check\": %s, \"idles\": %s, \"seconds\": %g, \"extra_seconds\": %g}",
           variant->use & USE_QUICK ? "true" : "false", variant->use & USE_CHECK ? "true" : "false",
           variant->idles ? "true" : "false", variant_seconds(variant),
           variant->extra_seconds + (variant->idles ? IDLE_SECONDS : 0));
}

static void workload_print(const struct workload *workload)
{
    printf("{\"name\": \"%s\", \"group\": \"%s\", \"title\": \"%s\", \"about\": \"%s\", ", workload->name,
           workload->group, workload->title, workload->about);
    printf("\"kind\": \"%s\", \"unit\": \"%s\", \"better\": \"%s\", \"deterministic\": true, \"variants\": [",
           workload->kind, workload->unit, workload->better);
}

static void list_print(void)
{
    printf("[");
    for (size_t i = 0; i < variant_count; i++) {
        bool is_first = i == 0 || variants[i].workload != variants[i - 1].workload;
        if (is_first && i > 0)
            printf("]},\n");
        if (is_first)
            workload_print(variants[i].workload);
        printf("%s\n  ", is_first ? "" : ",");
        variant_print(&variants[i]);
    }
    printf("]}]\n");
}

/* ---- The command line -------------------------------------------------------------------------------------------- */

static int usage(void)
{
    fprintf(stderr, "usage: hakmem-workloads --list\n"
                    "       hakmem-workloads --host\n"
                    "       hakmem-workloads VARIANT [--seconds S] [--warmup S] [--idle S] [--seed N] [--pin 0|1]\n"
                    "                        [--calls 0|1] [--slowest N]\n");
    return 2;
}

static bool seconds_parse(const char *text, double *seconds)
{
    char *end;
    *seconds = strtod(text, &end);
    return end != text && *end == '\0' && *seconds >= 0 && *seconds <= SECONDS_MAX;
}

static bool number_parse(const char *text, uint64_t *number)
{
    char *end;
    *number = strtoull(text, &end, 0);
    return end != text && *end == '\0';
}

static bool flag_parse(const char *text, bool *flag)
{
    uint64_t number;
    if (!number_parse(text, &number) || number > 1)
        return false;
    *flag = number == 1;
    return true;
}

static bool option_parse(const char *name, const char *text)
{
    if (strcmp(name, "--seconds") == 0)
        return seconds_parse(text, &run.seconds);
    if (strcmp(name, "--warmup") == 0)
        return seconds_parse(text, &run.warmup);
    if (strcmp(name, "--idle") == 0)
        return seconds_parse(text, &run.idle);
    if (strcmp(name, "--seed") == 0)
        return number_parse(text, &run.seed);
    if (strcmp(name, "--pin") == 0)
        return flag_parse(text, &run.is_pinned);
    if (strcmp(name, "--calls") == 0)
        return flag_parse(text, &run.times_calls);
    return strcmp(name, "--slowest") == 0 && number_parse(text, &run.slowest) && run.slowest <= SLOWEST_MAX;
}

static const struct variant *variant_find(const char *id)
{
    for (size_t i = 0; i < variant_count; i++)
        if (strcmp(variants[i].id, id) == 0)
            return &variants[i];
    return NULL;
}

static bool run_parse(int argc, char **argv)
{
    run.variant = argc > 1 ? variant_find(argv[1]) : NULL;
    if (run.variant == NULL)
        return false;
    run.seconds = variant_seconds(run.variant);
    run.warmup = WARMUP_MS * 1e-3;
    run.idle = IDLE_SECONDS;
    run.seed = DEFAULT_SEED;
    run.is_pinned = true;
    run.value = NAN;
    for (unsigned i = 0; i < RSS_COUNT; i++)
        run.rss[i] = -1;
    for (int i = 2; i < argc; i += 2)
        if (i + 1 == argc || !option_parse(argv[i], argv[i + 1]))
            return false;
    return true;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        list_print();
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "--host") == 0) {
        host_print();
        return 0;
    }
    if (!run_parse(argc, argv))
        return usage();
    uint64_t begin_ns = clock_ns();
    uint64_t begin_cycles = cycles_now();
    run.variant->workload->run();
    run.cycles_per_ns = (double)(cycles_now() - begin_cycles) / (double)(clock_ns() - begin_ns);
    if (run.rss[RSS_FREED] < 0)
        rss_note(RSS_FREED);
    result_print();
    return 0;
}
