/* slabset.h - the superslabs of the heap and sets of them.
 *
 * Superslabs are numbered in the order of their addresses from the heap's beginning on, 64 to a group. A set is a bit
 * for each number, and above that summaries: a bit for each word below that is not zero, level upon level, so that the
 * lowest element from a number on, or the highest below, is found by a look at one word in each level, however large
 * the heap. Sets give the lowest number first, as a rule, so that memory fills from one end. There is nothing to
 * reclaim and no order among the elements, so ABA cannot happen.
 *
 * Any thread may use a set at any time. An element that was added and not removed since is found by slabset_next, if
 * not at once then when the removals of others that are under way have ended. An element that is found may be gone
 * by the time the caller looks. */
#ifndef HAK_SLABSET_H
#define HAK_SLABSET_H

#include "base/atomic.h"
#include "base/base.h"

#define GROUP_SLABS 64u
#define SLAB_NONE UINT32_MAX
#define GROUP_COUNT 158u /* of pages (group.h); a slab_group with that many sets is a page of memory */
#define GROUP_ARENA 1u   /* of all heaps by name */

/* Consecutive free superslabs are looked for up to so many: a run of RUN_MAX_SIZE. */
#define STRETCH_MAX 16u

enum {
    SET_OF_CLASS = 0,       /* + class id: superslabs with a listed page of the class (page.c; a hint, perhaps old) */
    SET_UNTOUCHED = 62,     /* entirely free, and none of it dirty (span.c, exact, as all up to SET_GONE) */
    SET_LONGEST_RUN = 62,   /* + 1..32: superslabs by the length of their longest free run; 32: entirely free */
    SET_DIRTY = 95,         /* with dirty memory, and not entirely free */
    SET_DIRTY_WHOLE = 96,   /* entirely free, with dirty memory */
    SET_GONE = 97,          /* numbers whose address space was given back */
    SET_LOOSE = 98,         /* with blocks that were freed since holes were last looked for (purge.c; a hint) */
    SET_OF_GROUP = 98,      /* + group, from 1: superslabs with a listed page of the group (page.c; a hint as well) */
    SET_COUNT = SET_OF_GROUP + GROUP_COUNT,
    SET_STRETCH = SET_COUNT - 1, /* + 1..STRETCH_MAX: of groups, not of superslabs; see slab_group_stretch */
    SET_COLUMNS = SET_STRETCH + STRETCH_MAX + 1
};

/* What the system was asked to put behind a superslab. */
enum backing {
    BACKING_UNSAID,
    BACKING_HUGE, /* one huge page: touched is as much as all of it */
    BACKING_SMALL /* was BACKING_HUGE, until a part of it was given back that is not to be filled up again */
};

struct superslab {
    uint32_t number;             /* [const] */
    uint32_t used;               /* [lock] bit for each unit that is part of a run: all else is derived from it */
    uint32_t dirty;              /* [lock] free units that may hold old contents; used & dirty == 0 */
    uint32_t purged;             /* [lock] free units that were given back to the system, and not asked for since; used
                                    & purged == 0 */
    _Atomic(uint32_t) listed;    /* [atomic] units where a LISTED page begins (page.c) */
    _Atomic(uint8_t) backing;    /* [lock to write] enum backing */
    bool is_mapped;              /* [lock] false: nothing is behind the number, now or ever */
    _Atomic(bool) is_loose;      /* [atomic, a hint] is in SET_LOOSE, or about to be */
    _Atomic(uint32_t) purged_at; /* [atomic, relaxed] when memory in it was last purged (retain_now) */
    uint32_t left;               /* [purging] bytes of loose blocks that were not worth a look (purge.c) */
};

struct slab_group {
    _Atomic(uint64_t) members[SET_COUNT]; /* bit for each superslab of the group */
    struct superslab slabs[GROUP_SLABS];  /* last: a small heap uses the first few */
};
_Static_assert(sizeof(struct slab_group) <= 4096, "a slab_group is a page of memory");

/* Written once, before the first superslab exists. */
extern struct slab_heap {
    char *start;               /* of the heap */
    struct slab_group *groups;
} slab_heap;

/* Makes room for the first `slabs` superslabs; false when memory is out. Under the growth lock. */
bool slab_cover(uint32_t slabs);

INLINE struct superslab *slab_at(uint32_t number)
{
    return &slab_heap.groups[number / GROUP_SLABS].slabs[number % GROUP_SLABS];
}

INLINE char *slab_unit_start(const struct superslab *slab, uint32_t unit)
{
    return slab_heap.start + ((size_t)slab->number << SUPERSLAB_SHIFT) + ((size_t)unit << UNIT_SHIFT);
}

void slabset_add(unsigned set, uint32_t number);
void slabset_remove(unsigned set, uint32_t number);
bool slabset_has(unsigned set, uint32_t number);
/* The lowest element from `from` on, or SLAB_NONE; the highest below `below`. */
uint32_t slabset_next(unsigned set, uint32_t from);
uint32_t slabset_previous(unsigned set, uint32_t below);

/* ---- Stretches: consecutive superslabs that are entirely free -----------------------------------------------------
 * Each group of superslabs is filed by the longest stretch that begins in it, which may go on in the next group; what
 * is longer than STRETCH_MAX counts as that. Under the heap's lock. */

/* Files the group of a superslab anew, and the one before, into which a stretch may lead: it became free or ceased to
 * be. */
void slab_stretch_note(uint32_t number);

/* The lowest stretch of `count` superslabs (up to STRETCH_MAX), at a number that is a multiple of `align` (a power of
 * two, up to STRETCH_MAX), in the group whose longest stretch is the shortest that will do; SLAB_NONE: there is
 * none. */
uint32_t slab_stretch_find(uint32_t count, uint32_t align);

#endif
