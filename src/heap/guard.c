#include "heap/guard.h"

#include "base/atomic.h"
#include "system/lock.h"
#include "system/os_advise.h"
#include "system/os_map.h"

enum {
    GUARD_PAGES = 4096,      /* pages of blocks that have a guard each; */
    GUARD_PAGES_MOST = 8192, /* then every so many'th: */
    GUARD_PAGES_STEP = 16,
    GUARD_LARGE = 8192,      /* large blocks */
    GUARD_HELD = 64,
    GUARD_HELD_UNITS = 4096, /* without memory; and */
    GUARD_FILLED_UNITS = 128,
    GUARD_CLEAR = 1 << 20,   /* bytes of a block that is cleared by hand */
    GUARD_AGE = 16           /* runs behind which one may be a large block again, past the spans */
};

struct held_run {
    struct run run;
    size_t units;
    size_t filled; /* of these, that have memory */
    bool is_clean; /* its memory is gone */
};

static struct {
    _Atomic(uint32_t) pages, large;     /* [atomic] guards there are */
    _Atomic(uint32_t) asked;            /* [atomic] how often a page had to do without */
    uint32_t first, count;              /* [lock] of `held`, which is a circle */
    size_t units, filled;               /* [lock] in all of these */
    struct held_run held[GUARD_HELD];   /* [lock] the oldest first */
} guard SPARSE;

/* Relaxed here and below: bounds, on which nothing else depends. */
static COLD bool reserve(_Atomic(uint32_t) *count, uint32_t most)
{
    bool has = fetch_add_relaxed(count, 1) < most;
    if (!has)
        fetch_sub_relaxed(count, 1);
    return has;
}

COLD bool guard_reserve_page_now(void)
{
    if (reserve(&guard.pages, GUARD_PAGES))
        return true;
    return (fetch_add_relaxed(&guard.asked, 1) + 1) % GUARD_PAGES_STEP == 0 && reserve(&guard.pages, GUARD_PAGES_MOST);
}

void guard_release_page(bool reserved)
{
    if (UNLIKELY(reserved))
        fetch_sub_relaxed(&guard.pages, 1);
}

COLD size_t guard_page_bytes(void) { return (size_t)load_relaxed(&guard.pages) << UNIT_SHIFT; }

COLD bool guard_reserve_large_now(void) { return reserve(&guard.large, GUARD_LARGE); }

void guard_release_large(bool reserved)
{
    if (UNLIKELY(reserved))
        fetch_sub_relaxed(&guard.large, 1);
}

COLD bool guard_shut(char *start, size_t size) { return size == 0 || os_protect(start, size, false) == 0; }
COLD bool guard_open(char *start, size_t size) { return size == 0 || os_protect(start, size, true) == 0; }

COLD void guard_let_run_go(struct run run, size_t units, bool is_clean)
{
    if (!guard_open(run_start(run), units << UNIT_SHIFT))
        return;
    if (!lock_acquire())
        return;
    span_free(run, units, is_clean ? 0 : units);
    lock_release();
    guard_release_large(true);
}

static COLD void held_free(struct held_run held) { guard_let_run_go(held.run, held.units, held.is_clean); }

/* Under the lock: the oldest, if there are more than are to be. */
static COLD bool held_take(size_t most, size_t most_units, size_t most_filled, struct held_run *out)
{
    if (guard.count <= most && guard.units <= most_units && guard.filled <= most_filled)
        return false;
    *out = guard.held[guard.first];
    guard.first = (guard.first + 1) % GUARD_HELD;
    guard.count--;
    guard.units -= out->units;
    guard.filled -= out->filled;
    return true;
}

static COLD void held_shorten(size_t most, size_t most_units, size_t most_filled)
{
    for (bool more = true; more;) {
        struct held_run old;
        if (!lock_acquire())
            return;
        more = held_take(most, most_units, most_filled, &old);
        lock_release();
        if (more)
            held_free(old);
    }
}

/* Takes the memory of a run away, or what it contains. */
static NOINLINE void held_clear(struct held_run *held, char *start, size_t bytes, bool is_filled)
{
    size_t before = (size_t)(start - run_start(held->run)), size = held->units << UNIT_SHIFT;
    /* The guards, too, may hold what others have left. But where the system has to be watched, os_purge touches what it
     * is given, which must be the block first. */
    if (!is_filled || bytes > GUARD_CLEAR)
        held->is_clean =
            os_purge(start, size - before) == 0 && (before == 0 || os_purge(run_start(held->run), before) == 0);
    if (!held->is_clean) {
        __builtin_memset(start, 0, bytes);
        held->filled = held->units;
    }
}

NOINLINE void guard_hold(struct run run, size_t units, char *start, size_t bytes, bool is_filled)
{
    struct held_run held = {.run = run, .units = units};
    size_t size = units << UNIT_SHIFT;
    held_clear(&held, start, bytes, is_filled);
    bool is_too_much = units > GUARD_HELD_UNITS || held.filled > GUARD_FILLED_UNITS;
    if (is_too_much || !guard_shut(run_start(run), size)) {
        held_free(held);
        return;
    }
    held_shorten(GUARD_HELD - 1, GUARD_HELD_UNITS - units, GUARD_FILLED_UNITS - held.filled);
    bool has_room = false;
    if (lock_acquire()) {
        has_room = guard.count < GUARD_HELD; /* others may have been faster */
        if (has_room) {
            guard.held[(guard.first + guard.count++) % GUARD_HELD] = held;
            guard.units += units;
            guard.filled += held.filled;
        }
        lock_release();
    }
    if (!has_room)
        held_free(held);
}

/* Under the lock: the oldest of so many units that is old enough. */
static bool held_find(size_t units, struct held_run *out)
{
    for (uint32_t i = 0; i + GUARD_AGE < guard.count; i++) {
        struct held_run *held = &guard.held[(guard.first + i) % GUARD_HELD];
        if (held->units != units)
            continue;
        *out = *held;
        guard.units -= held->units;
        guard.filled -= held->filled;
        for (; i > 0; i--) /* the older ones move up */
            guard.held[(guard.first + i) % GUARD_HELD] = guard.held[(guard.first + i - 1) % GUARD_HELD];
        guard.first = (guard.first + 1) % GUARD_HELD;
        guard.count--;
        return true;
    }
    return false;
}

bool guard_take(size_t units, size_t before, size_t bytes, struct run *out, bool *is_clean)
{
    struct held_run held;
    if (!lock_acquire())
        return false;
    bool found = held_find(units, &held);
    lock_release();
    if (!found)
        return false;
    if (!guard_open(run_start(held.run) + before, bytes)) {
        held_free(held);
        return false;
    }
    *out = held.run;
    *is_clean = held.is_clean;
    return true;
}

COLD void guard_let_go(void) { held_shorten(0, 0, 0); }

/* A vanished thread may have been taking one: all are lost to the child. */
COLD void guard_after_fork(void)
{
    guard.count = 0;
    guard.units = guard.filled = 0;
}
