/* remote.c - the random mix in several threads, where a part of the blocks is freed by another thread.
 * SPDX-License-Identifier: MIT */
#include "workloads.h"

#include "ring.h"

enum { BATCH = 32, RING_CAPACITY = 1024 };

static struct ring *rings; /* from thread i to thread k: rings[i * threads + k] */
static atomic_uint senders_left;

/* Frees all that the others have sent; returns how many blocks. */
static uint64_t inbox_empty(struct worker *worker)
{
    uint64_t freed = 0;
    for (unsigned i = 0; i < run.worker_count; i++) {
        struct block block;
        for (; ring_pop(&rings[i * run.worker_count + worker->number], &block); freed++)
            block_free(worker, &block);
    }
    return freed;
}

static unsigned receiver_draw(struct worker *worker)
{
    uint64_t distance = run.variant->to_all ? 1 + random_below(&worker->random, run.worker_count - 1) : 1;
    return (worker->number + (unsigned)distance) % run.worker_count;
}

/* Waits for room, and frees what comes in meanwhile so that no two threads wait for each other. */
static uint64_t block_send(struct worker *worker, struct block *block)
{
    struct ring *ring = &rings[worker->number * run.worker_count + receiver_draw(worker)];
    uint64_t freed = 0;
    while (!ring_push(ring, *block)) {
        freed += inbox_empty(worker);
        worker_waits(worker);
    }
    block->data = NULL;
    return freed;
}

/* Returns how many blocks were freed: by this thread, whoever made them. */
static uint64_t slot_step(struct worker *worker, struct block *slot)
{
    if (slot->data == NULL) {
        *slot = block_make(worker, size_draw(&worker->random, &run.variant->sizes));
        return 0;
    }
    if (run.variant->remote_percent > 0 && random_percent(&worker->random, run.variant->remote_percent))
        return block_send(worker, slot);
    block_free(worker, slot);
    return 1;
}

static void remote_work(struct worker *worker)
{
    size_t count = run.variant->live;
    struct block *slots = own_alloc(count * sizeof *slots);
    uint64_t freed;
    worker_start(worker);
    do {
        freed = inbox_empty(worker);
        for (unsigned i = 0; i < BATCH; i++)
            freed += slot_step(worker, &slots[random_below(&worker->random, count)]);
    } while (worker_goes_on(worker, freed));
    atomic_fetch_sub(&senders_left, 1);
    for (size_t i = 0; i < count; i++)
        if (slots[i].data != NULL)
            block_free(worker, &slots[i]);
    while (atomic_load(&senders_left) > 0) {
        inbox_empty(worker);
        worker_waits(worker);
    }
    inbox_empty(worker);
}

static void remote_run(void)
{
    unsigned threads = run.variant->threads;
    rings = own_alloc(threads * threads * sizeof *rings);
    for (unsigned i = 0; i < threads * threads; i++)
        ring_init(&rings[i], RING_CAPACITY);
    atomic_store(&senders_left, threads);
    workers_run(remote_work);
}

const struct workload remote = {
    .name = "remote",
    .group = "remote",
    .title = "Remote frees",
    .about = "Four threads do the random mix, 400 slots each. Instead of being freed, 0, 50 or 90 % of the blocks go "
             "to another thread, "
             "either always the next one or any, which frees them when it looks into its inbox. Lanes: guard 16 B to 2 "
             "KiB, main "
             "to 32 KiB, cross128 to 128 KiB. An operation is one block made and freed; a remote free counts once.",
    .kind = "throughput",
    .unit = "operations/s",
    .better = "higher",
    .run = remote_run,
};

const struct workload latency_remote = {
    .name = "latency-remote",
    .group = "latency",
    .title = "Latency with remote frees",
    .about = "Four threads do the random mix and pass half of the blocks to any other thread to be freed; every malloc "
             "and every free is "
             "timed by itself with the cycle counter.",
    .kind = "latency",
    .unit = "ns, 99.9th percentile of malloc",
    .better = "lower",
    .run = remote_run,
};
