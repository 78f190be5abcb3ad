/* state_stress.c - the state machine of one page, over and over. In each round one thread makes a page and hands out
 * its blocks; then, all at once, it lets go of the page, the others free their blocks, and some look for a page of
 * the class, or of another class that would take the same unit, or purge. However that ends, no page may be left.
 * SPDX-License-Identifier: MIT */
#include "stress.h"

#include "system/lock.h"
#include "heap/page.h"
#include "heap/purge.h"
#include "heap/span.h"

/* Pages of few blocks; classes of a pair need as many units. */
static const unsigned g_pairs[][2] = {{60, 56}, {58, 58}, {44, 40}, {20, 16}};
enum { HANDED = 8 };

/* One round, written by thread 0 before it begins. */
static struct {
    const unsigned *classes;
    struct page *held;      /* what thread 0 is to let go; NULL when it has done so */
    void *blocks[HANDED];
    unsigned owner[HANDED]; /* the thread that frees it */
    unsigned count;
} g_round;

static void nothing(void) {}

static void begin(uint64_t *random)
{
    g_round.classes = g_pairs[random_next(random) % COUNT_OF(g_pairs)];
    unsigned c = g_round.classes[0];
    g_round.held = page_acquire_group(c, 0, 1);
    must(g_round.held && g_round.held->class_id == c, "no page of class %u", c);
    unsigned wanted = 1 + (unsigned)(random_next(random) % (min_size(class_info[c].blocks, HANDED)));
    g_round.count = page_take(g_round.held, g_round.blocks, wanted);
    must(g_round.count == wanted, "a fresh page of class %u gave %u of %u blocks", c, g_round.count, wanted);
    unsigned threads = 1 + (unsigned)(random_next(random) % STRESS_THREADS);
    for (unsigned i = 0; i < g_round.count; i++)
        g_round.owner[i] = (unsigned)(random_next(random) % threads);
    if (random_next(random) % 4 == 0) {
        page_release(g_round.held);
        g_round.held = NULL;
    }
}

/* The thread's blocks, in one call. */
static void give_back(unsigned id)
{
    void *blocks[HANDED];
    unsigned count = 0;
    for (unsigned i = 0; i < g_round.count; i++)
        if (g_round.owner[i] == id)
            blocks[count++] = g_round.blocks[i];
    page_return(blocks, count, "free");
}

/* As a thread without a cache does it. */
static void use_one(unsigned c)
{
    void *block = NULL;
    struct page *page = page_acquire_group(c, 0, PAGE_HELD_BRIEFLY);
    must(page && page->class_id == c, "looked for a page of class %u, got one of class %u", c,
         page ? page->class_id : 0);
    unsigned taken = page_take(page, &block, 1);
    page_release(page);
    page_return(&block, taken, "free");
}

static void race(unsigned id, uint64_t *random)
{
    bool first = random_next(random) % 2;
    if (first && id == 0 && g_round.held)
        page_release(g_round.held);
    give_back(id);
    if (!first && id == 0 && g_round.held)
        page_release(g_round.held);
    uint64_t choice = random_next(random);
    if (choice % 16 == 0)
        purge_all(SIZE_MAX);
    else if (choice % 16 < 12)
        for (unsigned i = 0; i < choice % 5; i++)
            use_one(g_round.classes[random_next(random) % 2]);
}

static void verify(void)
{
    for (unsigned c = 1; c <= CLASS_LAST; c++)
        must(page_count(c).pages == 0, "class %u: %zu pages are left, with %zu free blocks", c, page_count(c).pages,
             page_count(c).free_blocks);
    struct span_stats stats;
    heap_lock();
    span_stats(&stats);
    must(stats.used == 0, "%zu bytes of runs are left", stats.used);
    lock_release();
}

static void worker(unsigned id, uint64_t *random)
{
    do {
        if (id == 0)
            begin(random);
        stress_meet(nothing);
        race(id, random);
    } while (stress_meet(verify));
}

int main(int count, char **arguments)
{
    stress_run(count, arguments, worker);
    heap_must_be_valid("in the end");
    return 0;
}
