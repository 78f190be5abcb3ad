#include "derived.h"

#include "error.h"
#include "replace.h"
#include "slow.h"

#include "hakmem.h"

#include <errno.h>

#ifdef HAK_NO_OVERRIDE

/* Nobody's names are taken, so nobody's can be replaced. */
void *derived_aligned(size_t align, size_t size, uintptr_t site) { return aligned_slow(align, size, site); }

#else

/* The process's malloc or free is not hakmem's: a block of hakmem's is what its free does not expect. */
static bool is_foreign_heap(void) { return UNLIKELY(is_replaced(malloc) || is_replaced(free)); }

/* ---- Allocating -------------------------------------------------------------------------------------------------- */

/* By whichever of the program's functions there is; hakmem's if it has none, for then nothing it does is expected to
 * be freed by the program's free. */
static void *foreign_aligned(size_t align, size_t size, uintptr_t site)
{
    void *block = NULL;
    if (align <= BLOCK_ALIGN && is_replaced(malloc))
        return process_malloc(size);
    if (is_replaced(posix_memalign)) {
        int error = process_posix_memalign(&block, max_size(align, sizeof(void *)), size);
        errno = error ? error : errno;
        return error ? NULL : block;
    }
    if (is_replaced(memalign))
        return process_memalign(align, size);
    if (is_replaced(aligned_alloc))
        return process_aligned_alloc(align, align_up(size, align));
    return aligned_slow(align, size, site);
}

void *derived_aligned(size_t align, size_t size, uintptr_t site)
{
    return is_foreign_heap() && is_power_of_two(align) ? foreign_aligned(align, size, site) : aligned_slow(align, size, site);
}

void *derived_calloc(size_t count, size_t size)
{
    size_t bytes;
    if (!is_replaced(malloc) || __builtin_mul_overflow(count, size, &bytes))
        return calloc_slow(count, size);
    void *block = process_malloc(bytes);
    return block ? __builtin_memset(block, 0, bytes) : NULL;
}

/* A block that is not hakmem's, where realloc is, because the program has a malloc but no realloc: as far as its size can be
 * known. */
static void *foreign_realloc(void *block, size_t size)
{
    if (block && !is_replaced(malloc_usable_size))
        error_fatal(ERROR_FOREIGN, "realloc", block, 0);
    void *other = process_malloc(size);
    if (block && other) {
        __builtin_memcpy(other, block, min_size(process_malloc_usable_size(block), size));
        process_free(block);
    }
    return other;
}

void *derived_realloc(void *block, size_t size)
{
    bool is_foreign = UNLIKELY(replace_c()) && !(block && replace_owns(block));
    if (is_foreign && is_replaced(realloc))
        return process_realloc(block, size);
    if (is_foreign && is_replaced(malloc))
        return foreign_realloc(block, size);
    return block ? realloc_slow(block, size) : malloc_at(size, CALLER);
}

#endif
