/* module.c - opened, used and closed by work_program.c: what it allocates is freed outside.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

char *module_copy(const char *text)
{
    char *copy = malloc(strlen(text) + 1);
    return copy != NULL ? strcpy(copy, text) : NULL;
}
