/* counted.h - calls while all that is allocated is counted (count.h). Rings are hidden then, so that every call comes
 * here from the fast path (malloc.c); what is not as simple as that goes on to ring.c. */
#ifndef HAK_COUNTED_H
#define HAK_COUNTED_H

#include "base/base.h"

/* A block of `size` bytes; NULL, and nothing done, when the ring has none, or is not hidden. *bytes: what the
 * allocation stands for, which is often nothing. */
void *counted_malloc(size_t size, uint64_t *bytes);

/* Frees a block whose address has the entry in the page map. False, and nothing done, when it is not simple: the
 * address may be anything then. */
bool counted_free(void *block, unsigned entry);

/* What an allocation of `size` bytes stands for that was made in any other way. */
uint64_t counted_note(size_t size);

#endif
