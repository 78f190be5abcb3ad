/* page_stress.c - pages under many threads, in rounds. All threads use the same few pages at a time: they hold them,
 * take from them, let them go, and free blocks that they or another thread took, while memory is purged behind
 * everybody's back, and descriptors of pages that went become large blocks'. Between rounds, when nothing is under way,
 * every page has to be where its state says; and after every fourth, in which all is given back, no page may be left.
 * SPDX-License-Identifier: MIT */
#include "stress.h"

#include <stdatomic.h>

#include "heap/large.h"
#include "heap/page.h"
#include "heap/purge.h"
#include "heap/span.h"

/* Two classes at a time. Pages of two blocks, of one word, of several: the fewer blocks, the more often a page is
 * made, filled and unmade. */
static const unsigned g_pairs[][2] = {{60, 59}, {20, 19}, {45, 60}, {28, 20}, {17, 4}, {1, 2}};
enum { LIVE = 24, BATCH = 8, STEPS = 256 };

struct self {
    unsigned id;
    struct page *held[2];
    const unsigned *classes;
    struct item live[LIVE];
    size_t count;
};

static _Atomic(unsigned) g_round; /* written while all meet */

static bool all_goes(void) { return atomic_load(&g_round) % 4 == 3; }

static void take(struct self *self, unsigned which, uint64_t *random)
{
    void *out[BATCH + 64]; /* more would be written beyond what was asked for */
    unsigned c = self->classes[which], wanted = 1 + (unsigned)(random_next(random) % BATCH);
    if (self->count + wanted > LIVE)
        return;
    if (!self->held[which])
        self->held[which] = page_acquire_group(c, 0, self->id + 1);
    must(self->held[which] && self->held[which]->class_id == c, "page_acquire: no page of class %u", c);
    out[wanted] = NULL;
    unsigned taken = page_take(self->held[which], out, wanted);
    must(taken <= wanted && out[wanted] == NULL, "page_take: %u blocks wanted, %u taken", wanted, taken);
    for (unsigned i = 0; i < taken; i++) {
        must(i == 0 || (char *)out[i] < (char *)out[i - 1], "page_take: blocks are not in descending order");
        self->live[self->count++] = item_make(out[i], class_size(c), random);
    }
}

static void take_zeroed(struct self *self, unsigned which, uint64_t *random)
{
    size_t size = class_size(self->classes[which]), part = size < 4096 ? size : 4096;
    char *block = self->held[which] && self->count < LIVE ? page_take_zeroed(self->held[which]) : NULL;
    if (!block)
        return;
    must(bytes_check(block, part, 0) == part, "page_take_zeroed: not zero");
    self->live[self->count++] = item_make(block, size, random);
}

static void let_go(struct self *self, unsigned which)
{
    if (self->held[which])
        page_release(self->held[which]);
    self->held[which] = NULL;
}

static void give_back(struct self *self, uint64_t *random)
{
    void *blocks[BATCH];
    unsigned count = 0;
    for (size_t wanted = 1 + random_next(random) % BATCH; count < wanted && self->count > 0;) {
        size_t i = random_next(random) % self->count;
        struct item item = self->live[i];
        self->live[i] = self->live[--self->count];
        item_check(&item, "own");
        if (random_next(random) % 2 && !all_goes()) {
            item = item_swap(item, random);
            if (!item.block)
                continue;
            item_check(&item, "another thread's");
        }
        blocks[count++] = item.block;
    }
    page_return(blocks, count, "free");
}

/* Its descriptor was a page's a moment ago, which others may still look at. */
static void make_large(void)
{
    bool zeroed;
    void *block = large_malloc(UNIT_SIZE, 1, 0, &zeroed);
    must(block, "large_malloc: no memory");
    large_free(block);
}

static void step(struct self *self, uint64_t *random)
{
    uint64_t choice = random_next(random) % 1000;
    unsigned which = (unsigned)(random_next(random) % 2);
    if (choice < 400)
        take(self, which, random);
    else if (choice < 420)
        take_zeroed(self, which, random);
    else if (choice < 650)
        let_go(self, which);
    else if (choice < 990)
        give_back(self, random);
    else if (choice < 995)
        make_large();
    else if (choice < 999)
        purge_all(SIZE_MAX);
    else
        span_purge(0, SIZE_MAX, UINT64_MAX);
}

static void give_all_back(struct self *self, uint64_t *random)
{
    if (random_next(random) % 2)
        let_go(self, 0);
    while (self->count > 0)
        give_back(self, random);
    let_go(self, 0);
    let_go(self, 1);
}

/* ---- Between rounds ---------------------------------------------------------------------------------------------- */

static void page_verify(struct page *page, void *unused)
{
    (void)unused;
    const struct class_info *info = &class_info[page->class_id];
    unsigned state = load_seq(&page->state), unit = (unsigned)((uintptr_t)page->start >> UNIT_SHIFT) % SUPERSLAB_UNITS;
    unsigned free_blocks = 0;
    for (unsigned word = 0; word < info->words; word++)
        free_blocks += count_bits(load_seq(&page->free[word]));
    bool listed = load_seq(&page->slab->listed) >> unit & 1;
    bool in_set = slabset_has(SET_OF_CLASS + page->class_id, page->slab->number);
    must(listed == (state == PAGE_LISTED), "a page of class %u in state %u: its bit in the superslab is %d",
         page->class_id, state, listed);
    must(state != PAGE_LISTED || in_set, "a page of class %u is listed, but its superslab is not in the set",
         page->class_id);
    must(state != PAGE_FULL || free_blocks == 0, "a full page of class %u has %u free blocks", page->class_id,
         free_blocks);
    must(state == PAGE_OWNED || free_blocks < info->blocks,
         "a page of class %u that nobody holds is empty and not gone", page->class_id);
    must(page_is_valid(page), "a page of class %u is not valid", page->class_id);
}

static void verify(void)
{
    if (all_goes())
        for (struct item item = item_leftover(); item.block; item = item_leftover()) {
            void *block = item.block;
            item_check(&item, "left over");
            page_return(&block, 1, "free");
        }
    heap_each_page(page_verify, NULL);
    for (unsigned c = 1; c <= CLASS_LAST && all_goes(); c++)
        must(page_count(c).pages == 0, "class %u: %zu pages are left, with %zu free blocks", c, page_count(c).pages,
             page_count(c).free_blocks);
    atomic_fetch_add(&g_round, 1);
}

static void worker(unsigned id, uint64_t *random)
{
    struct self self = {.id = id};
    do {
        self.classes = g_pairs[atomic_load(&g_round) / 4 % COUNT_OF(g_pairs)];
        for (size_t steps = random_next(random) % STEPS; steps > 0; steps--)
            step(&self, random);
        if (all_goes())
            give_all_back(&self, random);
    } while (stress_meet(verify));
}

int main(int count, char **arguments)
{
    stress_run(count, arguments, worker);
    heap_must_be_valid("in the end");
    return 0;
}
