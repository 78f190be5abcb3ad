/* site.h - call sites: which place in the program an allocation comes from, to keep apart what different places
 * allocate. Off unless HAKMEM_SITES=1, and then nothing here runs.
 *
 * A site is the address that a call of malloc returns to, or the number given to hak_malloc_at. A *place* is a site
 * and a size class. What each place holds is known from samples (sample.h), of which more are taken than without sites.
 *
 * A class of up to POLICY_APART_MAX in which several places hold much memory is *divided*: its ring is no longer
 * filled, so that every malloc gets here, and each such place has a group of pages of its own; the others share one.
 * Frees find the group in the page. A class whose blocks turn out to be used again and again, without any page being
 * needed, is joined again: there is nothing to gain.
 *
 * Everything is bounded: places, groups, and each thread's rings. What finds no room is served as if sites
 * were off. */
#ifndef HAK_SITE_H
#define HAK_SITE_H

#include "cache/group.h"
#include "cache/ring.h"
#include "insight/record.h"
#include "system/options.h"

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
    uint32_t pops[CLASS_SLOTS];     /* from rings of a divided class, since it was last looked at */
    uint32_t refills[CLASS_SLOTS];  /* of these rings, meanwhile */
};

/* How classes are divided. Written under the lock; relaxed, for a stale look only gives a block from another page. */
extern struct site_division {
    _Atomic(uint64_t) classes; /* bit for each divided class */
    _Atomic(uint32_t) epoch;   /* of the last change */
} site_division;

enum { SITE_REVIEW = 65536 }; /* pops of a class between looks at whether dividing it is of use */

/* Obtained by site_start; NULL: sites are off. */
extern struct site_tables *_Atomic site_tables;

/* Turns sites on; when memory is out, they stay off: false. Any thread. */
bool site_start(void);

/* Relaxed: who looks into the tables acquires them. */
INLINE bool site_is_on(void) { return UNLIKELY(load_relaxed(&site_tables) != NULL); }

/* Whether somebody asked for sites. Then names of sites count, and the table is kept that is printed at exit. */
INLINE bool site_is_asked(void) { return UNLIKELY(option(OPTION_SITES)) && site_is_on(); }

/* Now and then, in a slow path of the cache: divides the classes that the policy keeps apart, if that has changed. Not
 * under the lock. */
void site_comply(struct cache *cache);

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
    if (size > POLICY_APART_MAX || !own)
        return NULL;
    unsigned class_id = class_of(size);
    struct site_way *way = site_way_of(own, site_key(class_id, site));
    if (way->key != site_key(class_id, site) || own->epoch != load_relaxed(&site_division.epoch) || cache_self->busy ||
        own->pops[class_id] == SITE_REVIEW)
        return NULL;
    own->pops[class_id]++;
    return group_pop(way->ring);
}

/* A block of the class, for the site, if the class is divided, or RING_MARK; NULL when it is not, or there is none. */
void *site_malloc(unsigned class_id, uintptr_t site);

/* A block for a site that the program named: always from pages of the site's own, as long as there are groups. NULL
 * when that cannot be had. */
void *site_malloc_named(size_t size, uintptr_t site);

/* Frees a block of a group that was given out. */
void site_free(void *block, const char *call);

/* A sample is live, or about to be no longer. */
void site_sample_begun(const struct record_sample *sample);
void site_sample_ended(const struct record_sample *sample);

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

#endif
