/* new.c - what operator new does when memory is out, without linking the C++ runtime.
 * Compiled with -fexceptions: what a new_handler throws passes through. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "error.h"
#include "slow.h"

#include "hakmem.h"

#include <dlfcn.h>

typedef void (*new_handler)(void);

/* std::get_new_handler() and std::__throw_bad_alloc(): there when a C++ runtime is linked to the program, else NULL. */
__attribute__((weak)) new_handler _ZSt15get_new_handlerv(void);
__attribute__((weak)) void _ZSt17__throw_bad_allocv(void);
/* NULL where it is not in libc. */
__attribute__((weak)) void *dlsym(void *handle, const char *name);

/* A function of the C++ runtime; also of one that came later, with an object that a program in C has loaded. */
static void *runtime_function(void *linked, const char *name)
{
    /* By its name, since to name dlopen is an error in static programs; these have no runtime that came later. */
    void *(*open)(const char *, int) =
        linked || !dlsym ? NULL : (void *(*)(const char *, int))dlsym(RTLD_DEFAULT, "dlopen");
    void *runtime = open ? open("libstdc++.so.6", RTLD_LAZY | RTLD_NOLOAD) : NULL;
    return runtime ? dlsym(runtime, name) : linked;
}

void *new_slow(size_t size)
{
    void *block = malloc_slow_at(size, CALLER);
    return block ? block : new_failed(size, BLOCK_ALIGN, true);
}

void *new_nothrow_slow(size_t size)
{
    void *block = malloc_slow_at(size, CALLER);
    return block ? block : new_failed(size, BLOCK_ALIGN, false);
}

void *new_failed(size_t size, size_t align, bool throws)
{
    new_handler (*handler_get)(void) =
        (new_handler(*)(void))runtime_function((void *)_ZSt15get_new_handlerv, "_ZSt15get_new_handlerv");
    for (;;) {
        new_handler handler = handler_get ? handler_get() : NULL;
        if (!handler)
            break;
        handler();
        void *block = aligned_slow(align, size, CALLER);
        if (block)
            return block;
    }
    if (!throws)
        return NULL;
    void (*throw_bad_alloc)(void) =
        (void (*)(void))runtime_function((void *)_ZSt17__throw_bad_allocv, "_ZSt17__throw_bad_allocv");
    if (!throw_bad_alloc)
        error_fatal(ERROR_NEW_FAILED, "operator new", (void *)size, 0);
    throw_bad_alloc();
    __builtin_unreachable();
}
