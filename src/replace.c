#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "replace.h"

#include "map.h"

#include <dlfcn.h>

struct replace_runtime replace_runtime;

bool replace_owns(const void *block) { return map_page(block) != NULL; }

#ifdef HAK_NO_OVERRIDE

bool replace_free(void *block) { return (void)block, false; }
void replace_start(void) {}

#else

/* The program's free may pass on what it does not know, to the next in line: hakmem again. */
static __thread bool is_passing __attribute__((tls_model("initial-exec")));

bool replace_free(void *block)
{
    if (replace_stands_aside() && !replace_owns(block)) {
        replace_runtime.free(block);
        return true;
    }
    if (!is_replaced(free) || replace_owns(block) || is_passing)
        return false;
    is_passing = true;
    process_free(block);
    is_passing = false;
    return true;
}

/* NULL where libc has none, and where no such runtime is loaded. */
__attribute__((weak)) void *dlsym(void *handle, const char *name);
extern const char sanitizer_address __asm__("__asan_init") __attribute__((weak, visibility("default")));
extern const char sanitizer_thread __asm__("__tsan_init") __attribute__((weak, visibility("default")));

static COLD void replace_find(void)
{
    struct replace_runtime runtime = {
        .malloc = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc"),
        .calloc = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "calloc"),
        .realloc = (void *(*)(void *, size_t))dlsym(RTLD_NEXT, "realloc"),
        .aligned_alloc = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "aligned_alloc"),
        .free = (void (*)(void *))dlsym(RTLD_NEXT, "free"),
        .usable_size = (size_t(*)(void *))dlsym(RTLD_NEXT, "malloc_usable_size"),
    };
    if (runtime.malloc && runtime.calloc && runtime.realloc && runtime.aligned_alloc && runtime.free && runtime.usable_size)
        replace_runtime = runtime;
}

void replace_start(void)
{
    if (UNLIKELY(&sanitizer_address || &sanitizer_thread) && dlsym && !replace_c())
        replace_find();
}

#endif
