/* arena.h - heaps by name (hak_heap_create): blocks that are counted, limited and freed together, in pages and runs of
 * their heap's own. In here each is called an arena, since "the heap" is all that the allocator has.
 *
 * Blocks up to CLASS_TABLE_MAX lie in pages of GROUP_ARENA (group.h), whose descriptors name the arena; larger ones are
 * runs or mappings, whose descriptors name it, too. So every free of such a block, through whatever function, leaves
 * the hot path and gets here.
 *
 * An arena holds its pages throughout, under a lock of its own, under which everything about it is changed: its sums
 * are exact, and no thread's ring has a block of it, so that it can be freed as a whole. In place of rings each arena
 * has, for each class, a shelf of a few free blocks. Its table has all pages and large blocks, and for each class the
 * list of pages that have free blocks; others' purges take some of these for a moment, so a page that is not listed may
 * have free blocks, too, and is listed again by the next free into it.
 *
 * What is never unmapped: an arena's structure serves the next arena of its number, so that views may read it at any
 * time. */
#ifndef HAK_ARENA_H
#define HAK_ARENA_H

#include "hakmem.h"
#include "base/atomic.h"
#include "heap/map.h"
#include "heap/page.h"
#include "system/lock.h"

#define ARENA_CLASSES (CLASS_OF_TABLE_MAX + 1u)
enum {
    ARENA_SHELF = 15, /* blocks on a shelf at most */
    ARENA_MAPPINGS = 4,
    ARENA_NAME_WORDS = (HAK_HEAP_NAME_MAX + 1) / sizeof(uint64_t)
};

struct arena_shelf {
    _Atomic(uint32_t) count; /* [lock to write] */
    uint32_t first;          /* [lock] in the table, of the pages of the class that are listed */
    void *block[ARENA_SHELF];
};

struct arena_entry {
    struct page *page;       /* NULL: vacant, and `next` is the next such */
    uint32_t next, previous; /* of the listed pages of the class */
};

/* For views, which would not know whose mapping it is. */
struct arena_mapping {
    _Atomic(uintptr_t) start; /* [lock to write]; 0: none */
    _Atomic(size_t) size;
};

struct hak_heap {
    struct lock lock;
    uint16_t number;          /* [const] from 1 */
    bool is_torn;             /* [lock] a thread that is not in this process (fork) was changing it */
    _Atomic(bool) is_used;    /* [heap's lock to write] */
    _Atomic(size_t) live, blocks, peak, limit, held; /* [lock to write] as in hak_heap_stat_t; limit: any thread */
    _Atomic(uint64_t) refused;
    _Atomic(uint64_t) name[ARENA_NAME_WORDS]; /* terminated; in words, since views read it meanwhile */
    struct arena_mapping mapped[ARENA_MAPPINGS]; /* of the first blocks that are mappings of their own */
    struct arena_entry *table; /* [lock] */
    uint32_t used, capacity, vacant;
    struct arena_shelf shelf[ARENA_CLASSES];
};

/* A new arena; NULL when memory is out, or *is_full. The name is at most HAK_HEAP_NAME_MAX bytes long. */
struct hak_heap *arena_make(const char *name, bool *is_full);

/* Frees every block of the arena, whose blocks nobody else uses meanwhile; arena_unmake then gives up the arena
 * itself. */
void arena_clear(struct hak_heap *arena);
void arena_unmake(struct hak_heap *arena);

/* The arena whose block lies at the address, which is one; NULL: none has. */
struct hak_heap *arena_of(const void *block);

/* Whether the page, which may be none, is an arena's. */
INLINE bool arena_has_page(const struct page *page)
{
    return page && load_relaxed(&page->arena) != 0; /* relaxed: const while the page has live blocks */
}

/* A block; NULL when memory is out, or at the arena's limit. *zeroed tells whether it is known to read as zero. */
void *arena_malloc(struct hak_heap *arena, size_t size, size_t align, bool *zeroed);

/* Frees a block of an arena. Ends the program, naming `call`, when it is none, or is free. */
void arena_free(void *block, const char *call);

/* A block of an arena, of `have` usable bytes, becomes one of `size`, and stays in its arena: where it is, or NULL. */
void *arena_realloc(struct hak_heap *arena, void *block, size_t have, size_t size);

/* A large block becomes one of `size` where it lies, or, if it may move, elsewhere without copying; NULL: it is as it
 * was. */
void *arena_resize(struct hak_heap *arena, void *block, size_t size, bool may_move);

/* Returns what is on shelves, and pages without a block, of all arenas. */
void arena_trim_all(void);

/* The arena of the number, from 1, if there is one; else NULL. */
enum { ARENA_MOST = HAK_HEAPS_MAX };
struct hak_heap *arena_at(unsigned number);
/* The highest number that any arena ever had; 0: there was none. */
unsigned arena_last(void);
/* What it has, and its name, terminated; of the moment. */
void arena_stat(const struct hak_heap *arena, hak_heap_stat_t *out);
void arena_name(const struct hak_heap *arena, char out[HAK_HEAP_NAME_MAX + 1]);

/* Free blocks of the class on all shelves; of the moment. */
size_t arena_shelved(unsigned class_id);

/* In the child of a fork, under the heap's lock: marks what vanished threads were changing. */
void arena_after_fork(void);

/* Every invariant of an arena that nobody uses. */
bool arena_is_valid(struct hak_heap *arena);

#endif
