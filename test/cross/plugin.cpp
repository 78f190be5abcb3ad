/* plugin.cpp - one end of deepbind_program.c's exchange: linked to the program, and opened by it as an object.
 * SPDX-License-Identifier: MIT */
#include "plugin.h"

#include <malloc.h>
#include <new>
#include <stdlib.h>
#include <string.h>

static void *make(size_t size) { return malloc(size); }
static void *make_aligned(size_t size) { return aligned_alloc(64, (size + 63) & ~(size_t)63); }
static void *make_text(void) { return strdup("made inside of libc"); }
static void *grow(void *block, size_t size) { return realloc(block, size); }
static size_t usable(void *block) { return malloc_usable_size(block); }
static void drop(void *block) { free(block); }
static void *object_new(size_t size) { return ::operator new(size); }
static void object_delete(void *object) { ::operator delete(object); }
static const void *malloc_bound(void)
{
    void *(*volatile function)(size_t) = malloc;
    return (const void *)function;
}

const struct plugin *plugin_end(void)
{
    static const struct plugin all = {make, make_aligned, make_text,     grow,        usable,
                                      drop, object_new,   object_delete, malloc_bound};
    return &all;
}
