/* bound.c - as musl's libc was until 1.1.19: whoever defines malloc, its own functions allocate and free by its own. A block
 * of its malloc has a mark before it, and what has none ends the process.
 * SPDX-License-Identifier: MIT */
#include "bound.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT(result, name, own, ...) result name(__VA_ARGS__) __attribute__((alias(#own)))
enum { ROOM = 1 << 20, BLOCK_ALIGN = 16 };
static const uint64_t MARK = 0x626f756e64206c69;

struct header {
    uint64_t mark;
    size_t size;
};

static _Alignas(4096) char room[ROOM]; /* never used again: the program allocates little */
static size_t room_used;

static struct header *header_of(void *block)
{
    struct header *header = (struct header *)block - 1;
    if (header->mark != MARK)
        abort();
    return header;
}

static void *own_aligned(size_t align, size_t size)
{
    size_t start = (room_used + sizeof(struct header) + align - 1) / align * align;
    if (start + size > ROOM)
        return NULL;
    room_used = (start + size + BLOCK_ALIGN - 1) / BLOCK_ALIGN * BLOCK_ALIGN;
    struct header *header = (struct header *)(room + start) - 1;
    *header = (struct header){.mark = MARK, .size = size};
    return header + 1;
}

static void *own_malloc(size_t size) { return own_aligned(BLOCK_ALIGN, size); }

static void *own_calloc(size_t count, size_t size) { return own_malloc(count * size); } /* fresh memory is zero */

static void own_free(void *block)
{
    if (block != NULL)
        header_of(block)->mark = 0;
}

static size_t own_usable_size(void *block) { return block != NULL ? header_of(block)->size : 0; }

static void *own_realloc(void *block, size_t size)
{
    void *other = own_malloc(size);
    if (other != NULL && block != NULL) {
        size_t old = own_usable_size(block);
        memcpy(other, block, old < size ? old : size);
        own_free(block);
    }
    return other;
}

static char *own_strdup(const char *text)
{
    char *copy = own_malloc(strlen(text) + 1);
    return copy != NULL ? strcpy(copy, text) : NULL;
}

EXPORT(void *, aligned_alloc, own_aligned, size_t align, size_t size);
EXPORT(void *, malloc, own_malloc, size_t size);
EXPORT(void *, calloc, own_calloc, size_t count, size_t size);
EXPORT(void, free, own_free, void *block);
EXPORT(size_t, malloc_usable_size, own_usable_size, void *block);
EXPORT(void *, realloc, own_realloc, void *block, size_t size);
EXPORT(char *, strdup, own_strdup, const char *text);

char *bound_append(char *line, const char *text)
{
    size_t length = line != NULL ? strlen(line) : 0;
    char *longer = own_realloc(line, length + strlen(text) + 1);
    return longer != NULL ? strcpy(longer + length, text) - length : NULL;
}

size_t bound_allocated(void) { return room_used; }
