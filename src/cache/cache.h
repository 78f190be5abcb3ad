/* cache.h - a thread's cache as a whole: how it begins and ends, what it leaves to the next thread, and what becomes of
 * it in the child of a fork. thread.c says when.
 *
 *   new      cache_open
 *   in use   cache_unpark, when a thread gets it
 *   parked   cache_park: it holds blocks for the next thread, and no pages
 *   spare    cache_close: it holds nothing
 *   torn     in the child of a fork its thread does not exist, and was in a slow path; cache_mend makes it whole
 *
 * All of these change rings, so the cache is busy meanwhile, but in cache_open,
 * before anybody has it. */
#ifndef HAK_CACHE_H
#define HAK_CACHE_H

#include "cache/state.h"

void cache_open(struct cache *cache, uint32_t id);
void cache_close(struct cache *cache);

/* Makes a cache ready for the thread that comes after its own, which has ended: little rings of small blocks stay as
 * they are, everything else goes back; and gives it to that thread, whose first frees are watched as any thread's. */
void cache_park(struct cache *cache);
void cache_unpark(struct cache *cache);

/* The rings that the thread had hidden, one or the other of which it was changing, are lost, and its pages are
 * others'. */
void cache_mend(struct cache *cache);

/* Under HAKMEM_HARDEN: from now on the cache, whose rings are empty, holds back what is freed, and they stay hidden. */
void cache_harden(struct cache *cache);
/* In the child of a fork: what the cache chooses is to be another choice than the parent's. */
void cache_stir(struct cache *cache);

/* Returns the cache's blocks to their pages and lets its pages go. */
void cache_empty(struct cache *cache);
/* Memory is out: everything cached anywhere goes back, but for this ring of the calling thread, and those of other
 * threads. */
void cache_give_up(struct cache *cache, unsigned class_id);

/* Has all threads empty their caches, each when it next gets to a slow path (tend.h); how often that was asked for. */
void ring_collect_all(void);
uint32_t collects_asked(void);

/* Under a policy that is new to it, the cache gives up what rings may not hold any more. */
void cache_comply(struct cache *cache);

#endif
