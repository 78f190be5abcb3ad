/* heaps.c - the public functions of heaps by name (arena.h): argument checks and errno. */
#include "hakmem.h"

#include "cache/arena.h"
#include "cache/thread.h"
#include "front/replace.h"
#include "front/slow.h"
#include "system/error.h"
#include "system/options.h"

#include <errno.h>

static void *or_no_memory(void *block)
{
    if (UNLIKELY(!block))
        errno = ENOMEM;
    return block;
}

static bool name_is_good(const char *name)
{
    enum { PRINTABLE = 0x20, DELETE = 0x7F };
    size_t length = 0;
    for (; name && length <= HAK_HEAP_NAME_MAX && name[length]; length++)
        if ((unsigned char)name[length] < PRINTABLE || name[length] == DELETE)
            return false;
    return length > 0 && length <= HAK_HEAP_NAME_MAX;
}

COLD hak_heap_t *hak_heap_create(const char *name)
{
    bool is_full = false;
    thread_start();
    struct hak_heap *arena = NULL;
    if (!name_is_good(name))
        errno = EINVAL;
    else if (replace_stands_aside())
        errno = ENOTSUP;
    else if (!(arena = arena_make(name, &is_full)))
        errno = is_full ? EAGAIN : ENOMEM;
    return arena;
}

COLD void hak_heap_empty(hak_heap_t *arena) { arena_clear(arena); }

COLD void hak_heap_destroy(hak_heap_t *arena)
{
    if (arena)
        arena_unmake(arena);
}

void hak_heap_set_limit(hak_heap_t *arena, size_t bytes) { store_relaxed(&arena->limit, bytes); }

void *hak_heap_malloc(hak_heap_t *arena, size_t size)
{
    bool zeroed;
    return or_no_memory(arena_malloc(arena, size, BLOCK_ALIGN, &zeroed));
}

void *hak_heap_calloc(hak_heap_t *arena, size_t count, size_t size)
{
    size_t bytes;
    bool zeroed = true;
    void *block = __builtin_mul_overflow(count, size, &bytes) ? NULL : arena_malloc(arena, bytes, BLOCK_ALIGN, &zeroed);
    if (block && !zeroed)
        __builtin_memset(block, 0, hak_usable_size(block));
    return or_no_memory(block);
}

void *hak_heap_aligned_alloc(hak_heap_t *arena, size_t align, size_t size)
{
    bool zeroed;
    if (!is_power_of_two(align)) {
        errno = EINVAL;
        return NULL;
    }
    return or_no_memory(arena_malloc(arena, size, align, &zeroed));
}

/* From another arena, or from none. */
static COLD void *move_in(struct hak_heap *arena, void *block, size_t have, size_t size)
{
    void *other = hak_heap_malloc(arena, size);
    if (!other)
        return NULL;
    copy_bytes(other, block, min_size(have, size));
    hak_free(block);
    return other;
}

void *hak_heap_realloc(hak_heap_t *arena, void *block, size_t size)
{
    ERROR_CALLER();
    if (!block)
        return hak_heap_malloc(arena, size);
    if (size == 0 && !option(OPTION_REALLOC_ZERO)) {
        hak_free(block);
        return NULL;
    }
    thread_check_fork();
    size_t have = block_size(block, "hak_heap_realloc");
    if (arena_of(block) != arena)
        return move_in(arena, block, have, size);
    return or_no_memory(size <= PTRDIFF_MAX ? arena_realloc(arena, block, have, size) : NULL);
}

hak_heap_t *hak_heap_of(const void *block) { return arena_of(block); }

COLD char *hak_heap_name(const hak_heap_t *arena, char out[HAK_HEAP_NAME_MAX + 1])
{
    arena_name(arena, out);
    return out;
}

COLD void hak_heap_stats(const hak_heap_t *arena, hak_heap_stat_t *out) { arena_stat(arena, out); }
