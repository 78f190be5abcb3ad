/* finder.c - an object in a directory of its own that opens another by its plain name, which only its own RUNPATH or
 * RPATH ($ORIGIN) finds: the loader has to see who asks.
 * SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <stddef.h>

void *find(const char *name, int mode);
void *find_in_space(const char *name, int mode);
const void *find_dlopen(void);

/* Not the last thing done, so that what dlopen sees is this object. */
void *find(const char *name, int mode)
{
    void *volatile found = dlopen(name, mode);
    return found;
}

void *find_in_space(const char *name, int mode)
{
    void *volatile found = dlmopen(LM_ID_BASE, name, mode);
    return found;
}

const void *find_dlopen(void)
{
    void *(*volatile function)(const char *, int) = dlopen;
    return (const void *)function;
}
