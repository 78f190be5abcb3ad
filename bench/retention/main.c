/* hakmem-retention - replays a trace on hakmem's heap, and tells what the law of retention keeps and what that saves,
 * beside the best decisions in hindsight and models of peers.
 *
 *   hakmem-retention [--touch NS] [--keep MS] TRACE
 *
 * Exit status: 0; 1 the trace is wrong, or the heap; 2 wrong usage.
 * SPDX-License-Identifier: MIT */
#include "retention.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct options options = {.touch_ns = 10000, .price_us = 500 * 1000};
uint64_t now_us;

void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "hakmem-retention: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    exit(1);
}

static void usage(int status)
{
    fprintf(status ? stderr : stdout,
            "usage: hakmem-retention [--touch NS] [--keep MS] TRACE\n"
            "  --touch NS   what a page fault takes (%" PRIu64 ")\n"
            "  --keep MS    keeping a page for so long costs as much as a page fault (%" PRIu64 ")\n"
            "  TRACE        what hakmem-recorder.so has written; bench/retention/replay.c has the form\n",
            options.touch_ns, options.price_us / 1000);
    exit(status);
}

static uint64_t number_parse(const char *text)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno || *text == '-' || end == text || *end || number == 0 || number > 1000u * 1000 * 1000)
        fail("'%s' is no number from 1 to 1000000000", text);
    return number;
}

static const char *options_parse(int argc, char **argv)
{
    static const struct option known[] = {{"touch", required_argument, NULL, 't'},
                                          {"keep", required_argument, NULL, 'k'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;)
        switch (c) {
        case 't': options.touch_ns = number_parse(optarg); break;
        case 'k': options.price_us = number_parse(optarg) * 1000; break;
        case 'h': usage(0); break;
        default: usage(2);
        }
    if (argc - optind != 1)
        usage(2);
    return argv[optind];
}

/* The learner and samples would bring what no trace has: other programs' processor time, and chance. */
static void settings_fix(char **argv)
{
    if (getenv("HAKMEM_LEARN") && getenv("HAKMEM_SAMPLE"))
        return;
    setenv("HAKMEM_LEARN", "off", 1);
    setenv("HAKMEM_SAMPLE", "0", 1);
    execv("/proc/self/exe", argv);
    fail("cannot start again with HAKMEM_LEARN=off");
}

/* Pages of memory times microseconds, as MiB kept all the time. */
static double mib(double page_us) { return now_us ? page_us * MEMORY_PAGE / (1 << 20) / (double)now_us : 0; }

/* In page faults: keeping a page for as long as breaks even is one. */
static double cost_of(double kept_us, double faults) { return faults + kept_us / (double)options.price_us; }

static void row_print(const char *name, double kept_us, double faults)
{
    double ms = cost_of(kept_us, faults) * (double)options.touch_ns / 1e6;
    printf("%s\t%.0f\t%.3f\t%.0f\t%.3f\n", name, kept_us, mib(kept_us), faults, ms);
}

static void account_print(const char *name, struct account account)
{
    row_print(name, (double)account.kept_us, (double)account.faults);
}

static void report(struct replay replay)
{
    struct account law = memory.follower[FOLLOWER_LAW];
    printf("# calls\t%" PRIu64 "\n# seconds\t%.6f\n# live MiB\t%.3f\n# in use MiB\t%.3f\n# most in use MiB\t%.3f\n"
           "# most resident MiB\t%.3f\n# first touches\t%" PRIu64 "\n# counted MiB\t%.3f\n# may MiB\t%.3f\n",
           replay.calls, (double)now_us / 1e6, mib(replay.fluid.live_us), mib((double)memory.in_use_us),
           (double)memory.in_use_most * MEMORY_PAGE / (1 << 20), (double)memory.law_most * MEMORY_PAGE / (1 << 20),
           memory.first_touches, mib(replay.counted_us),
           mib(replay.may_us));
    printf("# policy\tkept page us\tkept MiB\tfaults\tcost ms\n");
    row_print("hindsight, any placement", replay.fluid.kept_us, replay.fluid.faults);
    account_print("hindsight", memory_in_hindsight());
    account_print("hindsight, the law's faults", memory_with_faults(law.faults));
    account_print("law", law);
    account_print("at once", memory_by_delay(0));
    account_print("break-even", memory_by_delay(options.price_us));
    account_print("never", memory_by_delay(DELAY_NEVER));
    account_print("glibc", memory.follower[FOLLOWER_GLIBC]);
    account_print("jemalloc", memory.follower[FOLLOWER_JEMALLOC]);
    account_print("mimalloc 2", memory_by_delay(10 * 1000));
    account_print("mimalloc 3", memory_by_delay(1000 * 1000));
    account_print("tcmalloc", memory.follower[FOLLOWER_TCMALLOC]);
}

int main(int argc, char **argv)
{
    const char *path = options_parse(argc, argv);
    settings_fix(argv);
    memory_start();
    report(replay_file(path));
    return 0;
}
