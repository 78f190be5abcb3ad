/* larson.c - a server whose threads live for a while and hand what they hold to their successors, as in the benchmark
 * of P. Larson and M. Krishnan (1998). A lane is an array of blocks with the thread that owns it at the moment.
 * SPDX-License-Identifier: MIT */
#include "workloads.h"

#include <semaphore.h>

enum { BATCH = 16 };

struct lane {
    struct worker *worker;
    struct block *blocks;
    pthread_t last; /* thread of the lane, or the one before */
    bool is_started;
};

static sem_t lanes_finished;

static void block_replace(struct lane *lane)
{
    struct worker *worker = lane->worker;
    struct block *victim = &lane->blocks[random_below(&worker->random, run.variant->live)];
    block_free(worker, victim);
    *victim = block_make(worker, size_draw(&worker->random, &run.variant->sizes));
}

/* The life of one thread. False when the steady state is over. */
static bool lane_work(struct lane *lane)
{
    for (size_t done = 0; done < run.variant->rounds; done += BATCH) {
        for (unsigned i = 0; i < BATCH; i++)
            block_replace(lane);
        if (!worker_goes_on(lane->worker, BATCH))
            return false;
    }
    return true;
}

static void *lane_main(void *argument)
{
    struct lane *lane = argument;
    worker_pin(lane->worker);
    if (lane->is_started)
        pthread_join(lane->last, NULL);
    else
        worker_start(lane->worker);
    lane->is_started = true;
    bool goes_on = lane_work(lane);
    lane->last = pthread_self();
    pthread_t successor;
    if (!goes_on)
        sem_post(&lanes_finished);
    else if (pthread_create(&successor, NULL, lane_main, lane) != 0)
        fail("pthread_create failed");
    return NULL;
}

static void lanes_start(struct lane *lanes)
{
    pthread_t first;
    for (unsigned i = 0; i < run.worker_count; i++)
        if (pthread_create(&first, NULL, lane_main, &lanes[i]) != 0)
            fail("pthread_create failed");
}

/* The main thread makes the first blocks, and frees the last ones. */
static void larson_run(void)
{
    size_t count = run.variant->live;
    struct worker *workers = workers_prepare(run.variant->threads);
    struct lane *lanes = own_alloc(run.worker_count * sizeof *lanes);
    sem_init(&lanes_finished, 0, 0);
    rss_note(RSS_START);
    for (unsigned i = 0; i < run.worker_count; i++) {
        lanes[i].worker = &workers[i];
        lanes[i].blocks = own_alloc(count * sizeof *lanes[i].blocks);
        for (size_t k = 0; k < count; k++)
            lanes[i].blocks[k] = block_make(&workers[i], size_draw(&workers[i].random, &run.variant->sizes));
    }
    lanes_start(lanes);
    for (unsigned i = 0; i < run.worker_count; i++)
        while (sem_wait(&lanes_finished) != 0)
            continue;
    for (unsigned i = 0; i < run.worker_count; i++) {
        pthread_join(lanes[i].last, NULL);
        for (size_t k = 0; k < count; k++)
            block_free(&workers[i], &lanes[i].blocks[k]);
    }
}

const struct workload larson = {
    .name = "larson",
    .group = "larson",
    .title = "Larson",
    .about = "Each thread holds an array of blocks and replaces random ones by blocks of a new random size. After a "
             "number of "
             "rounds it ends and hands its array to a new thread, which frees the blocks that the other one made. "
             "An operation is one replacement.",
    .kind = "throughput",
    .unit = "operations/s",
    .better = "higher",
    .run = larson_run,
};
