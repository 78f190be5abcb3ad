#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "front/replace.h"

#include "system/image.h"
#include "heap/cell.h"
#include "heap/ground.h"
#include "heap/map.h"

#include "hakmem.h"

#include <dlfcn.h>
#include <link.h>

struct replace_runtime replace_runtime;

bool replace_owns(const void *block) { return map_page(block) != NULL || cell_has(block) || early_size(block) != 0; }

#ifdef HAK_NO_OVERRIDE
static bool has_sanitizer(void) { return false; }
#else
extern const char sanitizer_address __asm__("__asan_init") __attribute__((weak, visibility("default")));
extern const char sanitizer_thread __asm__("__tsan_init") __attribute__((weak, visibility("default")));
static bool has_sanitizer(void) { return &sanitizer_address || &sanitizer_thread; }
#endif

COLD void replace_open_views(void)
{
    if (UNLIKELY(has_sanitizer()))
        ground_let_system_choose();
    if (replace_c() || replace_operators() || replace_aligned())
        replace_find_stubs();
    map_open_views(replace_c() ? VIEW_C : replace_operators() ? VIEW_CXX : VIEW_COUNT);
}

#ifdef HAK_NO_OVERRIDE

bool replace_free(void *block) { return (void)block, false; }
void replace_start(void) {}

#else

/* ---- Stubs ------------------------------------------------------------------------------------------------------- */

uint64_t replace_stubs[(REPLACE_COUNT + 63) / 64];

/* NULL where it is not in libc. */
#pragma weak dl_iterate_phdr

struct search {
    const char *name;
    const void *process, *own;
    bool is_stub;
};

static bool object_open(const struct dl_phdr_info *info, struct image *image)
{
    for (unsigned i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_LOAD && info->dlpi_phdr[i].p_offset == 0)
            return image_open(image, (const void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr));
    return false;
}

static bool object_has(const struct image *image, const void *address)
{
    return (uintptr_t)address >= image->start && (uintptr_t)address < image->end;
}

/* Ends at hakmem, or at the object before it whose function it is. */
static int search_object(struct dl_phdr_info *info, size_t size, void *argument)
{
    (void)size;
    struct search *search = argument;
    struct image image;
    if (!object_open(info, &image))
        return 0;
    if (object_has(&image, search->own)) {
        search->is_stub = !object_has(&image, search->process);
        return 1;
    }
    return image_find(&image, search->name) != NULL;
}

static void stub_find(enum replace_name id, const char *name, const void *process, const void *own)
{
    struct search search = {.name = name, .process = process, .own = own, .is_stub = false};
    if (replace_differ(process, own) && dl_iterate_phdr)
        dl_iterate_phdr(search_object, &search);
    if (search.is_stub)
        replace_stubs[id / 64] |= (uint64_t)1 << id % 64;
}

void replace_find_stubs(void)
{
#define FIND(name) stub_find(REPLACE_##name, #name, (const void *)(uintptr_t)process_##name, hak_own_##name)
    FIND(malloc), FIND(free), FIND(calloc), FIND(realloc), FIND(reallocarray), FIND(aligned_alloc), FIND(memalign);
    FIND(posix_memalign), FIND(valloc), FIND(pvalloc), FIND(malloc_usable_size);
    FIND(_Znwm), FIND(_Znam), FIND(_ZnwmRKSt9nothrow_t), FIND(_ZnamRKSt9nothrow_t), FIND(_ZnwmSt11align_val_t);
    FIND(_ZnamSt11align_val_t), FIND(_ZdlPv), FIND(_ZdaPv), FIND(_ZdlPvm), FIND(_ZdaPvm), FIND(_ZdlPvSt11align_val_t);
    FIND(_ZdaPvSt11align_val_t);
#undef FIND
}

/* ---- Blocks of others -------------------------------------------------------------------------------------------- */

/* The program's function may pass on what it does not know, to the next in line: hakmem again. */
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

bool replace_realloc(void *block, size_t size, void **out)
{
    if (!is_replaced(realloc) || is_passing)
        return false;
    is_passing = true;
    *out = process_realloc(block, size);
    is_passing = false;
    return true;
}

/* ---- Who has to serve every call --------------------------------------------------------------------------------- */

/* NULL where libc has none, and where no such runtime is loaded. */
__attribute__((weak)) void *dlsym(void *handle, const char *name);

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
    if (runtime.malloc && runtime.calloc && runtime.realloc && runtime.aligned_alloc && runtime.free &&
        runtime.usable_size)
        replace_runtime = runtime;
}

/* No other libc has this function; NULL in those. */
extern const char libc_is_glibc __asm__("__register_atfork") __attribute__((weak, visibility("default")));

/* Whether what libc's functions return is from a malloc of libc's own, whoever defines another: musl's calls were bound
 * to it until 1.1.19. Asked of one of them. */
static COLD bool libc_is_bound(void)
{
    char *(*duplicate)(const char *) = (char *(*)(const char *))dlsym(RTLD_NEXT, "strdup");
    char *block = duplicate ? duplicate("") : NULL;
    bool is_bound = block && !replace_owns(block);
    if (!is_bound)
        hak_free(block);
    return is_bound;
}

void replace_start(void)
{
    if (!dlsym || replace_c())
        return;
    if (UNLIKELY(has_sanitizer()) || (!&libc_is_glibc && libc_is_bound()))
        replace_find();
}

#endif
