/* early_object.c - a shared object with a constructor that allocates, a destructor that frees, and thread-local data
 * large enough that the loader allocates it.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

__attribute__((visibility("default"))) void *early_object_block(void);

static char *g_kept;
static _Thread_local char t_large[5000];

__attribute__((constructor)) static void object_begin(void)
{
    g_kept = malloc(3000);
    memset(g_kept, 0x3B, 3000);
    memset(t_large, 1, sizeof t_large);
}

__attribute__((destructor)) static void object_end(void)
{
    if (g_kept[0] != 0x3B || g_kept[2999] != 0x3B) {
        abort();
    }
    free(g_kept);
}

void *early_object_block(void)
{
    t_large[4999]++;
    return malloc(2000);
}
