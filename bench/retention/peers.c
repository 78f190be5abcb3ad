/* peers.c - models of what other allocators do with free memory: their rules, on hakmem's placement of blocks. They are
 * no more than that: the allocators themselves have other placements, caches, and granules.
 *
 *   jemalloc   5.3, dirty_decay_ms 10000: of the pages that became free within the last ten seconds so many may be
 *              resident as a smooth curve over their age allows; beyond that the longest free go, with the next call
 *   tcmalloc   gperftools, release rate 1: one page goes, the longest free, for each 1000 that become free
 *   glibc      2.36: blocks above the mmap threshold (from 128 KiB on, raised by each that is freed, to 32 MiB) go when
 *              freed; of the others what is free at the heap's upper end, if that is more than twice the threshold, but
 *              for 128 KiB
 * SPDX-License-Identifier: MIT */
#include "retention.h"

#include <string.h>

/* ---- jemalloc ---------------------------------------------------------------------------------------------------- */

enum { DECAY_US = 10 * 1000 * 1000, STEPS = 200, STEP_US = DECAY_US / STEPS };

static struct {
    uint64_t step;
    size_t arrived[STEPS]; /* pages that were more at the end of each of the last steps than before; the newest last */
    size_t before;
} decay;

/* The part of pages of such an age that may be resident: 1 when new. */
static double smooth(unsigned newness)
{
    double x = (newness + 1.0) / STEPS;
    return x * x * x * (x * (x * 6 - 15) + 10);
}

static void decay_step(uint64_t steps)
{
    size_t shift = steps < STEPS ? steps : STEPS, kept = memory.kept[FOLLOWER_JEMALLOC];
    memmove(decay.arrived, decay.arrived + shift, (STEPS - shift) * sizeof *decay.arrived);
    memset(decay.arrived + STEPS - shift, 0, shift * sizeof *decay.arrived);
    decay.arrived[STEPS - 1] = kept > decay.before ? kept - decay.before : 0;
}

void peers_look(void)
{
    uint64_t step = now_us / STEP_US;
    if (step == decay.step)
        return;
    decay_step(step - decay.step);
    decay.step = step;
    double may = 0;
    for (unsigned i = 0; i < STEPS; i++)
        may += (double)decay.arrived[i] * smooth(i);
    while ((double)memory.kept[FOLLOWER_JEMALLOC] > may && memory_drop_oldest(FOLLOWER_JEMALLOC))
        ;
    decay.before = memory.kept[FOLLOWER_JEMALLOC];
}

/* ---- tcmalloc ---------------------------------------------------------------------------------------------------- */

void peers_page_freed(void)
{
    enum { RATE = 1000 };
    static unsigned freed;
    if (++freed < RATE)
        return;
    freed = 0;
    memory_drop_oldest(FOLLOWER_TCMALLOC);
}

/* ---- glibc ------------------------------------------------------------------------------------------------------- */

enum { THRESHOLD_FIRST = 128 << 10, THRESHOLD_MOST = 32 << 20, PAD = 128 << 10 };

static struct {
    size_t threshold; /* of mapping; 0: it is the first */
    uintptr_t bottom; /* of the heap without blocks that are mapped: its lowest address, */
    uintptr_t top;    /* the end of its highest block, */
    uintptr_t end;    /* and of what is resident above that */
} glibc = {.threshold = THRESHOLD_FIRST, .bottom = UINTPTR_MAX};

static void top_find(void)
{
    for (; glibc.top > glibc.bottom; glibc.top -= MEMORY_PAGE) {
        const struct page *page = memory_page_known(glibc.top - MEMORY_PAGE);
        if (page && page->blocks > 0 && !page->is_mapping)
            break;
    }
}

static void pages_drop(uintptr_t start, uintptr_t end)
{
    for (uintptr_t at = start; at < end; at += MEMORY_PAGE) {
        struct page *page = memory_page_known(at);
        if (page && page->blocks == 0)
            memory_drop(FOLLOWER_GLIBC, page);
    }
}

static void top_trim(void)
{
    top_find();
    if (glibc.end - glibc.top <= 2 * glibc.threshold)
        return;
    pages_drop(glibc.top + PAD, glibc.end);
    glibc.end = glibc.top + PAD;
}

static uintptr_t page_end(uintptr_t address) { return (address + MEMORY_PAGE - 1) & -(uintptr_t)MEMORY_PAGE; }

bool peers_take(uintptr_t start, size_t size)
{
    uintptr_t first = start & -(uintptr_t)MEMORY_PAGE, end = page_end(start + size);
    bool is_mapping = size >= glibc.threshold;
    for (uintptr_t at = first; at < end; at += MEMORY_PAGE)
        memory_page(at)->is_mapping = is_mapping;
    if (!is_mapping) {
        glibc.bottom = first < glibc.bottom ? first : glibc.bottom;
        glibc.top = end > glibc.top ? end : glibc.top;
        glibc.end = end > glibc.end ? end : glibc.end;
    }
    return is_mapping;
}

void peers_give(uintptr_t start, size_t size, bool is_mapping)
{
    uintptr_t end = page_end(start + size);
    if (is_mapping) {
        pages_drop(start & -(uintptr_t)MEMORY_PAGE, end);
        if (size > glibc.threshold && size <= THRESHOLD_MOST)
            glibc.threshold = size;
    } else if (end >= glibc.top)
        top_trim();
}
