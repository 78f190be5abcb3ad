#include "heap/large.h"

#include "heap/fill.h"
#include "heap/guard.h"
#include "system/lock.h"
#include "heap/map.h"
#include "heap/meta.h"
#include "system/os.h"
#include "heap/prefault.h"
#include "heap/purge.h"
#include "heap/span.h"

#include <errno.h>

static struct large_stats tally; /* [lock] */

static struct page *large_at(const void *block)
{
    struct page *page = map_page(block);
    return page && page->class_id == 0 && page->start == block && !load_relaxed(&page->late) ? page : NULL;
}

static struct run large_run(const struct page *large)
{
    unsigned before = large->guarded ? large->ahead : 0;
    return (struct run){.slab = large->slab,
                        .unit = (uint32_t)((uintptr_t)large->start >> UNIT_SHIFT) % SUPERSLAB_UNITS - before};
}

/* Relaxed: the lock orders it; but a late reader of a page's bitmap may still look at it (page.h). */
static size_t bytes_of(const struct page *large) { return load_relaxed(&large->bytes); }

/* Of a run, with its guards. */
static size_t large_units(const struct page *large)
{
    return large->guarded ? load_relaxed(&large->weight) : bytes_of(large) >> UNIT_SHIFT;
}

/* The guard at the end of a mapping of its own. */
static size_t tail_size(const struct page *large) { return large->guarded ? os_page_size() : 0; }

static size_t mapping_size(size_t size) { return align_up(size, os_page_size()); }

/* ---- Of what sizes blocks are filled ----------------------------------------------------------------------------- */

/* [lock] The newest block of a kind of which it is not known: by the time the next is made, it is in use. */
static struct page *newest;
static unsigned looks_left; /* [lock] until it is given up */

static void newest_forget(const struct page *large) { newest = newest == large ? NULL : newest; }

/* A block whose memory was fresh and that is filled shows what others will be; one that is not may be so later, but
 * after some looks that counts as an answer. */
static void newest_look(void)
{
    bool is_filled = fill_look(newest->start, bytes_of(newest));
    if (!is_filled && --looks_left > 0)
        return;
    fill_note(fill_kind_of_run(bytes_of(newest)), is_filled);
    newest->zeroed = false;
    newest = NULL;
}

static bool is_going_to_be_filled(size_t bytes)
{
    if (newest)
        newest_look();
    return fill_is_expected(fill_kind_of_run(bytes));
}

static void newest_note(struct page *large)
{
    enum { LOOKS = 4 };
    if (!large->zeroed || !fill_is_open(fill_kind_of_run(bytes_of(large))))
        return;
    newest = large;
    looks_left = LOOKS;
}

/* ---- Making ------------------------------------------------------------------------------------------------------ */

/* What there is to know of a large block's memory when it is made. */
struct fresh {
    bool zeroed;     /* reads as zero */
    bool clean;      /* none of it is resident */
    bool expected;   /* all of it is going to be used, and is to be made resident */
    bool is_shut;    /* nothing of it may be touched yet */
    struct run huge; /* opens a huge page, if there is any */
};

/* Fills in a descriptor and enters it in the page map. Under the lock. */
static void large_enter(struct page *large, char *start, struct superslab *slab, size_t bytes, struct fresh fresh)
{
    large->start = start;
    large->slab = slab;
    large->class_id = 0;
    large->guarded = false;
    large->zeroed = fresh.clean && !fresh.expected;
    store_relaxed(&large->bytes, bytes);
    store_relaxed(&large->late, NULL);
    store_relaxed(&large->state, PAGE_OWNED); /* never FULL: no late reader may list it */
    newest_note(large);
    map_set_large(start, large);
    tally.blocks++;
    tally.bytes += bytes;
    tally.mapped_bytes += slab ? 0 : bytes;
    tally.mallocs++;
}

/* A run with guards before and behind the block; the caller shuts them. */
static COLD bool run_make_guarded(struct page *large, size_t size, size_t align, struct fresh *fresh)
{
    size_t before = align <= UNIT_SIZE, bytes = mapping_size(size), units = before + units_for(bytes + os_page_size());
    bool expected = is_going_to_be_filled(bytes);
    struct run run;
    bool is_clean, is_shut = before > 0 && guard_take(units, &run, &is_clean);
    if (!is_shut) {
        run = span_alloc(units, units_for(align));
        if (!run.slab)
            return false;
        is_clean = run.clean == units;
    }
    *fresh = (struct fresh){.zeroed = is_clean, .clean = is_clean, .expected = expected && is_clean, .is_shut = is_shut};
    large_enter(large, run_start(run) + (before << UNIT_SHIFT), run.slab, bytes, *fresh);
    large->guarded = true;
    large->ahead = (uint16_t)before;
    store_relaxed(&large->weight, (uint32_t)units);
    return true;
}

/* Under the lock or not: nobody else has the block. */
static COLD void large_shut(const struct page *large)
{
    char *end = large->start + bytes_of(large);
    if (!large->slab) {
        guard_shut(end, tail_size(large));
        return;
    }
    char *first = run_start(large_run(large));
    guard_shut(first, (size_t)(large->start - first));
    guard_shut(end, (size_t)(first + (large_units(large) << UNIT_SHIFT) - end));
}

/* Lets the program touch a new block, and nothing else; false if the system refuses that. */
static COLD bool large_open(const struct page *large, bool is_shut)
{
    if (is_shut)
        return guard_open(large->start, bytes_of(large));
    guard_prepare(large->start);
    large_shut(large);
    return true;
}

static bool run_make(struct page *large, size_t size, size_t align, struct fresh *fresh)
{
    size_t units = units_for(size);
    if (guard_reserve_large()) {
        if (run_make_guarded(large, size, align, fresh))
            return true;
        guard_release_large(true);
    }
    unsigned kind = fill_kind_of_run(units << UNIT_SHIFT);
    bool expected = is_going_to_be_filled(units << UNIT_SHIFT), dense = expected && align <= UNIT_SIZE;
    struct run run = dense ? span_alloc_dense(units) : span_alloc(units, units_for(align));
    if (!run.slab)
        return false;
    *fresh = (struct fresh){
        .zeroed = run.zeroed,
        .clean = run.clean == units,
        .expected = expected && run.clean > 0,
        .huge = run.opens_huge ? run : (struct run){.slab = NULL},
    };
    if (fill_is_known(kind) && !expected && !fresh->clean)
        fill_postpone(kind);
    large_enter(large, run_start(run), run.slab, units << UNIT_SHIFT, *fresh);
    return true;
}

static bool mapping_make(struct page *large, size_t size, size_t align, struct fresh *fresh)
{
    void *start;
    size_t bytes = mapping_size(size);
    bool guarded = guard_reserve_large();
    if (!map_obtain(bytes + (guarded ? os_page_size() : 0), align, UNIT_SIZE, NULL, &start)) {
        guard_release_large(guarded);
        return false;
    }
    bool expected = is_going_to_be_filled(bytes);
    *fresh = (struct fresh){.zeroed = true, .clean = true, .expected = expected};
    large_enter(large, start, NULL, bytes, *fresh);
    large->guarded = guarded;
    return true;
}

static void *large_try(size_t size, size_t align, size_t written, bool *zeroed)
{
    struct fresh fresh = {.zeroed = false};
    if (!lock_acquire())
        return NULL;
    bool made = false;
    struct page *large = meta_alloc(META_PAGE, sizeof *large);
    if (large) {
        bool as_run = size <= RUN_MAX_SIZE && align <= RUN_MAX_SIZE;
        made = as_run ? run_make(large, size, align, &fresh) : mapping_make(large, size, align, &fresh);
        if (!made)
            meta_free(META_PAGE, large, sizeof *large);
    }
    lock_release();
    if (!made)
        return NULL;
    if (UNLIKELY(large->guarded) && !large_open(large, fresh.is_shut)) {
        large_free(large->start);
        return NULL;
    }
    *zeroed = fresh.zeroed;
    if (fresh.huge.slab)
        span_try_huge(fresh.huge);
    size_t soon = mapping_size(fresh.expected ? size : written);
    if (fresh.clean)
        prefault(large->start, soon);
    else if (fresh.expected)
        prefault_rest(large->start, soon);
    return large->start;
}

void *large_malloc(size_t size, size_t align, size_t written, bool *zeroed)
{
    align = max_size(align, UNIT_SIZE);
    void *block = large_try(size, align, written, zeroed);
    if (LIKELY(block))
        return block;
    /* More than the machine has is not to be had by that; 0 means that it is not known. */
    size_t memory = os_memory_size();
    guard_let_go();
    if ((memory == 0 || size <= memory) && span_unmap_free())
        block = large_try(size, align, written, zeroed);
    return block;
}

/* ---- Unmaking ---------------------------------------------------------------------------------------------------- */

/* A mapping that the system will not unmap (it would need one mapping more than allowed) at least loses its memory. */
static void unmap_or_purge(char *start, size_t size)
{
    if (os_unmap(start, size))
        os_purge(start, size);
}

/* What is left of a block that is in no map any more, for the caller to do without the lock: a mapping to unmap, or a
 * run with guards to hold back; nothing of other runs. */
struct remains {
    size_t mapped; /* bytes */
    size_t units, bytes;
    bool is_filled;
    struct run run;
};

/* Takes the block out of the page map. Under the lock. */
static struct remains large_unmake(struct page *large)
{
    struct remains remains = {.mapped = 0};
    struct superslab *slab = large->slab;
    char *block = large->start;
    size_t bytes = bytes_of(large);
    if (large->zeroed && fill_wants_look(fill_kind_of_run(bytes)))
        fill_note(fill_kind_of_run(bytes), fill_look(block, bytes));
    newest_forget(large);
    map_set_large(block, NULL);
    if (slab && UNLIKELY(large->guarded)) {
        remains.run = large_run(large);
        remains.units = large_units(large);
        remains.bytes = bytes;
        remains.is_filled = fill_is_known(fill_kind_of_run(bytes));
    } else if (slab) {
        span_free(large_run(large), bytes >> UNIT_SHIFT, bytes >> UNIT_SHIFT);
    } else {
        map_give_up(block, UNIT_SIZE);
        guard_release_large(large->guarded);
        remains.mapped = bytes + tail_size(large);
    }
    tally.blocks--;
    tally.bytes -= bytes;
    tally.mapped_bytes -= slab ? 0 : bytes;
    tally.frees++;
    meta_free(META_PAGE, large, sizeof *large);
    return remains;
}

/* [lock] Blocks that signal handlers have freed which interrupted the lock's holder, linked by `late`; the last one's
 * points to itself. Atomic, since one handler may interrupt another here. */
static struct page *_Atomic put_off;

/* In a signal handler, which holds back whoever has the lock: another large_free will free the block. */
static COLD bool put_off_add(void *block)
{
    struct page *large = large_at(block), *next = load_relaxed(&put_off);
    if (!large)
        return false;
    do
        store_relaxed(&large->late, next ? next : large);
    while (!cas_seq(&put_off, &next, large)); /* pairs with put_off_take */
    return true;
}

/* Such a block, which is as it was before; NULL when there is none. */
static COLD void *put_off_take(void)
{
    if (!lock_acquire())
        return NULL;
    struct page *large = load_relaxed(&put_off), *next;
    do
        next = large ? load_relaxed(&large->late) : NULL;
    while (large && !cas_seq(&put_off, &large, next == large ? NULL : next)); /* pairs with put_off_add */
    if (large)
        store_relaxed(&large->late, NULL);
    lock_release();
    return large ? large->start : NULL;
}

static bool free_or_put_off(void *block)
{
    if (!lock_acquire())
        return put_off_add(block);
    struct page *large = large_at(block);
    struct remains remains = {.mapped = 0};
    if (large)
        remains = large_unmake(large);
    lock_release();
    if (remains.mapped > 0)
        unmap_or_purge(block, remains.mapped);
    if (UNLIKELY(remains.units > 0))
        guard_hold(remains.run, remains.units, block, remains.bytes, remains.is_filled);
    return large != NULL;
}

bool large_free(void *block)
{
    if (!free_or_put_off(block))
        return false;
    while (UNLIKELY(load_relaxed(&put_off) != NULL)) { /* relaxed: a hint */
        void *late = put_off_take();
        if (!late)
            break;
        free_or_put_off(late);
    }
    retain_tick(os_milliseconds()); /* a program may use nothing but large blocks */
    purge_if_due();
    return true;
}

size_t large_size(const void *block)
{
    struct page *large = large_at(block);
    return large ? bytes_of(large) : 0;
}

COLD bool large_is_guarded(const void *block)
{
    struct page *large = large_at(block);
    return large && large->guarded;
}

/* ---- Resizing ---------------------------------------------------------------------------------------------------- */

/* Under the lock. */
static void large_set_bytes(struct page *large, size_t bytes)
{
    newest_forget(large);
    tally.bytes += bytes - bytes_of(large);
    tally.mapped_bytes += large->slab ? 0 : bytes - bytes_of(large);
    store_relaxed(&large->bytes, bytes);
}

/* The same within guards, which move. Under the lock, since nobody may take what the run grows by meanwhile. */
static COLD bool guarded_resize(struct page *large, size_t size, size_t *clean)
{
    size_t bytes = mapping_size(size), units = large_units(large);
    size_t new_units = large->ahead + units_for(bytes + os_page_size());
    /* A much smaller one is better made anew than kept with what it does not need. */
    if (new_units < units || (new_units > units && !span_extend(large_run(large), units, new_units, clean)))
        return false;
    large->zeroed = large->zeroed && bytes <= bytes_of(large); /* what the guard has become may be resident */
    if (new_units > units)
        store_relaxed(&large->weight, (uint32_t)new_units);
    char *end = large->start + bytes_of(large);
    if (bytes > bytes_of(large) && !guard_open(end, bytes - bytes_of(large))) {
        large_shut(large);
        return false;
    }
    large_set_bytes(large, bytes);
    large_shut(large);
    return true;
}

/* *clean: the units that it grew by and that were clean. */
static bool run_resize(struct page *large, size_t size, size_t *clean)
{
    size_t units = bytes_of(large) >> UNIT_SHIFT, new_units = units_for(size);
    struct run run = large_run(large);
    if (new_units > units && !span_extend(run, units, new_units, clean))
        return false;
    if (new_units > units && *clean < new_units - units)
        large->zeroed = false;
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
    bool done = false, expected = false;
    size_t before = 0, clean = 0;
    if (!lock_acquire())
        return false;
    struct page *large = large_at(block);
    if (large && large->slab) {
        before = bytes_of(large);
        done = size <= RUN_MAX_SIZE &&
               (UNLIKELY(large->guarded) ? guarded_resize(large, size, &clean) : run_resize(large, size, &clean));
        expected = done && clean > 0 && fill_is_expected(fill_kind_of_run(bytes_of(large)));
        large->zeroed = large->zeroed && !expected;
    } else if (large) {
        size_t tail = tail_size(large);
        guard_open(large->start + bytes_of(large), tail); /* else it is two mappings, which cannot be resized at once */
        done = os_resize(block, bytes_of(large) + tail, mapping_size(size) + tail) == 0;
        if (done)
            large_set_bytes(large, mapping_size(size));
        guard_shut(large->start + bytes_of(large), tail);
    }
    lock_release();
    if (expected)
        prefault_rest((char *)block + before, mapping_size(size) - before);
    purge_if_due();
    return done;
}

/* Moves the pages of a mapping to a new place. Under the lock.
 *
 * Linux up to 6.16 unmaps the target before it looks whether the source can be moved, which it cannot where the
 * program has made two mappings of it (madvise, mprotect). What lies at the target after that may be another
 * thread's. So whether it is one is asked first, by a resize, for which there is no room or that is all that was
 * wanted; and if the move fails all the same, the target's addresses are lost. */
static void *mapping_move(struct page *large, size_t bytes)
{
    char *start = large->start;
    void *target;
    size_t tail = tail_size(large);
    int error = os_resize(start, bytes_of(large) + tail, bytes + tail);
    if (error == 0)
        large_set_bytes(large, bytes);
    if (error != ENOMEM || !map_obtain(bytes + tail, UNIT_SIZE, UNIT_SIZE, NULL, &target))
        return error == 0 ? start : NULL;
    if (os_move(start, bytes_of(large) + tail, bytes + tail, target)) {
        map_give_up(target, UNIT_SIZE);
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
    if (large && !large->slab && size > RUN_MAX_SIZE) {
        guard_open(large->start + bytes_of(large), tail_size(large));
        moved = mapping_move(large, mapping_size(size));
        guard_shut(large->start + bytes_of(large), tail_size(large));
    }
    lock_release();
    return moved;
}

/* What others had put off is lost to the child. */
COLD void large_after_fork(void)
{
    newest = NULL;
    store_relaxed(&put_off, NULL); /* relaxed: the only thread */
    guard_after_fork();
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
