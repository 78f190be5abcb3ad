/* messages.c - blocks made by producers and freed by consumers, as in a message queue. Between each producer and each
 * consumer there is a bounded ring.
 * SPDX-License-Identifier: MIT */
#include "workloads.h"

#include "ring.h"

enum { BATCH = 16, NOTES = 64, NOTE_SIZE_MIN = 16, NOTE_SIZE_MAX = 128 };

static struct ring *rings; /* of producer p and consumer c: rings[p * consumers + c] */
static atomic_uint producers_left;

static unsigned consumers(void) { return run.variant->threads - run.variant->producers; }

static void rings_make(void)
{
    unsigned count = run.variant->producers * consumers();
    rings = own_alloc(count * sizeof *rings);
    for (unsigned i = 0; i < count; i++)
        ring_init(&rings[i], run.variant->live);
    atomic_store(&producers_left, run.variant->producers);
}

/* ---- Producers --------------------------------------------------------------------------------------------------- */

/* To the consumers in turn; to the next one with room when the one in turn is behind. */
static bool message_send(struct ring *mine, struct block message, unsigned *turn)
{
    for (unsigned i = 0; i < consumers(); i++) {
        *turn = (*turn + 1) % consumers();
        if (ring_push(&mine[*turn], message))
            return true;
    }
    return false;
}

static void producer_work(struct worker *worker)
{
    struct ring *mine = &rings[worker->number * consumers()];
    unsigned turn = worker->number;
    do {
        struct block message = block_make(worker, size_draw(&worker->random, &run.variant->sizes));
        if (run.variant->touches_pages)
            pages_write(&message, 0, message.size);
        while (!message_send(mine, message, &turn))
            worker_waits(worker);
    } while (worker_goes_on(worker, 1));
    worker->end.operations = worker->begin.operations; /* only consumers count */
    atomic_fetch_sub(&producers_left, 1);
}

/* ---- Consumers --------------------------------------------------------------------------------------------------- */

/* What a consumer makes for itself: one small block for each message, kept for a while. */
struct notes {
    struct block blocks[NOTES];
    unsigned next;
};

static void note_take(struct worker *worker, struct notes *notes)
{
    struct block *note = &notes->blocks[notes->next++ % NOTES];
    if (note->data != NULL)
        block_free(worker, note);
    *note = block_make(worker, size_between(&worker->random, NOTE_SIZE_MIN, NOTE_SIZE_MAX));
}

static void notes_drop(struct worker *worker, struct notes *notes)
{
    for (unsigned i = 0; i < NOTES; i++)
        if (notes->blocks[i].data != NULL)
            block_free(worker, &notes->blocks[i]);
}

/* Up to a batch from each producer; returns how many. */
static uint64_t messages_take(struct worker *worker, unsigned number, struct notes *notes)
{
    uint64_t taken = 0;
    for (unsigned p = 0; p < run.variant->producers; p++) {
        struct block message;
        for (unsigned i = 0; i < BATCH && ring_pop(&rings[p * consumers() + number], &message); i++, taken++) {
            if (run.variant->touches_pages)
                pages_check(&message, 0, message.size);
            block_free(worker, &message);
            if (run.variant->consumers_allocate)
                note_take(worker, notes);
        }
    }
    return taken;
}

static void consumer_work(struct worker *worker)
{
    unsigned number = worker->number - run.variant->producers;
    struct notes notes = {0};
    for (;;) {
        bool is_last = atomic_load(&producers_left) == 0;
        uint64_t taken = messages_take(worker, number, &notes);
        if (taken > 0)
            worker_goes_on(worker, taken);
        else if (is_last)
            break;
        else
            worker_waits(worker);
    }
    notes_drop(worker, &notes);
}

static bool is_producer(const struct worker *worker) { return worker->number < run.variant->producers; }

static void worker_divide(struct worker *worker, void (*consumer)(struct worker *))
{
    if (!is_producer(worker))
        worker->counted = 0; /* how many messages a consumer gets is not known beforehand */
    worker_start(worker);
    if (is_producer(worker))
        producer_work(worker);
    else
        consumer(worker);
}

static void messages_work(struct worker *worker) { worker_divide(worker, consumer_work); }

static void messages_run(void)
{
    rings_make();
    workers_run(messages_work);
}

const struct workload messages = {
    .name = "messages",
    .group = "messages",
    .title = "Message queue",
    .about = "Producers make messages and pass them to consumers, which check and free them: every block is freed by "
             "another "
             "thread than the one that made it. Consumers also make small blocks of their own, unless said otherwise. "
             "An operation is one message.",
    .kind = "throughput",
    .unit = "operations/s",
    .better = "higher",
    .run = messages_run,
};

/* ---- The memory of a queue whose length does not change ---------------------------------------------------------- */

/* While the producers are there, only from rings that are nearly full, so that the number of live messages stays. */
static bool is_due(struct ring *ring, bool is_last)
{
    return ring_length(ring) > (is_last ? 0 : ring->capacity - ring->capacity / 40);
}

static void freer_work(struct worker *worker)
{
    for (;;) {
        bool is_last = atomic_load(&producers_left) == 0;
        uint64_t taken = 0;
        for (unsigned p = 0; p < run.variant->producers; p++) {
            struct block message;
            for (unsigned i = 0; i < BATCH && is_due(&rings[p], is_last) && ring_pop(&rings[p], &message); i++, taken++)
                block_free(worker, &message);
        }
        if (taken > 0)
            worker_goes_on(worker, taken);
        else if (is_last)
            break;
        else
            worker_waits(worker);
    }
}

static void queue_work(struct worker *worker)
{
    for (size_t i = 0; is_producer(worker) && i < run.variant->live; i++)
        ring_push(&rings[worker->number], block_make(worker, size_draw(&worker->random, &run.variant->sizes)));
    worker_divide(worker, freer_work);
}

static void queue_run(void)
{
    rings_make();
    workers_run(queue_work);
    run.value = (double)(run.rss[RSS_STEADY] - run.rss[RSS_START]);
}

const struct workload message_memory = {
    .name = "messages-memory",
    .group = "memory",
    .title = "Memory of a queue",
    .about = "Four producers keep 40,000 messages of 592 bytes alive each (95 MB in all), and one thread that never "
             "allocates frees "
             "the oldest ones. What was freed there has to come back to the producers, or else memory grows. "
             "The value is the resident memory at the end of the run.",
    .kind = "memory",
    .unit = "bytes",
    .better = "lower",
    .run = queue_run,
};
