/* meta.h - memory for the allocator's own structures, in a table of its own (ground.h), never unmapped.
 *
 * Page descriptors come from lists of their own: a late reader of a descriptor (page.h) may look at one that has
 * been freed and made again, and must find a descriptor there. */
#ifndef HAK_META_H
#define HAK_META_H

#include "base/base.h"

enum meta_kind { META_PAGE, META_OTHER, META_KINDS };

/* Takes the heap's lock, with so much memory at hand that meta_alloc(kind, size) does not refuse, unless memory is out.
 * False as lock_acquire is. Without a lock, or with the growth lock. */
bool meta_acquire(enum meta_kind kind, size_t size);

/* Under the heap's lock, as all that follows: `size` bytes, cache-line aligned, zeroed when fresh but not when reused;
 * NULL when memory is out. */
void *meta_alloc(enum meta_kind kind, size_t size);
/* `kind` and `size` as given to meta_alloc. */
void meta_free(enum meta_kind kind, void *block, size_t size);

/* In the child of a fork, if a vanished thread had the lock: what that may have been changing is abandoned. */
void meta_after_fork(void);

#endif
