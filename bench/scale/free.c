/* free.c - the slowest free, when a large heap is freed in random order. Who gives memory back at once what it has put
 * off for long, or walks through all of it, does so within one of these calls.
 * SPDX-License-Identifier: MIT */
#include "scale.h"

#include <stdlib.h>

enum { BLOCK_BYTES = 4000, MEMORY_PERCENT = 60 };

static const struct series heaps = {{
    [SCALE_TINY] = {16 * MIB, 64 * MIB},
    [SCALE_MODEST] = {1 * GIB, 2 * GIB},
    [SCALE_FULL] = {1 * GIB, 4 * GIB, 12 * GIB},
}};

static unsigned free_cases(void) { return series_length(&heaps, options.max_bytes); }

static void blocks_shuffle(void **blocks, size_t count)
{
    struct random random = {.state = 1};
    for (size_t i = count; i > 1; i--) {
        size_t other = random_below(&random, i);
        void *block = blocks[i - 1];
        blocks[i - 1] = blocks[other];
        blocks[other] = block;
    }
}

static void free_run(unsigned number)
{
    char text[SIZE_TEXT];
    uint64_t heap = series_step(&heaps, options.max_bytes, number);
    size_t count = (size_t)(heap / BLOCK_BYTES);
    case_name("%s", size_text(heap, text));
    if (!machine_allows(heap * 11 / 10, heap * 21 / 20 + count * (sizeof(void *) + sizeof(uint64_t)), MEMORY_PERCENT))
        return;
    void **blocks = own_alloc(count * sizeof *blocks);
    struct samples samples = samples_make(count);
    for (size_t i = 0; i < count; i++)
        blocks[i] = block_make_touched(BLOCK_BYTES);
    blocks_shuffle(blocks, count);
    for (size_t i = 0; i < count; i++) {
        uint64_t begin = clock_ns();
        free(blocks[i]);
        samples_add(&samples, clock_since(begin));
    }
    case_row((double[COLUMNS]){(double)count, samples_median(&samples), samples_part(&samples, 0.9999),
                               (double)samples.worst});
}

const struct measurement free_random = {
    .name = "free",
    .about = "free of blocks of 4000 bytes in random order",
    .label = "heap, touched",
    .uses = OPTION_MAX,
    .columns = {{"blocks", "blocks", UNIT_COUNT},
                {"median", "median_ns", UNIT_TIME},
                {"99.99 %", "p9999_ns", UNIT_TIME},
                {"slowest", "worst_ns", UNIT_TIME}},
    .cases = free_cases,
    .run = free_run,
};
