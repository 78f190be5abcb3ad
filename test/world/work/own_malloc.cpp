// An executable with a malloc of its own, which it exports, without what is derived from it: reallocarray, nothrow,
// sized and aligned operators. What a library gets from those has to be its malloc's, too.
// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

static const size_t HEAP_SIZE = size_t(1024) << 20;
alignas(64) static char heap[HEAP_SIZE];
static size_t used;

static bool is_mine(void *block)
{
    return block >= heap && block < heap + HEAP_SIZE;
}

static size_t &size_of(void *block)
{
    return static_cast<size_t *>(block)[-2];
}

extern "C" {
void *malloc(size_t size)
{
    size_t at = __atomic_fetch_add(&used, (size + 31) & ~size_t(15), __ATOMIC_RELAXED);
    if (at + size + 32 > HEAP_SIZE)
        abort();
    void *block = heap + at + 16;
    size_of(block) = size;
    return block;
}

void free(void *block)
{
    if (block != nullptr && !is_mine(block)) {
        fputs("a block of another malloc is freed\n", stderr);
        _Exit(4);
    }
}

void *aligned_alloc(size_t alignment, size_t size)
{
    size_t at = reinterpret_cast<size_t>(malloc(size + alignment + 16));
    void *block = reinterpret_cast<void *>((at + alignment + 15) & ~(alignment - 1));
    size_of(block) = size;
    return block;
}

void *calloc(size_t count, size_t size)
{
    return memset(malloc(count * size), 0, count * size);
}

void *realloc(void *block, size_t size)
{
    if (block != nullptr && !is_mine(block)) {
        fputs("a block of another malloc is resized\n", stderr);
        _Exit(5);
    }
    void *moved = malloc(size);
    if (block != nullptr)
        memcpy(moved, block, size < size_of(block) ? size : size_of(block));
    return moved;
}
}

void *operator new(size_t size)
{
    return malloc(size);
}

void *operator new[](size_t size)
{
    return malloc(size);
}

void operator delete(void *block) noexcept
{
    free(block);
}

void operator delete[](void *block) noexcept
{
    free(block);
}

size_t library_work(int rounds);

int main()
{
    printf("%zu\n", library_work(100000));
}
