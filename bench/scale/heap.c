/* heap.c - heaps to measure on.
 * SPDX-License-Identifier: MIT */
#include "scale.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SMALL_BYTES = 64, LOOK_EVERY = 256 };

void *block_make(size_t size)
{
    char text[SIZE_TEXT];
    void *block = malloc(size);
    if (block == NULL)
        case_fail("malloc(%s) returned NULL: %s", size_text(size, text), strerror(errno));
    return block;
}

void *block_make_touched(size_t size)
{
    char *block = block_make(size);
    *block = 1;
    return block;
}

/* Allocators write a header into each block, or beside it; where the system then brings a huge page for it
 * (transparent_hugepage = always), an untouched heap is not. */
bool blocks_make_untouched(void **blocks, size_t count, size_t size, unsigned percent)
{
    uint64_t bound = memory_available() / 100 * percent;
    char used_text[SIZE_TEXT], heap_text[SIZE_TEXT];
    for (size_t i = 0; i < count; i++) {
        blocks[i] = block_make(size);
        uint64_t used = i % LOOK_EVERY == 0 ? memory_used() : 0;
        if (used > bound) {
            case_skip("%s of blocks to which nobody wrote have taken %s of memory", size_text(i * size, heap_text),
                      size_text(used, used_text));
            return false;
        }
    }
    return true;
}

struct small *small_make(uint64_t bytes)
{
    struct small *first = NULL;
    for (uint64_t left = bytes / SMALL_BYTES; left > 0; left--) {
        struct small *small = block_make(SMALL_BYTES);
        small->next = first;
        first = small;
    }
    return first;
}

/* A header of 16 bytes for each, and a twentieth. */
uint64_t small_need(uint64_t bytes) { return bytes + bytes * 3 / 10; }
