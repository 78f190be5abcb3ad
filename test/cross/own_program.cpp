/* own_program.cpp - a program with an allocator of its own, as large a part of one as OWN_* say; own_library.cpp, which
 * uses every function there is, is linked to it. Its free ends the program when given what is not its own, or passes it
 * on (OWN_PASSES_ON). What came from it must go back to it.
 * SPDX-License-Identifier: MIT */
#include "support.h"

#include "own.h"

#include <atomic>
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- The allocator: a block is never used again, and remembers whether it is live -------------------------------- */

enum { HEAP_SIZE = 64 << 20 };

struct header {
    size_t size, live;
};

alignas(4096) static char g_heap[HEAP_SIZE];
static std::atomic<size_t> g_used;
static std::atomic<long> g_live;

static void *heap_take(size_t align, size_t size)
{
    size_t room = size + align + sizeof(header);
    size_t start = size < HEAP_SIZE ? g_used.fetch_add(room) : (size_t)HEAP_SIZE;
    if (start + room > HEAP_SIZE)
        return nullptr;
    char *block = (char *)(((uintptr_t)g_heap + start + sizeof(header) + align - 1) & -align);
    ((header *)block)[-1] = {size, 1};
    g_live++;
    return block;
}

bool own_has(const void *block) { return (uintptr_t)block - (uintptr_t)g_heap < HEAP_SIZE; }
long own_live(void) { return g_live; }

__attribute__((unused)) static size_t heap_size(void *block)
{
    must(own_has(block) && ((header *)block)[-1].live == 1, "%p is no live block of the program's", block);
    return ((header *)block)[-1].size;
}

static void heap_give(void *block)
{
    must(own_has(block) && ((header *)block)[-1].live == 1, "free: %p is no live block of the program's", block);
    ((header *)block)[-1].live = 0;
    g_live--;
}

/* ---- Its names --------------------------------------------------------------------------------------------------- */

extern "C" {

#ifdef OWN_MALLOC_IS_CALLOC
/* calloc is not its own, and so derived from malloc: that must end. */
void *malloc(size_t size)
{
    static __thread int depth;
    must(depth < 2, "malloc calls calloc calls malloc, and so on");
    depth++;
    void *other = calloc(1, 8);
    depth--;
    if (own_has(other))
        heap_give(other);
    return heap_take(16, size);
}
#else
void *malloc(size_t size) { return heap_take(16, size); }
#endif

void free(void *block)
{
    if (block == nullptr)
        return;
#ifdef OWN_PASSES_ON
    if (!own_has(block)) {
        ((void (*)(void *))dlsym(RTLD_NEXT, "free"))(block);
        return;
    }
#endif
    heap_give(block);
}

#ifdef OWN_SET
void *calloc(size_t count, size_t size) { return heap_take(16, count * size); } /* fresh, so zero */
void *realloc(void *block, size_t size)
{
    void *other = heap_take(16, size);
    if (block != nullptr && other != nullptr) {
        memcpy(other, block, heap_size(block) < size ? heap_size(block) : size);
        heap_give(block);
    }
    return other;
}
#endif

#ifdef OWN_USABLE
size_t malloc_usable_size(void *block) noexcept { return block != nullptr ? heap_size(block) : 0; }
#endif

#ifdef OWN_ALIGNED
void *aligned_alloc(size_t align, size_t size) { return heap_take(align, size); }
void *memalign(size_t align, size_t size) { return heap_take(align, size); }
int posix_memalign(void **out, size_t align, size_t size)
{
    *out = heap_take(align, size);
    return 0;
}
#endif

#ifdef OWN_PAGES
void *valloc(size_t size) { return heap_take(4096, size); }
void *pvalloc(size_t size) { return heap_take(4096, (size + 4095) & ~(size_t)4095); }
#endif
}

#ifdef OWN_OPERATORS
void *operator new(size_t size) { return malloc(size); }
void *operator new[](size_t size) { return malloc(size); }
void operator delete(void *block) noexcept { free(block); }
void operator delete[](void *block) noexcept { free(block); }
#endif

int main(int argc, char **argv)
{
    must(dlsym(RTLD_DEFAULT, "hak_version") != nullptr, "hakmem is not in this process");
    if (argc > 1 && strcmp(argv[1], "wild") == 0)
        free(hidden((char *)hidden(&argc)));
    library_use_all(0
#ifdef OWN_SET
                    | OWN_HAS_SET
#endif
#ifdef OWN_USABLE
                    | OWN_HAS_USABLE
#endif
#ifdef OWN_ALIGNED
                    | OWN_HAS_ALIGNED
#endif
    );
    return 0;
}
