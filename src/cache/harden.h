/* harden.h - HAKMEM_HARDEN=1: the short ways of malloc and free for blocks of pages. Rings are veiled then, so every
 * call comes here from the fast path (malloc.c); what is not as simple as that goes on to ring.c.
 *
 * What a free block is has one sign: all of it is zero, its mark as well (check.h). Nothing else is asked for a free:
 * the page map says whose the address is, its offset whether a block begins there, and the mark whether that block is
 * live. */
#ifndef HAK_HARDEN_H
#define HAK_HARDEN_H

#include "base/base.h"

/* A checked block of `size` bytes; NULL when the ring has none, or there is no such class or cache. */
void *harden_malloc(size_t size);

/* Frees a block whose address has the class. False, and nothing done, when it is not simple: the address may be
 * anything then. */
bool harden_free(void *block, unsigned class_id);

#endif
