/* check.h - HAKMEM_CHECK=1 and HAKMEM_HARDEN=1: every block is checked when it is handed out and when it comes back.
 *
 * A checked block of n bytes is followed by a mark: from byte n to the end of the block, a pattern and, in the last
 * eight bytes, n itself, scrambled with a secret of the process. A free block is all zero, as is one never used; what
 * is not zero when it is handed out was written to while free. So the mark also says whether a block is live, wherever
 * it waits while it is free. Pages made before the options were read, pages of groups and large blocks are not checked.
 *
 * Under HAKMEM_CHECK no thread gets a cache: every free goes straight to the bitmap. Under HAKMEM_HARDEN threads have
 * caches, whose rings the fast path never sees (state.h), and hold blocks back after they were freed (hold.h); of the
 * pattern there are PATTERN_MOST bytes. */
#ifndef HAK_CHECK_H
#define HAK_CHECK_H

#include "system/options.h"

enum { CHECK_MARK = 8 }; /* least bytes of a mark */

/* Once the options are read. */
void check_start(void);

/* Whether the block, which lies in a page of blocks, is checked. The next four are for such blocks, of `have` bytes. */
bool check_has_mark(const void *block);

/* Whether a free block is looked at when it is handed out, and so known to be zero. Under HAKMEM_HARDEN larger ones
 * are looked at when they have been held back (hold.h) instead: fresh memory is not to be touched before the program
 * does. */
enum { CHECK_SMALL = 1024 };
INLINE bool check_looks_at(size_t have) { return have <= CHECK_SMALL || check_mode == CHECK_EXACT; }

/* Makes a free block one of `size` bytes. Ends the program if it was written to while free, as far as it is looked
 * at. */
void check_begin(void *block, size_t have, size_t size, const char *call);

/* Gives a live, verified block another size; false when it has no room for that. */
bool check_resize(void *block, size_t have, size_t size);

/* Verifies a block that is about to be freed, and clears it. Ends the program if it is damaged or not live. Of several
 * threads that do so at once only one returns if `is_shared`. */
void check_end(void *block, size_t have, const char *call, bool is_shared);

/* Ends the program if a free block was written to. */
void check_free(const void *block, size_t have, const char *call);

/* Verifies any address in a page of the class, and returns the block's size as asked for, or as it is when it has no
 * mark. Ends the program if no block begins there, or it is damaged or not live. */
size_t check_verify(const void *block, unsigned class_id, const char *call);

/* HAKMEM_CHECK: looks at all blocks, live and free, while other threads may use them. */
void check_all(const char *call);

#endif
