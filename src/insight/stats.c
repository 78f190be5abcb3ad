#include "insight/stats.h"

#include "insight/explain.h"
#include "hakmem.h"
#include "heap/ground.h"
#include "heap/guard.h"
#include "heap/large.h"
#include "system/lock.h"
#include "system/options.h"
#include "heap/page.h"
#include "heap/prefault.h"
#include "cache/remote.h"
#include "cache/ring.h"
#include "heap/span.h"
#include "system/text.h"
#include "cache/thread.h"

/* A size class as the program uses it. */
struct class_use {
    uint64_t pages, blocks, live, ring, depot, free;
};

static uint64_t minus(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }

static COLD void gather_classes(struct class_use use[static CLASS_SLOTS])
{
    struct page_totals counted[CLASS_SLOTS];
    page_count(counted);
    for (unsigned c = 0; c <= CLASS_LAST; c++)
        use[c] = (struct class_use){0};
    for (unsigned c = 1; c <= class_last(); c++) {
        struct class_use *u = &use[c];
        u->pages = counted[c].pages;
        u->blocks = u->pages * class_info[c].blocks;
        u->free = counted[c].free_blocks;
        u->depot = remote_count(c);
        for (struct cache *cache = thread_caches(); cache; cache = cache->next)
            u->ring += ring_count(cache, c);
        /* Other threads' rings are as of their last slow path, and may have lost blocks since. */
        u->ring = u->ring < minus(u->blocks, u->free + u->depot) ? u->ring : minus(u->blocks, u->free + u->depot);
        u->live = minus(u->blocks, u->free + u->depot + u->ring);
    }
}

static COLD void add_memory(struct stats *s, const struct class_use *use)
{
    uint64_t paged = 0;
    for (unsigned c = 1; c <= class_last(); c++) {
        uint64_t size = class_size(c);
        s->pages += use[c].pages;
        s->live += use[c].live * size;
        s->ring += use[c].ring * size;
        s->depot += use[c].depot * size;
        s->page_free += use[c].free * size;
        s->page_rest += use[c].pages * (class_info[c].units * UNIT_SIZE - class_info[c].blocks * size);
        paged += use[c].pages * class_info[c].units * UNIT_SIZE;
    }
    struct span_stats span = {0};
    struct large_stats large = {0};
    uint64_t guards = 0;
    span_stats(&span);
    s->metadata = ground_bytes();
    guards = guard_page_bytes();
    if (lock_acquire()) {
        large_stats(&large);
        lock_release();
    }
    s->mapped = span.mapped + large.mapped_bytes;
    s->free_dirty = span.dirty;
    s->free_clean = span.clean;
    s->huge = span.huge;
    s->huge_slow = span.huge_slow;
    s->prefaulted = prefault_bytes();
    s->page_rest += guards;
    s->large = minus(span.used, paged + guards) + large.mapped_bytes;
    s->large_blocks = large.blocks;
    s->malloc_large = large.mallocs;
    s->free_large = large.frees;
}

static COLD void add_counters(struct stats *s)
{
    s->threads = thread_count();
    for (struct cache *cache = thread_caches(); cache; cache = cache->next) {
        const struct ring_counters *n = &cache->counters;
        s->malloc_ring += load_relaxed(&n->ring_mallocs);
        s->malloc_depot += load_relaxed(&n->refills_from_depot);
        s->malloc_page += load_relaxed(&n->refills_from_pages);
        s->malloc_zeroed += load_relaxed(&n->zeroed_blocks);
        s->malloc_direct += load_relaxed(&n->direct_mallocs);
        s->free_direct += load_relaxed(&n->direct_frees);
        s->free_ring += load_relaxed(&n->ring_frees);
        s->flushes += load_relaxed(&n->flushes);
        s->flushed_to_depot += load_relaxed(&n->flushed_to_depot);
        s->flushed_to_pages += load_relaxed(&n->flushed_to_pages);
    }
    s->malloc_direct += load_relaxed(&cache_none.counters.direct_mallocs);
    s->free_direct += load_relaxed(&cache_none.counters.direct_frees);
}

static COLD void gather(struct stats *out, struct class_use use[static CLASS_SLOTS])
{
    *out = (struct stats){0};
    thread_check_fork();
    gather_classes(use);
    add_memory(out, use);
    add_counters(out);
}

COLD void stats_gather(struct stats *out)
{
    struct class_use use[CLASS_SLOTS];
    gather(out, use);
}

/* ---- Printing ---------------------------------------------------------------------------------------------------- */

static COLD void print_line(struct text *text, const char *name, uint64_t value, bool is_bytes, const char *doc)
{
    text_string(text, "  ");
    text_left(text, name, 18);
    if (is_bytes)
        text_bytes(text, value);
    else
        text_right(text, value, 12);
    text_string(text, "  ");
    text_string(text, doc);
    text_string(text, "\n");
}

static COLD void print_classes(struct text *text, const struct class_use *use)
{
    text_string(text, "  size class       pages        live     in rings    in depot     free\n");
    for (unsigned c = 1; c <= class_last(); c++) {
        if (use[c].pages == 0)
            continue;
        text_right(text, class_size(c), 12);
        text_right(text, use[c].pages, 12);
        text_right(text, use[c].live, 12);
        text_right(text, use[c].ring, 12);
        text_right(text, use[c].depot, 12);
        text_right(text, use[c].free, 12);
        text_string(text, "\n");
    }
}

COLD void stats_print(int fd)
{
    struct stats s;
    struct class_use use[CLASS_SLOTS];
    struct text text;
    gather(&s, use);
    text_begin(&text, fd);
    text_string(&text, "hakmem ");
    text_string(&text, hak_version());
    text_string(&text, " statistics ");
    text_process(&text);
    text_string(&text, "\n");
#define X(field, name, unit, doc) print_line(&text, name, s.field, unit[0] == 'b', doc);
#include "insight/stats.def"
#undef X
    print_classes(&text, use);
    text_end(&text);
    explain_print(fd);
}
