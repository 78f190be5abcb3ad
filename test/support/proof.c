/* proof.c - linked into every dynamic test program: before main, shows that the allocation functions that this process
 * calls are hakmem's, and ends it with status 99 if not. Without it a test could pass on the C library's allocator.
 * SPDX-License-Identifier: MIT */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const g_served[] = {
    "malloc",   "free",           "calloc", "realloc", "reallocarray",       "aligned_alloc",
    "memalign", "posix_memalign", "valloc", "pvalloc", "malloc_usable_size", "malloc_trim",
    "_Znwm",    "_ZdlPv",
};

/* The object that defines what a call of `name` from this program reaches. */
static const char *object_of(const char *name)
{
    Dl_info info;
    void *address = dlsym(RTLD_DEFAULT, name);
    return address != NULL && dladdr(address, &info) != 0 ? info.dli_fname : "(nothing)";
}

__attribute__((constructor)) static void proof(void)
{
    if (dlsym(RTLD_DEFAULT, "hak_version") == NULL) {
        dprintf(STDERR_FILENO, "proof: hakmem is not in this process: hak_version was not found\n");
        _exit(99);
    }
    const char *hakmem = object_of("hak_version");
    for (size_t i = 0; i < sizeof g_served / sizeof g_served[0]; i++) {
        const char *object = object_of(g_served[i]);
        if (strcmp(object, hakmem) != 0) {
            dprintf(STDERR_FILENO, "proof: %s is expected from %s, but is served by %s\n", g_served[i], hakmem, object);
            _exit(99);
        }
    }
}
