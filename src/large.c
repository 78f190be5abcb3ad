#include "large.h"

#include "lock.h"
#include "map.h"
#include "meta.h"
#include "os.h"
#include "purge.h"
#include "span.h"

static struct large_stats tally; /* [lock] */

static struct page *large_at(const void *block)
{
    struct page *page = map_page(block);
    return page && page->class_id == 0 && page->start == block ? page : NULL;
}

static struct run large_run(const struct page *large)
{
    return (struct run){.slab = large->slab,
                        .unit = (uint32_t)((uintptr_t)large->start >> UNIT_SHIFT) % SUPERSLAB_UNITS};
}

/* Relaxed: the lock orders it; but a late reader of a page's bitmap may still look at it (page.h). */
static size_t bytes_of(const struct page *large) { return load_relaxed(&large->bytes); }

static size_t mapping_size(size_t size) { return align_up(size, os_page_size()); }

/* ---- Making ------------------------------------------------------------------------------------------------------ */

/* Fills in a descriptor and enters it in the page map. Under the lock. */
static void large_enter(struct page *large, char *start, struct superslab *slab, size_t bytes)
{
    large->start = start;
    large->slab = slab;
    large->class_id = 0;
    store_relaxed(&large->bytes, bytes);
    store_relaxed(&large->state, PAGE_OWNED); /* never FULL: no late reader may list it */
    map_set_large(start, large);
    tally.blocks++;
    tally.bytes += bytes;
    tally.mapped_bytes += slab ? 0 : bytes;
    tally.mallocs++;
}

static bool run_make(struct page *large, size_t size, size_t align, bool *zeroed)
{
    size_t units = units_for(size);
    struct run run = span_alloc(units, units_for(align));
    if (!run.slab)
        return false;
    *zeroed = run.zeroed;
    large_enter(large, run_start(run), run.slab, units << UNIT_SHIFT);
    return true;
}

static bool mapping_make(struct page *large, size_t size, size_t align, bool *zeroed)
{
    void *start;
    size_t bytes = mapping_size(size);
    if (!map_obtain(bytes, align, UNIT_SIZE, NULL, &start))
        return false;
    *zeroed = true;
    large_enter(large, start, NULL, bytes);
    return true;
}

static void *large_try(size_t size, size_t align, bool *zeroed)
{
    if (!lock_acquire())
        return NULL;
    bool made = false;
    struct page *large = meta_alloc(META_PAGE, sizeof *large);
    if (large) {
        bool as_run = size <= RUN_MAX_SIZE && align <= RUN_MAX_SIZE;
        made = as_run ? run_make(large, size, align, zeroed) : mapping_make(large, size, align, zeroed);
        if (!made)
            meta_free(META_PAGE, large, sizeof *large);
    }
    lock_release();
    return made ? large->start : NULL;
}

void *large_malloc(size_t size, size_t align, bool *zeroed)
{
    align = max_size(align, UNIT_SIZE);
    void *block = large_try(size, align, zeroed);
    if (LIKELY(block))
        return block;
    /* More than the machine has is not to be had by that; 0 means that it is not known. */
    size_t memory = os_memory_size();
    if ((memory == 0 || size <= memory) && span_unmap_free())
        block = large_try(size, align, zeroed);
    return block;
}

/* ---- Unmaking ---------------------------------------------------------------------------------------------------- */

/* A mapping that the system will not unmap (it would need one mapping more than allowed) at least loses its memory. */
static void unmap_or_purge(char *start, size_t size)
{
    if (os_unmap(start, size))
        os_purge(start, size);
}

bool large_free(void *block)
{
    if (!lock_acquire())
        return false;
    struct page *large = large_at(block);
    if (!large) {
        lock_release();
        return false;
    }
    struct superslab *slab = large->slab;
    size_t bytes = bytes_of(large);
    map_set_large(block, NULL);
    if (slab)
        span_free(large_run(large), bytes >> UNIT_SHIFT, bytes >> UNIT_SHIFT);
    else
        map_give_up(block, UNIT_SIZE);
    tally.blocks--;
    tally.bytes -= bytes;
    tally.mapped_bytes -= slab ? 0 : bytes;
    tally.frees++;
    meta_free(META_PAGE, large, sizeof *large);
    lock_release();
    if (!slab)
        unmap_or_purge(block, bytes);
    retain_tick(os_milliseconds()); /* a program may use nothing but large blocks */
    purge_if_due();
    return true;
}

size_t large_size(const void *block)
{
    struct page *large = large_at(block);
    return large ? bytes_of(large) : 0;
}

/* ---- Resizing ---------------------------------------------------------------------------------------------------- */

/* Under the lock. */
static void large_set_bytes(struct page *large, size_t bytes)
{
    tally.bytes += bytes - bytes_of(large);
    tally.mapped_bytes += large->slab ? 0 : bytes - bytes_of(large);
    store_relaxed(&large->bytes, bytes);
}

static bool run_resize(struct page *large, size_t size)
{
    size_t units = bytes_of(large) >> UNIT_SHIFT, new_units = units_for(size);
    struct run run = large_run(large);
    if (new_units > units && !span_extend(run, units, new_units))
        return false;
    if (new_units < units) {
        size_t end = run.unit + new_units;
        struct run rear = {.slab = slab_at(run.slab->number + (uint32_t)(end / SUPERSLAB_UNITS)),
                           .unit = (uint32_t)(end % SUPERSLAB_UNITS)};
        span_free(rear, units - new_units, units - new_units);
    }
    large_set_bytes(large, new_units << UNIT_SHIFT);
    return true;
}

bool large_resize(void *block, size_t size)
{
    bool done = false;
    if (!lock_acquire())
        return false;
    struct page *large = large_at(block);
    if (large && large->slab) {
        done = size <= RUN_MAX_SIZE && run_resize(large, size);
    } else if (large) {
        done = os_resize(block, bytes_of(large), mapping_size(size)) == 0;
        if (done)
            large_set_bytes(large, mapping_size(size));
    }
    lock_release();
    purge_if_due();
    return done;
}

/* Moves the pages of a mapping to a new place. Under the lock. */
static void *mapping_move(struct page *large, size_t bytes)
{
    char *start = large->start;
    void *target;
    if (!map_obtain(bytes, UNIT_SIZE, UNIT_SIZE, NULL, &target))
        return NULL;
    if (os_move(start, bytes_of(large), bytes, target)) {
        map_give_up(target, UNIT_SIZE);
        os_unmap(target, bytes);
        return NULL;
    }
    map_set_large(start, NULL);
    map_give_up(start, UNIT_SIZE);
    large->start = target;
    large_set_bytes(large, bytes);
    map_set_large(target, large);
    return target;
}

COLD void *large_move(void *block, size_t size)
{
    void *moved = NULL;
    if (!lock_acquire())
        return NULL;
    struct page *large = large_at(block);
    if (large && !large->slab && size > RUN_MAX_SIZE)
        moved = mapping_move(large, mapping_size(size));
    lock_release();
    return moved;
}

/* ---- Telling ----------------------------------------------------------------------------------------------------- */

static COLD bool is_inside_large(const char *address)
{
    enum { FAR = 1 << 16 }; /* units to look back: 4 GiB */
    uintptr_t unit = (uintptr_t)address >> UNIT_SHIFT;
    for (uintptr_t back = 0; back < FAR && back <= unit; back++) {
        struct page *page = map_page((const char *)((unit - back) << UNIT_SHIFT));
        if (page && page->class_id == 0)
            return address < page->start + bytes_of(page);
    }
    return false;
}

static bool is_in_superslab(const char *address)
{
    for (uint32_t n = 0; n < span_slab_count(); n++) {
        const char *base = slab_unit_start(slab_at(n), 0);
        if (base && address >= base && address < base + SUPERSLAB_SIZE)
            return true;
    }
    return false;
}

enum error_id large_explain(const void *address)
{
    if (is_inside_large(address))
        return ERROR_INTERIOR;
    return is_in_superslab(address) ? ERROR_NOT_LIVE : ERROR_FOREIGN;
}

void large_stats(struct large_stats *out)
{
    HAK_ASSERT(lock_is_held());
    *out = tally;
}
