/* runs.c - malloc of more than a superslab, in a heap full of holes that are each too small for it. Who looks for room
 * hole by hole takes longer the larger the heap is.
 * SPDX-License-Identifier: MIT */
#include "scale.h"

#include <stdlib.h>

enum { HOLE_BYTES = 2 << 20, BLOCK_BYTES = 3 << 20, BLOCKS = 300, MEMORY_PERCENT = 60 };

static const struct series heaps = {{
    [SCALE_TINY] = {64 * MIB, 256 * MIB},
    [SCALE_MODEST] = {1 * GIB, 10 * GIB, 50 * GIB},
    [SCALE_FULL] = {1 * GIB, 10 * GIB, 50 * GIB, 200 * GIB},
}};

static unsigned runs_cases(void) { return series_length(&heaps, options.max_bytes); }

static void *malloc_timed(struct samples *samples)
{
    uint64_t begin = clock_ns();
    void *block = malloc(BLOCK_BYTES);
    samples_add(samples, clock_since(begin));
    if (block == NULL)
        case_fail("malloc(3 MiB) returned NULL");
    return block;
}

static void runs_measure(void)
{
    void **blocks = own_alloc(BLOCKS * sizeof *blocks);
    struct samples fresh = samples_make(BLOCKS), again = samples_make(BLOCKS);
    for (unsigned i = 0; i < BLOCKS; i++)
        blocks[i] = malloc_timed(&fresh);
    for (unsigned i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    for (unsigned i = 0; i < BLOCKS; i++)
        free(malloc_timed(&again));
    case_row(
        (double[COLUMNS]){samples_median(&fresh), (double)fresh.worst, samples_median(&again), (double)again.worst});
}

static void runs_run(unsigned number)
{
    char text[SIZE_TEXT];
    uint64_t heap = series_step(&heaps, options.max_bytes, number);
    size_t count = (size_t)(heap / HOLE_BYTES);
    case_name("%s", size_text(heap, text));
    if (!machine_allows(heap + BLOCKS * (uint64_t)BLOCK_BYTES, count * header_bytes(), MEMORY_PERCENT))
        return;
    void **blocks = own_alloc(count * sizeof *blocks);
    if (!blocks_make_untouched(blocks, count, HOLE_BYTES, MEMORY_PERCENT))
        return;
    for (size_t i = 0; i < count; i += 2)
        free(blocks[i]);
    runs_measure();
}

const struct measurement runs = {
    .name = "runs",
    .about = "malloc(3 MiB) where every second block of 2 MiB is free",
    .label = "heap, untouched",
    .uses = OPTION_MAX,
    .columns = {{"median", "median_ns", UNIT_TIME},
                {"worst", "worst_ns", UNIT_TIME},
                {"reused", "reused_median_ns", UNIT_TIME},
                {"worst", "reused_worst_ns", UNIT_TIME}},
    .cases = runs_cases,
    .run = runs_run,
};
