#include "heap/fill.h"

#include "system/os_look.h"
#include "system/os_map.h"

enum {
    KNOWN = 2,        /* looks in a row at what was used throughout, so that the next is expected to be */
    UNUSED = 8,       /* but for that part of it: a block is larger than what was asked for */
    LOOK_AGAIN = 16,  /* one in so many is not expected to be; one in so many of what is not used is looked at */
    PIECES = 8,       /* where there is more to look at: so many places, */
    PIECE = 256 << 10 /* of so many bytes */
};

static struct {
    _Atomic(uint8_t) filled; /* looks in a row at memory that was used throughout, up to KNOWN */
    _Atomic(bool) was_seen;
    _Atomic(uint8_t) answers, frees; /* to count to LOOK_AGAIN */
} kinds_seen[FILL_KINDS];

static _Atomic(bool) is_on, is_trusted;

static bool is_run(unsigned kind) { return kind >= CLASS_SLOTS; }

/* A system that says of every page that it is resident tells nothing. */
static COLD bool system_is_honest(void)
{
    void *page;
    if (os_map(os_page_size(), 1, NULL, &page))
        return false;
    bool honest = os_resident(page, os_page_size()) == 0;
    os_unmap(page, os_page_size());
    return honest;
}

void fill_begin(void) { store_relaxed(&is_on, true); }

static bool is_known(unsigned kind) { return load_relaxed(&kinds_seen[kind].filled) >= KNOWN; }

/* Runs of a size that was never seen are like those of half the size. */
bool fill_is_known(unsigned kind)
{
    if (is_run(kind) && !load_relaxed(&kinds_seen[kind].was_seen))
        return kind > CLASS_SLOTS && is_known(kind - 1);
    return is_known(kind);
}

bool fill_is_open(unsigned kind)
{
    uint8_t looks = load_relaxed(&kinds_seen[kind].filled);
    return load_relaxed(&is_on) && looks < KNOWN && (looks > 0 || !load_relaxed(&kinds_seen[kind].was_seen));
}

bool fill_wants_look(unsigned kind)
{
    if (!load_relaxed(&is_on) || is_known(kind) || fill_is_open(kind))
        return load_relaxed(&is_on);
    counter_add(&kinds_seen[kind].frees, 1);
    return load_relaxed(&kinds_seen[kind].frees) % LOOK_AGAIN == 0;
}

bool fill_is_expected(unsigned kind)
{
    if (!fill_is_known(kind))
        return false;
    counter_add(&kinds_seen[kind].answers, 1);
    bool was_seen = load_relaxed(&kinds_seen[kind].was_seen);
    return load_relaxed(&kinds_seen[kind].answers) % (was_seen ? LOOK_AGAIN : 2u) != 0;
}

void fill_postpone(unsigned kind) { counter_add(&kinds_seen[kind].answers, UINT8_MAX); /* - 1 */ }

/* In places that do not lie at equal distances: what is made of equal parts may look full at their beginnings. */
static bool is_resident_in_places(char *start, size_t size)
{
    size_t memory_page = os_page_size(), step = size / PIECES, spare = step - PIECE, resident = 0;
    uint32_t random = (uint32_t)((uintptr_t)start >> UNIT_SHIFT);
    for (size_t i = 0; i < PIECES; i++) {
        random = random * 1664525u + 1013904223u;
        size_t from = i * step + (size_t)((uint64_t)random * spare >> 32);
        resident += os_resident(start + (from & ~(memory_page - 1)), PIECE);
    }
    return resident >= PIECES * PIECE - PIECES * PIECE / UNUSED;
}

bool fill_look(char *start, size_t size)
{
    if (size > PIECES * PIECE)
        return is_resident_in_places(start, size);
    return size > 0 && os_resident(start, size) >= size - size / UNUSED;
}

void fill_note(unsigned kind, bool is_filled)
{
    uint8_t looks = load_relaxed(&kinds_seen[kind].filled);
    store_relaxed(&kinds_seen[kind].was_seen, true);
    if (is_filled && !load_relaxed(&is_trusted)) { /* once in a process */
        store_relaxed(&is_trusted, system_is_honest());
        store_relaxed(&is_on, load_relaxed(&is_on) && load_relaxed(&is_trusted));
    }
    store_relaxed(&kinds_seen[kind].filled,
                  is_filled && load_relaxed(&is_on) ? (uint8_t)min_size(looks + 1u, KNOWN) : 0);
}
