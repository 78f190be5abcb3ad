/* memory.c - how much memory goes back to the system when most blocks are freed and some survive.
 * SPDX-License-Identifier: MIT */
#include "workloads.h"

enum { SPARSE = 20, PER_PAGE = MEMORY_PAGE / 512, NEWEST = 20 };

static pthread_barrier_t all_freed, settled;

static bool block_survives(size_t number, size_t count)
{
    switch (run.variant->survivors) {
    case SURVIVE_NONE:
        return false;
    case SURVIVE_SPARSE:
        return number % SPARSE == 0;
    case SURVIVE_PAGES:
        return number % PER_PAGE == 0;
    case SURVIVE_NEWEST:
        return number >= count - count / NEWEST;
    }
    return false;
}

static void sampled_by_main(const struct worker *worker, size_t step)
{
    if (worker->number == 0 && step % 256 == 0)
        rss_sample();
}

static void blocks_build(struct worker *worker, struct block *blocks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        blocks[i] = block_make(worker, size_draw(&worker->random, &run.variant->sizes));
        sampled_by_main(worker, i);
    }
    worker->operations = count;
}

static void blocks_thin_out(struct worker *worker, struct block *blocks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!block_survives(i, count))
            block_free(worker, &blocks[i]);
        sampled_by_main(worker, i);
    }
}

/* The threads stay, and are idle, until all measurements are done. */
static void given_back_work(struct worker *worker)
{
    size_t count = run.variant->live;
    struct block *blocks = own_alloc(count * sizeof *blocks);
    worker->counted = UINT64_MAX;
    worker_start(worker);
    if (worker->number == 0)
        steady_begin();
    blocks_build(worker, blocks, count);
    pthread_barrier_wait(&all_freed);
    if (worker->number == 0) {
        steady_end();
        phase_note("built");
    }
    blocks_thin_out(worker, blocks, count);
    pthread_barrier_wait(&all_freed);
    if (worker->number == 0) {
        rss_settle();
        run.value = (double)(run.rss[RSS_IDLE] - run.rss[RSS_START]);
    }
    pthread_barrier_wait(&settled);
    for (size_t i = 0; i < count; i++)
        if (blocks[i].data != NULL)
            block_free(worker, &blocks[i]);
}

static void given_back_run(void)
{
    pthread_barrier_init(&all_freed, NULL, run.variant->threads);
    pthread_barrier_init(&settled, NULL, run.variant->threads);
    workers_run(given_back_work);
}

const struct workload given_back = {
    .name = "memory",
    .group = "memory",
    .title = "Memory given back",
    .about = "Makes 276 MB of blocks, frees all but the survivors, and does nothing for some seconds; then it calls "
             "malloc_trim. The value "
             "is the resident memory after the idle phase. Survivors: none, one block in 20, one of 512 bytes for each "
             "4 KiB, or "
             "the newest twentieth.",
    .kind = "memory",
    .unit = "bytes",
    .better = "lower",
    .run = given_back_run,
};
