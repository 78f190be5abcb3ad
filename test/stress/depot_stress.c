/* depot_stress.c - the depot under many threads: batches of true blocks are given and taken, while resting ones go
 * back to their pages. In the end every block is free.
 * SPDX-License-Identifier: MIT */
#include "stress.h"

#include <stdlib.h>

#include "cache/remote.h"

enum { SMALLEST = 1024 }; /* of the classes that use the depot */
enum { CLASSES = 3, LIVE = 300 };
static unsigned g_classes[CLASSES];

struct self {
    struct page *held[CLASSES];
    struct item live[CLASSES][LIVE];
    unsigned count[CLASSES];
};

static void obtain(struct self *self, unsigned which, uint64_t *random)
{
    void *blocks[REMOTE_BATCH_MAX + 64];
    unsigned c = g_classes[which];
    if (self->count[which] + REMOTE_BATCH_MAX > LIVE)
        return;
    unsigned count = remote_take(c, blocks);
    must(count <= remote_batch(c), "a batch of %u blocks", count);
    if (count == 0) {
        if (!self->held[which])
            self->held[which] = page_acquire_group(c, 0, 1);
        count = page_take(self->held[which], blocks, remote_batch(c));
        if (count == 0) {
            page_release(self->held[which]);
            self->held[which] = NULL;
        }
    }
    for (unsigned i = 0; i < count; i++)
        self->live[which][self->count[which]++] = item_make(blocks[i], class_size(c), random);
}

static void pass_on(struct self *self, unsigned which, uint64_t *random)
{
    void *blocks[REMOTE_BATCH_MAX];
    unsigned c = g_classes[which], count = 1 + (unsigned)(random_next(random) % remote_batch(c));
    if (count > self->count[which])
        return;
    for (unsigned i = 0; i < count; i++) {
        struct item *item = &self->live[which][--self->count[which]];
        item_check(item, "in hand");
        blocks[i] = item->block;
    }
    if (random_next(random) % 16 == 0 || !remote_give(c, blocks, count))
        page_return(blocks, count, "free");
}

static void worker(unsigned id, uint64_t *random)
{
    (void)id;
    struct self *self = calloc(1, sizeof *self);
    while (!stress_over()) {
        unsigned which = (unsigned)(random_next(random) % CLASSES);
        uint64_t choice = random_next(random) % 1000;
        if (choice < 498)
            obtain(self, which, random);
        else if (choice < 996)
            pass_on(self, which, random);
        else if (choice < 999)
            remote_flush_resting();
        else
            remote_flush();
        must(remote_count(g_classes[which]) <= policy_static.depot_bytes / SMALLEST * 2, "remote_count: %zu",
             remote_count(g_classes[which]));
    }
    for (unsigned which = 0; which < CLASSES; which++) {
        while (self->count[which] > 0)
            pass_on(self, which, random);
        if (self->held[which])
            page_release(self->held[which]);
    }
    free(self);
}

int main(int count, char **arguments)
{
    g_classes[0] = class_of(SMALLEST);
    g_classes[1] = class_of(20 * KIB);
    g_classes[2] = class_of(700 * KIB);
    stress_run(count, arguments, worker);
    remote_flush();
    heap_must_be_valid("in the end");
    for (unsigned c = 1; c <= CLASS_LAST; c++)
        must(page_count(c).pages == 0, "class %u: %zu pages are left, with %zu of %zu blocks free", c,
             page_count(c).pages, page_count(c).free_blocks, page_count(c).pages * class_info[c].blocks);
    return 0;
}
