/* slow.h - what the hot path (malloc.c) leaves for when it cannot go on: the dispatch to rings, large blocks and
 * checked blocks, errno, and pointers that are not blocks. Out of line and cold, so that the hot path needs no stack
 * frame. */
#ifndef HAK_SLOW_H
#define HAK_SLOW_H

#include "heap/class.h"

/* They take what the caller was given and look the class up again: then a call is one jump, and no register of the hot
 * path is spent on it. NULL and errno ENOMEM when memory is out; free leaves errno alone. */
void *malloc_slow(size_t size) COLD;
void *malloc_slow_at(size_t size, uintptr_t site) NOINLINE;
void *calloc_slow(size_t count, size_t size) COLD;
void *realloc_slow(void *block, size_t size) NOINLINE;
void *realloc_stay(void *block, size_t size) NOINLINE; /* the block's class fits the new size */
void free_slow(void *block) COLD;
void free_sized_slow(void *block, size_t size) COLD;

/* The block that the calling thread's ring has for a size up to CLASS_TABLE_MAX, or NULL: malloc.c. */
void *malloc_at_hand(size_t size);

/* malloc and aligned_alloc for a caller that is known: malloc.c. */
void *malloc_at(size_t size, uintptr_t site);
void *aligned_at(size_t align, size_t size, uintptr_t site);

/* EINVAL when `align` is no power of two. */
void *aligned_slow(size_t align, size_t size, uintptr_t site) COLD;

/* The hot path jumps to these functions, so what they return to is the program: the site of the allocation (site.h).
 * Who calls them for somebody else passes the site. A debug build calls instead of jumping: it sees itself as the
 * only site. */
#define CALLER ((uintptr_t)__builtin_return_address(0))

/* The usable size of a live block, 0 for NULL; ends the program, naming `call`, when there is no such block. */
size_t block_size(const void *block, const char *call) NOINLINE;
/* The same, as sharp as free is: some programs ask for the size of every block, whose page's descriptor then is a cache
 * miss. In a page of one unit, where blocks begin is known without it. */
size_t block_size_fast(const void *block, const char *call);

/* A C++ operator. Weak, so that a program that is linked with the archive may replace each of them, as it may where
 * this is a shared library. */
#define HAK_OPERATOR HAK_PUBLIC __attribute__((weak))

#endif
