/* page.h - pages: runs of units that hold blocks of one size class, and the bitmap that says which blocks are free.
 *
 * A descriptor lies out of line, far away (ground.h), so that a free block's memory is never touched, and what a
 * program writes past the end of a block hits other blocks, but no descriptor. A set bit is a free block: nobody has
 * it, and whoever clears the bit does. Any thread may set bits (a free) at any time; that alone makes a block free, no
 * ownership is involved. Bits are cleared by the page's holder, 64 at a time at most, and for a moment by whoever
 * purges the memory of free blocks.
 *
 * States, and who may change them:
 *
 *   OWNED   one holder takes blocks from it: a thread cache, or a thread in the middle of an operation
 *     -> LISTED  by the holder, when it lets go and free blocks remain
 *     -> FULL    by the holder, when it lets go and none remain; it then looks at the bitmap once more
 *     -> gone    by the holder, when every block is free: the run goes back to the spans (but for the last page of
 *                samples of a class: these come one by one)
 *   FULL    nobody holds it and nobody will look for it
 *     -> LISTED  by whoever frees a block into it: a compare-and-swap on `state` decides who lists it
 *   LISTED  its bit in the superslab's `listed` mask is set (or about to be), its class's set names the superslab
 *     -> OWNED   by whoever clears that bit
 *
 * The one subtle pair: a holder stores FULL and then reads the bitmap; a freeing thread sets a bit and then reads
 * the state. All four are sequentially consistent, so at least one of them sees the other and the page cannot be
 * lost with free blocks in it.
 *
 * Once a thread has set the bit of the last live block it freed, the page may be gone and its descriptor another
 * page's, or a large block's. Descriptors are never unmapped and stay descriptors, and what a late reader may still do
 * is right for whatever it hits: a compare-and-swap from FULL to LISTED, for a FULL page that gets listed is found,
 * looked at, and filed as FULL again; and a look at the bitmap, for whoever finds it full claims the page at the unit
 * and looks again. */
#ifndef HAK_PAGE_H
#define HAK_PAGE_H

#include "base/atomic.h"
#include "heap/class.h"
#include "system/error.h"
#include "heap/slabset.h"

enum page_state { PAGE_OWNED, PAGE_FULL, PAGE_LISTED };

/* Whoever holds a page: a thread cache's id, or one of these. A heap by name (cache/arena.h) holds its pages
 * throughout. */
#define PAGE_HELD_BRIEFLY 0u
#define PAGE_HELD_BY_ARENA UINT32_MAX

struct page {
    char *start;               /* [const while live blocks exist] */
    struct superslab *slab;    /* [const ..] NULL for a mapping of its own */
    _Atomic(uint32_t) holder;  /* [atomic] a hint for others; exact for the holder itself */
    uint8_t class_id;          /* [const ..] 0: one large block (large.h), which has no bitmap */
    bool checked;              /* [const ..] its blocks carry the marks of check.c */
    bool zeroed;               /* [holder] blocks from `virgin` on read as zero. Of a large block: what is
                                  resident of it is what the program has used */
    _Atomic(uint8_t) state;    /* [atomic] enum page_state */
    _Atomic(bool) has_purged;  /* [atomic, a hint] memory of it was purged: see page_purged */
    _Atomic(uint8_t) low_word; /* [atomic, a hint] no free block below this word, probably */
    _Atomic(uint16_t) virgin;  /* [holder writes] number of the first block that was never handed out, in a page whose
                                  memory is not known to be dirty throughout: there, how many there are from the start
                                  on */
    _Atomic(uint16_t) freed;   /* [atomic, a hint] blocks that came back since holes were last looked for */
    _Atomic(uint8_t) group;    /* [const .., else a hint] its blocks are apart from others of the class (group.h); 0:
                                  they are not. Of a large block: enum large_sampled */
    bool missed;               /* [holder] its memory had been purged: what of it is touched first is regretted */
    bool guarded;              /* [const ..] a unit that nobody may touch lies behind it (guard.h). Of a large block:
                                  around it */
    _Atomic(bool) protected;   /* [atomic] the program has taken rights away from its memory. Relaxed: who frees the
                                  memory has it from who did that */
    _Atomic(uint16_t) arena;   /* [const while live blocks exist] the heap by name that it belongs to; 0: none. Large
                                  blocks, too */
    _Atomic(uint32_t) weight;  /* [atomic, a hint] bytes that each of these makes loose (page_settle). Of a guarded
                                  large block: units of its run, with the guards */
    uint16_t ahead;            /* [const ..] pages of memory to make resident at a time, before they are handed out; 0:
                                  none. Of a guarded large block: units of its run before it */
    uint16_t ready;            /* [holder] so many from the start on were */
    uint32_t place;            /* [the arena's lock] where it stands in that heap's table */
    union {
        struct {
            _Atomic(size_t) bytes; /* [lock to write, relaxed] of a large block: usable size */
            struct page *_Atomic late; /* [lock] of a large block freed by a signal handler: the next such, or itself */
        };
        _Atomic(uint64_t) free[1]; /* [atomic] of a page: bit set = the block is free; its class says how many words */
    };
    /* Behind the words, for each unit of the page: page_purged. */
};

/* A page of the class with free blocks, held by `holder`; NULL when memory is out. The lowest listed page, else a
 * new one. Of a group, or of none: 0. */
struct page *page_acquire_group(unsigned class_id, unsigned group, uint32_t holder);

/* The same in two steps: only a listed page, and only a new one, of which `ahead` bytes are going to be used after the
 * first very soon, and all if it is `dense`. */
struct page *page_find(unsigned class_id, unsigned group, uint32_t holder);
struct page *page_make(unsigned class_id, unsigned group, uint32_t holder, bool dense, size_t ahead);

/* Whether a held page has no free block. */
bool page_is_drained(const struct page *page);

/* Notes whether the program uses all of the blocks of a held page, all of which it has had. */
void page_look(struct page *page);

/* Lets a held page go. */
void page_release(struct page *page);

/* Takes up to `count` free blocks, the lowest; `out` gets them in descending order of address. The caller holds the
 * page. */
unsigned page_take(struct page *page, void **out, unsigned count);

/* The same, but random ones in random words of the bitmap, as `random` has it. */
unsigned page_take_random(struct page *page, void **out, unsigned count, uint64_t random);

/* One block of whichever page of the class, and of the group if that is not 0; NULL when memory is out. */
void *page_take_one(unsigned class_id, unsigned group);

/* Frees all blocks of a held page: they are the caller's, who has kept others from purging (purge_hold). */
void page_free_all(struct page *page);

/* Whether every block of the page is free. */
bool page_is_unused(const struct page *page);

/* Takes one block that is known to read as zero; NULL when there is none. The caller holds the page. */
void *page_take_zeroed(struct page *page);

/* Nobody gets free blocks of pages that are not checked (check.h) any more. Only as long as there is one thread, which
 * holds none of these pages. */
void page_seal_unchecked(void);

/* Frees blocks, of any pages, that may be given by any thread. What is not a live block's address ends the program:
 * `call` is the function to name. */
void page_return(void *const *blocks, unsigned count, const char *call);

/* The page of blocks that the block lies in. Where there is none, because another thread has freed it, too, or it
 * never was a block, the program ends: `call` is the function to name. */
struct page *page_of(const void *block, const char *call);

/* Looks hard at an address in a page of the class: true when it is the start of a block that is not free. Otherwise
 * *error says why not. */
bool page_check_block(const void *block, enum error_id *error);
/* The same for an address that lies in the page. */
bool page_has_live(const struct page *page, const void *block, enum error_id *error);

/* ---- For all pages ----------------------------------------------------------------------------------------------- */

struct page_totals {
    size_t pages;       /* pages of the class */
    size_t free_blocks; /* in their bitmaps */
    size_t touched;     /* of groups: bytes of blocks that were ever handed out, and not purged since */
};
/* What is counted of a class; running threads are not stopped. In no time. */
struct page_totals page_count(unsigned class_id);

/* What blocks of the class that are not free, rings' among them, keep of its pages, in bytes. `kept`: if they lie
 * anywhere in these, those of a group in the group's. `made`: of all pages that there ever were. In no time. */
struct page_holding {
    size_t used, kept, made;
};
struct page_holding page_count_kept(unsigned class_id);

/* Counts the pages of every group into totals[GROUP_COUNT]: looks at all pages that there are. */
void page_count_groups(struct page_totals *totals);

/* Calls `visit` for every page of blocks, under the lock for a superslab at a time. */
void page_each(void (*visit)(struct page *, void *), void *argument);

/* Under the lock: the bytes of its page that each of the page's live blocks keeps, the touched ones only (see
 * page_totals); 0 when `block` is in no page of the class. */
size_t page_bytes_kept(const void *block, unsigned class_id);

/* ---- For those who purge the memory of free blocks (purge.c) ----------------------------------------------------- */

/* The page of blocks that begins at the unit, or NULL. Under the lock, so that it is not unmade. */
struct page *page_at(struct superslab *slab, uint32_t unit);

/* Holes are to be looked for in the superslab's pages. Any thread. */
void page_note_loose(struct superslab *slab);

/* Bytes that are loose in the page (retain.h): by the blocks that were freed since page_settle. */
size_t page_loose(const struct page *page);

/* What could be purged in the page was. What stays are free blocks that share their pages of memory with used ones:
 * these will take them along when they are freed. Under the lock. */
void page_settle(struct page *page);

/* Blocks that are not free. */
unsigned page_used_blocks(const struct page *page);

/* Makes blocks free again whose bits the caller has cleared. */
void page_put_back(struct page *page, unsigned word, uint64_t mask);

/* Pages of memory, at offsets from the page's start, that were purged and not handed out since. Exact for pages of
 * memory all blocks of which are in the caller's hands. */
bool page_memory_is_purged(const struct page *page, size_t offset);
void page_memory_note_purged(struct page *page, size_t begin, size_t end);

/* ---- Fork (thread.c) --------------------------------------------------------------------------------------------- */

/* Around operations on pages of which no busy cache tells: the child of a fork is to know of threads that were in the
 * middle of one. */
void page_visit_begin(void);
void page_visit_end(void);
/* page_return of one block, with these around it. */
void page_visit_return(void *block, const char *call);
/* Whether the calling thread is. */
bool page_is_visited(void);
/* In the child: whether others were. They are so no longer. */
bool page_forget_visitors(void);

/* What is known of the threads that do not exist in the child. */
struct page_cut {
    const uint32_t *vanished; /* holders that were in the middle of an operation; what other caches hold stays theirs */
    unsigned count;           /* of these */
    bool midway;              /* the calling thread may be in the middle of one itself, or others of the child may */
    bool torn;                /* somebody was in the middle of changing what the lock guards */
};
/* In the child, under the lock: lists pages that those held, or were listing; if it is torn, entries of the page map
 * that disagree with the used masks are dropped. Writes to what differs only. */
void page_after_fork(const struct page_cut *cut);

/* Every invariant of a page. Others may free into it meanwhile, but nobody may take from it. */
bool page_is_valid(const struct page *page);

#endif
