#include "front/derived.h"

#include "system/error.h"
#include "system/options.h"
#include "front/replace.h"
#include "front/slow.h"

#include "hakmem.h"

#include <errno.h>

#ifdef HAK_NO_OVERRIDE

/* Nobody's names are taken, so nobody's can be replaced. */
void *derived_aligned(size_t align, size_t size, uintptr_t site) { return aligned_slow(align, size, site); }

#else

/* ---- Allocating -------------------------------------------------------------------------------------------------- */

/* A program's malloc may itself be made of functions that it has not replaced: these are hakmem's own then. */
static __thread bool is_deriving __attribute__((tls_model("initial-exec")));

/* The process's malloc or free is not hakmem's: a block of hakmem's is what its free does not expect. */
static bool is_foreign_heap(void) { return UNLIKELY(is_replaced(malloc) || is_replaced(free)) && !is_deriving; }

/* By whichever of the program's functions there is, the C++ runtime's first. */
static void *process_aligned(size_t align, size_t size)
{
    void *block = NULL;
    if (is_replaced(aligned_alloc))
        return process_aligned_alloc(align, align_up(size, align));
    if (is_replaced(memalign))
        return process_memalign(align, size);
    if (!is_replaced(posix_memalign))
        return process_malloc(size);
    int error = process_posix_memalign(&block, max_size(align, sizeof(void *)), size);
    errno = error ? error : errno;
    return error ? NULL : block;
}

/* Hakmem's where the program has no such function, for then nothing it does is expected to be freed by its free. */
static bool is_aligned_foreign(size_t align)
{
    return replace_aligned() || (align <= BLOCK_ALIGN && is_replaced(malloc));
}

void *derived_aligned(size_t align, size_t size, uintptr_t site)
{
    if (!is_foreign_heap() || !is_power_of_two(align) || size > PTRDIFF_MAX || !is_aligned_foreign(align))
        return aligned_slow(align, size, site);
    is_deriving = true;
    void *block = process_aligned(align, size);
    is_deriving = false;
    return block;
}

/* malloc for a function that the program has not replaced. */
static void *foreign_malloc(size_t size)
{
    is_deriving = true;
    void *block = process_malloc(size);
    is_deriving = false;
    return block;
}

/* Where calloc itself is replaced, it is this one's caller, and goes on from here. */
void *derived_calloc(size_t count, size_t size)
{
    size_t bytes;
    if (!is_replaced(malloc) || is_replaced(calloc) || is_deriving || __builtin_mul_overflow(count, size, &bytes))
        return calloc_slow(count, size);
    void *block = foreign_malloc(bytes);
    return block ? __builtin_memset(block, 0, bytes) : NULL;
}

/* NULL or a block that is not hakmem's. Where realloc itself is replaced, it is this one's caller, and what it does
 * not know is no block of the program's. Where the program has a malloc but no realloc: as far as a block's size can
 * be known. */
static COLD void *foreign_realloc(void *block, size_t size)
{
    void *other;
    if (block && replace_realloc(block, size, &other))
        return other;
    if (is_replaced(realloc) || !is_replaced(malloc) || is_deriving)
        return block ? realloc_slow(block, size) : malloc_slow(size);
    if (!block)
        return foreign_malloc(size);
    if (!is_replaced(malloc_usable_size))
        error_fatal(ERROR_FOREIGN, "realloc", block, 0);
    other = size > 0 || option(OPTION_REALLOC_ZERO) ? foreign_malloc(size) : NULL;
    if (other)
        copy_bytes(other, block, min_size(process_malloc_usable_size(block), size));
    if (other || size == 0)
        process_free(block);
    return other;
}

void *derived_realloc(void *block, size_t size)
{
    if (UNLIKELY(replace_c()) && !(block && replace_owns(block)))
        return foreign_realloc(block, size);
    return block ? realloc_slow(block, size) : malloc_at(size, CALLER);
}

/* ---- Freeing ----------------------------------------------------------------------------------------------------- */

/* Also what is hakmem's: the program's free may keep an account of it, or have it from hakmem with a header of its
 * own. */
void derived_free(void *block)
{
    if (is_replaced(free))
        process_free(block);
    else
        free_slow(block);
}

void derived_free_sized(void *block, size_t size)
{
    if (is_replaced(free) || is_replaced(malloc)) /* whose blocks may be larger than was asked for */
        derived_free(block);
    else
        free_sized_slow(block, size);
}

void derived_free_aligned(void *block, size_t align)
{
    bool is_own = !is_aligned_foreign(align) && replace_owns(block);
    if (is_replaced(free) && !is_own)
        process_free(block);
    else
        free_slow(block);
}

#endif
