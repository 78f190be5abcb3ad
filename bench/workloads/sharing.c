/* sharing.c - false sharing: tiny blocks of different threads in one cache line, which then goes to and fro between
 * CPUs.
 * SPDX-License-Identifier: MIT */
#include "workloads.h"

enum { WRITES = 200 };

static struct block *given; /* to worker k: given[i * workers + k], neighbours if the allocator put them so */

/* Written over and over; in the end it is as it was, so that it can be checked. */
static void block_use(const struct block *block)
{
    volatile uint64_t *word = block->data;
    for (unsigned i = 0; i < WRITES; i++)
        *word += 1;
    *word -= WRITES;
}

static void sharing_work(struct worker *worker)
{
    size_t count = run.variant->live;
    struct block *mine = own_alloc(count * sizeof *mine);
    worker_start(worker);
    for (size_t i = 0; i < count && run.variant->is_passive; i++)
        block_free(worker, &given[i * run.worker_count + worker->number]);
    do {
        for (size_t i = 0; i < count; i++)
            mine[i] = block_make(worker, run.variant->sizes.min);
        for (size_t i = 0; i < count; i++)
            block_use(&mine[i]);
        for (size_t i = 0; i < count; i++)
            block_free(worker, &mine[i]);
    } while (worker_goes_on(worker, count));
}

/* Before the workers run, the main thread makes what it gives away; none of that enters the checksum. */
static void sharing_run(void)
{
    struct worker giver = {.counted = 0};
    size_t count = run.variant->live * run.variant->threads;
    given = own_alloc(count * sizeof *given);
    for (size_t i = 0; i < count && run.variant->is_passive; i++)
        given[i] = block_make(&giver, run.variant->sizes.min);
    workers_run(sharing_work);
}

const struct workload false_sharing = {
    .name = "sharing",
    .group = "threads",
    .title = "False sharing",
    .about = "Each thread makes a few blocks of 8 bytes, writes to each 200 times, and frees them. Passive: it is "
             "first given blocks "
             "that the main thread made next to those of the other threads, and frees them. Where blocks of two "
             "threads are in one "
             "cache line, the writes are slow. An operation is one block.",
    .kind = "throughput",
    .unit = "operations/s",
    .better = "higher",
    .run = sharing_run,
};
