/* malloc.c - the hot path, whole: what every malloc and free does before, rarely, a slow path is entered.
 *
 * malloc: size -> class by table; the calling thread's ring of the class; its top block, if there is one.
 *     Not: ring_malloc (ring.c), which takes a batch from the depot (remote.c) or blocks from a page (page.c), which
 *     comes from a run of units (span.c), which comes from mmap (os.c). Above CLASS_MAX_SIZE, and above
 *     CLASS_TABLE_MAX when such sizes are rare: large.c.
 * free: address -> class by the page map (map.h); the calling thread's ring of the class; if there is room, on top of
 *     it. Not: ring_free (ring.c), which passes the ring's older half on, to the depot or to its pages' bitmaps.
 *     Class 0, whose ring is always closed, stands for NULL, large blocks and whatever is not a block.
 *
 * Nothing here is atomic (the page map's byte is a plain load), nothing is locked, hashed, counted or initialised:
 * what a thread that has no cache yet sees is a cache whose rings are all closed. */
#include "hakmem.h"

#include "map.h"
#include "ring.h"
#include "slow.h"

/* ---- malloc and free --------------------------------------------------------------------------------------------- */

/* The class of a size up to CLASS_TABLE_MAX. Relaxed: see class_of_table. */
INLINE size_t class_fast(size_t size) { return load_relaxed(&class_table[(size + BLOCK_ALIGN - 1) / BLOCK_ALIGN]); }

/* The top block of the calling thread's ring; NULL when the ring is empty, closed or counted. */
INLINE void *block_pop(size_t class_id)
{
    struct cache *cache = cache_self;
    void **top = cache->top[class_id];
    void *block = *top;
    FORGET_ORIGIN(block);
    if (LIKELY(block))
        cache->top[class_id] = top - 1;
    return block;
}

/* False when the ring is full, closed or watched, and when the block is one of the two that were freed last: a
 * second free. */
INLINE bool block_push(size_t class_id, void *block)
{
    struct cache *cache = cache_self;
    FORGET_ORIGIN(cache);
    void **top = cache->top[class_id];
    if (UNLIKELY(top >= cache->limit[class_id] || top[0] == block || top[-1] == block))
        return false;
    top[1] = block;
    cache->top[class_id] = top + 1;
    return true;
}

static NOINLINE void *malloc_medium(size_t size)
{
    void *block = size <= CLASS_MAX_SIZE ? block_pop(class_of_medium(size)) : NULL;
    return LIKELY(block) ? block : malloc_slow(size);
}

INLINE void *malloc_fast(size_t size)
{
    if (UNLIKELY(size > CLASS_TABLE_MAX))
        return malloc_medium(size);
    void *block = block_pop(class_fast(size));
    return LIKELY(block) ? block : malloc_slow(size);
}

/* As malloc, with the size rounded up to one whose class is aligned; that class_fit made may be of any size. */
INLINE void *aligned_fast(size_t align, size_t size, uintptr_t site)
{
    if (UNLIKELY(!is_power_of_two(align) || align > CLASS_TABLE_MAX || size > CLASS_TABLE_MAX - align))
        return aligned_slow(align, size, site);
    size_t class_id = class_fast(class_aligned_size(size, align));
    void *block = LIKELY(class_id != CLASS_FITTED) ? block_pop(class_id) : NULL;
    return LIKELY(block) ? block : aligned_slow(align, size, site);
}

void *malloc_at_hand(size_t size) { return block_pop(class_fast(size)); }

void *malloc_at(size_t size, uintptr_t site)
{
    void *block = size <= CLASS_MAX_SIZE ? block_pop(class_of(size)) : NULL;
    return LIKELY(block) ? block : malloc_slow_at(size, site);
}

void *aligned_at(size_t align, size_t size, uintptr_t site)
{
    return aligned_fast(align, size, site);
}

INLINE void free_fast(void *block)
{
    if (UNLIKELY(!block_push(map_class(block), block)))
        free_slow(block);
}

/* The size says nothing that the page map does not; HAKMEM_CHECK compares the two. */
INLINE void free_sized_fast(void *block, size_t size)
{
    if (UNLIKELY(!block_push(map_class(block), block)))
        free_sized_slow(block, size);
}

INLINE void *calloc_fast(size_t count, size_t size)
{
    size_t bytes;
    if (UNLIKELY(__builtin_mul_overflow(count, size, &bytes) || bytes > CLASS_TABLE_MAX))
        return calloc_slow(count, size);
    void *block = block_pop(class_fast(bytes));
    return LIKELY(block) ? __builtin_memset(block, 0, bytes) : calloc_slow(count, size);
}

/* A new size that the block's own class serves, or that leaves less than half of it unused, needs no other block.
 * NULL comes first: Lua, among others, allocates in no other way. */
INLINE void *realloc_fast(void *block, size_t size)
{
    if (!block)
        return malloc_fast(size);
    unsigned class_id = map_class(block);
    size_t have = class_size(class_id); /* 0 when it is no page's */
    return LIKELY(size <= have && size > have / 2) ? realloc_stay(block, size) : realloc_slow(block, size);
}

/* ---- The native names -------------------------------------------------------------------------------------------- */

void *hak_malloc(size_t size) { return malloc_fast(size); }
void hak_free(void *block) { free_fast(block); }
void hak_free_sized(void *block, size_t size) { free_sized_fast(block, size); }
void *hak_aligned_alloc(size_t align, size_t size) { return aligned_fast(align, size, CALLER); }
void *hak_calloc(size_t count, size_t size) { return calloc_fast(count, size); }
void *hak_realloc(void *block, size_t size) { return realloc_fast(block, size); }

#ifndef HAK_NO_OVERRIDE

/* ---- The C names ------------------------------------------------------------------------------------------------- */

HAK_PUBLIC void *malloc(size_t size) { return malloc_fast(size); }
HAK_PUBLIC void free(void *block) { free_fast(block); }
HAK_PUBLIC void cfree(void *block) { free_fast(block); }
HAK_PUBLIC void free_sized(void *block, size_t size) { free_sized_fast(block, size); }
HAK_PUBLIC void free_aligned_sized(void *block, size_t align, size_t size)
{
    (void)align;
    free_sized_fast(block, size);
}
HAK_PUBLIC void *calloc(size_t count, size_t size) { return calloc_fast(count, size); }
HAK_PUBLIC void *realloc(void *block, size_t size) { return realloc_fast(block, size); }

/* ---- C++: operator new and delete, by their names in the Itanium ABI --------------------------------------------- */

static NOINLINE void *new_medium(size_t size, bool throws)
{
    void *block = size <= CLASS_MAX_SIZE ? block_pop(class_of_medium(size)) : NULL;
    if (LIKELY(block))
        return block;
    return throws ? new_slow(size) : new_nothrow_slow(size);
}

INLINE void *new_fast(size_t size)
{
    if (UNLIKELY(size > CLASS_TABLE_MAX))
        return new_medium(size, true);
    void *block = block_pop(class_fast(size));
    return LIKELY(block) ? block : new_slow(size);
}

INLINE void *new_nothrow_fast(size_t size)
{
    if (UNLIKELY(size > CLASS_TABLE_MAX))
        return new_medium(size, false);
    void *block = block_pop(class_fast(size));
    return LIKELY(block) ? block : new_nothrow_slow(size);
}

HAK_PUBLIC void *_Znwm(size_t size) { return new_fast(size); }
HAK_PUBLIC void *_Znam(size_t size) { return new_fast(size); }
HAK_PUBLIC void *_ZnwmRKSt9nothrow_t(size_t size, const void *tag) { (void)tag; return new_nothrow_fast(size); }
HAK_PUBLIC void *_ZnamRKSt9nothrow_t(size_t size, const void *tag) { (void)tag; return new_nothrow_fast(size); }
HAK_PUBLIC void _ZdlPv(void *block) { free_fast(block); }
HAK_PUBLIC void _ZdaPv(void *block) { free_fast(block); }
HAK_PUBLIC void _ZdlPvm(void *block, size_t size) { free_sized_fast(block, size); }
HAK_PUBLIC void _ZdaPvm(void *block, size_t size) { free_sized_fast(block, size); }
HAK_PUBLIC void _ZdlPvRKSt9nothrow_t(void *block, const void *tag) { (void)tag; free_fast(block); }
HAK_PUBLIC void _ZdaPvRKSt9nothrow_t(void *block, const void *tag) { (void)tag; free_fast(block); }

#endif
