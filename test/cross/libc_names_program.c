/* libc_names_program.c - blocks by glibc's own names for its functions, freed by the common ones, and the other way
 * round.
 * SPDX-License-Identifier: MIT */
#include "support.h"

#include <malloc.h>
#include <stdlib.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t align, size_t size);
void *__libc_valloc(size_t size);
void *__libc_pvalloc(size_t size);
void __libc_free(void *block);

static void *make(unsigned way, size_t size)
{
    switch (way) {
    case 0: return __libc_malloc(size);
    case 1: return __libc_calloc(1, size);
    case 2: return __libc_realloc(NULL, size);
    case 3: return __libc_memalign(256, size);
    case 4: return __libc_valloc(size);
    case 5: return __libc_pvalloc(size);
    case 6: return malloc(size);
    case 7: return calloc(1, size);
    case 8: return aligned_alloc(64, (size + 63) & ~(size_t)63);
    default: return memalign(4096, size);
    }
}

int main(void)
{
    for (size_t size = 1; size < 40 * MIB; size = size * 3 + 1)
        for (unsigned way = 0; way < 10; way++) {
            void *block = hidden(make(way, size));
            must(block != NULL && malloc_usable_size(block) >= size, "way %u of %zu bytes: %p", way, size, block);
            pattern_fill(block, size < 4096 ? size : 4096, way);
            block = hidden(way % 2 ? realloc(block, size * 2) : __libc_realloc(block, size * 2));
            must(pattern_check(block, size < 4096 ? size : 4096, way) == (size < 4096 ? size : 4096),
                 "realloc lost bytes");
            way < 6 ? free(block) : __libc_free(block);
            way < 6 ? free(hidden(make(way, size))) : __libc_free(hidden(make(way, size)));
        }
    must((uintptr_t)hidden(__libc_memalign(8192, 1)) % 8192 == 0, "__libc_memalign does not align");
    return 0;
}
