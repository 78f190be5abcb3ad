/* tracer.c - a library that stands before or behind hakmem in LD_PRELOAD and wraps every function of C that allocates,
 * by asking for the next: with an account, and (TRACER_HEADER) a header before each block, as debuggers have it. It
 * refuses to be called by itself.
 * SPDX-License-Identifier: MIT */
#include "support.h"

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>

#ifdef TRACER_HEADER
enum { HEADER = 16 };
#else
enum { HEADER = 0 };
#endif

long tracer_live(void);

static _Atomic long g_live;
static __thread int g_depth;

long tracer_live(void) { return g_live; }

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
/* dlsym itself may allocate, in libc: no more than this. */
#define ENTER() must(++g_depth < 3, "%s: called within itself", __func__)
#define LEAVE() (g_depth--)

static void *traced(void *block)
{
    LEAVE();
    if (block == NULL)
        return NULL;
    g_live++;
    if (HEADER)
        memcpy(block, "tracer's header", 16);
    return (char *)block + HEADER;
}

static void *untraced(void *block)
{
    if (block == NULL)
        return NULL;
    g_live--;
    must(!HEADER || memcmp((char *)block - HEADER, "tracer's header", HEADER) == 0, "%p is no block of the tracer's",
         block);
    return (char *)block - HEADER;
}

void *malloc(size_t size)
{
    ENTER();
    return traced(NEXT(malloc)(size + HEADER));
}

void free(void *block)
{
    ENTER();
    NEXT(free)(untraced(block));
    LEAVE();
}

void *calloc(size_t count, size_t size)
{
    ENTER();
    return traced(NEXT(calloc)(1, count * size + HEADER));
}

void *realloc(void *block, size_t size)
{
    ENTER();
    return traced(NEXT(realloc)(untraced(block), size + HEADER));
}

/* With a header, only what keeps the alignment: none. */
#ifndef TRACER_HEADER
int posix_memalign(void **out, size_t align, size_t size)
{
    ENTER();
    int error = NEXT(posix_memalign)(out, align, size);
    traced(error ? NULL : *out);
    return error;
}
void *aligned_alloc(size_t align, size_t size)
{
    ENTER();
    return traced(NEXT(aligned_alloc)(align, size));
}
void *memalign(size_t align, size_t size)
{
    ENTER();
    return traced(NEXT(memalign)(align, size));
}
void *valloc(size_t size)
{
    ENTER();
    return traced(NEXT(valloc)(size));
}
void *pvalloc(size_t size)
{
    ENTER();
    return traced(NEXT(pvalloc)(size));
}
size_t malloc_usable_size(void *block) { return NEXT(malloc_usable_size)(block); }
#endif
