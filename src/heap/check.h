/* check.h - HAKMEM_CHECK=1: every block is checked when it is handed out and when it comes back.
 *
 * No thread gets a cache then: every free goes straight to the bitmap, which knows a double free for certain. A checked
 * block of n bytes is followed by a mark: from byte n to the end of the block, a pattern and, in the last
 * eight bytes, n itself, scrambled. A free block is all zero, as is one never used; what is not zero when it is handed
 * out was written to while free. Pages made before the option was read, and large blocks, are not checked. */
#ifndef HAK_CHECK_H
#define HAK_CHECK_H

#include "base/base.h"

enum { CHECK_MARK = 8 }; /* least bytes of a mark */

/* Makes a fresh block of the class a checked one of `size` bytes, if its page is checked. */
void *check_begin(void *block, unsigned class_id, size_t size, const char *call);

/* Verifies a block that is about to be freed or resized, and returns its size as asked for. Ends the program if it
 * is damaged. */
size_t check_verify(const void *block, unsigned class_id, const char *call);

/* Verifies the block and clears it. */
void check_end(void *block, unsigned class_id, const char *call);

#endif
