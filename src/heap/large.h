/* large.h - blocks that are in no page: runs of units up to RUN_MAX_SIZE, above that mappings of their own.
 *
 * A large block's descriptor is a struct page of class 0. The page map leads to it from the block's first unit only,
 * at whose start the block begins. The heap's lock orders everything; a second free of the same block finds
 * no descriptor. */
#ifndef HAK_LARGE_H
#define HAK_LARGE_H

#include "system/error.h"
#include "heap/page.h"

/* A block of at least `size` bytes at a multiple of `align` (a power of two); NULL when memory is out. The caller is
 * going to write to the first `written` bytes of it at once. *zeroed tells whether it reads as zero. */
void *large_malloc(size_t size, size_t align, size_t written, bool *zeroed);

/* Frees the large block at this address; false when there is none. */
bool large_free(void *block);

/* Usable bytes of the large block at this address; 0 when there is none. Of one with guards (guard.h) as few as its
 * size allows, in whole pages of memory. */
size_t large_size(const void *block);
bool large_is_guarded(const void *block);

/* Whether the block's end is to be told of: of a sample, which may have been made in place of a block of a ring; or to
 * the heap by name that it belongs to (cache/arena.h). */
enum large_sampled { LARGE_UNSAMPLED, LARGE_SAMPLED, LARGE_FROM_RING, LARGE_OF_ARENA };
enum large_sampled large_sampled(const void *block);
void large_set_sampled(const void *block, enum large_sampled sampled);

/* In the child of a fork, under the lock, if a vanished thread had it: forgets what that may have been about to
 * free. */
void large_after_fork(void);

/* Gives the large block `size` usable bytes where it lies; false when that cannot be done. */
bool large_resize(void *block, size_t size);

/* The same, but may move the block by moving its pages, without copying: the new address, or NULL. */
void *large_move(void *block, size_t size);

/* Lets the block be one of `size` bytes, which are no more than it has, where no other is to be had: of one with guards
 * the end comes nearer, though its run stays as long as it is. False when there is no such block. */
bool large_shorten(void *block, size_t size);

/* Whether the heap has, or may come to have, a block of units at the address. */
bool large_may_have(const void *address);

/* The program takes rights away from the memory there (mprotect), or gives it others than to be read and written. glibc
 * unmaps a large block that is freed, rights and all; here its run has them back by then, or that of the page where it
 * lies, when that goes. In a signal handler that interrupted the lock's holder nothing is noted. */
void large_note_protected(const void *address);

/* Whether the program ever did so with a block. From then on blocks above CLASS_TABLE_MAX are runs of their own. */
bool large_are_protected(void);

/* Why an address that is no live block's is not one. */
enum error_id large_explain(const void *address);

/* Calls `visit` for every large block, under the lock for a superslab, or a block, at a time. */
void large_each(void (*visit)(struct page *, void *), void *argument);

struct large_stats {
    size_t blocks, bytes;         /* live */
    size_t mapped_bytes;          /* of these, in mappings of their own */
    uint64_t mallocs, frees;      /* since the start */
};
void large_stats(struct large_stats *out); /* under the lock */

#endif
