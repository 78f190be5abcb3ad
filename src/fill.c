#include "fill.h"

#include "os.h"

enum {
    KNOWN = 2,         /* looks in a row at what was used throughout, so that the next is expected to be */
    UNUSED = 8,        /* but for that part of it: a block is up to a fifth larger than what was asked for */
    LOOK_AGAIN = 16,   /* one in so many is not expected to be */
    PIECES = 8,        /* where there is more to look at: so many places, */
    PIECE = 256 << 10  /* of so many bytes */
};

/* Looks in a row at memory that was used throughout, up to KNOWN; of each kind, and of runs and mappings of any size. */
static _Atomic(uint8_t) filled[FILL_KINDS], filled_runs;
static _Atomic(bool) was_seen[FILL_KINDS];
static _Atomic(uint8_t) answered[FILL_KINDS]; /* answers, to look again now and then */

static bool is_run(unsigned kind) { return kind >= CLASS_SLOTS; }

/* Of a size that was never seen, what others show. */
bool fill_is_known(unsigned kind)
{
    if (is_run(kind) && !load_relaxed(&was_seen[kind]))
        return load_relaxed(&filled_runs) >= KNOWN;
    return load_relaxed(&filled[kind]) >= KNOWN;
}

bool fill_is_expected(unsigned kind)
{
    if (!fill_is_known(kind))
        return false;
    counter_add(&answered[kind], 1);
    return load_relaxed(&answered[kind]) % LOOK_AGAIN != 0;
}

bool fill_look(char *start, size_t size)
{
    if (size <= PIECES * PIECE)
        return os_resident(start, size) >= size - size / UNUSED;
    size_t step = align_up(size / PIECES, os_page_size()), resident = 0;
    for (size_t i = 0; i < PIECES; i++)
        resident += os_resident(start + i * step, PIECE);
    return resident >= PIECES * PIECE - PIECES * PIECE / UNUSED;
}

static void look_count(_Atomic(uint8_t) *looks, bool is_filled)
{
    store_relaxed(looks, is_filled ? (uint8_t)min_size(load_relaxed(looks) + 1u, KNOWN) : 0);
}

void fill_note(unsigned kind, bool is_filled)
{
    store_relaxed(&was_seen[kind], true);
    look_count(&filled[kind], is_filled);
    if (is_run(kind))
        look_count(&filled_runs, is_filled);
}
