/* page_stress.c - pages under many threads: every thread holds some, takes from them, lets them go, and frees blocks that it
 * or another thread took, while memory is purged behind everybody's back. In the end every block is free and no page is left.
 * SPDX-License-Identifier: MIT */
#include "stress.h"

#include "page.h"
#include "span.h"

/* Pages of two blocks, of one word, of several: the fewer blocks, the more often a page is made, filled and unmade. */
static const unsigned g_classes[] = {60, 45, 28, 17, 4};
enum { CLASSES = 5, LIVE = 400, BATCH = 64 };

struct self {
    struct page *held[CLASSES];
    struct item live[LIVE];
    size_t count;
    unsigned id;
};

static void take(struct self *self, unsigned which, uint64_t *random)
{
    void *out[BATCH + 64]; /* more would be written beyond what was asked for */
    unsigned c = g_classes[which], wanted = 1 + (unsigned)(random_next(random) % BATCH);
    if (self->count + wanted > LIVE)
        return;
    if (!self->held[which])
        self->held[which] = page_acquire(c, self->id);
    must(self->held[which] && self->held[which]->class_id == c, "page_acquire: no page of class %u", c);
    for (unsigned i = 0; i < COUNT_OF(out); i++)
        out[i] = NULL;
    unsigned taken = page_take(self->held[which], out, wanted);
    must(taken <= wanted && out[wanted] == NULL, "page_take: %u blocks wanted, %u taken", wanted, taken);
    for (unsigned i = 0; i < taken; i++) {
        must(i == 0 || (char *)out[i] < (char *)out[i - 1], "page_take: blocks are not in descending order");
        self->live[self->count++] = item_make(out[i], class_size(c), random);
    }
    if (taken == 0 || random_next(random) % 4 == 0) {
        page_release(self->held[which]);
        self->held[which] = NULL;
    }
}

static void take_zeroed(struct self *self, unsigned which, uint64_t *random)
{
    size_t size = class_size(g_classes[which]);
    char *block = self->held[which] && self->count < LIVE ? page_take_zeroed(self->held[which]) : NULL;
    if (!block)
        return;
    size_t part = size < 8192 ? size : 8192;
    must(bytes_check(block, part, 0) == part, "page_take_zeroed: not zero");
    self->live[self->count++] = item_make(block, size, random);
}

static void give_back(struct self *self, uint64_t *random)
{
    void *blocks[BATCH];
    unsigned count = 0;
    for (size_t wanted = random_next(random) % BATCH; count < wanted && self->count > 0;) {
        size_t i = random_next(random) % self->count;
        struct item item = self->live[i];
        self->live[i] = self->live[--self->count];
        item_check(&item, "own");
        if (random_next(random) % 2) {
            item = item_swap(item, random);
            if (!item.block)
                continue;
            item_check(&item, "another thread's");
        }
        blocks[count++] = item.block;
    }
    page_return(blocks, count, "free");
}

static void worker(unsigned id, uint64_t *random)
{
    struct self self = {.id = id + 1};
    while (!stress_over()) {
        uint64_t choice = random_next(random) % 1000;
        unsigned which = (unsigned)(random_next(random) % CLASSES);
        if (choice < 500)
            take(&self, which, random);
        else if (choice < 550)
            take_zeroed(&self, which, random);
        else if (choice < 990)
            give_back(&self, random);
        else if (choice < 998)
            page_purge_holes();
        else
            span_purge(0);
    }
    while (self.count > 0)
        give_back(&self, random);
    for (unsigned which = 0; which < CLASSES; which++)
        if (self.held[which])
            page_release(self.held[which]);
}

int main(int count, char **arguments)
{
    struct page_totals totals[CLASS_SLOTS];
    stress_run(count, arguments, worker);
    for (struct item item = item_leftover(); item.block; item = item_leftover()) {
        void *block = item.block;
        item_check(&item, "left over");
        page_return(&block, 1, "free");
    }
    heap_must_be_valid("in the end");
    page_count(totals);
    for (unsigned c = 1; c <= CLASS_LAST; c++)
        must(totals[c].pages == 0, "class %u: %zu pages are left, with %zu of %zu blocks free", c, totals[c].pages,
             totals[c].free_blocks, totals[c].pages * class_info[c].blocks);
    struct span_stats stats;
    heap_lock();
    span_stats(&stats);
    must(stats.used == 0, "%zu bytes of runs are left", stats.used);
    return 0;
}
