/* stub_program.c - linked at a fixed address: the addresses of malloc, free and realloc that it takes are those of
 * stubs in the program, to everybody. Nothing is replaced, and nobody may take it so.
 * SPDX-License-Identifier: MIT */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>

struct functions {
    void *(*malloc)(size_t);
    void *(*calloc)(size_t, size_t);
    void *(*realloc)(void *, size_t);
    void (*free)(void *);
    int (*posix_memalign)(void **, size_t, size_t);
};

__attribute__((noinline)) static void use(const struct functions *own)
{
    void *block = hidden(realloc(NULL, 100)); /* would ask the stub, which would ask again */
    block = hidden(own->realloc(block, 1000));
    free(hidden(own->realloc(block, 5)));
    own->free(hidden(own->realloc(NULL, 10)));
    own->free(hidden(reallocarray(NULL, 10, 10)));
    own->free(hidden(calloc(10, 10)));
    free(hidden(own->calloc(10, 10)));
    free(hidden(own->malloc(10)));
    must(own->posix_memalign(&block, 64, 100) == 0, "posix_memalign failed");
    own->free(hidden(block));
    own->free(hidden(aligned_alloc(64, 128)));
}

int main(void)
{
    struct functions own;
    own.malloc = malloc, own.calloc = calloc, own.realloc = realloc, own.free = free,
    own.posix_memalign = posix_memalign;
    use(&own);
    return 0;
}
