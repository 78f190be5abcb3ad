/* slots.c - blocks come and go at random: an array of slots, of which one is picked and filled, or emptied if it is
 * full. The workloads made of it differ in sizes, in the number of slots and in the function that allocates.
 * SPDX-License-Identifier: MIT */
#include "workloads.h"

enum { BATCH = 16, ALIGNMENT_MIN = 32, ALIGNMENT_DOUBLINGS = 8 };

/* Of a block from calloc: all bytes of a small one, a sample of a larger one. */
static void zero_check(const unsigned char *data, size_t size)
{
    size_t step = size <= MEMORY_PAGE ? 1 : 1021;
    for (size_t i = 0; i < size; i += step)
        if (data[i] != 0)
            block_wrong(&(struct block){.data = (void *)data, .size = (uint32_t)size & INT32_MAX},
                        "came from calloc and is not zero");
}

static struct block block_calloc(struct worker *worker, size_t size)
{
    void *data = worker->latency != NULL ? latency_calloc(worker->latency, size) : calloc(1, size);
    if (data != NULL)
        zero_check(data, size);
    return block_adopt(worker, data, size);
}

static struct block block_aligned(struct worker *worker, size_t size)
{
    size_t alignment = (size_t)ALIGNMENT_MIN << random_below(&worker->random, ALIGNMENT_DOUBLINGS);
    void *data = NULL;
    if (worker->latency != NULL)
        data = latency_aligned(worker->latency, alignment, size);
    else if (posix_memalign(&data, alignment, size) != 0)
        data = NULL;
    if (data == NULL)
        fail("posix_memalign gave no block");
    if ((uintptr_t)data % alignment != 0)
        block_wrong(&(struct block){.data = data, .size = (uint32_t)size & INT32_MAX},
                    "does not have the alignment that was asked for");
    return block_adopt(worker, data, size);
}

static void slot_fill(struct worker *worker, struct block *slot)
{
    size_t size = size_draw(&worker->random, &run.variant->sizes);
    switch (run.variant->allocation) {
    case CALL_MALLOC:
        *slot = block_make(worker, size);
        break;
    case CALL_CALLOC:
        *slot = block_calloc(worker, size);
        break;
    case CALL_ALIGNED:
        *slot = block_aligned(worker, size);
        break;
    }
    if (run.variant->touches_pages)
        pages_write(slot, 0, slot->size);
}

static void slot_empty(struct worker *worker, struct block *slot)
{
    if (run.variant->touches_pages)
        pages_check(slot, 0, slot->size);
    block_free(worker, slot);
}

static void slots_work(struct worker *worker)
{
    size_t count = run.variant->live;
    struct block *slots = own_alloc(count * sizeof *slots);
    for (size_t i = 0; i < count; i += 2)
        slot_fill(worker, &slots[i]);
    worker_start(worker);
    do {
        for (unsigned i = 0; i < BATCH; i++) {
            struct block *slot = &slots[random_below(&worker->random, count)];
            if (slot->data == NULL)
                slot_fill(worker, slot);
            else
                slot_empty(worker, slot);
        }
    } while (worker_goes_on(worker, BATCH));
    for (size_t i = 0; i < count; i++)
        if (slots[i].data != NULL)
            slot_empty(worker, &slots[i]);
}

static void slots_run(void) { workers_run(slots_work); }

const struct workload random_mixed = {
    .name = "random",
    .group = "random",
    .title = "Random mixed",
    .about =
        "An array of slots; at each step a random one is filled with a block of random size, or its block is freed. "
        "Half of the slots are full on average. An operation is one malloc or one free.",
    .kind = "throughput",
    .unit = "operations/s",
    .better = "higher",
    .run = slots_run,
};

const struct workload zeroed = {
    .name = "calloc",
    .group = "sizes",
    .title = "Zeroed blocks",
    .about =
        "The random mix with calloc instead of malloc, and a look whether the blocks are zero. Tells which allocator "
        "knows what is zero already and which one clears it again. An operation is one calloc or one free.",
    .kind = "throughput",
    .unit = "operations/s",
    .better = "higher",
    .run = slots_run,
};

const struct workload large = {
    .name = "large",
    .group = "sizes",
    .title = "Large blocks",
    .about =
        "The random mix with few blocks of 64 KiB to 32 MiB, each doubling as likely. Either the ends of a block are "
        "touched or every page; a page that was given back to the system costs a page fault when it is touched again.",
    .kind = "throughput",
    .unit = "operations/s",
    .better = "higher",
    .run = slots_run,
};

const struct workload aligned = {
    .name = "aligned",
    .group = "sizes",
    .title = "Aligned blocks",
    .about = "The random mix with posix_memalign and alignments from 32 to 4096 bytes. "
             "An operation is one posix_memalign or one free.",
    .kind = "throughput",
    .unit = "operations/s",
    .better = "higher",
    .run = slots_run,
};

const struct workload latency_random = {
    .name = "latency-random",
    .group = "latency",
    .title = "Latency of the random mix",
    .about =
        "The random mix with the sizes of a typical program, where every malloc and every free is timed by itself with "
        "the cycle counter. Shows how long the rare slow calls take that an average hides.",
    .kind = "latency",
    .unit = "ns, 99.9th percentile of malloc",
    .better = "lower",
    .run = slots_run,
};
