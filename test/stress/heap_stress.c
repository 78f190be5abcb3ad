/* heap_stress.c - the whole allocator under threads that live shortly: every public function, blocks freed by other
 * threads and after their thread's end, memory given back, statistics read, and forks in between, whose children
 * verify what they inherited.
 * SPDX-License-Identifier: MIT */
#include "stress.h"

#include <pthread.h>
#include <unistd.h>

#include "hakmem.h"
#include "cache/ring.h"
#include "heap/span.h"
#include "insight/stats.h"

enum { LIVE = 200, LIFE = UNDER_TSAN ? 3000 : 20000, CHILD_SECONDS = 30 };

struct self {
    struct item live[LIVE];
    uint64_t *random;
    bool alone; /* the child of a fork: what others exchanged may have changed while it was made */
};

static size_t any_size(uint64_t *random)
{
    uint64_t choice = random_next(random) % 1000;
    return random_size(random, choice == 0 ? 40 * MIB : choice < 5 ? 3 * MIB : choice < 50 ? 100000 : 3000);
}

static struct item get(uint64_t *random)
{
    size_t size = any_size(random), usable, align = (size_t)16 << random_next(random) % 10;
    char *block;
    switch (random_next(random) % 8) {
    case 0:
        block = hak_calloc(3, size / 3 + 1);
        must(block && bytes_check(block, size < 4096 ? size : 4096, 0) == (size < 4096 ? size : 4096),
             "calloc: not zero");
        break;
    case 1:
        block = hak_aligned_alloc(align, size);
        must((uintptr_t)block % align == 0, "aligned_alloc(%zu, %zu): saw %p", align, size, (void *)block);
        break;
    case 2:
        block = hak_malloc_usable(size, &usable);
        must(usable >= size, "malloc_usable(%zu): %zu", size, usable);
        size = usable;
        break;
    default:
        block = hak_malloc(size);
    }
    must(block && (uintptr_t)block % 16 == 0, "a request for %zu bytes: saw %p", size, (void *)block);
    return item_make(block, size, random);
}

static void put(struct item item, const char *whose)
{
    if (!item.block)
        return;
    item_check(&item, whose);
    must(hak_usable_size(item.block) >= item.size, "the usable size of a block of %zu bytes is %zu", item.size,
         hak_usable_size(item.block));
    hak_free(item.block);
}

static struct item resized(struct item item, uint64_t *random)
{
    size_t size = any_size(random);
    item_check(&item, "to be resized");
    /* item_make fills both ends of a block; its beginning is what a shorter one keeps. */
    size_t kept = min_size(min_size(item.size, size), item.size <= 128 ? item.size : 64);
    char *block = hak_realloc(item.block, size);
    must(block && pattern_check(block, kept, item.seed) == kept, "realloc from %zu to %zu lost contents", item.size,
         size);
    return item_make(block, size, random);
}

static void step(struct self *self)
{
    uint64_t *random = self->random;
    struct item *item = &self->live[random_next(random) % LIVE];
    uint64_t choice = random_next(random) % 10000;
    if (!item->block) {
        *item = get(random);
    } else if (choice < 1000) {
        *item = resized(*item, random);
    } else if (choice < 4000 && !self->alone) {
        item_check(item, "handed over");
        *item = item_swap(*item, random);
    } else if (choice < 9980) {
        put(*item, "own");
        item->block = NULL;
    } else if (choice < 9990) {
        hak_collect();
        must(cache_is_valid(cache_self), "the cache is not valid after a collect");
    } else if (choice < 9994) {
        hak_trim(random_next(random) % 2 * MIB);
    } else if (choice < 9996) {
        span_unmap_free();
    } else {
        struct stats stats;
        stats_gather(&stats);
    }
}

/* A thread's life; what it has in the end it leaves to others, as far as they want it. */
static void live(void *argument)
{
    struct self self = {.random = argument};
    for (size_t i = 0; i < LIFE && !stress_over(); i++)
        step(&self);
    for (size_t i = 0; i < LIVE; i++)
        if (self.live[i].block)
            put(random_next(self.random) % 2 ? item_swap(self.live[i], self.random) : self.live[i],
                "of a former thread");
}

static void child_work(struct self *self)
{
    self->alone = true;
    for (size_t i = 0; i < LIVE; i++)
        if (self->live[i].block)
            item_check(&self->live[i], "inherited");
    for (size_t i = 0; i < 3000; i++)
        step(self);
    for (size_t i = 0; i < LIVE; i++)
        put(self->live[i], "the child's");
    heap_must_be_valid("in the child");
}

static void forker(uint64_t *random)
{
    struct self self = {.random = random};
    for (size_t i = 0; i < LIVE; i++)
        self.live[i] = get(random);
    while (!stress_over()) {
        pid_t child = random_next(random) % 2 ? fork() : child_fork(CHILD_SECONDS);
        if (child == 0) {
            alarm(CHILD_SECONDS);
            child_work(&self);
            _exit(0);
        }
        child_join(child, "a fork among threads");
        for (size_t i = 0; i < 500; i++) {
            struct item *item = &self.live[random_next(random) % LIVE];
            put(*item, "the forking thread's");
            *item = get(random);
        }
        sleep_milliseconds(50);
    }
    for (size_t i = 0; i < LIVE; i++)
        put(self.live[i], "the forking thread's");
}

static void worker(unsigned id, uint64_t *random)
{
    if (id == 0)
        forker(random);
    while (!stress_over())
        in_thread(live, random);
}

int main(int count, char **arguments)
{
    struct stats s;
    stress_run(count, arguments, worker);
    for (struct item item = item_leftover(); item.block; item = item_leftover())
        put(item, "left over");
    hak_trim(0);
    heap_must_be_valid("in the end");
    stats_gather(&s);
    must(s.live == 0 && s.large == 0, "in the end %zu bytes of blocks are live, and %zu of large ones", (size_t)s.live,
         (size_t)s.large);
    uint64_t sum = s.live + s.ring + s.depot + s.page_free + s.page_rest + s.large + s.free_dirty + s.free_clean;
    must(s.mapped == sum && s.free_dirty == 0, "mapped %zu, the sum of all states %zu, dirty %zu", (size_t)s.mapped,
         (size_t)sum, (size_t)s.free_dirty);
    return 0;
}
