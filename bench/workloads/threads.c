/* threads.c - threads that live for a short time, threads that mostly wait, and processes that fork.
 * SPDX-License-Identifier: MIT */
#include "workloads.h"

#include <errno.h>
#include <semaphore.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- Short threads ----------------------------------------------------------------------------------------------- */

enum { CHURN_BLOCKS = 200, CHURN_LEFT = 50 };

/* One after the other works for its starter, which waits, and under its number. */
struct churn {
    struct worker *worker;
    struct block left[CHURN_LEFT]; /* by the thread before */
};

static void *churn_main(void *argument)
{
    struct churn *churn = argument;
    struct block blocks[CHURN_BLOCKS];
    for (unsigned i = 0; i < CHURN_BLOCKS; i++) {
        blocks[i] = block_make(churn->worker, size_draw(&churn->worker->random, &run.variant->sizes));
        if (i < CHURN_LEFT && churn->left[i].data != NULL)
            block_free(churn->worker, &churn->left[i]);
    }
    for (unsigned i = 0; i < CHURN_BLOCKS; i++)
        if (i % (CHURN_BLOCKS / CHURN_LEFT) == 0)
            churn->left[i / (CHURN_BLOCKS / CHURN_LEFT)] = blocks[i];
        else
            block_free(churn->worker, &blocks[i]);
    return NULL;
}

static void churn_work(struct worker *worker)
{
    struct churn *churn = own_alloc(sizeof *churn);
    churn->worker = worker;
    worker_start(worker);
    do {
        pthread_t thread;
        if (pthread_create(&thread, NULL, churn_main, churn) != 0)
            fail("pthread_create failed");
        pthread_join(thread, NULL);
    } while (worker_goes_on(worker, 1));
    for (unsigned i = 0; i < CHURN_LEFT; i++)
        block_free(worker, &churn->left[i]);
}

static void churn_run(void) { workers_run(churn_work); }

const struct workload thread_churn = {
    .name = "thread-churn",
    .group = "threads",
    .title = "Short threads",
    .about = "A thread makes 200 blocks, frees what the thread before it left alive and three quarters of its own, and "
             "ends; then "
             "the next one begins. Costs of a thread's first allocation and of its end show here. An operation is one "
             "thread.",
    .kind = "throughput",
    .unit = "threads/s",
    .better = "higher",
    .run = churn_run,
};

/* ---- A pool of threads that mostly wait -------------------------------------------------------------------------- */

static sem_t *turns; /* of each thread */
static sem_t turn_over;

static void pool_serve(struct worker *worker, struct block *blocks)
{
    size_t count = run.variant->live;
    for (size_t i = 0; i < count; i++)
        blocks[i] = block_make(worker, size_draw(&worker->random, &run.variant->sizes));
    for (size_t i = 0; i < count; i++)
        block_free(worker, &blocks[i]);
    worker->operations += count;
}

static void turn_wait(sem_t *turn)
{
    while (sem_wait(turn) != 0)
        continue;
}

static void pool_lead(struct worker *worker)
{
    steady_begin();
    for (size_t round = 0; round < run.variant->rounds; round++)
        for (unsigned i = 1; i < run.worker_count; i++) {
            sem_post(&turns[1 + random_below(&worker->random, run.worker_count - 1)]);
            turn_wait(&turn_over);
            rss_sample();
        }
    steady_end();
    rss_settle();
    run.value = (double)(run.rss[RSS_IDLE] - run.rss[RSS_START]);
}

/* The main thread gives turns; at last it gives one more to each thread, to end. */
static void pool_work(struct worker *worker)
{
    static atomic_bool is_over;
    struct block *blocks = own_alloc(run.variant->live * sizeof *blocks);
    worker->counted = UINT64_MAX;
    worker_start(worker);
    if (worker->number == 0) {
        pool_lead(worker);
        atomic_store(&is_over, true);
        for (unsigned i = 1; i < run.worker_count; i++)
            sem_post(&turns[i]);
        return;
    }
    for (turn_wait(&turns[worker->number]); !atomic_load(&is_over); turn_wait(&turns[worker->number])) {
        pool_serve(worker, blocks);
        sem_post(&turn_over);
    }
}

static void pool_run(void)
{
    turns = own_alloc(run.variant->threads * sizeof *turns);
    for (unsigned i = 0; i < run.variant->threads; i++)
        sem_init(&turns[i], 0, 0);
    sem_init(&turn_over, 0, 0);
    workers_run(pool_work);
}

const struct workload thread_pool = {
    .name = "thread-pool",
    .group = "memory",
    .title = "Idle threads",
    .about = "Two hundred threads wait for work. One at a time gets a task, at random: it makes 2,000 blocks in the "
             "sizes of a typical "
             "program, about 1.5 MB, and frees them all. Then all threads are idle. What each of them keeps adds up. "
             "The value is the resident memory after the idle phase.",
    .kind = "memory",
    .unit = "bytes",
    .better = "lower",
    .run = pool_run,
};

/* ---- Fork servers ------------------------------------------------------------------------------------------------ */

enum { CHILD_BLOCKS = 2000, CHILD_INHERITED = 500, CHILD_SECONDS = 20, THREAD_SLOTS = 1000, THREAD_BATCH = 16 };

static struct block *heap; /* of the parent, before it forks */

/* In the child: frees some of what it inherited, and makes and frees blocks of its own. */
static void child_work(struct worker *worker)
{
    static struct block blocks[CHILD_BLOCKS];
    alarm(CHILD_SECONDS); /* a lock that a thread held during the fork would be waited for for ever */
    for (unsigned i = 0; i < CHILD_BLOCKS; i++)
        blocks[i] = block_make(worker, size_draw(&worker->random, &run.variant->sizes));
    for (unsigned i = 0; i < CHILD_INHERITED; i++) {
        struct block *block = &heap[random_below(&worker->random, run.variant->live)];
        if (block->data != NULL)
            block_free(worker, block);
    }
    for (unsigned i = 0; i < CHILD_BLOCKS; i++)
        block_free(worker, &blocks[i]);
    _exit(0);
}

static void child_wait(pid_t child)
{
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            fail("waitpid failed");
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
        _exit(WEXITSTATUS(status)); /* the child has said why */
    if (WIFSIGNALED(status))
        fail(WTERMSIG(status) == SIGALRM ? "a child hung" : "a child crashed");
}

static void fork_work(struct worker *worker)
{
    do {
        pid_t child = fork();
        if (child < 0)
            fail("fork failed");
        if (child == 0)
            child_work(worker);
        child_wait(child);
        struct block *block = &heap[random_below(&worker->random, run.variant->live)];
        block_free(worker, block);
        *block = block_make(worker, size_draw(&worker->random, &run.variant->sizes));
    } while (worker_goes_on(worker, 1));
}

/* What the parent's other threads do all the time. They do not count as operations. */
static void bystander_work(struct worker *worker)
{
    struct block *slots = own_alloc(THREAD_SLOTS * sizeof *slots);
    do {
        for (unsigned i = 0; i < THREAD_BATCH; i++) {
            struct block *slot = &slots[random_below(&worker->random, THREAD_SLOTS)];
            if (slot->data == NULL)
                *slot = block_make(worker, size_draw(&worker->random, &run.variant->sizes));
            else
                block_free(worker, slot);
        }
    } while (worker_goes_on(worker, THREAD_BATCH));
    worker->end.operations = worker->begin.operations;
    for (unsigned i = 0; i < THREAD_SLOTS; i++)
        if (slots[i].data != NULL)
            block_free(worker, &slots[i]);
}

static void server_work(struct worker *worker)
{
    if (worker->number > 0) {
        worker_start(worker);
        bystander_work(worker);
        return;
    }
    for (size_t i = 0; i < run.variant->live; i++)
        heap[i] = block_make(worker, size_draw(&worker->random, &run.variant->sizes));
    worker_start(worker);
    fork_work(worker);
    for (size_t i = 0; i < run.variant->live; i++)
        block_free(worker, &heap[i]);
}

static void server_run(void)
{
    heap = own_alloc(run.variant->live * sizeof *heap);
    workers_run(server_work);
}

const struct workload fork_server = {
    .name = "fork-server",
    .group = "threads",
    .title = "Fork server",
    .about = "A process with a heap of some 50 MB forks, one after the other, children that make 2,000 blocks, free "
             "them and some "
             "inherited ones, and end. Every page that the child's allocator writes to is copied first. In one variant "
             "other threads allocate during the forks. An operation is one child.",
    .kind = "throughput",
    .unit = "children/s",
    .better = "higher",
    .run = server_run,
};
