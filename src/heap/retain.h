/* retain.h - how much free memory stays resident.
 *
 * Free memory is dirty as long as it has not been given back to the system. A page fault costs as much as hundreds
 * of calls, so what the program needs again soon is to stay; nobody runs while the program idles, so what it does
 * not need has to go. The budget for dirty memory is what experience shows:
 *
 *   it grows by what was purged and then needed again (regret): the program goes up and down by that much, at least;
 *   for a large block by several, for others of other sizes come and go beside it, but these count only up to half of
 *   what is in use, so that little stays when most is freed;
 *   it shrinks by what lay dirty through a whole window of time (the low-water mark): for so long that touching it anew
 *   would have been bearable, and not worth the memory;
 *   it counts only up to what the program has in hand, so that little stays when most is freed; more only as far as
 *   what goes then is needed again so often that it costs time;
 *   with what is in hand, it is no more than what was in hand lately; more only as far as that costs much time.
 *
 * Memory that lay purged for a quarter of a second and longer was rightly so: others could have it meanwhile, and what
 * touching it anew costs is little in such a time. Only where it is half of one processor's time, by the page fault's
 * measured cost, is it regretted.
 *
 * Dirty are free runs (span.c counts them), and free blocks inside pages that are in use: these are called loose, from
 * their return to the page until they are taken again, or until the page is looked at and what can be purged in it is;
 * and what was never handed out of a page that is made of a dirty run. What cannot be purged, because a used block lies
 * in the same page of memory, becomes loose with that block. Threads count for themselves and share in lumps. Every
 * figure here is relaxed: it is a matter of policy, and nothing else depends on it. */
#ifndef HAK_RETAIN_H
#define HAK_RETAIN_H

#include "base/atomic.h"
#include "base/base.h"

/* More is dirty than may be: whoever runs without the lock and has the time calls purge_excess (purge.h). */
extern _Atomic(bool) retain_due;

/* Some memory is dirty that is to go when it has lain for long enough: somebody is to look at the clock. */
extern _Atomic(bool) retain_waits;

/* Much memory was handed out, freed or purged since retain_note_moved, 256 KiB at least, or 2 MiB for the first time:
 * whoever keeps account of it is to look again. */
extern _Atomic(bool) retain_moved;
void retain_note_moved(void);

/* Bytes of runs in use, as of the last retain_runs. */
size_t retain_used(void);

/* Bytes of runs in use, and of free ones that are dirty. Under the lock. */
void retain_runs(size_t used, size_t dirty);

/* Blocks became loose (bytes > 0), or ceased to be (< 0). */
void retain_loosen(ptrdiff_t bytes);

/* Of the bytes of runs in use, so many more (bytes > 0), or fewer, are free blocks in pages: not in the program's
 * hands. */
void retain_vacate(ptrdiff_t bytes);

/* At a thread's end: shares what it has counted. */
void retain_share(void);

/* Memory that had been purged, so many bytes in one piece, is needed again. `purged_at`: retain_now of when it was
 * purged. */
void retain_regret(size_t bytes, uint32_t purged_at);
uint32_t retain_now(void); /* milliseconds, modulo 2^32 */

/* At the start: the budget that a run before this one ended with. Nobody else runs yet. */
void retain_begin(size_t bytes);

/* The largest budget that outlasted a window; in a program that ends before the first window does, the present one. */
size_t retain_lasting(void);

/* Now and then, by whoever looks at the clock: ends a window when it is time. */
void retain_tick(uint64_t now);

/* Bytes of dirty memory that are to go now, in all. */
size_t retain_excess(void);

/* Bytes of dirty memory that are beyond a limit (limit.h): they are to go at once. */
size_t retain_over_limit(void);

/* So many bytes went back to the system. */
void retain_note_purged(size_t bytes);

/* What is to be told of what is kept, and why. All in bytes but the last. */
enum retain_bound {
    RETAIN_BY_REGRET, /* as much may be kept as was needed again, */
    RETAIN_BY_HAND,   /* but no more than the program has in hand, */
    RETAIN_BY_PEAK,   /* or with that than it had lately, */
    RETAIN_BY_LIMIT   /* or than a limit leaves */
};
struct retain_report {
    size_t in_hand, peak;         /* of the program, now and the most lately */
    size_t counted;               /* towards a limit of the process's own: what is in use or dirty, with mappings */
    size_t dirty, may;            /* free memory that is resident; that may be */
    size_t always, missed, large; /* why: in any case; went and was missed; the same of large blocks, several times */
    enum retain_bound bound;      /* what makes it less */
    size_t spare;                 /* of what is dirty, not needed since the window began: goes at its end, if so, */
    uint64_t milliseconds;        /* which comes so much later */
    size_t purged;                /* since the start */
};
void retain_tell(struct retain_report *out);

/* A purge has ended, and left some of what is to go for the next slow path. */
void retain_go_on(void);

/* A purge has ended. `looked_at` bytes of loose blocks were in pages that were looked at; `left` are in the others,
 * if these are known, and LEFT_UNKNOWN otherwise. */
#define LEFT_UNKNOWN SIZE_MAX
void retain_purged(size_t looked_at, size_t left);

#endif
