/* sample.h - samples: live blocks that stand for others, with the way through the program that made each.
 *
 * Which allocations they are is drawn (draw.h). A sample lies in a page apart (group.h), of blocks of a power of two,
 * or is a large block that says so itself: its free leaves the fast path, so its end is seen. ledger.h has what is
 * known of each. */
#ifndef HAK_SAMPLE_H
#define HAK_SAMPLE_H

#include "base/base.h"

/* A block of the class that is a sample, as ring_malloc, where that returned RING_MARK: made by whoever called the
 * function that returns to `from`. NULL when memory is out. */
void *sample_malloc(unsigned class_id, size_t size, uintptr_t from);

/* Frees a block that the page map calls CLASS_GROUPED, of no group that was given out. */
void sample_free(void *block, const char *call);

/* Frees a block that lies in the room of the cells (guarded.h), if it is one. */
void sample_free_guarded(void *block, const char *call);

/* The size of the class that the block is a sample of, whose page may have larger ones; 0 when it is none. */
size_t sample_size(const void *block);

/* A large block was made, or resized. */
void sample_note_large(void *block, size_t size, uintptr_t from);
/* A large block that is a sample is about to be freed, or resized. */
void sample_forget_large(void *block, bool is_freed);

#endif
