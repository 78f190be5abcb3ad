/* grow.h - arrays that grow by one.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TOOLS_GROW_H
#define HAKMEM_TOOLS_GROW_H

#include <stddef.h>
#include <stdlib.h>

/* The array with room for one more than `count` entries of `size` bytes; NULL, and the array as it was, when memory
 * is out. There is room up to each power of two. */
static inline void *array_grow(void *array, size_t count, size_t size)
{
    if ((count & (count - 1)) != 0)
        return array;
    return reallocarray(array, count > 0 ? 2 * count : 1, size);
}

#endif
