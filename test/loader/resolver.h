/* resolver.h - what the resolvers of the program and of its library do, before either can do much else.
 * SPDX-License-Identifier: MIT */
#ifndef RESOLVER_H
#define RESOLVER_H

#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* C++'s, where there is a preloaded allocator that has them. */
__attribute__((weak)) void *_Znwm(size_t size);
__attribute__((weak)) void *_Znam(size_t size);
__attribute__((weak)) void _ZdlPv(void *block);
__attribute__((weak)) void _ZdaPvm(void *block, size_t size);

enum { KEPT_BYTES = 300 };

struct resolved {
    int failures;           /* of what follows */
    char *kept, *kept_too;  /* KEPT_BYTES each, of 'k' */
};

static inline bool bytes_are(const char *bytes, size_t count, char value)
{
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] != value) {
            return false;
        }
    }
    return true;
}

/* Nothing but what it says: functions of libc that are no malloc may not be there yet. */
static inline struct resolved resolve(void)
{
    struct resolved seen = {0};
    for (size_t size = 0; size <= 30000; size = size * 3 + 1) {
        char *block = malloc(size);
        char *other = calloc(size + 1, 1);
        seen.failures += !block || !other || (uintptr_t)block % 16 || !bytes_are(other, size + 1, 0);
        other = realloc(other, 2 * size + 1);
        seen.failures += !other || !bytes_are(other, size + 1, 0) || malloc_usable_size(other) < 2 * size + 1;
        for (size_t i = 0; i < size; i++) {
            block[i] = 'b';
        }
        seen.failures += !bytes_are(other, size + 1, 0);
        free(other);
        free(block);
    }
    for (size_t align = 16; align <= 4096; align *= 2) {
        void *block = NULL, *other = aligned_alloc(align, 2 * align);
        seen.failures += posix_memalign(&block, align, 10) || !other || ((uintptr_t)block | (uintptr_t)other) % align;
        free(other);
        free(block);
    }
    if (_Znwm) {
        void *block = _Znwm(40), *other = _Znam(50);
        seen.failures += !block || !other;
        _ZdaPvm(other, 50);
        _ZdlPv(block);
    }
    free(NULL);
    seen.kept = calloc(1, KEPT_BYTES);
    seen.kept_too = realloc(NULL, KEPT_BYTES);
    for (size_t i = 0; i < KEPT_BYTES; i++) {
        seen.kept[i] = seen.kept_too[i] = 'k';
    }
    return seen;
}

#endif
