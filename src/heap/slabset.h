/* slabset.h - the superslabs of the heap and sets of them.
 *
 * Superslabs are numbered 0, 1, 2, ... in the order in which their address space was obtained, 64 to a group;
 * numbers are never given up. A set is a bit for each number, two levels deep: a word in each group, and a summary
 * with a bit for each group whose word is not zero. Sets give the lowest number first, so that memory fills from one
 * end. There is nothing to reclaim and no order among the elements, so ABA cannot happen.
 *
 * Any thread may use a set at any time. An element that was added and not removed since is found by slabset_next, if
 * not at once then when the removals of others that are under way have ended. An element that is found may be gone
 * by the time the caller looks. */
#ifndef HAK_SLABSET_H
#define HAK_SLABSET_H

#include "base/atomic.h"
#include "base/base.h"

#define GROUP_SLABS 64u
#define SLABS_MAX ((uint32_t)1 << 19) /* 1 TiB of superslabs */
#define GROUPS_MAX (SLABS_MAX / GROUP_SLABS)
#define SLAB_NONE UINT32_MAX
#define GROUP_COUNT 158u /* of pages (group.h); a slab_group with that many sets is a page of memory */

enum {
    SET_OF_CLASS = 0,   /* + class id: superslabs with a listed page of the class (page.c; a hint, may be out of date) */
    SET_LONGEST_RUN = 63, /* + 1..32: superslabs by the length of their longest free run (span.c, exact) */
    SET_GONE = 96,      /* numbers whose address space was given back (span.c) */
    SET_OF_GROUP = 97,  /* + group: superslabs with a listed page of the group (page.c; a hint as well) */
    SET_COUNT = SET_OF_GROUP + GROUP_COUNT
};

/* What the system was asked to put behind a superslab. */
enum backing {
    BACKING_UNSAID,
    BACKING_HUGE, /* one huge page: touched is as much as all of it */
    BACKING_SMALL /* was BACKING_HUGE, until a part of it was given back that is not to be filled up again */
};

struct superslab {
    _Atomic(char *) base;        /* [lock to write] NULL while the number is in SET_GONE; fixed while any unit is used */
    uint32_t number;             /* [const] */
    uint32_t used;               /* [lock] bit for each unit that is part of a run: the truth that all else is derived from */
    uint32_t dirty;              /* [lock] free units that may hold old contents; used & dirty == 0 */
    uint32_t purged;             /* [lock] free units that were given back to the system, and not asked for since; used & purged == 0 */
    _Atomic(uint32_t) listed;    /* [atomic] units where a LISTED page begins (page.c) */
    uint8_t backing;             /* [lock] enum backing */
};

struct slab_group {
    _Atomic(uint64_t) members[SET_COUNT]; /* bit for each superslab of the group */
    struct superslab slabs[GROUP_SLABS];  /* last: a small heap uses the first few */
};

_Static_assert(sizeof(struct slab_group) <= 4096, "a slab_group is a page of memory");
extern struct slab_group *_Atomic slab_groups[GROUPS_MAX];

INLINE struct superslab *slab_at(uint32_t number)
{
    /* Acquire: the group is initialised; pairs with the release in slab_group_add. */
    return &load_acquire(&slab_groups[number / GROUP_SLABS])->slabs[number % GROUP_SLABS];
}

INLINE char *slab_unit_start(struct superslab *slab, uint32_t unit)
{
    /* Relaxed: whoever has business with a unit learnt of the superslab after its base was set, through a set or a
     * page. */
    char *base = load_relaxed(&slab->base);
    return base ? base + ((size_t)unit << UNIT_SHIFT) : NULL;
}

/* Enters a zeroed group as number `index`. Under the lock, once for each index. */
void slab_group_add(uint32_t index, struct slab_group *group);

void slabset_add(unsigned set, uint32_t number);
void slabset_remove(unsigned set, uint32_t number);
bool slabset_has(unsigned set, uint32_t number);
/* The lowest element from `from` on, or SLAB_NONE. */
uint32_t slabset_next(unsigned set, uint32_t from);

#endif
