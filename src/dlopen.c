/* dlopen.c - in the shared library only: what programs open goes on using the process's malloc.
 *
 * With RTLD_DEEPBIND an object's references are bound to the libraries that it needs itself before those of the process, so
 * its malloc is libc's, and whatever is allocated on one side and freed on the other ends the process. PHP opens its
 * extensions so, Apache its modules. So the flag goes; HAKMEM_DEEPBIND=1 keeps it.
 *
 * The loader looks at the address that it is going to return to, to learn who calls: whose RPATH, $ORIGIN and namespace
 * count. So both functions end in a jump, in debug builds, too. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "hakmem.h"
#include "options.h"

#include <dlfcn.h>

#if defined(__clang__)
#define TAIL_CALL __attribute__((musttail))
#define TAIL_CALLS
#else
#define TAIL_CALL
#define TAIL_CALLS __attribute__((optimize("O2")))
#endif

#ifndef RTLD_DEEPBIND
#define RTLD_DEEPBIND 0 /* musl knows no such thing */
#endif

/* Before glibc 2.34 it is in a library of its own, which not every process has. */
__attribute__((weak)) void *dlsym(void *handle, const char *name);

static void *next_function(const char *name) { return dlsym ? dlsym(RTLD_NEXT, name) : NULL; }

static int mode_allowed(int mode) { return option(OPTION_DEEPBIND) ? mode : mode & ~RTLD_DEEPBIND; }

HAK_PUBLIC TAIL_CALLS void *dlopen(const char *file, int mode)
{
    void *(*next)(const char *, int) = (void *(*)(const char *, int))next_function("dlopen");
    if (!next)
        return NULL;
    mode = mode_allowed(mode);
    TAIL_CALL return next(file, mode);
}

#ifdef LM_ID_BASE

/* Other namespaces have a libc, and so a malloc, of their own. */
HAK_PUBLIC TAIL_CALLS void *dlmopen(Lmid_t space, const char *file, int mode)
{
    void *(*next)(Lmid_t, const char *, int) = (void *(*)(Lmid_t, const char *, int))next_function("dlmopen");
    if (!next)
        return NULL;
    mode = space == LM_ID_BASE ? mode_allowed(mode) : mode;
    TAIL_CALL return next(space, file, mode);
}

#endif
