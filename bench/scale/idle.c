/* idle.c - the memory of threads that have allocated something, have freed all of it, and wait: stack, thread control
 * block, and what the allocator keeps for each. The first two are what threads take that never called malloc.
 * SPDX-License-Identifier: MIT */
#include "scale.h"

enum { MEMORY_PERCENT = 60 };
/* What a thread is expected to need at most. */
enum { THREAD_BYTES = 2 << 20 };

static const struct series counts = {{
    [SCALE_TINY] = {10, 50},
    [SCALE_MODEST] = {100},
    [SCALE_FULL] = {100, 1000},
}};

static unsigned idle_cases(void) { return 2 * series_length(&counts, options.threads); }

static double kb_each(uint64_t before, uint64_t count)
{
    return ((double)memory_field_kb("Anonymous:") - (double)before) / (double)count;
}

static void idle_run(unsigned number)
{
    bool call_malloc = number % 2 == 1;
    uint64_t count = series_step(&counts, options.threads, number / 2);
    case_name("%u threads%s", (unsigned)count, call_malloc ? "" : " without malloc");
    if (!machine_allows(0, count * THREAD_BYTES, MEMORY_PERCENT))
        return;
    uint64_t before = memory_field_kb("Anonymous:");
    threads_idle((unsigned)count, call_malloc);
    double at_once = kb_each(before, count);
    sleep_seconds(options.scale == SCALE_TINY ? 0.1 : 2);
    case_row((double[COLUMNS]){at_once, kb_each(before, count)});
}

const struct measurement idle = {
    .name = "idle",
    .about = "kB for each idle thread: at once, and 2 s later",
    .label = "all idle",
    .uses = OPTION_THREADS,
    .columns = {{"each", "thread_kb", UNIT_KB}, {"later", "thread_later_kb", UNIT_KB}},
    .cases = idle_cases,
    .run = idle_run,
};
