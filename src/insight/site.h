/* site.h - call sites: which place in the program an allocation comes from, for those who want to know where memory
 * is, and to keep apart what different places allocate. Off unless HAKMEM_SITES=1, and then nothing here runs.
 *
 * A site is the address that a call of malloc returns to, or the number given to hak_malloc_at. A *place* is a site
 * and a size class. Places are told apart where a slow path is anyway: a ring that refills takes one *sample*, a block
 * that stands for all blocks of the refill and whose end is seen, because it comes from pages that the hot path does
 * not know (group.h). When a sample ends, the next allocation of its class is looked at and takes its place, so that
 * samples follow what lives even where rings never refill.
 *
 * A class of up to SITE_SIZE_MAX in which several places hold much memory is *divided*: its ring is no longer filled,
 * so that every malloc gets here, and each such place has a group of pages of its own; the others share one. Frees
 * find the group in the page. A class whose blocks turn out to be used again and again, without any page being needed,
 * is joined again: there is nothing to gain.
 *
 * Everything is bounded: places, samples, groups, and each thread's rings. What finds no room is served as if sites
 * were off. */
#ifndef HAK_SITE_H
#define HAK_SITE_H

#include "cache/group.h"
#include "cache/ring.h"

#define SITE_SIZE_MAX ((size_t)1024)
enum { SITE_WAYS = 256 };

/* A ring, by place, that was found before. */
struct site_way {
    uint64_t key; /* 0: none */
    struct group_ring *ring;
};

/* What a thread with a cache has besides. Owner only. */
struct site_cache {
    struct group_cache groups; /* first: cache->groups points to it */
    struct site_way way[SITE_WAYS];
    uint32_t epoch;                 /* of site_division when the ways were found */
    uint64_t random;
    uint32_t pops[CLASS_SLOTS];     /* from rings of a divided class, since it was last looked at */
    uint32_t refills[CLASS_SLOTS];  /* of these rings, meanwhile */
    uint32_t successor[CLASS_SLOTS]; /* weight of a sample that ended: the next block allocated stands for as much */
    uint8_t patience[CLASS_SLOTS];  /* frees that may come before that */
};

/* How classes are divided. Written under the lock; relaxed, for a stale look only gives a block from another page. */
extern struct site_division {
    _Atomic(uint64_t) classes; /* bit for each divided class */
    _Atomic(uint32_t) epoch;   /* of the last change */
} site_division;

enum { SITE_REVIEW = 65536 }; /* pops of a class between looks at whether dividing it is of use */

/* Obtained by site_start; NULL: sites are off. */
extern struct site_tables *site_tables;

/* Turns sites on; when memory is out, they stay off. Under the lock, before there are other threads. */
void site_start(void);

/* Not atomic: as the options, it is set before there are other threads. */
INLINE bool site_is_on(void) { return UNLIKELY(site_tables != NULL); }

INLINE uint64_t site_key(unsigned class_id, uintptr_t site) { return (uint64_t)site << 8 | class_id; }

INLINE struct site_way *site_way_of(struct site_cache *own, uint64_t key)
{
    return &own->way[key * 0x9E3779B97F4A7C15u >> 56];
}

/* A block for the site from a ring found before; NULL when there is none. Every allocation of a divided class comes
 * here. */
INLINE void *site_take(size_t size, uintptr_t site)
{
    struct site_cache *own = (struct site_cache *)load_relaxed(&cache_self->groups);
    if (size > SITE_SIZE_MAX || !own)
        return NULL;
    unsigned class_id = class_of(size);
    struct site_way *way = site_way_of(own, site_key(class_id, site));
    if (way->key != site_key(class_id, site) || own->epoch != load_relaxed(&site_division.epoch) || cache_self->busy ||
        own->pops[class_id] == SITE_REVIEW)
        return NULL;
    own->pops[class_id]++;
    return group_pop(way->ring);
}

/* A block of the class, for the site, as ring_malloc; NULL when memory is out. */
void *site_malloc(unsigned class_id, size_t size, uintptr_t site);

/* Whether a block of the class that would come zeroed from a page, and so without a refill, is to come from site_malloc
 * instead, which then samples it: one in a few. */
bool site_wants_zeroed(unsigned class_id);

/* A block for a site that the program named: always from pages of the site's own, as long as there are groups. NULL
 * when that cannot be had. */
void *site_malloc_named(size_t size, uintptr_t site);

/* Frees a block that the page map calls CLASS_GROUPED. */
void site_free(void *block, const char *call);

/* To be called after a plain block of the class was freed by a slow path. */
void site_freed(unsigned class_id);

/* A block that site_malloc did not make is, or is no longer, live. */
void site_note(void *block, size_t bytes, uintptr_t site);
void site_forget(void *block);

/* What a site holds. `pinned` are the bytes that its blocks keep from being used for anything else: what was touched of
 * their pages, divided among the blocks in each; where one block is left, it keeps the whole page. Estimated from
 * samples, but exact for blocks in pages of the site's own. */
struct site_use {
    uintptr_t site;
    uint64_t live, pinned; /* bytes */
    uint64_t taken;        /* blocks, ever, not counting those that a ring gave out again */
    uint64_t ended, life;  /* blocks of samples that ended, and their milliseconds, summed */
    unsigned apart;        /* size classes in which the site has pages of its own */
};

enum { SITE_REPORT_LINES = 20 };

/* Fills `out` with the sites that pin most memory, the largest first; returns how many there are. Not at the same time
 * in two threads. */
unsigned site_gather(struct site_use out[static SITE_REPORT_LINES]);

/* The table of these; a site is shown as the file that it lies in and the offset there. Allocates nothing. */
void site_report(int fd);

/* In the child of a fork, under the lock: what vanished threads were writing is given up. */
void site_after_fork(void);

#endif
