/* traced_program.cpp - allocates by every name while tracer.c is in the process: what it sees made it must see freed.
 * SPDX-License-Identifier: MIT */
#include "support.h"

#include <dlfcn.h>
#include <malloc.h>
#include <initializer_list>
#include <new>
#include <stdio.h>
#include <stdlib.h>

static long (*g_live)(void);
static long g_before;

#define EVEN(...) (g_before = g_live(), (__VA_ARGS__), must_be_even(#__VA_ARGS__))
static void must_be_even(const char *what)
{
    must(g_live() == g_before, "%s: the account says %+ld", what, g_live() - g_before);
}

static void use_c(size_t size)
{
    EVEN(free(hidden(malloc(size))));
    EVEN(free(hidden(calloc(2, size))));
    EVEN(free(hidden(realloc(nullptr, size))));
    EVEN(free(hidden(realloc(hidden(malloc(size)), size * 2))));
    EVEN(free(hidden(reallocarray(nullptr, 2, size))));
    EVEN(free(hidden(reallocarray(hidden(malloc(size)), 3, size))));
    EVEN(free(hidden(strdup("as long as it takes"))));
}

static void use_cxx(size_t size)
{
    EVEN(::operator delete(hidden(::operator new(size))));
    EVEN(::operator delete(hidden(::operator new(size)), size));
    EVEN(::operator delete(hidden(::operator new(size, std::nothrow)), std::nothrow));
    EVEN(::operator delete[](hidden(::operator new[](size))));
    EVEN(::operator delete[](hidden(::operator new[](size)), size));
    EVEN(::operator delete[](hidden(::operator new[](size, std::nothrow)), std::nothrow));
}

static void *by_posix_memalign(size_t size)
{
    void *block;
    must(posix_memalign(&block, 256, size) == 0, "posix_memalign failed");
    return block;
}

static void use_aligned(size_t size)
{
    std::align_val_t align{256};
    EVEN(free(hidden(by_posix_memalign(size))));
    EVEN(free(hidden(aligned_alloc(256, (size + 255) & ~(size_t)255))));
    EVEN(free(hidden(memalign(256, size))));
    EVEN(free(hidden(valloc(size))));
    EVEN(free(hidden(pvalloc(size))));
    EVEN(::operator delete(hidden(::operator new(size, align)), align));
    EVEN(::operator delete(hidden(::operator new(size, align)), size, align));
    EVEN(::operator delete[](hidden(::operator new[](size, align, std::nothrow)), align, std::nothrow));
}

int main(int argc, char **argv)
{
    g_live = (long (*)(void))dlsym(RTLD_DEFAULT, "tracer_live");
    must(g_live != nullptr && argc == 2, "usage: LD_PRELOAD=... traced_program all | unaligned | wild");
    must(dlsym(RTLD_DEFAULT, "hak_version") != nullptr, "hakmem is not in this process");
    if (argv[1][0] == 'w')
        free(hidden((char *)hidden(&argc)));
    bool has_aligned = argv[1][0] == 'a';
    for (size_t size : std::initializer_list<size_t>{1, 100, 1000, 20000, 500000, 5000000}) {
        use_c(size), use_c(size);
        use_cxx(size), use_cxx(size);
        if (has_aligned)
            use_aligned(size), use_aligned(size);
    }
    /* Without the C++ runtime's view of it, what is aligned goes round the tracer, and back. */
    std::align_val_t align{256};
    ::operator delete(hidden(::operator new(100, align)), align);
    return 0;
}
