/* growth.c - blocks that are made and never written to, until there can be no more: how far a heap can grow, and
 * whether the next block takes longer the larger it is.
 * SPDX-License-Identifier: MIT */
#include "scale.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOTAL_PERCENT = 40, AVAILABLE_PERCENT = 80, DEFAULT_SECONDS = 300, LOOKS_PER_ROW = 64, LOOK_EVERY_MAX = 1024 };

_Static_assert(TOTAL_PERCENT == 40 && AVAILABLE_PERCENT == 80, "memory_bound_find names them");

/* Blocks that are made, and when to stop. */
struct growing {
    size_t size, alignment; /* 0: malloc */
    uint64_t limit;         /* blocks */
    uint64_t first_row;     /* blocks; the rows that follow end at 10 times as many each */
    void (*name)(const struct growing *growing);

    uint64_t made;
    uint64_t memory_bound, memory; /* that the process may take, and takes */
    const char *bound_name;
    uint64_t deadline_ns;
    char end[TEXT_SIZE]; /* why it ended; "": it goes on */
};

static double seconds_asked(void) { return options.seconds > 0 ? options.seconds : DEFAULT_SECONDS; }

/* Of what one row sums up. */
struct stretch {
    uint64_t blocks, ns, worst;
};

static void growing_make(struct growing *growing, struct stretch *stretch)
{
    uint64_t begin = clock_ns();
    void *block = growing->alignment == 0 ? malloc(growing->size) : aligned_alloc(growing->alignment, growing->size);
    int error = errno;
    uint64_t took = clock_since(begin);
    if (block == NULL) {
        snprintf(growing->end, sizeof growing->end, "NULL: %s", strerror(error));
        return;
    }
    growing->made++;
    stretch->blocks++;
    stretch->ns += took;
    stretch->worst = took > stretch->worst ? took : stretch->worst;
}

static void growing_look(struct growing *growing)
{
    char text[SIZE_TEXT];
    growing->memory = memory_used();
    if (growing->memory > growing->memory_bound)
        snprintf(growing->end, sizeof growing->end, "the process and its page tables take %s, %s",
                 size_text(growing->memory, text), growing->bound_name);
    else if (clock_ns() > growing->deadline_ns)
        snprintf(growing->end, sizeof growing->end, "%.4g s are over", seconds_asked());
    else if (growing->made >= growing->limit)
        snprintf(growing->end, sizeof growing->end, "that was the limit");
}

/* Up to that many in all, or the end. */
static void growing_row(struct growing *growing, uint64_t until)
{
    struct stretch stretch = {0};
    uint64_t look_every = (until - growing->made) / LOOKS_PER_ROW + 1;
    look_every = look_every < LOOK_EVERY_MAX ? look_every : LOOK_EVERY_MAX;
    while (growing->made < until && growing->end[0] == '\0') {
        growing_make(growing, &stretch);
        if (growing->end[0] == '\0' && growing->made % look_every == 0)
            growing_look(growing);
    }
    if (growing->end[0] == '\0')
        growing_look(growing);
    growing->memory = memory_used();
    growing->name(growing);
    if (stretch.blocks > 0)
        case_row((double[COLUMNS]){(double)growing->made, (double)stretch.ns / (double)stretch.blocks,
                                   (double)stretch.worst, (double)growing->memory});
}

static void memory_bound_find(struct growing *growing)
{
    uint64_t of_total = memory_total() / 100 * TOTAL_PERCENT;
    uint64_t of_available = memory_available() / 100 * AVAILABLE_PERCENT;
    growing->memory_bound = of_total < of_available ? of_total : of_available;
    growing->bound_name =
        of_total < of_available ? "the bound: 40 % of all memory" : "the bound: 80 % of what was available";
}

static void growing_run(struct growing *growing)
{
    char text[SIZE_TEXT];
    memory_bound_find(growing);
    growing->deadline_ns = clock_ns() + (uint64_t)(seconds_asked() * 1e9);
    for (uint64_t row = growing->first_row; growing->end[0] == '\0'; row *= 10)
        growing_row(growing, row < growing->limit ? row : growing->limit);
    case_note("ended with %llu blocks, %s: %s", (unsigned long long)growing->made,
              size_text(growing->made * growing->size, text), growing->end);
}

/* ---- growth: 1 MiB each ------------------------------------------------------------------------------------------ */

static const struct series heaps = {{
    [SCALE_TINY] = {2 * GIB},
    [SCALE_MODEST] = {1 * TIB},
    [SCALE_FULL] = {64 * TIB},
}};

static void name_by_size(const struct growing *growing)
{
    char text[SIZE_TEXT];
    case_name("to %s", size_text(growing->made * growing->size, text));
}

static void growth_run(unsigned number)
{
    (void)number;
    uint64_t limit = options.max_bytes != 0 ? options.max_bytes : series_step(&heaps, 0, 0);
    struct growing growing = {.size = MIB, .limit = limit / MIB, .first_row = 1024, .name = name_by_size};
    if (growing.limit == 0)
        growing.limit = 1;
    name_by_size(&growing);
    growing_run(&growing);
}

static unsigned growth_cases(void) { return 1; }

const struct measurement growth = {
    .name = "growth",
    .about = "blocks of 1 MiB, untouched, until malloc fails or a limit is reached",
    .label = "heap",
    .uses = OPTION_MAX | OPTION_SECONDS,
    .columns = {{"blocks", "blocks", UNIT_COUNT},
                {"malloc", "mean_ns", UNIT_TIME},
                {"slowest", "worst_ns", UNIT_TIME},
                {"memory", "memory_bytes", UNIT_BYTES}},
    .cases = growth_cases,
    .run = growth_run,
};

/* ---- huge: 64 MiB each, and a large alignment -------------------------------------------------------------------- */

static const struct series huge_counts = {{
    [SCALE_TINY] = {100},
    [SCALE_MODEST] = {10000},
    [SCALE_FULL] = {100000},
}};
static const struct series aligned_counts = {{
    [SCALE_TINY] = {10},
    [SCALE_MODEST] = {1000},
    [SCALE_FULL] = {10000},
}};

static void name_by_count(const struct growing *growing)
{
    case_name("%s, to %llu", growing->alignment == 0 ? "malloc" : "aligned to 1 GiB",
              (unsigned long long)growing->made);
}

/* First malloc, then aligned_alloc. */
static void huge_run(unsigned number)
{
    struct growing growing = {.size = 64 * MIB, .alignment = number == 0 ? 0 : GIB, .first_row = 10};
    growing.name = name_by_count;
    growing.limit = series_step(number == 0 ? &huge_counts : &aligned_counts, 0, 0);
    uint64_t asked = options.max_bytes / (number == 0 ? growing.size : growing.alignment);
    if (options.max_bytes != 0)
        growing.limit = asked == 0 ? 1 : asked;
    name_by_count(&growing);
    growing_run(&growing);
}

static unsigned huge_cases(void) { return 2; }

const struct measurement huge = {
    .name = "huge",
    .about = "blocks of 64 MiB, untouched; the same with an alignment of 1 GiB",
    .label = "blocks",
    .uses = OPTION_MAX | OPTION_SECONDS,
    .columns = {{"blocks", "blocks", UNIT_COUNT},
                {"each", "mean_ns", UNIT_TIME},
                {"slowest", "worst_ns", UNIT_TIME},
                {"memory", "memory_bytes", UNIT_BYTES}},
    .cases = huge_cases,
    .run = huge_run,
};
