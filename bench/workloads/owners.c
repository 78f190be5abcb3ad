/* owners.c - threads that allocate, and then sleep or end while another thread frees what they made.
 * SPDX-License-Identifier: MIT */
#include "workloads.h"

#include <semaphore.h>

static struct block *blocks;
static sem_t made, may_end;

/* A thread of its own makes all blocks of a round. Its calls count as those of worker 0, which waits meanwhile. */
static void *owner_main(void *argument)
{
    struct worker *worker = argument;
    for (size_t i = 0; i < run.variant->live; i++)
        blocks[i] = block_make(worker, size_draw(&worker->random, &run.variant->sizes));
    sem_post(&made);
    if (!run.variant->owner_exits)
        while (sem_wait(&may_end) != 0)
            continue;
    return NULL;
}

static void round_do(struct worker *worker, pthread_t *owner)
{
    if (pthread_create(owner, NULL, owner_main, worker) != 0)
        fail("pthread_create failed");
    while (sem_wait(&made) != 0)
        continue;
    if (run.variant->owner_exits)
        pthread_join(*owner, NULL);
    rss_sample();
    for (size_t i = 0; i < run.variant->live; i++)
        block_free(worker, &blocks[i]);
    worker->operations += run.variant->live;
    rss_sample();
}

static void owners_work(struct worker *worker)
{
    pthread_t *threads = own_alloc(run.variant->rounds * sizeof *threads);
    worker->counted = UINT64_MAX;
    worker_start(worker);
    steady_begin();
    for (size_t i = 0; i < run.variant->rounds; i++)
        round_do(worker, &threads[i]);
    steady_end();
    for (size_t i = 0; i < run.variant->rounds && !run.variant->owner_exits; i++)
        sem_post(&may_end);
    for (size_t i = 0; i < run.variant->rounds && !run.variant->owner_exits; i++)
        pthread_join(threads[i], NULL);
}

static void owners_run(void)
{
    blocks = own_alloc(run.variant->live * sizeof *blocks);
    sem_init(&made, 0, 0);
    sem_init(&may_end, 0, 0);
    workers_run(owners_work);
    run.value = (double)(run.rss[RSS_PEAK] - run.rss[RSS_START]);
}

const struct workload owners = {
    .name = "owners",
    .group = "memory",
    .title = "Owners that are gone",
    .about = "Twenty threads, one after the other, make 16 MB of small blocks each; then the thread sleeps, or ends, "
             "and the main "
             "thread, which never allocates, frees all of them. What belongs to a thread that is gone has to serve the "
             "next one. The value is the highest resident memory.",
    .kind = "memory",
    .unit = "bytes",
    .better = "lower",
    .run = owners_run,
};
