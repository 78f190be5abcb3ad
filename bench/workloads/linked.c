/* linked.c - linked structures that grow side by side, from several call sites whose allocations interleave, and are
 * then walked: how fast the walk is depends on where the allocator put neighbours.
 * SPDX-License-Identifier: MIT */
#include "workloads.h"

enum { NODES = 300000, WALKS = 4, SCRAP = 400000, SCRAP_SIZE_MIN = 24, SCRAP_SIZE_MAX = 144 };

struct node {
    struct block_head head;
    struct block next;
    uint64_t value;
    uint64_t tail;
};

/* One call site each, so that an allocator that looks at its caller can tell the lists apart. */
#define SITES(X) X(0, 48) X(1, 48) X(2, 48) X(3, 48) X(4, 64) X(5, 80) X(6, 96) X(7, 128)

#define X(number, size)                                                                \
    __attribute__((noinline)) static struct block site_##number(struct worker *worker) \
    {                                                                                  \
        struct block block = block_make(worker, size);                                 \
        ((struct node *)block.data)->value = number;                                   \
        return block;                                                                  \
    }
SITES(X)
#undef X

static struct block (*const sites[])(struct worker *) = {
#define X(number, size) site_##number,
    SITES(X)
#undef X
};

enum { LISTS = sizeof sites / sizeof *sites };

struct list {
    struct block first;
    struct node *last;
};

static void list_append(struct worker *worker, unsigned number, struct list *list)
{
    struct block block = sites[number](worker);
    struct node *node = block.data;
    node->next.data = NULL;
    *(list->last == NULL ? &list->first : &list->last->next) = block;
    list->last = node;
}

static void lists_build(struct worker *worker, struct list *lists)
{
    memset(lists, 0, LISTS * sizeof *lists);
    for (unsigned i = 0; i < NODES; i++) {
        unsigned number = (unsigned)random_below(&worker->random, LISTS);
        list_append(worker, number, &lists[number]);
    }
}

static uint64_t list_walk(const struct list *list, unsigned number)
{
    uint64_t nodes = 0;
    for (struct block block = list->first; block.data != NULL; nodes++) {
        const struct node *node = block.data;
        if (node->head.word != block_word(&block) || node->value != number)
            block_wrong(&block, "is not the node that was linked");
        block = node->next;
    }
    return nodes;
}

static uint64_t lists_walk(const struct list *lists)
{
    uint64_t nodes = 0;
    for (unsigned walk = 0; walk < WALKS; walk++)
        for (unsigned i = 0; i < LISTS; i++)
            nodes += list_walk(&lists[i], i);
    return nodes;
}

static void lists_drop(struct worker *worker, struct list *lists)
{
    for (unsigned i = 0; i < LISTS; i++)
        for (struct block block = lists[i].first, next; block.data != NULL; block = next) {
            block_check(&block);
            next = ((struct node *)block.data)->next;
            block_free(worker, &block);
        }
}

/* Leaves holes in the heap as a program does that has been running for long. */
static void scrap_make(struct worker *worker, struct block *scrap)
{
    for (unsigned i = 0; i < SCRAP; i++)
        scrap[i] = block_make(worker, size_between(&worker->random, SCRAP_SIZE_MIN, SCRAP_SIZE_MAX));
    for (unsigned i = SCRAP - 1; i > 0; i--) {
        uint64_t k = random_below(&worker->random, i + 1);
        struct block other = scrap[k];
        scrap[k] = scrap[i];
        scrap[i] = other;
    }
    for (unsigned i = 0; i < SCRAP / 2; i++)
        block_free(worker, &scrap[i]);
}

static void scrap_drop(struct worker *worker, struct block *scrap)
{
    for (unsigned i = SCRAP / 2; i < SCRAP; i++)
        block_free(worker, &scrap[i]);
}

static void linked_work(struct worker *worker)
{
    struct block *scrap = run.variant->is_aged ? own_alloc(SCRAP * sizeof *scrap) : NULL;
    struct list lists[LISTS];
    worker_start(worker);
    uint64_t nodes;
    do {
        if (scrap != NULL)
            scrap_make(worker, scrap);
        uint64_t begin = clock_ns();
        lists_build(worker, lists);
        if (!run.variant->counts_building)
            begin = clock_ns();
        nodes = lists_walk(lists);
        worker->busy_ns += clock_ns() - begin;
        lists_drop(worker, lists);
        if (scrap != NULL)
            scrap_drop(worker, scrap);
    } while (worker_goes_on(worker, nodes));
}

static void linked_run(void) { workers_run(linked_work); }

const struct workload linked = {
    .name = "locality-linked",
    .group = "locality",
    .title = "Linked structures",
    .about =
        "Eight lists of nodes of 48 to 128 bytes grow at the same time, each from its own place in the program, and "
        "are "
        "then walked four times. Only the walks count (or building and walks): they are fast where neighbours of a "
        "list lie close together. In an aged heap, the nodes are made in the holes that other blocks left. "
        "An operation is one node walked over.",
    .kind = "throughput",
    .unit = "operations/s while walking",
    .better = "higher",
    .run = linked_run,
};
