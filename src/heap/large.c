#include "heap/large.h"

#include "heap/fill.h"
#include "heap/guard.h"
#include "heap/huge.h"
#include "system/lock.h"
#include "heap/ground.h"
#include "heap/limit.h"
#include "heap/map.h"
#include "heap/meta.h"
#include "system/os_advise.h"
#include "system/os_clock.h"
#include "system/os_map.h"
#include "system/os_process.h"
#include "heap/prefault.h"
#include "heap/purge.h"
#include "heap/span.h"

#include <errno.h>

static struct large_stats tally; /* [lock] */
static _Atomic(bool) are_protected; /* relaxed: who frees the block has it from who protected it */

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

/* [lock to write, relaxed] The newest block of a kind of which it is not known: by the time the next is made, it is in
 * use. */
static struct page *_Atomic newest;
static unsigned looks_left; /* [lock] until it is given up */

static void newest_forget(const struct page *large)
{
    if (load_relaxed(&newest) == large)
        store_relaxed(&newest, NULL);
}

/* A block whose memory was fresh and that is filled shows what others will be; one that is not may be so later, but
 * after some looks that counts as an answer. Looked at without the lock: should it be freed meanwhile, the answer is
 * nobody's. */
static COLD void newest_look(void)
{
    if (!lock_acquire())
        return;
    struct page *large = load_relaxed(&newest);
    char *start = large ? large->start : NULL;
    size_t bytes = large ? bytes_of(large) : 0;
    lock_release();
    bool is_filled = large && fill_look(start, bytes);
    if (!large || !lock_acquire())
        return;
    bool is_answer = load_relaxed(&newest) == large && large->start == start && (is_filled || --looks_left == 0);
    if (is_answer) {
        large->zeroed = false;
        store_relaxed(&newest, NULL);
    }
    lock_release();
    if (is_answer)
        fill_note(fill_kind_of_run(bytes), is_filled);
}

/* Not under the lock. */
static bool is_going_to_be_filled(size_t bytes)
{
    if (load_relaxed(&newest))
        newest_look();
    return fill_is_expected(fill_kind_of_run(bytes));
}

static void newest_note(struct page *large)
{
    enum { LOOKS = 4 };
    if (!large->zeroed || !fill_is_open(fill_kind_of_run(bytes_of(large))))
        return;
    store_relaxed(&newest, large);
    looks_left = LOOKS;
}

/* ---- Making ------------------------------------------------------------------------------------------------------ */

/* What there is to know of a large block's memory when it is made. */
struct fresh {
    bool zeroed;   /* reads as zero */
    bool clean;    /* none of it is resident */
    bool expected; /* all of it is going to be used, and is to be made resident */
};

/* Of mappings; how much there is of runs, retention knows. */
static bool is_allowed(size_t more)
{
    bool may = limit_allows(retain_used(), more);
    if (!may)
        limit_note_refused();
    return may;
}

/* Address space for a mapping, at a multiple of SUPERSLAB_SIZE, with which the system can move whole page tables, with
 * room for its entry. */
static bool mapping_obtain(size_t bytes, size_t align, void **out)
{
    if (!is_allowed(bytes) || os_map(bytes, max_size(align, SUPERSLAB_SIZE), NULL, out))
        return false;
    bool done = lock_growth_acquire();
    if (done) {
        done = map_cover_mapping(*out);
        lock_growth_release();
    }
    if (!done)
        os_unmap(*out, bytes);
    return done;
}

/* Under the lock. */
static void note_mapped(ptrdiff_t bytes)
{
    if (bytes == 0)
        return;
    limit_note_mapped(bytes);
    retain_share(); /* what may be dirty beside them is judged anew */
}

/* Fills in a descriptor and enters it in the page map. Under the lock. */
static void large_enter(struct page *large, char *start, struct superslab *slab, size_t bytes, struct fresh fresh)
{
    large->start = start;
    large->slab = slab;
    large->class_id = 0;
    large->guarded = false;
    store_relaxed(&large->protected, false);
    store_relaxed(&large->group, 0);
    store_relaxed(&large->arena, 0);
    large->zeroed = fresh.clean && !fresh.expected;
    store_relaxed(&large->bytes, bytes);
    store_relaxed(&large->late, NULL);
    store_relaxed(&large->state, PAGE_OWNED); /* never FULL: no late reader may list it */
    newest_note(large);
    map_set_large(start, large);
    tally.blocks++;
    tally.bytes += bytes;
    note_mapped(slab ? 0 : (ptrdiff_t)bytes);
    tally.mallocs++;
}

/* The lock has been released, and the program is about to have the run, or what it was extended by. */
static void run_settle(struct run run, size_t units)
{
    span_settle(run, units);
    if (run.missed)
        retain_regret(run.missed, run.purged_at);
}

/* Nobody else has the block. */
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

/* A run that was held back, or one of the heap's, and a descriptor. The lock is held then; NULL, and it is not, when
 * there is none, or no guard is to be had. */
static COLD struct page *guarded_obtain(struct run *run, size_t units, size_t before, size_t align, size_t bytes,
                                        bool *is_clean, bool *was_held)
{
    struct page *large = NULL;
    *was_held = before > 0 && guard_take(units, before << UNIT_SHIFT, bytes, run, is_clean);
    if (*was_held) {
        if (meta_acquire(META_PAGE, sizeof *large)) {
            large = meta_alloc(META_PAGE, sizeof *large);
            if (large)
                return large;
            lock_release();
        }
        guard_let_run_go(*run, units, *is_clean);
    } else if (guard_reserve_large()) {
        large = span_obtain(run, units, units_for(align), false, sizeof *large);
        *is_clean = large && run->clean == units;
        guard_release_large(!large);
    }
    return large;
}

/* A run with guards before and behind the block. */
static COLD struct page *run_make_guarded(size_t size, size_t align, struct fresh *fresh)
{
    size_t before = align <= UNIT_SIZE, bytes = mapping_size(size), units = before + units_for(bytes + os_page_size());
    bool expected = is_going_to_be_filled(bytes), is_clean, was_held;
    struct run run;
    struct page *large = guarded_obtain(&run, units, before, align, bytes, &is_clean, &was_held);
    if (!large)
        return NULL;
    *fresh = (struct fresh){.zeroed = is_clean, .clean = is_clean, .expected = expected && is_clean};
    large_enter(large, run_start(run) + (before << UNIT_SHIFT), run.slab, bytes, *fresh);
    large->guarded = true;
    large->ahead = (uint16_t)before;
    store_relaxed(&large->weight, (uint32_t)units);
    lock_release();
    if (was_held) /* its guards are shut */
        return large;
    run_settle(run, units);
    guard_prepare(large->start);
    large_shut(large);
    return large;
}

static struct page *run_make(size_t size, size_t align, struct fresh *fresh)
{
    size_t units = units_for(size), bytes = units << UNIT_SHIFT;
    if (check_is_hardened()) {
        struct page *guarded = run_make_guarded(size, align, fresh);
        if (guarded)
            return guarded;
    }
    unsigned kind = fill_kind_of_run(bytes);
    bool expected = is_going_to_be_filled(bytes);
    struct run run;
    struct page *large = span_obtain(&run, units, units_for(align), expected && align <= UNIT_SIZE, sizeof *large);
    if (!large)
        return NULL;
    *fresh = (struct fresh){.zeroed = run.zeroed, .clean = run.clean == units, .expected = expected && run.clean > 0};
    if (fill_is_known(kind) && !expected && !fresh->clean)
        fill_postpone(kind);
    large_enter(large, run_start(run), run.slab, bytes, *fresh);
    lock_release();
    run_settle(run, units);
    return large;
}

/* The address space comes first, without any lock. */
static struct page *mapping_make(size_t size, size_t align, struct fresh *fresh)
{
    void *start;
    size_t bytes = mapping_size(size);
    bool guarded = guard_reserve_large();
    size_t tail = guarded ? os_page_size() : 0;
    struct page *large = NULL;
    if (mapping_obtain(bytes + tail, align, &start)) {
        huge_tell(start, bytes + tail);
        *fresh = (struct fresh){.zeroed = true, .clean = true, .expected = is_going_to_be_filled(bytes)};
        if (meta_acquire(META_PAGE, sizeof *large)) {
            large = meta_alloc(META_PAGE, sizeof *large);
            if (large) {
                large_enter(large, start, NULL, bytes, *fresh);
                large->guarded = guarded;
            }
            lock_release();
        }
        if (!large)
            os_unmap(start, bytes + tail);
    }
    if (UNLIKELY(guarded) && large)
        large_shut(large);
    guard_release_large(guarded && !large);
    return large;
}

/* Whether there may be memory now for a block for which there was none. More than the machine has is not to be had by
 * that; 0 means that it is not known. */
static COLD bool may_try_again(size_t size)
{
    size_t memory = os_memory_size();
    guard_let_go();
    return (memory == 0 || size <= memory) && span_unmap_free();
}

void *large_malloc(size_t size, size_t align, size_t written, bool *zeroed)
{
    struct fresh fresh;
    align = max_size(align, UNIT_SIZE);
    size_t run_most = RUN_MAX_SIZE - (check_is_hardened() ? GUARD_ROOM : 0);
    bool as_run = size <= run_most && align <= RUN_MAX_SIZE, is_last = false;
    struct page *large;
    while (!(large = as_run ? run_make(size, align, &fresh) : mapping_make(size, align, &fresh))) {
        if (is_last || !may_try_again(size))
            return NULL;
        is_last = true;
    }
    *zeroed = fresh.zeroed;
    purge_if_due(0); /* near a limit there is to be room before it is touched */
    size_t soon = mapping_size(fresh.expected ? size : written);
    if (fresh.clean)
        prefault(large->start, soon);
    else if (fresh.expected)
        prefault_rest(large->start, soon);
    return large->start;
}

/* ---- Unmaking ---------------------------------------------------------------------------------------------------- */

/* From the end, in pieces that take a fraction of a millisecond each: other threads' calls that need the system wait
 * for one piece at most. A mapping that the system will not unmap (it would need one mapping more than allowed) at
 * least loses its memory. */
static void unmap_or_purge(char *start, size_t size)
{
    enum { SHORT = 100 * 1000, LONG = 4 * SHORT }; /* nanoseconds */
    size_t piece = SUPERSLAB_SIZE;
    while (size > 0) {
        size_t now = min_size(piece, size);
        uint64_t begin = size > piece ? os_nanoseconds() : 0;
        size -= now;
        if (os_unmap(start + size, now))
            os_purge(start + size, now);
        uint64_t took = size > 0 ? os_nanoseconds() - begin : 0;
        if (took < SHORT)
            piece *= 2;
        else if (took > LONG)
            piece = max_size(piece / 2, SUPERSLAB_SIZE);
    }
}

/* Looks at a block that is about to go, if it shows anything. Not under the lock: the block is the caller's. */
static void last_look(const struct page *large)
{
    size_t bytes = bytes_of(large), most = (size_t)1 << 47;
    if (UNLIKELY(bytes - 1 >= most)) /* somebody else has freed it, too, and the descriptor is another's */
        return;
    unsigned kind = fill_kind_of_run(bytes);
    if (LIKELY(!fill_wants_look(kind)) || !lock_acquire())
        return;
    bool shows = large->zeroed; /* somebody else may be looking, too */
    lock_release();
    if (shows)
        fill_note(kind, fill_look(large->start, bytes));
}

/* Of a block, or its end, which is about to be the heap's again. Not under the lock: it is the caller's. */
static void rights_restore(const struct page *large, const char *from)
{
    const char *end = large->start + bytes_of(large);
    if (UNLIKELY(load_relaxed(&large->protected)) && from < end)
        os_protect((char *)from, (size_t)(end - from), true);
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
    size_t bytes = bytes_of(large);
    newest_forget(large);
    map_set_large(large->start, NULL);
    if (slab && UNLIKELY(large->guarded)) {
        remains.run = large_run(large);
        remains.units = large_units(large);
        remains.bytes = bytes;
        remains.is_filled = fill_is_known(fill_kind_of_run(bytes));
    } else if (slab) {
        span_free(large_run(large), bytes >> UNIT_SHIFT, bytes >> UNIT_SHIFT);
    } else {
        guard_release_large(large->guarded);
        remains.mapped = bytes + tail_size(large);
    }
    tally.blocks--;
    tally.bytes -= bytes;
    note_mapped(slab ? 0 : -(ptrdiff_t)bytes);
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

/* *bytes: of the block, if there was one. */
static bool free_or_put_off(void *block, size_t *bytes)
{
    struct page *large = large_at(block);
    if (large) {
        last_look(large);
        rights_restore(large, large->start);
    }
    if (!lock_acquire())
        return put_off_add(block);
    struct remains remains = {.mapped = 0};
    large = large_at(block);
    *bytes = large ? bytes_of(large) : 0;
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
    size_t bytes = 0;
    if (!free_or_put_off(block, &bytes))
        return false;
    while (UNLIKELY(load_relaxed(&put_off) != NULL)) { /* relaxed: a hint */
        size_t more = 0;
        void *late = put_off_take();
        if (!late)
            break;
        free_or_put_off(late, &more);
        bytes += more;
    }
    retain_tick(os_milliseconds()); /* a program may use nothing but large blocks */
    purge_if_due(bytes);
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

enum large_sampled large_sampled(const void *block)
{
    struct page *large = large_at(block);
    /* Relaxed: the block is the caller's. */
    return large ? (enum large_sampled)load_relaxed(&large->group) : LARGE_UNSAMPLED;
}

void large_set_sampled(const void *block, enum large_sampled sampled)
{
    struct page *large = large_at(block);
    if (large)
        store_relaxed(&large->group, (uint8_t)sampled);
}

/* ---- Resizing ---------------------------------------------------------------------------------------------------- */

/* Under the lock. */
static void large_set_bytes(struct page *large, size_t bytes)
{
    newest_forget(large);
    tally.bytes += bytes - bytes_of(large);
    note_mapped(large->slab ? 0 : (ptrdiff_t)(bytes - bytes_of(large)));
    store_relaxed(&large->bytes, bytes);
}

/* `run` is the block's, and tells then what it grew by. Under the lock. */
static bool run_resize(struct page *large, size_t size, struct run *run)
{
    size_t units = bytes_of(large) >> UNIT_SHIFT, new_units = units_for(size);
    if (new_units > units && !span_extend(run, units, new_units))
        return false;
    if (new_units > units && run->clean < new_units - units)
        large->zeroed = false;
    if (new_units < units) {
        size_t end = run->unit + new_units;
        struct run rear = {.slab = slab_at(run->slab->number + (uint32_t)(end / SUPERSLAB_UNITS)),
                           .unit = (uint32_t)(end % SUPERSLAB_UNITS)};
        span_free(rear, units - new_units, units - new_units);
    }
    large_set_bytes(large, new_units << UNIT_SHIFT);
    return true;
}

static bool run_resize_in_place(char *block, size_t size)
{
    bool done = false, expected = false;
    size_t before = 0;
    struct run run = {.slab = NULL};
    if (size > RUN_MAX_SIZE || !lock_acquire())
        return false;
    struct page *large = large_at(block);
    if (large && large->slab) {
        before = bytes_of(large);
        run = large_run(large);
        done = run_resize(large, size, &run);
        expected = done && run.clean > 0 && fill_is_expected(fill_kind_of_run(bytes_of(large)));
        large->zeroed = large->zeroed && !expected;
    }
    lock_release();
    if (done)
        run_settle(run, units_for(size));
    if (expected)
        prefault_rest(block + before, mapping_size(size) - before);
    return done;
}

/* Takes a block out of the page map while the system works on it; NULL when there is none. It is the caller's to
 * resize, so nobody else may have anything to do with it. */
static struct page *block_take(char *block, size_t *bytes)
{
    if (!lock_acquire())
        return NULL;
    struct page *large = large_at(block);
    if (large) {
        newest_forget(large);
        map_set_large(block, NULL);
        *bytes = bytes_of(large);
    }
    lock_release();
    return large;
}

/* Ends block_take: the block lies at `start` now. */
static void block_put(struct page *large, char *start, size_t bytes)
{
    while (!lock_acquire()) /* cannot be: block_take could */
        continue;
    large->start = start;
    large_set_bytes(large, bytes);
    map_set_large(start, large);
    lock_release();
}

static bool mapping_resize_in_place(char *block, size_t size)
{
    size_t before, after = mapping_size(size);
    struct page *large = block_take(block, &before);
    if (!large)
        return false;
    size_t tail = tail_size(large);
    guard_open(block + before, tail); /* else it is two mappings, which cannot be resized at once */
    bool done = after < before || (is_allowed(after - before) && os_resize(block, before + tail, after + tail) == 0);
    if (after < before)
        unmap_or_purge(block + after + tail, before - after);
    block_put(large, block, done ? after : before);
    if (UNLIKELY(tail > 0))
        large_shut(large);
    return done;
}

/* Makes the run of a block with guards, which is the caller's alone, as long as so many bytes need; false when what
 * follows is not free, or much would be left over: such a block is better made anew. */
static bool guarded_extend(struct page *large, size_t bytes)
{
    size_t units = large_units(large), new_units = large->ahead + units_for(bytes + os_page_size());
    struct run run = large_run(large);
    if (new_units <= units)
        return new_units == units;
    if (!lock_acquire())
        return false;
    bool done = span_extend(&run, units, new_units);
    if (done)
        store_relaxed(&large->weight, (uint32_t)new_units);
    lock_release();
    if (done)
        run_settle(run, new_units);
    return done;
}

/* What was cut off a block with guards is not to be seen by whoever gets its run next. Nobody else has the block. */
static COLD void guarded_cut(char *start, size_t bytes)
{
    if (bytes > 0 && os_purge(start, bytes))
        __builtin_memset(start, 0, bytes);
}

/* The same as run_resize_in_place within guards, which move. */
static COLD bool guarded_resize_in_place(char *block, size_t size)
{
    size_t before, after = mapping_size(size);
    struct page *large = size <= RUN_MAX_SIZE - GUARD_ROOM ? block_take(block, &before) : NULL;
    if (!large)
        return false;
    bool done = guarded_extend(large, after) && (after <= before || guard_open(block + before, after - before));
    if (done && after > before)
        large->zeroed = false; /* what the guard has become may be resident */
    if (done && after < before)
        guarded_cut(block + after, before - after);
    block_put(large, block, done ? after : before);
    large_shut(large);
    return done;
}

bool large_resize(void *block, size_t size)
{
    const struct page *large = large_at(block);
    if (!large)
        return false;
    size_t before = bytes_of(large);
    bool done;
    if (size < before)
        rights_restore(large, (char *)block + mapping_size(size));
    if (!large->slab)
        done = mapping_resize_in_place(block, size);
    else if (UNLIKELY(large->guarded))
        done = guarded_resize_in_place(block, size);
    else
        done = run_resize_in_place(block, size);
    purge_if_due(done && size < before ? before - size : 0);
    return done;
}

COLD bool large_shorten(void *block, size_t size)
{
    size_t before, after = mapping_size(max_size(size, 1));
    const struct page *seen = large_at(block);
    if (!seen || !seen->guarded || after == bytes_of(seen))
        return seen != NULL;
    if (!seen->slab)
        return mapping_resize_in_place(block, after);
    struct page *large = block_take(block, &before);
    if (!large)
        return false;
    guarded_cut((char *)block + after, before - after);
    block_put(large, block, after);
    large_shut(large);
    return true;
}

/* Moves the pages of a mapping to a new place.
 *
 * Linux up to 6.16 unmaps the target before it looks whether the source can be moved, which it cannot where the
 * program has made two mappings of it (madvise, mprotect). What lies at the target after that may be another
 * thread's. So whether it is one is asked first, by a resize, for which there is no room or that is all that was
 * wanted; and if the move fails all the same, the target's addresses are lost. Where it lies then. */
static char *mapping_move(char *start, size_t before, size_t after)
{
    void *target;
    if (after > before && !is_allowed(after - before))
        return NULL;
    int error = os_resize(start, before, after);
    if (error == 0)
        return start;
    if (error != ENOMEM || !mapping_obtain(after, UNIT_SIZE, &target))
        return NULL;
    return os_move(start, before, after, target) == 0 ? target : NULL;
}

COLD void *large_move(void *block, size_t size)
{
    const struct page *seen = large_at(block);
    size_t before, after = mapping_size(size);
    if (!seen || seen->slab || size <= RUN_MAX_SIZE)
        return NULL;
    struct page *large = block_take(block, &before);
    if (!large)
        return NULL;
    size_t tail = tail_size(large);
    guard_open((char *)block + before, tail);
    char *moved = mapping_move(block, before + tail, after + tail);
    block_put(large, moved ? moved : block, moved ? after : before);
    if (UNLIKELY(tail > 0))
        large_shut(large);
    return moved;
}

/* What others had put off is lost to the child. */
COLD void large_after_fork(void)
{
    store_relaxed(&newest, NULL);
    store_relaxed(&put_off, NULL); /* relaxed: the only thread */
    guard_after_fork();
}

/* ---- Telling ----------------------------------------------------------------------------------------------------- */

/* The nearest large block that begins at or below an address; of runs, only as far as one may be long. */
static COLD struct page *large_below(const char *address)
{
    uintptr_t unit = (uintptr_t)address >> UNIT_SHIFT;
    for (uintptr_t back = 0; back <= units_for(RUN_MAX_SIZE) && back <= unit; back++) {
        struct page *page = map_page((const char *)((unit - back) << UNIT_SHIFT));
        if (page)
            return page->class_id == 0 ? page : NULL;
    }
    return map_mapping_below(address);
}

static size_t superslab_number(const char *address) { return (size_t)(address - slab_heap.start) >> SUPERSLAB_SHIFT; }

bool large_may_have(const void *address)
{
    return (const char *)address >= slab_heap.start && superslab_number(address) < span_slab_count();
}

static bool is_in_superslab(const char *address)
{
    return large_may_have(address) && slab_at((uint32_t)superslab_number(address))->is_mapped;
}

COLD void large_note_protected(const void *address)
{
    if (!lock_acquire())
        return;
    struct page *large = is_in_superslab(address) ? large_below(address) : NULL, *page = map_page(address);
    if (large && (const char *)address < large->start + bytes_of(large))
        store_relaxed(&large->protected, true);
    else if (page)
        store_relaxed(&page->protected, true);
    if (large || page)
        store_relaxed(&are_protected, true);
    lock_release();
}

bool large_are_protected(void) { return load_relaxed(&are_protected); }

COLD enum error_id large_explain(const void *address)
{
    const struct page *large = large_below(address);
    if (large && (const char *)address < large->start + bytes_of(large))
        return ERROR_INTERIOR;
    return is_in_superslab(address) ? ERROR_NOT_LIVE : ERROR_FOREIGN;
}

static COLD void runs_each(struct superslab *slab, void (*visit)(struct page *, void *), void *argument)
{
    for (uint32_t unit = 0; slab->is_mapped && unit < SUPERSLAB_UNITS; unit++) {
        struct page *large = large_at(slab_unit_start(slab, unit));
        if (large)
            visit(large, argument);
    }
}

COLD void large_each(void (*visit)(struct page *, void *), void *argument)
{
    for (uint32_t n = 0; n < span_slab_count() && lock_acquire(); n++) {
        runs_each(slab_at(n), visit, argument);
        lock_release();
    }
    uintptr_t at = UINTPTR_MAX;
    while (at != 0 && lock_acquire()) {
        struct page *large = map_mapping_below((const void *)at);
        at = large ? (uintptr_t)large->start - 1 : 0;
        if (large && large_at(large->start))
            visit(large, argument);
        lock_release();
    }
}

void large_stats(struct large_stats *out)
{
    HAK_ASSERT(lock_is_held());
    *out = tally;
    out->mapped_bytes = limit_mapped();
}
