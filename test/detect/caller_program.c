/* caller_program.c - usage: caller_program CALL EXPORTED: misuses a block in a function that the program exports, or in
 * one that it does not.
 * SPDX-License-Identifier: MIT */
#include "support.h"

#include <malloc.h>
#include <stdlib.h>

static inline __attribute__((always_inline)) void misuse(const char *call, char *block)
{
    if (strcmp(call, "free") == 0) {
        free(block);
    } else if (strcmp(call, "realloc") == 0) {
        block = realloc(block, 200);
    } else if (strcmp(call, "malloc_usable_size") == 0) {
        must(malloc_usable_size(block + 16) == 0, "there is a block inside a block");
    } else if (strcmp(call, "cfree") == 0) {
        void cfree(void *);
        cfree(block);
    }
    must(false, "%s was not noticed", call);
}

/* Each calls and then does something else, so that it stands on the stack. */
__attribute__((noinline)) void exported_function(const char *call, char *block)
{
    misuse(call, block);
    must(false, "still alive");
}

static __attribute__((noinline)) void other_function(const char *call, char *block)
{
    misuse(call, block);
    must(false, "still alive");
}

int main(int argc, char **argv)
{
    must(argc == 3, "usage: caller_program CALL EXPORTED");
    char *block = hidden(malloc(100));
    free(block);
    (argv[2][0] == '1' ? exported_function : other_function)(argv[1], block);
    return 0;
}
