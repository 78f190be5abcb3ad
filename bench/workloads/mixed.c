/* mixed.c - blocks of the same size that live short and long, from different call sites, in phases of different sizes.
 * SPDX-License-Identifier: MIT */
#include "workloads.h"

enum {
    PHASES = 24,
    KEPT_ONE_IN = 20,
    KEPT_PHASES = 8, /* for how long a kept block lives */
    STEPS_PER_SAMPLE = 4096
};

#define PHASE_BYTES ((size_t)16 << 20)

static const unsigned short phase_sizes[] = {48, 128, 32, 256, 80, 512, 64, 384};

/* The blocks of one phase: as many as fit into its bytes. */
struct batch {
    struct block *blocks;
    size_t count, capacity;
};

struct mixed {
    struct batch passing;           /* freed at the phase's end, in random order */
    struct batch kept[KEPT_PHASES]; /* freed when as many phases have passed */
    double resident_sum, live_sum;  /* over all samples */
    size_t live;                    /* bytes */
};

enum { MARK_AT = 8 }; /* offset of a byte that no check looks at */

/* One call site each, so that an allocator that looks at its caller can tell the two apart; and two functions that
 * differ, or the compiler would make them one. */
#define MAKER(name, mark)                                                               \
    __attribute__((noinline)) static struct block name(struct worker *worker, size_t size) \
    {                                                                                   \
        struct block block = block_make(worker, size);                                  \
        ((char *)block.data)[MARK_AT] = (mark);                                         \
        return block;                                                                   \
    }
MAKER(passing_make, 'p')
MAKER(kept_make, 'k')
#undef MAKER

static void batch_init(struct batch *batch, size_t capacity)
{
    *batch = (struct batch){.blocks = own_alloc(capacity * sizeof(struct block)), .capacity = capacity};
}

static void batch_add(struct mixed *mixed, struct batch *batch, struct block block)
{
    if (batch->count == batch->capacity)
        fail("a batch is full");
    batch->blocks[batch->count++] = block;
    mixed->live += block.size;
}

static void mixed_sample(struct mixed *mixed)
{
    rss_sample();
    mixed->resident_sum += (double)(rss_now() - run.rss[RSS_START]);
    mixed->live_sum += (double)mixed->live;
}

static void batch_free(struct worker *worker, struct mixed *mixed, struct batch *batch)
{
    while (batch->count > 0) {
        size_t number = random_below(&worker->random, batch->count);
        struct block block = batch->blocks[number];
        batch->blocks[number] = batch->blocks[--batch->count];
        mixed->live -= block.size;
        block_free(worker, &block);
        if (batch->count % STEPS_PER_SAMPLE == 0)
            mixed_sample(mixed);
    }
}

static void phase_work(struct worker *worker, struct mixed *mixed, unsigned phase)
{
    size_t size = phase_sizes[phase % (sizeof phase_sizes / sizeof *phase_sizes)];
    struct batch *kept = &mixed->kept[phase % KEPT_PHASES];
    batch_free(worker, mixed, kept);
    for (size_t step = 0; step < PHASE_BYTES / size; step++) {
        if (random_below(&worker->random, KEPT_ONE_IN) == 0)
            batch_add(mixed, kept, kept_make(worker, size));
        else
            batch_add(mixed, &mixed->passing, passing_make(worker, size));
        if (step % STEPS_PER_SAMPLE == 0)
            mixed_sample(mixed);
    }
    worker->operations += PHASE_BYTES / size;
    batch_free(worker, mixed, &mixed->passing);
}

static void mixed_work(struct worker *worker)
{
    struct mixed mixed = {0};
    batch_init(&mixed.passing, PHASE_BYTES / 32);
    for (unsigned i = 0; i < KEPT_PHASES; i++)
        batch_init(&mixed.kept[i], PHASE_BYTES / 32 / KEPT_ONE_IN * 2);
    worker->counted = UINT64_MAX;
    worker_start(worker);
    rss_note(RSS_START);
    steady_begin();
    for (unsigned phase = 0; phase < PHASES; phase++) {
        uint64_t begin = clock_ns();
        phase_work(worker, &mixed, phase);
        double left = run.seconds / PHASES - (double)(clock_ns() - begin) * 1e-9;
        rss_sleep(left > 0 ? left : 0);
        mixed_sample(&mixed);
    }
    steady_end();
    run.value = mixed.resident_sum / mixed.live_sum;
    for (unsigned i = 0; i < KEPT_PHASES; i++)
        batch_free(worker, &mixed, &mixed.kept[i]);
    rss_settle();
}

static void mixed_run(void) { workers_run(mixed_work); }

const struct workload mixed_lifetimes = {
    .name = "mixed-lifetimes",
    .group = "memory",
    .title = "Short and long lives of one size",
    .about =
        "Twenty-four phases, each with 16 MB of blocks of one size, from 32 to 512 bytes in turn. One block in twenty "
        "comes from another place in the program and stays for eight phases; the others are freed, in random order, at "
        "the phase's end. Memory between the blocks that stay can serve blocks of the same size only. The value is "
        "resident memory divided by live memory, on average.",
    .kind = "memory",
    .unit = "bytes resident per byte alive",
    .better = "lower",
    .run = mixed_run,
};
