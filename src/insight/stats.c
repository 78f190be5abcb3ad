#include "insight/stats.h"

#include "insight/explain.h"
#include "heap/ground.h"
#include "cache/arena.h"
#include "heap/guard.h"
#include "heap/large.h"
#include "heap/limit.h"
#include "system/lock.h"
#include "system/options.h"
#include "heap/page.h"
#include "heap/prefault.h"
#include "heap/retain.h"
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

static COLD struct class_use gather_class(unsigned c)
{
    struct page_totals counted = page_count(c);
    struct class_use use = {.pages = counted.pages, .free = counted.free_blocks, .depot = remote_count(c)};
    use.blocks = use.pages * class_info[c].blocks;
    for (struct cache *cache = thread_caches(); cache; cache = cache->next)
        use.ring += ring_count(cache, c);
    use.ring += arena_shelved(c);
    /* Other threads' rings are as of their last slow path, and may have lost blocks since. */
    use.ring = min_size(use.ring, minus(use.blocks, use.free + use.depot));
    use.live = minus(use.blocks, use.free + use.depot + use.ring);
    return use;
}

static COLD void add_memory(struct stats *s)
{
    uint64_t paged = 0;
    for (unsigned c = 1; c <= class_last(); c++) {
        uint64_t size = class_size(c);
        struct class_use use = gather_class(c);
        s->pages += use.pages;
        s->live += use.live * size;
        s->ring += use.ring * size;
        s->depot += use.depot * size;
        s->page_free += use.free * size;
        s->page_rest += use.pages * (class_info[c].units * UNIT_SIZE - class_info[c].blocks * size);
        paged += use.pages * class_info[c].units * UNIT_SIZE;
    }
    /* What samples' blocks are larger than the blocks that they stand for is of no use to anybody. */
    uint64_t surplus = min_size(load_relaxed(&draw_surplus), s->live);
    s->live -= surplus;
    s->page_rest += surplus;
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

static COLD void add_heaps(struct stats *s)
{
    for (unsigned number = 1; number <= arena_last(); number++) {
        const struct hak_heap *arena = arena_at(number);
        s->heaps += arena != NULL;
        s->heap_live += arena ? load_relaxed(&arena->live) : 0; /* relaxed: of the moment */
    }
}

static COLD void add_reasons(struct stats *s)
{
    struct retain_report kept;
    struct limit_report limit;
    retain_tell(&kept);
    limit_tell(&limit, NULL, 0);
    size_t least = min_size(limit.own, limit.group);
    s->kept = kept.dirty;
    s->kept_most = kept.may;
    s->kept_missed = kept.missed;
    s->kept_large = kept.large;
    s->purged = kept.purged;
    s->limit = least == SIZE_MAX ? 0 : least;
    s->limit_purged = limit.purged;
    s->limit_nears = limit.nears;
    s->limit_refusals = limit.refusals;
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

COLD void stats_gather(struct stats *out)
{
    *out = (struct stats){0};
    thread_check_fork();
    add_memory(out);
    add_heaps(out);
    add_reasons(out);
    add_counters(out);
}

/* ---- Printing ---------------------------------------------------------------------------------------------------- */

enum { NAME_WIDTH = 18, DOC_COLUMN = 2 + NAME_WIDTH + 12 + 2 };

static COLD void print_line(struct text *text, const char *name, uint64_t value, bool is_bytes, const char *doc)
{
    text_string(text, "  ");
    text_left(text, name, NAME_WIDTH);
    if (is_bytes)
        text_bytes(text, value);
    else
        text_right(text, value, 12);
    text_string(text, "  ");
    text_string(text, doc);
    text_string(text, "\n");
}

static COLD void print_classes(struct text *text)
{
    text_string(text, "  size class       pages        live     in rings    in depot     free\n");
    for (unsigned c = 1; c <= class_last(); c++) {
        struct class_use use = gather_class(c);
        if (use.pages == 0)
            continue;
        text_right(text, class_size(c), 12);
        text_right(text, use.pages, 12);
        text_right(text, use.live, 12);
        text_right(text, use.ring, 12);
        text_right(text, use.depot, 12);
        text_right(text, use.free, 12);
        text_string(text, "\n");
    }
}

static COLD void print_heap(struct text *text, const struct hak_heap *arena)
{
    char name[HAK_HEAP_NAME_MAX + 1];
    hak_heap_stat_t stat;
    arena_name(arena, name);
    arena_stat(arena, &stat);
    text_bytes(text, stat.live);
    text_right(text, stat.blocks, 9);
    text_bytes(text, stat.peak);
    text_bytes(text, stat.held);
    if (stat.limit)
        text_bytes(text, stat.limit);
    else
        text_string(text, "        none");
    text_right(text, stat.refused, 9);
    text_string(text, "  ");
    text_string(text, name);
    text_string(text, "\n");
}

static COLD void print_heaps(struct text *text, const struct stats *s)
{
    if (s->heaps == 0)
        return;
    text_string(text, "        live   blocks        peak        held       limit  refused  heap by name\n");
    for (unsigned number = 1; number <= arena_last(); number++) {
        const struct hak_heap *arena = arena_at(number);
        if (arena)
            print_heap(text, arena);
    }
}

COLD void stats_print(int fd, const struct stats *s)
{
    struct text text;
    text_begin(&text, fd);
    text_string(&text, "\n");
    text_fold(&text, DOC_COLUMN);
#define X(field, name, unit, doc) print_line(&text, name, s->field, unit[0] == 'b', doc);
#include "insight/stats.def"
#undef X
    print_classes(&text);
    print_heaps(&text, s);
    text_end(&text);
    explain_print(fd);
}

