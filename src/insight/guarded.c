#include "insight/guarded.h"

#include "base/atomic.h"
#include "cache/draw.h"
#include "cache/ring.h"
#include "cache/thread.h"
#include "heap/limit.h"
#include "insight/ledger.h"
#include "insight/modules.h"
#include "insight/recorder.h"
#include "insight/unwind.h"
#include "system/error.h"
#include "system/lock.h"
#include "system/os_clock.h"
#include "system/os_signal.h"

enum {
    RARER_PART = 8, /* of the cells, that make guarded samples half as frequent */
    FRONT_PART = 4  /* one block in so many lies at its pages' start, where it shows what is read before it */
};

/* What is known of the cells' blocks, in the record; NULL: there are none. Release when it is zero; pairs with
 * guards_get. */
static struct record_guard *_Atomic guards;
static _Atomic(bool) is_claimed; /* somebody makes it, or has made it */

/* ---- The record -------------------------------------------------------------------------------------------------- */

/* NULL when there is no room, or another thread is making it. */
static COLD struct record_guard *guards_make(void)
{
    bool expected = false;
    if (!cas_seq(&is_claimed, &expected, true)) /* elects one thread */
        return NULL;
    struct record_guard *made = recorder_add(RECORD_GUARDS, CELLS, sizeof *made);
    if (made)
        store_release(&guards, made); /* pairs with guards_get */
    else
        store_relaxed(&is_claimed, false);
    return made;
}

static struct record_guard *guards_get(void)
{
    struct record_guard *made = load_acquire(&guards); /* pairs with guards_make */
    return LIKELY(made) ? made : guards_make();
}

/* The stack's number. Who reads a file has nothing else to find names by, and the process may end before the next
 * look. */
static COLD uint32_t way_note(uintptr_t from)
{
    uint32_t number = ledger_stack(from);
    if (recorder_is_file())
        modules_look();
    return number;
}

static COLD void guard_begin(struct record_guard *entry, struct cell_view view, uintptr_t from)
{
    store_relaxed(&entry->block, 0);
    entry->start = (uintptr_t)view.start;
    entry->end = (uintptr_t)view.end;
    store_relaxed(&entry->size, view.size);
    store_relaxed(&entry->born, os_milliseconds());
    store_relaxed(&entry->born_stack, way_note(from));
    store_relaxed(&entry->born_thread, lock_own_thread());
    store_relaxed(&entry->ended, 0);
    store_release(&entry->block, (uintptr_t)view.block); /* written; readers are other processes */
}

static COLD void guard_end(struct record_guard *entry)
{
    store_relaxed(&entry->ended_stack, way_note(error_caller));
    store_relaxed(&entry->ended_thread, lock_own_thread());
    store_release(&entry->ended, os_milliseconds()); /* as above */
}

/* ---- Telling ----------------------------------------------------------------------------------------------------- */

/* What stands below the line: where the block was used wrongly, allocated and freed. */
struct story {
    unsigned count;
    struct error_stack stacks[3];
    uintptr_t frames[3][RECORD_DEPTH];
};
_Static_assert((int)UNWIND_DEPTH <= (int)RECORD_DEPTH, "a stack has room");

static COLD void story_add(struct story *story, const char *what, uint64_t at, uint32_t thread, uint32_t number)
{
    uintptr_t *way = story->frames[story->count];
    uint64_t ago = max_size(os_milliseconds() - at, 1);
    story->stacks[story->count++] =
        (struct error_stack){.what = what, .ago = ago, .thread = thread, .depth = ledger_frames(number, way),
                             .frames = way};
}

/* The past of the block in the cell, behind the first stack. */
static COLD void story_tell(struct story *story, unsigned cell)
{
    const struct record_guard *entry = &load_acquire(&guards)[cell]; /* pairs with guards_make */
    uint64_t ended = load_acquire(&entry->ended);                    /* pairs with guard_end */
    story_add(story, "allocated", load_relaxed(&entry->born), load_relaxed(&entry->born_thread),
              load_relaxed(&entry->born_stack));
    if (ended > 0)
        story_add(story, "freed", ended, load_relaxed(&entry->ended_thread), load_relaxed(&entry->ended_stack));
}

static COLD void story_begin(struct story *story, const char *what, unsigned depth, bool is_exact)
{
    story->count = 1;
    story->stacks[0] = (struct error_stack){.what = what, .thread = lock_own_thread(), .depth = depth,
                                            .frames = story->frames[0], .is_exact = is_exact};
}

static COLD __attribute__((noreturn)) void guarded_fatal(enum error_id id, const char *call, const void *block)
{
    struct story story;
    struct cell_view view = cell_look(block);
    story_begin(&story, "noticed", unwind_stack(error_caller, story.frames[0]), false);
    if (view.block)
        story_tell(&story, view.number);
    error_fatal_stacks(id, call, block, view.size, story.stacks, story.count);
}

static COLD enum error_id misuse_find(const void *block)
{
    struct cell_view view = cell_look(block);
    if (view.block == block)
        return ERROR_DOUBLE_FREE;
    bool is_inside = view.is_live && (const char *)block > view.block && (const char *)block < view.block + view.size;
    return is_inside ? ERROR_INTERIOR : ERROR_NOT_LIVE;
}

static COLD enum error_id access_find(const char *address, struct cell_view view)
{
    if (view.block && !view.is_live && address >= view.block && address < view.block + view.size)
        return ERROR_USE_AFTER_FREE;
    return address < view.block ? ERROR_USE_BEFORE : ERROR_USE_BEHIND;
}

/* The handler of SIGSEGV. The process ends by the signal as if there were none. */
static COLD void fault_tell(const void *address, const void *context)
{
    struct story story;
    if (!cell_has(address))
        return;
    struct cell_view view = cell_look(address);
    story_begin(&story, "used", unwind_signal(context, story.frames[0]), true);
    if (view.block)
        story_tell(&story, view.number);
    error_tell_access(access_find(address, view), address, view.size, story.stacks, story.count);
}

static COLD void tell_start(void)
{
    static _Atomic(bool) is_started; /* relaxed: elects one thread */
    if (option(OPTION_GUARD_TELL) && !load_relaxed(&is_started) &&
        !atomic_exchange_explicit(&is_started, true, memory_order_relaxed))
        os_watch_faults(fault_tell);
}

/* ---- Blocks ------------------------------------------------------------------------------------------------------ */

static bool is_wanted(void)
{
    enum { GOOD_BITS = 48 };
    uint64_t every = option(OPTION_GUARD) << cell_count() / (CELLS_LIVE / RARER_PART);
    return (random_draw(&cache_self->draw.random) >> (64 - GOOD_BITS)) % every == 0 && !load_relaxed(&limit_is_near);
}

NOINLINE void *guarded_malloc_now(size_t size, uintptr_t from)
{
    struct record_guard *known = is_wanted() ? guards_get() : NULL;
    if (!known)
        return NULL;
    tell_start();
    void *block = cell_make(size, random_draw(&cache_self->draw.random) >> 32 <= UINT32_MAX / FRONT_PART);
    if (block) {
        struct cell_view view = cell_look(block);
        guard_begin(&known[view.number], view, from);
    }
    return block;
}

COLD void guarded_claim(const void *block, const char *call)
{
    if (!cell_claim(block))
        guarded_fatal(misuse_find(block), call, block);
    if (!cell_front_is_whole(block))
        guarded_fatal(ERROR_UNDERFLOW, call, block);
    if (!cell_rear_is_whole(block))
        guarded_fatal(ERROR_OVERFLOW, call, block);
}

COLD void guarded_end(void *block)
{
    guard_end(&load_acquire(&guards)[cell_look(block).number]); /* pairs with guards_make */
    cell_end(block);
}

COLD size_t guarded_size(const void *block, const char *call)
{
    struct cell_view view = cell_look(block);
    if (view.block != block || !view.is_live)
        guarded_fatal(misuse_find(block), call, block);
    return view.size;
}

/* A table that a vanished thread was about to make is there, and nobody knows, or is not. */
COLD void guarded_after_fork(void)
{
    if (!load_relaxed(&guards)) {
        struct record_guard *made = recorder_piece(RECORD_GUARDS, 0);
        store_relaxed(&guards, made); /* relaxed: there are no other threads */
        store_relaxed(&is_claimed, made != NULL);
    }
    cell_after_fork();
}
