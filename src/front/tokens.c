/* tokens.c - allocation tokens: what clang 22 and later make of calls of malloc, operator new, ... with
 * -fsanitize=alloc-token. Each is the function of the rest of its name, with one argument more, a number for the type
 * that is allocated. Under HAKMEM_SITES=1 that number names the site (hak_malloc_at), but for 0, which stands for types
 * that are not known; else it has no effect.
 *
 * Whatever is more than a small block with plain alignment, and everything where the program has replaced functions
 * that these are derived from, goes to the process's function of the plain name. */
#include "hakmem.h"

#include "front/replace.h"
#include "front/slow.h"
#include "insight/site.h"

#ifndef HAK_NO_OVERRIDE

/* A block of the site that the token names; NULL: by the plain function. */
static void *token_block(size_t size, size_t token)
{
    bool is_named = site_is_asked() && !replace_c() && !replace_operators() && !replace_stands_aside();
    return UNLIKELY(is_named) ? site_malloc_named(size, token) : NULL;
}

/* A named site's blocks are aligned to BLOCK_ALIGN. */
static void *token_aligned(size_t align, size_t size, size_t token)
{
    return align <= BLOCK_ALIGN && is_power_of_two(align) ? token_block(size, token) : NULL;
}

static void *token_zeroed(size_t count, size_t size, size_t token)
{
    size_t bytes;
    void *block = __builtin_mul_overflow(count, size, &bytes) ? NULL : token_block(bytes, token);
    return block ? __builtin_memset(block, 0, hak_usable_size(block)) : NULL;
}

/* `named`: a block by the token, or NULL. */
#define TOKEN(name, parameters, named, arguments)            \
    HAK_PUBLIC void *__alloc_token_##name parameters         \
    {                                                        \
        void *by_token = named;                              \
        return by_token ? by_token : process_##name arguments; \
    }
TOKEN(malloc, (size_t size, size_t token), token_block(size, token), (size))
TOKEN(calloc, (size_t count, size_t size, size_t token), token_zeroed(count, size, token), (count, size))
TOKEN(realloc, (void *block, size_t size, size_t token), block ? NULL : token_block(size, token), (block, size))
TOKEN(aligned_alloc, (size_t align, size_t size, size_t token), token_aligned(align, size, token), (align, size))
TOKEN(memalign, (size_t align, size_t size, size_t token), token_aligned(align, size, token), (align, size))
TOKEN(_Znwm, (size_t size, size_t token), token_block(size, token), (size))
TOKEN(_Znam, (size_t size, size_t token), token_block(size, token), (size))
TOKEN(_ZnwmRKSt9nothrow_t, (size_t size, const void *tag, size_t token), token_block(size, token), (size, tag))
TOKEN(_ZnamRKSt9nothrow_t, (size_t size, const void *tag, size_t token), token_block(size, token), (size, tag))
TOKEN(_ZnwmSt11align_val_t, (size_t size, size_t align, size_t token), token_aligned(align, size, token), (size, align))
TOKEN(_ZnamSt11align_val_t, (size_t size, size_t align, size_t token), token_aligned(align, size, token), (size, align))
#undef TOKEN

/* Those whose blocks no site has: of whole pages of memory, or of any alignment. */
#define TOKEN(result, name, parameters, arguments) \
    HAK_PUBLIC result __alloc_token_##name parameters { return (void)token, process_##name arguments; }
TOKEN(void *, reallocarray, (void *block, size_t count, size_t size, size_t token), (block, count, size))
TOKEN(int, posix_memalign, (void **out, size_t align, size_t size, size_t token), (out, align, size))
TOKEN(void *, valloc, (size_t size, size_t token), (size))
TOKEN(void *, pvalloc, (size_t size, size_t token), (size))
TOKEN(void *, _ZnwmSt11align_val_tRKSt9nothrow_t, (size_t size, size_t align, const void *tag, size_t token),
      (size, align, tag))
TOKEN(void *, _ZnamSt11align_val_tRKSt9nothrow_t, (size_t size, size_t align, const void *tag, size_t token),
      (size, align, tag))
#undef TOKEN

#endif
