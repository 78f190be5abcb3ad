/* debuginfo_none.c - in place of debuginfo.c where the command is built without libdw: nothing has a name.
 * SPDX-License-Identifier: MIT */
#include "names/debuginfo.h"

const char *debuginfo_obstacle(void)
{
    return "this hakmem was built without libdw (elfutils), so functions have no names";
}

struct debuginfo *debuginfo_open(int fd, const char *path, const char *root)
{
    (void)fd, (void)path, (void)root;
    return NULL;
}

size_t debuginfo_find(struct debuginfo *info, uint64_t address, struct symbol *symbol, size_t max)
{
    (void)info, (void)address, (void)symbol, (void)max;
    return 0;
}

void debuginfo_close(struct debuginfo *info) { (void)info; }

size_t debuginfo_core_stack(const char *path, uint64_t *out, size_t max)
{
    (void)path, (void)out, (void)max;
    return 0;
}
