/* span.h - runs of units: the address space that pages and large blocks are made of.
 *
 * A run is `units` consecutive units. Up to 32 units lie within one superslab; longer ones begin at a superslab's
 * first unit and continue through superslabs of consecutive numbers. The truth is the `used` mask of
 * each superslab; which superslab has how long a free run is derived from it (and can be derived again:
 * span_after_fork).
 *
 * Free runs keep their memory (they are dirty) until they are purged: retain.h says how much, purge.h when. Whole
 * superslabs are purged first, and the lock is not held during the system call.
 *
 * Dense memory, which is going to be in use throughout, lies in superslabs of its own to begin with, in huge pages: a
 * page fault for 2 MiB instead of 512, and fewer TLB misses. What a huge page brought along and nobody uses yet is
 * dirty; one such superslab at a time is spared when dirty memory goes back, for it is about to be filled. A
 * superslab of which a part goes back is in small pages from then on. Some systems have to look for 2 MiB of memory
 * for longer than 512 page faults take: that is measured, and then seldom tried again.
 *
 * Functions that say so are called with the heap's lock held. */
#ifndef HAK_SPAN_H
#define HAK_SPAN_H

#include "base/base.h"
#include "heap/slabset.h"

struct run {
    struct superslab *slab; /* NULL: no run */
    uint32_t unit;          /* index of the first unit in it */
    size_t missed;          /* bytes of it that had been purged, */
    uint32_t purged_at;     /* and when (retain_now): the caller tells retain_regret when they are needed */
    size_t clean;           /* units that are known not to be resident, nor in a huge page that will make them so */
    bool zeroed;            /* the memory reads as zero */
    bool opens_huge;        /* the first of a huge page that nobody has touched */
    bool needs_advice;      /* the system is to be told which pages are to stand behind it. In both cases span_settle is
                               to be called when the lock has been released, and before the memory is touched */
};

INLINE char *run_start(struct run run) { return slab_unit_start(run.slab, run.unit); }

/* A run of `units` (at least 1) whose address is a multiple of `align_units` units (a power of two, like `units` no
 * more than RUN_MAX_SIZE has). The lowest that fits best; slab is NULL when the heap has none: span_grow, and try
 * again. Under the lock. */
struct run span_alloc(size_t units, size_t align_units);

/* The same, at any address, for memory that is going to be in use throughout, and soon. When the heap could grow by
 * what serves that better, slab is NULL, too. */
struct run span_alloc_dense(size_t units);

/* A run, as span_alloc or span_alloc_dense gives it, and a descriptor for what it is to be, in a heap that grows when
 * it has none: the lock is held then. NULL, and the lock is not, when memory is out. Not under the lock. */
void *span_obtain(struct run *run, size_t units, size_t align_units, bool dense, size_t descriptor_size);

/* Adds address space to the heap in which there is such a run; false when memory is out, or was a moment ago. Not under
 * the lock. */
bool span_grow(size_t units, size_t align_units);

/* Once the options are read, under the growth lock: tells the system about huge pages of what was mapped before. */
void span_tell_huge(void);

/* Does for a run that was made or extended what cannot be done under the lock: tells the system about huge pages; and
 * touches one that it opens, and takes the time: where it takes the system long to find 2 MiB, huge pages are asked for
 * more and more seldom. */
void span_settle(struct run run, size_t units);
void span_note_huge(uint64_t nanoseconds); /* what it took */

/* A part of a run's memory is to be purged: in small pages the rest stays as it is. Under the lock; true when
 * span_advise is to be called before, not under it. */
bool span_split(struct superslab *slab);
void span_advise(const struct superslab *slab);

/* Takes back a run, or the rear part of one; of it the first `touched` units may have been written to, while the others
 * are as clean as span_alloc gave them. Under the lock. */
void span_free(struct run run, size_t units, size_t touched);

/* Makes a run of `units` longer in place, up to `new_units`; its `clean` is how many of the new ones were clean then.
 * False when what follows is not free. Under the lock. */
bool span_extend(struct run *run, size_t units, size_t new_units);

/* Gives dirty free memory back to the system: all but `keep_bytes`, about `most_bytes` at most (SIZE_MAX: of what is
 * about to be filled, too), until a time comes (os_nanoseconds). Returns the bytes that went. Not under the lock. */
size_t span_purge(size_t keep_bytes, size_t most_bytes, uint64_t until);

/* Unmaps free superslabs, so that other mappings find address space. True when anything was unmapped. Not under the
 * lock. */
bool span_unmap_free(void);

struct span_stats {
    size_t mapped; /* address space of superslabs */
    size_t used;   /* in runs */
    size_t dirty;  /* free, may be resident */
    size_t clean;  /* free, known not to be resident */
    size_t huge;   /* address space for which huge pages were asked for */
    size_t huge_slow; /* how often that took the system long */
};
void span_stats(struct span_stats *out);

/* How many superslab numbers have been given out: 0 .. span_slab_count() - 1; some of them have no memory. */
uint32_t span_slab_count(void);

/* In the child of a fork, under the lock, if a vanished thread had it: derives sets and sums from the masks again, and
 * writes to what differs only. */
void span_after_fork(void);

/* Every invariant of one superslab. Under the lock. For tests and debug builds. */
bool span_slab_is_valid(const struct superslab *slab);

#endif
