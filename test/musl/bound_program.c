/* bound_program.c - where libc's functions know no malloc but libc's (bound.c), blocks go to and fro unharmed, since that
 * malloc has all of them.
 * SPDX-License-Identifier: MIT */
#include "bound.h"
#include "hakmem.h"
#include "support.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

int main(void)
{
    size_t before = bound_allocated();
    char *line = malloc(5);
    must(line != NULL && bound_allocated() > before, "malloc is not libc's");
    line = bound_append(strcpy(line, "line"), " of the program");
    must(line != NULL && strcmp(line, "line of the program") == 0, "not appended");
    line = realloc(line, 100); /* a block of libc's */
    must(line != NULL && strcmp(line, "line of the program") == 0 && malloc_usable_size(line) >= 100, "not reallocated");
    free(line);
    free(bound_append(NULL, "libc's own"));
    free(strdup("libc's own"));
    char *zeroes = calloc(10, 100), *aligned = aligned_alloc(256, 1000);
    must(zeroes != NULL && zeroes[0] == 0 && zeroes[999] == 0, "calloc");
    must(aligned != NULL && (size_t)aligned % 256 == 0, "aligned_alloc");
    free(bound_append(strcpy(zeroes, "z"), "z"));
    free(bound_append(strcpy(aligned, "a"), "a"));
    char *named = hak_malloc(10);
    must(named != NULL, "hak_malloc");
    hak_free(named);
    return 0;
}
