/* malloc.c - the hot path, whole: what every malloc and free does before, rarely, a slow path is entered.
 *
 * malloc: size -> class by table; the calling thread's ring of the class; its top block, if there is one.
 *     Not: ring_malloc (ring.c), which takes a batch from the depot (remote.c) or blocks from a page (page.c), which
 *     comes from a run of units (span.c), which comes from mmap (os_map.c). Above CLASS_MAX_SIZE, and above
 *     CLASS_TABLE_MAX when such sizes are rare: large.c.
 * free: address -> class by the page map (map.h); the calling thread's ring of the class; if there is room, on top of
 *     it. Not: ring_free (ring.c), which passes the ring's older half on, to the depot or to its pages' bitmaps.
 *     Class 0, whose ring is always closed, stands for NULL, large blocks and whatever is not a block.
 *
 * What is derived from functions that the program may have replaced (replace.h) does the same with the eyes of its
 * view: where something was replaced it sees no block and no size, and so takes its slow path (derived.c).
 *
 * Nothing here is atomic (what the page map says is a plain load), nothing is locked, hashed, counted or initialised:
 * what a thread that has no cache yet sees is a cache whose rings are all closed. */
#include "hakmem.h"

#include "front/derived.h"
#include "heap/map.h"
#include "front/replace.h"
#include "cache/ring.h"
#include "front/slow.h"

/* ---- malloc and free --------------------------------------------------------------------------------------------- */

/* The class of a size up to CLASS_TABLE_MAX. Relaxed: see class_of_table. */
INLINE size_t class_fast(size_t size) { return load_relaxed(&class_table[(size + BLOCK_ALIGN - 1) / BLOCK_ALIGN]); }

/* One instruction, where compilers make two of what they have in a register; and the next free finds the top sooner. */
INLINE void ring_drop_top(void ***top)
{
#if defined(__x86_64__)
    __asm__("subq %1, %0" : "+m"(*top) : "i"(sizeof **top) : "cc");
#else
    --*top;
#endif
}

/* The top block of the calling thread's ring; NULL when the ring is empty, closed or counted. */
INLINE void *block_pop(size_t class_id)
{
    struct cache *cache = cache_self;
    void **top = cache->top[class_id];
    void *block = *top;
    FORGET_ORIGIN(block);
    if (LIKELY(block))
        ring_drop_top(&cache->top[class_id]);
    return block;
}

/* False when the ring is full, closed or watched, and when the block is one of the two that were freed last: a
 * second free. */
INLINE bool block_push(size_t class_id, void *block)
{
    struct cache *cache = cache_self;
    FORGET_ORIGIN(cache);
    void **top = cache->top[class_id];
    /* No register for the address of top[class_id], which an instruction can compute by itself. */
    FORGET_ORIGIN(class_id);
    if (UNLIKELY(top >= cache->limit[class_id] || top[0] == block || top[-1] == block))
        return false;
    top[1] = block;
    signal_fence(); /* the child of a fork may have no more than the first of the two */
    cache->top[class_id] = top + 1;
    return true;
}

/* Whether a ring may serve the size. */
INLINE bool size_is_seen(enum map_view view, size_t size) { return is_below(size, &map_window[view].size_end); }

/* The ring's block for a size that is not seen, because it is above CLASS_TABLE_MAX or because nothing is. */
INLINE void *medium_pop(enum map_view view, size_t size)
{
    bool has_class = size <= CLASS_MAX_SIZE && load_relaxed(&map_window[view].size_end) != 0;
    return has_class ? block_pop(class_of_medium(size)) : NULL;
}

static NOINLINE void *malloc_medium(size_t size)
{
    void *block = medium_pop(VIEW_OWN, size);
    return LIKELY(block) ? block : malloc_slow(size);
}

INLINE void *malloc_fast(size_t size)
{
    if (UNLIKELY(!size_is_seen(VIEW_OWN, size)))
        return malloc_medium(size);
    void *block = block_pop(class_fast(size));
    return LIKELY(block) ? block : malloc_slow(size);
}

/* As malloc, with the size rounded up to one whose class is aligned; that class_fit made may be of any size. */
INLINE void *aligned_fast(enum map_view view, size_t align, size_t size, uintptr_t site)
{
    if (LIKELY(is_power_of_two(align) && size_is_seen(view, align) && size <= CLASS_TABLE_MAX - align)) {
        size_t class_id = class_fast(class_aligned_size(size, align));
        void *block = LIKELY(class_id != CLASS_FITTED) ? block_pop(class_id) : NULL;
        if (LIKELY(block))
            return block;
    }
    return view == VIEW_OWN ? aligned_slow(align, size, site) : derived_aligned(align, size, site);
}

void *malloc_at_hand(size_t size) { return block_pop(class_fast(size)); }

void *malloc_at(size_t size, uintptr_t site)
{
    void *block = size_is_seen(VIEW_OWN, size) ? block_pop(class_fast(size)) : medium_pop(VIEW_OWN, size);
    return LIKELY(block) ? block : malloc_slow_at(size, site);
}

void *aligned_at(size_t align, size_t size, uintptr_t site) { return aligned_fast(VIEW_C, align, size, site); }

/* `slow`: where to go when the ring cannot take the block, or it is none of ours. Always inlined, so that it is one
 * jump. */
INLINE void free_fast(enum map_view view, void *block, void (*slow)(void *))
{
    size_t step = map_step(block);
    if (UNLIKELY(!map_sees(view, step) || !block_push(map_class_seen(view, step), block)))
        slow(block);
}

/* The size says nothing that the page map does not; HAKMEM_CHECK compares the two. */
INLINE void free_sized_fast(enum map_view view, void *block, size_t size, void (*slow)(void *, size_t))
{
    size_t step = map_step(block);
    if (UNLIKELY(!map_sees(view, step) || !block_push(map_class_seen(view, step), block)))
        slow(block, size);
}

/* All of the block is cleared, for programs use what malloc_usable_size says. */
INLINE void *calloc_fast(enum map_view view, size_t count, size_t size, void *(*slow)(size_t, size_t))
{
    size_t bytes;
    if (UNLIKELY(__builtin_mul_overflow(count, size, &bytes) || !size_is_seen(view, bytes)))
        return slow(count, size);
    size_t class_id = class_fast(bytes);
    void *block = block_pop(class_id);
    return LIKELY(block) ? __builtin_memset(block, 0, class_info[class_id].size) : slow(count, size);
}

/* A new size that the block's own class serves, or that leaves less than half of it unused, needs no other block.
 * NULL comes first: Lua, among others, allocates in no other way. */
INLINE void *realloc_fast(enum map_view view, void *block, size_t size, void *(*slow)(void *, size_t))
{
    if (!block && (view == VIEW_OWN || size_is_seen(view, size)))
        return malloc_fast(size);
    size_t step = map_step(block);
    if (UNLIKELY(!map_sees(view, step)))
        return slow(block, size);
    size_t have = class_size(map_class_seen(view, step)); /* 0 when it is no page's */
    return LIKELY(size <= have && size > have / 2) ? realloc_stay(block, size) : slow(block, size);
}

/* ---- The native names -------------------------------------------------------------------------------------------- */

void *hak_malloc(size_t size) { return malloc_fast(size); }
void hak_free(void *block) { free_fast(VIEW_OWN, block, free_slow); }
void hak_free_sized(void *block, size_t size) { free_sized_fast(VIEW_OWN, block, size, free_sized_slow); }
void *hak_aligned_alloc(size_t align, size_t size) { return aligned_fast(VIEW_OWN, align, size, CALLER); }
void *hak_calloc(size_t count, size_t size) { return calloc_fast(VIEW_OWN, count, size, calloc_slow); }
void *hak_realloc(void *block, size_t size) { return realloc_fast(VIEW_OWN, block, size, realloc_slow); }

#ifndef HAK_NO_OVERRIDE

/* ---- The C names ------------------------------------------------------------------------------------------------- */

HAK_PUBLIC void *malloc(size_t size) { return malloc_fast(size); }
HAK_PUBLIC void free(void *block) { free_fast(VIEW_OWN, block, free_slow); }
HAK_PUBLIC void cfree(void *block) { free_fast(VIEW_C, block, derived_free); }
HAK_PUBLIC void free_sized(void *block, size_t size) { free_sized_fast(VIEW_C, block, size, derived_free_sized); }
HAK_PUBLIC void free_aligned_sized(void *block, size_t align, size_t size)
{
    if (UNLIKELY(is_replaced(free)))
        derived_free_aligned(block, align);
    else
        free_sized_fast(VIEW_OWN, block, size, free_sized_slow);
}
HAK_PUBLIC void *calloc(size_t count, size_t size) { return calloc_fast(VIEW_C, count, size, derived_calloc); }
HAK_PUBLIC void *realloc(void *block, size_t size) { return realloc_fast(VIEW_C, block, size, derived_realloc); }

/* ---- C++: operator new and delete, by their names in the Itanium ABI ---------------------------------------------
 * Weak, so that a program that is linked with the archive may replace each of them, as it may where this is a shared
 * library. */

INLINE void *new_medium(size_t size, void *(*slow)(size_t))
{
    void *block = medium_pop(VIEW_CXX, size);
    return LIKELY(block) ? block : slow(size);
}

INLINE void *new_fast(size_t size, void *(*medium)(size_t), void *(*slow)(size_t))
{
    if (UNLIKELY(!size_is_seen(VIEW_CXX, size)))
        return medium(size);
    void *block = block_pop(class_fast(size));
    return LIKELY(block) ? block : slow(size);
}

#define NEW(name, slow)                                                                     \
    static NOINLINE void *name##_medium(size_t size) { return new_medium(size, slow); }     \
    HAK_OPERATOR void *name
NEW(_Znwm, derived_new)(size_t size) { return new_fast(size, _Znwm_medium, derived_new); }
NEW(_Znam, derived_new_array)(size_t size) { return new_fast(size, _Znam_medium, derived_new_array); }
NEW(_ZnwmRKSt9nothrow_t, derived_new_nothrow)(size_t size, const void *tag)
{
    (void)tag;
    return new_fast(size, _ZnwmRKSt9nothrow_t_medium, derived_new_nothrow);
}
NEW(_ZnamRKSt9nothrow_t, derived_new_array_nothrow)(size_t size, const void *tag)
{
    (void)tag;
    return new_fast(size, _ZnamRKSt9nothrow_t_medium, derived_new_array_nothrow);
}
#undef NEW

HAK_OPERATOR void _ZdlPv(void *block) { free_fast(VIEW_CXX, block, derived_free); }
HAK_OPERATOR void _ZdaPv(void *block) { free_fast(VIEW_CXX, block, derived_delete_array); }
HAK_OPERATOR void _ZdlPvm(void *block, size_t size) { free_sized_fast(VIEW_CXX, block, size, derived_delete_sized); }
HAK_OPERATOR void _ZdaPvm(void *block, size_t size)
{
    free_sized_fast(VIEW_CXX, block, size, derived_delete_array_sized);
}
HAK_OPERATOR void _ZdlPvRKSt9nothrow_t(void *block, const void *tag)
{
    (void)tag;
    free_fast(VIEW_CXX, block, derived_delete_array);
}
HAK_OPERATOR void _ZdaPvRKSt9nothrow_t(void *block, const void *tag)
{
    (void)tag;
    free_fast(VIEW_CXX, block, derived_delete_array_nothrow);
}

#endif
