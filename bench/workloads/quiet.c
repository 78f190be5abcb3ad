/* quiet.c - programs that work hard for a while, and then have little to do: what they keep.
 * SPDX-License-Identifier: MIT */
#include "workloads.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

enum {
    BLOCKS = 8192,
    PAUSE_MS = 300,  /* between rounds */
    REQUESTS = 50,   /* small blocks, one after the other, in each step of the quiet time */
    SMALL_MIN = 100, /* bytes */
    SMALL_MAX = 1100
};

static struct block blocks[BLOCKS];
static size_t block_count;

static size_t take(struct worker *worker, size_t size)
{
    if (block_count == BLOCKS)
        fail("too many blocks");
    struct block *block = &blocks[block_count++];
    *block = block_make(worker, size);
    pages_write(block, 0, block->size);
    rss_sample();
    return size;
}

static void free_all(struct worker *worker)
{
    worker->operations += block_count;
    while (block_count > 0) {
        pages_check(&blocks[block_count - 1], 0, blocks[block_count - 1].size);
        block_free(worker, &blocks[--block_count]);
        rss_sample();
    }
}

/* ---- What they do ------------------------------------------------------------------------------------------------ */

static void arrays(struct worker *worker)
{
    for (size_t bytes = 0; bytes < 200 * MIB;)
        bytes += take(worker, MIB);
    free_all(worker);
}

/* A context of a database: its blocks double up to a limit, and go together. */
static void context(struct worker *worker, size_t first, size_t largest, size_t most)
{
    for (size_t bytes = 0, size = first; bytes < most; size = size < largest ? 2 * size : size)
        bytes += take(worker, size);
}

static void queries(struct worker *worker)
{
    context(worker, 8 * KIB, 8 * MIB, 40 * MIB); /* a sort's */
    context(worker, 8 * KIB, 8 * KIB, 20 * MIB); /* rows of a hash table */
    context(worker, KIB, KIB, 4 * MIB);          /* expressions */
    free_all(worker);
}

static void kinds(struct worker *worker)
{
    static const size_t sizes[] = {8 * KIB, 64 * KIB, MIB, 20 * MIB, 300};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t most = sizes[i] < KIB ? MIB : 60 * MIB;
        for (size_t bytes = 0; bytes < most;)
            bytes += take(worker, sizes[i]);
        free_all(worker);
        rss_sleep(PAUSE_MS * 1e-3);
    }
}

/* ---- Quiet ------------------------------------------------------------------------------------------------------- */

static struct worker *quiet_worker;

/* All of it is served by what is at hand, if anything is. */
static void small_requests(void)
{
    for (unsigned i = 0; i < REQUESTS; i++) {
        struct block block = block_make(quiet_worker, size_between(&quiet_worker->random, SMALL_MIN, SMALL_MAX));
        block_free(quiet_worker, &block);
    }
}

static void quiet_work(struct worker *worker)
{
    static void (*const work[])(struct worker *) = {
        [BUSY_ARRAYS] = arrays, [BUSY_QUERIES] = queries, [BUSY_KINDS] = kinds};
    worker->counted = UINT64_MAX;
    worker_start(worker);
    steady_begin();
    for (size_t round = 0; round < run.variant->rounds; round++) {
        work[run.variant->busy](worker);
        rss_sleep(PAUSE_MS * 1e-3);
    }
    steady_end();
    worker->counted = worker->made; /* how many come now depends on the clock */
    quiet_worker = worker;
    run.idle_step = small_requests;
    rss_settle();
    run.value = (double)(run.rss[RSS_IDLE] - run.rss[RSS_START]);
}

static void quiet_run(void) { workers_run(quiet_work); }

const struct workload quiet = {
    .name = "quiet",
    .group = "memory",
    .title = "Quiet after hard work",
    .about =
        "Rounds of hard work with pauses, in which everything is freed; then small requests only, which are served by "
        "what is at hand. Arrays: 200 of 1 MiB. Queries: what a database takes for a sort of 40 MiB, a hash table and "
        "expressions. Phases: 60 MiB of blocks of 8 KiB, then of 64 KiB, of 1 MiB and of 20 MiB. The value is the "
        "resident memory at the end of the quiet time.",
    .kind = "memory",
    .unit = "bytes",
    .better = "lower",
    .run = quiet_run,
};
