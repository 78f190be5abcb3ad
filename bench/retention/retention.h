/* retention.h - what the parts of hakmem-retention share.
 *
 * A trace says when a program took and gave back which blocks. It is replayed on hakmem's own heap, with the law of
 * retention (src/heap/retain.c) as it is, under a clock that the trace moves and a system whose memory is only counted
 * (system.c). The blocks are never written to: which pages of memory are resident is known from who took what and what
 * was purged (memory.c).
 *
 * A page of memory is *in use* while a block lies in it, and *free* from then until the next one does: that is a gap.
 * Whoever keeps the page through the gap pays memory for as long; whoever has let it go pays a page fault at its end.
 * The first touch of a page is nobody's fault. All policies are judged by the same gaps, those of the blocks where
 * hakmem's heap has put them.
 * SPDX-License-Identifier: MIT */
#ifndef RETENTION_H
#define RETENTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

enum { MEMORY_PAGE_SHIFT = 12, MEMORY_PAGE = 1 << MEMORY_PAGE_SHIFT };

/* ---- Options and the clock (main.c) ------------------------------------------------------------------------------ */

struct options {
    uint64_t touch_ns; /* what a page fault takes */
    uint64_t price_us; /* keeping a page for so long costs as much: what breaks even */
};
extern struct options options;

extern uint64_t now_us; /* of the trace */

void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* ---- Memory (memory.c) ------------------------------------------------------------------------------------------- */

/* Policies that decide by more than how long a page has been free, so that each page has to be followed. */
enum follower { FOLLOWER_LAW, FOLLOWER_JEMALLOC, FOLLOWER_TCMALLOC, FOLLOWER_GLIBC, FOLLOWERS };

enum page_state {
    PAGE_FRESH,   /* never touched, */
    PAGE_TOUCHED, /* touched; */
    PAGE_MOVED_IN /* its contents came from another address (mremap), and it is about to be in use: no touch */
};

struct page {
    TAILQ_ENTRY(page) by_age; /* of free pages */
    uint64_t free_since;      /* us */
    uint32_t blocks;          /* that lie in it; 0: it is free */
    uint8_t resident;         /* a bit for each follower; all are set while it is in use */
    uint8_t state;
    bool is_mapping; /* it belongs to a block that glibc would map */
};
TAILQ_HEAD(pages, page);

struct account {
    uint64_t kept_us; /* pages * us for which free ones were resident */
    uint64_t faults;  /* touches of pages that had been let go */
};

struct memory {
    struct account follower[FOLLOWERS];
    size_t kept[FOLLOWERS]; /* free pages that are resident */
    size_t in_use, in_use_most;
    size_t law_most; /* pages in use and kept by the law */
    uint64_t in_use_us; /* pages * us */
    uint64_t first_touches;
    struct pages free;              /* longest free first */
    struct page *oldest[FOLLOWERS]; /* no free page before it is resident; NULL: none is */
};
extern struct memory memory;

/* A policy that lets each page go when it has been free for so long, as if by a timer. */
struct account memory_by_delay(uint64_t delay_us);
#define DELAY_NEVER UINT64_MAX

/* The least that keeping and faults can cost together, with every gap's length known when it begins: a gap is kept
 * through if that costs no more than a fault, and let go at once otherwise. */
struct account memory_in_hindsight(void);

/* The least that can be kept with no more faults than so many: the shortest gaps are. */
struct account memory_with_faults(uint64_t faults);

void memory_start(void);
void memory_pass(uint64_t us); /* time */
/* The page that an address lies in. */
struct page *memory_page(uintptr_t address);
/* The same if there is anything known of it; else NULL. */
struct page *memory_page_known(uintptr_t address);

/* A block is touched, or freed; or its pages from the one that `start` lies in to the last before `end`. */
void memory_take(uintptr_t start, uintptr_t end);
void memory_give(uintptr_t start, uintptr_t end);

/* A follower lets a page go. */
void memory_drop(enum follower follower, struct page *page);
bool memory_drop_oldest(enum follower follower); /* false: nothing free is resident */

/* hakmem's heap has given a range back to the system, or moved it. */
void memory_purged(uintptr_t start, size_t size);
void memory_moved(uintptr_t from, size_t size, uintptr_t to);

/* Purging what is in use is an error, but in the block that is being moved. */
extern uintptr_t memory_moving_start, memory_moving_end;

/* ---- What blocks would cost wherever they lay (replay.c) --------------------------------------------------------- */

struct fluid {
    double kept_us, faults; /* pages * us, pages */
    double live_us;         /* pages * us for which there were blocks */
};

/* ---- Replaying (replay.c) ---------------------------------------------------------------------------------------- */

struct replay {
    uint64_t calls;
    struct fluid fluid;         /* in hindsight */
    double counted_us, may_us; /* pages * us: what the law takes for kept, and what may be by its word */
};
struct replay replay_file(const char *path);

/* ---- Models of peers (peers.c) ----------------------------------------------------------------------------------- */

/* Time passes to `now_us`: what would be done with the next call. */
void peers_look(void);
/* A page has become free. */
void peers_page_freed(void);
/* A block of so many bytes comes; whether glibc would map it. Then it goes, when its pages are free. */
bool peers_take(uintptr_t start, size_t size);
void peers_give(uintptr_t start, size_t size, bool is_mapping);

#endif
