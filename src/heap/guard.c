#include "heap/guard.h"

#include "system/lock.h"
#include "system/os.h"

enum {
    GUARD_PAGES = 4096,      /* pages of blocks that have a guard each; */
    GUARD_PAGES_MOST = 8192, /* then every so many'th: */
    GUARD_PAGES_STEP = 16,
    GUARD_LARGE = 8192,      /* large blocks */
    GUARD_HELD = 64,
    GUARD_HELD_UNITS = 4096, /* without memory; and */
    GUARD_FILLED_UNITS = 128,
    GUARD_CLEAR = 1 << 20,   /* bytes of a block that is cleared by hand */
    GUARD_AGE = 16           /* runs behind which one may be a large block again without having been given to the spans */
};

struct held_run {
    struct run run;
    size_t units;
    size_t filled; /* of these, that have memory */
    bool is_clean; /* its memory is gone */
};

static struct {
    uint32_t pages, large;              /* [lock] guards there are */
    uint32_t asked;                     /* [lock] how often a page had to do without */
    uint32_t first, count;              /* [lock] of `held`, which is a circle */
    size_t units, filled;               /* [lock] in all of these */
    struct held_run held[GUARD_HELD];   /* [lock] the oldest first */
} guard SPARSE;

COLD bool guard_reserve_page_now(void)
{
    bool has = guard.pages < GUARD_PAGES || (guard.pages < GUARD_PAGES_MOST && ++guard.asked % GUARD_PAGES_STEP == 0);
    guard.pages += has;
    return has;
}

COLD void guard_release_page(bool reserved) { guard.pages -= reserved; }

COLD size_t guard_page_bytes(void) { return (size_t)guard.pages << UNIT_SHIFT; }

COLD bool guard_reserve_large_now(void)
{
    bool has = guard.large < GUARD_LARGE;
    guard.large += has;
    return has;
}

COLD void guard_release_large(bool reserved) { guard.large -= reserved; }

COLD bool guard_shut(char *start, size_t size) { return size == 0 || os_protect(start, size, false) == 0; }
COLD bool guard_open(char *start, size_t size) { return size == 0 || os_protect(start, size, true) == 0; }

/* Opens a run and gives it to the spans; what the system will not open is lost. Not under the lock. */
static COLD void held_free(struct held_run held)
{
    bool is_open = guard_open(run_start(held.run), held.units << UNIT_SHIFT);
    if (!lock_acquire())
        return;
    if (is_open)
        span_free(held.run, held.units, held.is_clean ? 0 : held.units);
    guard_release_large(true);
    lock_release();
}

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
    if (is_filled && bytes <= GUARD_CLEAR) {
        __builtin_memset(start, 0, bytes);
        held->filled = held->units;
        return;
    }
    /* The guards, too, may hold what others have left. But where the system has to be watched, os_purge touches what it
     * is given, which must be the block first. */
    held->is_clean = os_purge(start, size - before) == 0 && (before == 0 || os_purge(run_start(held->run), before) == 0);
}

NOINLINE void guard_hold(struct run run, size_t units, char *start, size_t bytes, bool is_filled)
{
    struct held_run held = {.run = run, .units = units};
    size_t size = units << UNIT_SHIFT;
    held_clear(&held, start, bytes, is_filled);
    if (!guard_shut(run_start(run), size) || units > GUARD_HELD_UNITS) {
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

bool guard_take(size_t units, struct run *out, bool *is_clean)
{
    for (uint32_t i = 0; i + GUARD_AGE < guard.count; i++) {
        struct held_run *held = &guard.held[(guard.first + i) % GUARD_HELD];
        if (held->units != units)
            continue;
        *out = held->run;
        *is_clean = held->is_clean;
        guard.units -= held->units;
        guard.filled -= held->filled;
        for (; i > 0; i--) /* the older ones move up */
            guard.held[(guard.first + i) % GUARD_HELD] = guard.held[(guard.first + i - 1) % GUARD_HELD];
        guard.first = (guard.first + 1) % GUARD_HELD;
        guard.count--;
        guard.large--;
        return true;
    }
    return false;
}

COLD void guard_let_go(void) { held_shorten(0, 0, 0); }

/* A vanished thread may have been taking one: all are lost to the child. */
COLD void guard_after_fork(void)
{
    guard.count = 0;
    guard.units = guard.filled = 0;
}
