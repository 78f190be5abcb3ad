/* growth.c - blocks that grow by realloc: vectors that double, strings that are appended to.
 * SPDX-License-Identifier: MIT */
#include "workloads.h"

enum { START_SIZE = 16, STEP_MAX = 32 };

/* When it has grown to its limit, it is freed and another one begins. */
struct growing {
    struct block block;
    size_t limit;
};

static void growing_begin(struct worker *worker, struct growing *growing)
{
    growing->limit = size_draw(&worker->random, &run.variant->sizes);
    growing->block = block_make(worker, START_SIZE);
}

static size_t size_next(struct worker *worker, const struct growing *growing)
{
    size_t size = growing->block.size;
    size += run.variant->growth == GROW_DOUBLING ? size : size_between(&worker->random, 1, STEP_MAX);
    return size < growing->limit ? size : growing->limit;
}

static void growing_step(struct worker *worker, struct growing *growing)
{
    if (growing->block.data == NULL) {
        growing_begin(worker, growing);
    } else if (growing->block.size >= growing->limit) {
        pages_check(&growing->block, 0, growing->block.size);
        block_free(worker, &growing->block);
    } else {
        size_t size = growing->block.size;
        block_resize(worker, &growing->block, size_next(worker, growing));
        pages_write(&growing->block, size - sizeof(uint64_t), growing->block.size); /* whose mark had no room before */
    }
}

static void growth_work(struct worker *worker)
{
    size_t count = run.variant->live;
    struct growing *all = own_alloc(count * sizeof *all);
    worker_start(worker);
    do {
        growing_step(worker, &all[random_below(&worker->random, count)]);
    } while (worker_goes_on(worker, 1));
    for (size_t i = 0; i < count; i++)
        if (all[i].block.data != NULL) {
            pages_check(&all[i].block, 0, all[i].block.size);
            block_free(worker, &all[i].block);
        }
}

static void growth_run(void) { workers_run(growth_work); }

const struct workload growth = {
    .name = "realloc",
    .group = "sizes",
    .title = "Growing blocks",
    .about =
        "Vectors grow by doubling, from 16 bytes to a limit, and strings by 1 to 32 bytes at a time; every new page is "
        "written. Then the block is freed and a new one begins. An operation is one malloc, realloc or free.",
    .kind = "throughput",
    .unit = "operations/s",
    .better = "higher",
    .run = growth_run,
};
