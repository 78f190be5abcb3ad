#include "heap/slabset.h"

#include "heap/ground.h"
#include "system/lock.h"

#define WORD_BITS 64u
#define BITS_OF_LEVEL 6u /* of a number: which of the bits of its word */

struct slab_heap slab_heap;

/* Levels of words: the groups' members; a row of words for each 64 groups; for each 64 rows; for each 64 of these. */
enum { MEMBERS, ROWS, HIGH, TOP, LEVELS };
#define HIGH_WORDS 160u /* 160 * 512 GiB: more than there is room for in 47 bits */
#define TOP_WORDS ((HIGH_WORDS + WORD_BITS - 1) / WORD_BITS)

typedef _Atomic(uint64_t) summary_row[SET_COLUMNS];
/* In a table of its own; by word first: a small heap uses one row, not one page for each set. */
static summary_row *row_table;
static SPARSE summary_row high_table[HIGH_WORDS];
static SPARSE summary_row top_table[TOP_WORDS];
static _Atomic(uint32_t) group_count; /* groups that exist, and so have members */

bool slab_cover(uint32_t slabs)
{
    HAK_ASSERT(lock_growth_is_held());
    uint32_t groups = (slabs + GROUP_SLABS - 1) / GROUP_SLABS, row_count = (groups + WORD_BITS - 1) / WORD_BITS;
    if (ground_extend(GROUND_GROUPS, groups * sizeof *slab_heap.groups) ||
        ground_extend(GROUND_ROWS, row_count * sizeof *row_table) || row_count > HIGH_WORDS * WORD_BITS)
        return false;
    if (!row_table) {
        slab_heap.start = ground_heap();
        slab_heap.groups = (struct slab_group *)ground_table(GROUND_GROUPS);
        row_table = (summary_row *)ground_table(GROUND_ROWS);
    }
    if (groups > load_relaxed(&group_count))
        store_release(&group_count, groups); /* pairs with word_exists */
    return true;
}

/* ---- Words ------------------------------------------------------------------------------------------------------- */

static _Atomic(uint64_t) *word_at(unsigned level, unsigned set, uint32_t index)
{
    switch (level) {
    case MEMBERS: return &slab_heap.groups[index].members[set];
    case ROWS: return &row_table[index][set];
    case HIGH: return &high_table[index][set];
    default: return &top_table[index][set];
    }
}

static uint32_t word_count(unsigned level)
{
    /* Pairs with slab_cover. */
    return (load_acquire(&group_count) + low_mask32(BITS_OF_LEVEL * level)) >> BITS_OF_LEVEL * level;
}

/* A word and the bit for it in the level above are two steps, in opposite order: adding sets the word and then the bit
 * above, removing clears the bit above and then looks at the word once more. Sequentially consistent, so one of the two
 * sees the other; between any two levels alike. */

static void bit_set(unsigned level, unsigned set, uint32_t index)
{
    for (; level < LEVELS; level++, index /= WORD_BITS) {
        _Atomic(uint64_t) *word = word_at(level, set, index / WORD_BITS);
        uint64_t bit = (uint64_t)1 << index % WORD_BITS;
        if (!(load_seq(word) & bit)) /* pairs with the fetch_and in bit_clear */
            fetch_or_seq(word, bit);
    }
}

static void bit_clear(unsigned level, unsigned set, uint32_t index)
{
    for (; level < LEVELS; level++, index /= WORD_BITS) {
        _Atomic(uint64_t) *word = word_at(level, set, index / WORD_BITS);
        uint64_t bit = (uint64_t)1 << index % WORD_BITS;
        bool is_last = !(fetch_and_seq(word, ~bit) & ~bit);
        /* Of the level below: pairs with the fetch_or in bit_set. */
        if (level > MEMBERS && load_seq(word_at(level - 1, set, index)) != 0) {
            bit_set(level, set, index);
            return;
        }
        if (!is_last)
            return;
    }
}

/* The lowest bit from `from` on in a level; SLAB_NONE: none. Up while words are empty, and down again; what is above
 * the only word of a level says no more than that. */
static uint32_t bit_next(unsigned level, unsigned set, uint32_t from)
{
    for (unsigned at = level;;) {
        uint32_t index = from / WORD_BITS, words = word_count(at);
        uint64_t bits = index < words ? load_seq(word_at(at, set, index)) & ~low_mask64(from % WORD_BITS) : 0;
        if (bits) {
            from = index * WORD_BITS + lowest_bit(bits);
            if (at-- == level)
                return from;
            from *= WORD_BITS;
        } else if (index + 1 >= words) {
            return SLAB_NONE;
        } else {
            from = at == TOP ? (index + 1) * WORD_BITS : index + 1;
            at += at < TOP;
        }
    }
}

/* The highest bit below `below`. */
static uint32_t bit_previous(unsigned level, unsigned set, uint32_t below)
{
    while (below > 0) {
        uint32_t index = (below - 1) / WORD_BITS;
        uint64_t bits = load_seq(word_at(level, set, index)) & low_mask64((below - 1) % WORD_BITS + 1);
        if (bits)
            return index * WORD_BITS + highest_bit(bits);
        if (level == TOP) {
            below = index * WORD_BITS;
            continue;
        }
        uint32_t before = bit_previous(level + 1, set, index);
        below = before == SLAB_NONE ? 0 : (before + 1) * WORD_BITS;
    }
    return SLAB_NONE;
}

/* ---- Sets -------------------------------------------------------------------------------------------------------- */

void slabset_add(unsigned set, uint32_t number)
{
    /* Pairs with bit_clear. */
    fetch_or_seq(word_at(MEMBERS, set, number / GROUP_SLABS), (uint64_t)1 << number % GROUP_SLABS);
    bit_set(ROWS, set, number / GROUP_SLABS);
}

void slabset_remove(unsigned set, uint32_t number) { bit_clear(MEMBERS, set, number); }

bool slabset_has(unsigned set, uint32_t number)
{
    return load_seq(word_at(MEMBERS, set, number / GROUP_SLABS)) >> number % GROUP_SLABS & 1;
}

uint32_t slabset_next(unsigned set, uint32_t from) { return bit_next(MEMBERS, set, from); }

uint32_t slabset_previous(unsigned set, uint32_t below)
{
    return bit_previous(MEMBERS, set, (uint32_t)min_size(below, (size_t)word_count(MEMBERS) * GROUP_SLABS));
}

/* ---- Stretches --------------------------------------------------------------------------------------------------- */

typedef unsigned __int128 two_words;

/* Bit for each superslab of a group, and of the next, that is entirely free. Relaxed: exact under the lock. */
static two_words free_slabs(uint32_t group)
{
    enum { WHOLE = SET_LONGEST_RUN + SUPERSLAB_UNITS };
    two_words bits = load_relaxed(word_at(MEMBERS, WHOLE, group));
    if (group + 1 < load_relaxed(&group_count))
        bits |= (two_words)load_relaxed(word_at(MEMBERS, WHOLE, group + 1)) << GROUP_SLABS;
    return bits;
}

/* Where stretches of `count` begin. */
static uint64_t stretch_starts(two_words free, uint32_t count)
{
    for (uint32_t have = 1; have < count;) {
        uint32_t step = (uint32_t)min_size(have, count - have);
        free &= free >> step;
        have += step;
    }
    return (uint64_t)free;
}

static uint32_t longest_stretch(uint32_t group)
{
    two_words free = free_slabs(group);
    uint32_t length = 0;
    for (; (uint64_t)free && length < STRETCH_MAX; free &= free >> 1)
        length++;
    return length;
}

/* Nothing is below a stretch's bit, and nobody else is at it. */
static void group_unfile(uint32_t group, uint32_t length)
{
    unsigned set = SET_STRETCH + length;
    uint32_t index = group;
    for (unsigned level = ROWS; level < LEVELS; level++, index /= WORD_BITS) {
        _Atomic(uint64_t) *word = word_at(level, set, index / WORD_BITS);
        store_relaxed(word, load_relaxed(word) & ~((uint64_t)1 << index % WORD_BITS));
        if (load_relaxed(word) != 0)
            return;
    }
}

/* A group is in one of the sets: where it was is where it is found. */
static void group_refile(uint32_t group)
{
    uint32_t now = longest_stretch(group);
    for (uint32_t length = 1; length <= STRETCH_MAX; length++) {
        bool is_in = load_relaxed(word_at(ROWS, SET_STRETCH + length, group / WORD_BITS)) >> group % WORD_BITS & 1;
        if (is_in && length != now)
            group_unfile(group, length);
    }
    if (now > 0)
        bit_set(ROWS, SET_STRETCH + now, group);
}

void slab_stretch_note(uint32_t number)
{
    HAK_ASSERT(lock_is_held());
    uint32_t group = number / GROUP_SLABS;
    group_refile(group);
    if (group > 0 && number % GROUP_SLABS < STRETCH_MAX)
        group_refile(group - 1);
}

uint32_t slab_stretch_find(uint32_t count, uint32_t align)
{
    enum { LOOKS = 8 }; /* at groups with a stretch that is long enough; seldom all begin at the wrong numbers */
    HAK_ASSERT(lock_is_held() && count <= STRETCH_MAX && align <= STRETCH_MAX);
    uint64_t aligned = ~(uint64_t)0 / low_mask64(align); /* every align-th bit */
    for (uint32_t length = count; length <= STRETCH_MAX; length++) {
        uint32_t group = bit_next(ROWS, SET_STRETCH + length, 0);
        for (unsigned looks = 0; group != SLAB_NONE && looks < LOOKS; looks++) {
            uint64_t starts = stretch_starts(free_slabs(group), count) & aligned;
            if (starts)
                return group * GROUP_SLABS + lowest_bit(starts);
            group = align == 1 ? SLAB_NONE : bit_next(ROWS, SET_STRETCH + length, group + 1);
        }
    }
    return SLAB_NONE;
}
