/* early.h - calls that come before this library can work: from resolvers of `ifunc` symbols, which the loader runs
 * while it relocates. The library of the resolver may be relocated before this one: then addresses in this one's data
 * are not right yet, a function of libc cannot be called, and there is no thread-local storage that is its own. Later
 * than that, until the loader is done, thread-local storage is still to be filled in.
 *
 * Such blocks come from a buffer in this library, without any of that. The hot path needs no look at it: as long as
 * there is no heap, no view (map.h) serves a request or a block, so that every call comes to a slow path. There is one
 * thread. */
#ifndef HAK_EARLY_H
#define HAK_EARLY_H

#include "base/atomic.h"
#include "base/base.h"

/* Whether it is that early. Slow paths ask before they do anything else, of which the operator functions and what is
 * derived (derived.h) are some; with the heap there, it is a load and a jump. */
extern _Atomic(bool) early_is_over; /* relaxed: it changes while there is one thread, or is looked at again */
bool early_look(void) COLD;
INLINE bool early_is_on(void) { return UNLIKELY(!load_relaxed(&early_is_over)) && early_look(); }

/* NULL, and errno left alone, when the buffer is used up, or `align` is no power of two. calloc's and realloc's rules
 * are C's; what was freed last can be had again. */
void *early_malloc(size_t align, size_t size) COLD;
void *early_calloc(size_t count, size_t size) COLD;
void *early_realloc(void *block, size_t size) COLD;
void early_free(void *block) COLD;

/* The usable size of a block from the buffer, however late; 0 when it is none. */
size_t early_size(const void *block) COLD;

#endif
