/* arena_stress.c - heaps by name under threads: some that all share, whose blocks any thread frees and resizes, and one
 * of each thread's own that comes and goes; memory given back and statistics read meanwhile, and forks, whose children
 * free what they inherited. Now and then all threads leave their blocks where they are, and one frees the shared heaps
 * as a whole.
 * SPDX-License-Identifier: MIT */
#include "stress.h"

#include <unistd.h>

#include "hakmem.h"
#include "cache/arena.h"
#include "insight/stats.h"

enum { SHARED = 3, LIVE = 100, ROUND = UNDER_TSAN ? 1500 : 8000, CHILD_SECONDS = 30, LIMIT = 200 << 20 };

static hak_heap_t *g_shared[SHARED];

static size_t any_size(uint64_t *random)
{
    uint64_t choice = random_next(random) % 1000;
    return random_size(random, choice == 0 ? 40 * MIB : choice < 5 ? 3 * MIB : choice < 50 ? 100000 : 3000);
}

static struct item get(hak_heap_t *heap, uint64_t *random)
{
    size_t size = any_size(random);
    char *block = hak_heap_malloc(heap, size);
    if (!block) { /* at the limit */
        size = 16;
        block = hak_malloc(size);
    }
    return item_make(block, size, random);
}

static void put(struct item *item)
{
    if (item->block)
        item_check(item, "own");
    hak_free(item->block);
    item->block = NULL;
}

static void resize(struct item *item, uint64_t *random)
{
    hak_heap_t *heap = hak_heap_of(item->block);
    size_t size = any_size(random), kept = min_size(min_size(item->size, size), item->size <= 128 ? item->size : 64);
    item_check(item, "to be resized");
    char *block = hak_realloc(item->block, size);
    if (!block)
        return;
    must(hak_heap_of(block) == heap, "realloc took a block out of its heap");
    must(pattern_check(block, kept, item->seed) == kept, "realloc from %zu to %zu lost contents", item->size, size);
    *item = item_make(block, size, random);
}

static void step(struct item *live, hak_heap_t *own, uint64_t *random)
{
    struct item *item = &live[random_next(random) % LIVE];
    uint64_t choice = random_next(random) % 10000;
    struct stats stats;
    if (choice < 4)
        hak_trim(0);
    else if (choice < 8)
        stats_gather(&stats);
    else if (!item->block)
        *item = get(random_next(random) % 4 ? g_shared[random_next(random) % SHARED] : own, random);
    else if (choice < 1500)
        resize(item, random);
    else if (choice < 4500 && hak_heap_of(item->block) != own)
        *item = item_swap(*item, random);
    else
        put(item);
}

/* A child has what was in the heaps, wherever the other threads were, and can free it. */
static void child_work(struct item *live, hak_heap_t *own, uint64_t *random)
{
    for (unsigned i = 0; i < LIVE; i++)
        if (live[i].block)
            item_check(&live[i], "inherited");
    for (unsigned i = 0; i < 500; i++) {
        struct item *item = &live[random_next(random) % LIVE];
        put(item);
        *item = get(i % 2 ? own : g_shared[i % SHARED], random);
    }
    for (unsigned i = 0; i < SHARED; i++)
        hak_heap_destroy(g_shared[i]);
    hak_heap_destroy(own);
    heap_must_be_valid("in the child");
}

static void fork_one(struct item *live, hak_heap_t *own, uint64_t *random)
{
    if (UNDER_TSAN) /* which cannot fork among threads */
        return;
    pid_t child = random_next(random) % 2 ? fork() : child_fork(CHILD_SECONDS);
    if (child == 0) {
        alarm(CHILD_SECONDS);
        child_work(live, own, random);
        _exit(0);
    }
    child_join(child, "a fork among heaps");
}

/* All threads have left their blocks: the heaps are verified, freed as a whole, and used again. */
static void verify(void)
{
    struct item item;
    while ((item = item_leftover()).block)
        if (!hak_heap_of(item.block))
            put(&item);
    for (unsigned i = 0; i < SHARED; i++) {
        must(arena_is_valid(g_shared[i]), "a heap's sums or lists are wrong");
        if (i % 2) {
            hak_heap_empty(g_shared[i]);
        } else {
            hak_heap_destroy(g_shared[i]);
            must((g_shared[i] = hak_heap_create("shared")) != NULL, "no heap is to be had");
            hak_heap_set_limit(g_shared[i], LIMIT);
        }
    }
    heap_must_be_valid("after heaps were freed as a whole");
}

/* Blocks of heaps go with their heaps. */
static void leave(struct item *live, hak_heap_t *own)
{
    hak_heap_stat_t stat;
    size_t bytes = 0, blocks = 0;
    for (unsigned i = 0; i < LIVE; i++) {
        hak_heap_t *heap = hak_heap_of(live[i].block);
        if (!heap)
            put(&live[i]);
        bytes += heap == own ? hak_usable_size(live[i].block) : 0;
        blocks += heap == own;
        live[i].block = NULL;
    }
    hak_heap_stats(own, &stat);
    must(stat.live == bytes && stat.blocks == blocks, "a heap counts %zu bytes in %zu blocks, and has %zu in %zu",
         stat.live, stat.blocks, bytes, blocks);
}

static void worker(unsigned id, uint64_t *random)
{
    static struct item all[STRESS_THREADS][LIVE];
    struct item *live = all[id];
    do {
        hak_heap_t *own = hak_heap_create("own");
        must(own != NULL, "no heap is to be had");
        for (unsigned i = 0; i < ROUND; i++)
            step(live, own, random);
        if (id == 0)
            fork_one(live, own, random);
        leave(live, own);
        hak_heap_destroy(own);
    } while (stress_meet(verify));
}

int main(int count, char **arguments)
{
    struct stats s;
    for (unsigned i = 0; i < SHARED; i++)
        must((g_shared[i] = hak_heap_create("shared")) != NULL, "no heap is to be had");
    stress_run(count, arguments, worker);
    verify();
    for (unsigned i = 0; i < SHARED; i++)
        hak_heap_destroy(g_shared[i]);
    hak_trim(0);
    stats_gather(&s);
    must(s.live == 0 && s.large == 0, "in the end %zu bytes of blocks are live, and %zu of large ones", (size_t)s.live,
         (size_t)s.large);
    return 0;
}
