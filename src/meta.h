/* meta.h - memory for the allocator's own structures: descriptors, thread caches, rings.
 * Never unmapped and, once given to a purpose, reused only for structures of the same size: a stale pointer to a descriptor always
 * points to a descriptor. Everything here under the address-space lock. */
#ifndef HAK_META_H
#define HAK_META_H

#include "base.h"

/* `size` bytes, cache-line aligned, zeroed when fresh but not when reused; NULL when memory is out. */
void *meta_alloc(size_t size);
/* `size` as given to meta_alloc. */
void meta_free(void *block, size_t size);

/* Bytes obtained from the system for metadata. */
size_t meta_bytes(void);

/* In the child of a fork: what vanished threads were changing is abandoned. */
void meta_after_fork(void);

#endif
