#include "front/early.h"

#include "cache/ring.h"

/* A buffer of stdio's, and what a resolver may want beside it, many times over. Untouched, it costs nothing. */
enum { BUFFER_BYTES = 256 << 10 };

/* Before each block. */
struct header {
    size_t size;   /* usable */
    size_t before; /* bytes of the buffer that were in use before this block was made */
};
_Static_assert(sizeof(struct header) % BLOCK_ALIGN == 0, "a header keeps the alignment of what follows it");

static SPARSE _Alignas(64) uint8_t buffer[BUFFER_BYTES];
static size_t used;

_Atomic(bool) early_is_over;

/* Where the loader has been, it holds the address of what it points to. */
static void *volatile relocated = &buffer;

bool early_look(void)
{
    /* A thread has no NULL for a cache once its storage is filled in. */
    bool is_over = relocated == (void *)&buffer && cache_self;
    store_relaxed(&early_is_over, is_over);
    return !is_over;
}

static struct header *header_of(const void *block) { return (struct header *)(uintptr_t)block - 1; }

void *early_malloc(size_t align, size_t size)
{
    if (!is_power_of_two(align) || align > BUFFER_BYTES || size > BUFFER_BYTES)
        return NULL;
    uintptr_t start = align_up((uintptr_t)buffer + used + sizeof(struct header), max_size(align, BLOCK_ALIGN));
    size_t offset = start - (uintptr_t)buffer, room = align_up(max_size(size, 1), BLOCK_ALIGN);
    if (offset + room > BUFFER_BYTES)
        return NULL;
    *header_of((void *)start) = (struct header){.size = room, .before = used};
    used = offset + room;
    return (void *)start;
}

/* Not memset or memcpy, which are libc's; and the compiler is not to make these of it. */
static void bytes_copy(uint8_t *to, const uint8_t *from, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        FORGET_ORIGIN(to);
        to[i] = from ? from[i] : 0;
    }
}

void *early_calloc(size_t count, size_t size)
{
    size_t bytes;
    void *block = __builtin_mul_overflow(count, size, &bytes) ? NULL : early_malloc(BLOCK_ALIGN, bytes);
    if (block)
        bytes_copy(block, NULL, early_size(block));
    return block;
}

void *early_realloc(void *block, size_t size)
{
    size_t have = early_size(block);
    if (size <= have && size > 0)
        return block;
    void *other = size > 0 || !block ? early_malloc(BLOCK_ALIGN, size) : NULL;
    if (other)
        bytes_copy(other, block, have);
    if (other || size == 0)
        early_free(block);
    return other;
}

void early_free(void *block)
{
    size_t size = early_size(block);
    if (size > 0 && (uint8_t *)block + size == buffer + used)
        used = header_of(block)->before;
}

size_t early_size(const void *block)
{
    uintptr_t offset = (uintptr_t)block - (uintptr_t)buffer;
    return block && offset < BUFFER_BYTES ? header_of(block)->size : 0;
}
