/* first_object.c - a shared object whose constructor makes the process's first block, by which the library starts: it
 * runs before the library's own where it is preloaded behind it.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

__attribute__((constructor)) static void object_begin(void)
{
    enum { WHOLE = 80 }; /* exactly a size class, which has no room for the mark of HAKMEM_CHECK */
    char *first = malloc(WHOLE);
    memset(first, 0x3B, WHOLE);
    __asm__ volatile("" : : "r"(first) : "memory");
    free(first);
}
