/* The plugin of deepbind.c: its blocks are freed by the program, and the program's by it.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

char *plugin_make(const char *text)
{
    return strdup(text);
}

void *plugin_resize(void *block, size_t size)
{
    return realloc(block, size);
}

void plugin_free(void *block)
{
    free(block);
}
