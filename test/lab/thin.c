/* thin.c - a malloc, to be preloaded, that passes everything on to libc's: an honest one, which DAWDLE makes slower.
 * For lab_test.py and compare_test.py.
 * SPDX-License-Identifier: MIT */
#include <stddef.h>

#ifndef DAWDLE
#define DAWDLE 0
#endif

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t align, size_t size);
void __libc_free(void *block);

static void dawdle(void)
{
    for (volatile int i = 0; i < DAWDLE; i++) {
    }
}

void *malloc(size_t size)
{
    dawdle();
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    dawdle();
    return __libc_calloc(count, size);
}

void *realloc(void *block, size_t size) { return __libc_realloc(block, size); }
void free(void *block) { __libc_free(block); }
void *aligned_alloc(size_t align, size_t size) { return __libc_memalign(align, size); }

int posix_memalign(void **out, size_t align, size_t size)
{
    enum { NO_MEMORY = 12 };
    *out = __libc_memalign(align, size);
    return *out ? 0 : NO_MEMORY;
}
