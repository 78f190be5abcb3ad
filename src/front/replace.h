/* replace.h - which of the functions that hakmem exports are somebody else's in this process.
 *
 * A program (or a library that comes before this one) may define malloc and free itself, or some of C++'s operators.
 * The loader then gives those to everybody, and hakmem's for what is missing: what is derived from them (the second
 * column of symbols.def) has to call them, or blocks would cross from one allocator to another. `process_<name>` is the
 * function that the process calls by the name; `is_replaced(name)` tells whether it is another than hakmem's.
 *
 * All of it is settled by the loader before the first call, but for the calls that it makes itself (early.h), for which
 * nothing counts as replaced. So nothing here changes, and any thread may ask. */
#ifndef HAK_REPLACE_H
#define HAK_REPLACE_H

#include "base/base.h"
#include "front/early.h"

#ifndef HAK_NO_OVERRIDE

/* Without the compiler's knowledge that they are defined here, so that the address is the loader's choice. */
#define PROCESS_FUNCTION(result, name, ...) \
    extern result process_##name(__VA_ARGS__) __asm__(#name) __attribute__((visibility("default")))

PROCESS_FUNCTION(void *, malloc, size_t size);
PROCESS_FUNCTION(void, free, void *block);
PROCESS_FUNCTION(void *, calloc, size_t count, size_t size);
PROCESS_FUNCTION(void *, realloc, void *block, size_t size);
PROCESS_FUNCTION(void *, reallocarray, void *block, size_t count, size_t size);
PROCESS_FUNCTION(void *, aligned_alloc, size_t align, size_t size);
PROCESS_FUNCTION(void *, memalign, size_t align, size_t size);
PROCESS_FUNCTION(int, posix_memalign, void **out, size_t align, size_t size);
PROCESS_FUNCTION(void *, valloc, size_t size);
PROCESS_FUNCTION(void *, pvalloc, size_t size);
PROCESS_FUNCTION(size_t, malloc_usable_size, void *block);
PROCESS_FUNCTION(void *, _Znwm, size_t size);
PROCESS_FUNCTION(void *, _Znam, size_t size);
PROCESS_FUNCTION(void *, _ZnwmRKSt9nothrow_t, size_t size, const void *tag);
PROCESS_FUNCTION(void *, _ZnamRKSt9nothrow_t, size_t size, const void *tag);
PROCESS_FUNCTION(void *, _ZnwmSt11align_val_t, size_t size, size_t align);
PROCESS_FUNCTION(void *, _ZnamSt11align_val_t, size_t size, size_t align);
PROCESS_FUNCTION(void *, _ZnwmSt11align_val_tRKSt9nothrow_t, size_t size, size_t align, const void *tag);
PROCESS_FUNCTION(void *, _ZnamSt11align_val_tRKSt9nothrow_t, size_t size, size_t align, const void *tag);
PROCESS_FUNCTION(void, _ZdlPv, void *block);
PROCESS_FUNCTION(void, _ZdaPv, void *block);
PROCESS_FUNCTION(void, _ZdlPvm, void *block, size_t size);
PROCESS_FUNCTION(void, _ZdaPvm, void *block, size_t size);
PROCESS_FUNCTION(void, _ZdlPvSt11align_val_t, void *block, size_t align);
PROCESS_FUNCTION(void, _ZdaPvSt11align_val_t, void *block, size_t align);

/* hakmem's own function of each name, whoever else defines one: a second symbol for the same code. */
#define X(name, base)                                                         \
    __asm__(".hidden hak_own_" #name "\n\t.set hak_own_" #name ", " #name);    \
    extern const char hak_own_##name[] __attribute__((visibility("hidden")));
#define S(name)
#include "front/symbols.def"
#undef X
#undef S

/* Hidden from the compiler, which takes two names for two addresses. */
INLINE bool replace_differ(const void *process, const void *own)
{
    FORGET_ORIGIN(process);
    FORGET_ORIGIN(own);
    return process != own;
}

/* Where programs at a fixed address take a function's address, that is the address of a stub in the program, to
 * everybody: a bit for each name whose stub leads to hakmem. Settled by replace_find_stubs, before which a stub
 * counts as replaced. */
enum replace_name {
#define X(name, base) REPLACE_##name,
#define S(name)
#include "front/symbols.def"
#undef X
#undef S
    REPLACE_COUNT
};
extern uint64_t replace_stubs[(REPLACE_COUNT + 63) / 64];
void replace_find_stubs(void) __attribute__((cold));

INLINE bool replace_is_stub(enum replace_name name) { return replace_stubs[name / 64] >> name % 64 & 1; }
#define is_replaced(name)                                                              \
    (replace_differ((const void *)(uintptr_t)process_##name, hak_own_##name) && !replace_is_stub(REPLACE_##name) && \
     !early_is_on())

/* Whether the C functions that others are derived from are not all hakmem's; the same of the others that return
 * memory, and of the operators. */
INLINE bool replace_c(void) { return is_replaced(malloc) || is_replaced(free) || is_replaced(realloc); }
INLINE bool replace_aligned(void)
{
    return is_replaced(aligned_alloc) || is_replaced(posix_memalign) || is_replaced(memalign);
}
INLINE bool replace_operators(void)
{
    return is_replaced(_Znwm) || is_replaced(_Znam) || is_replaced(_ZdlPv) || is_replaced(_ZdaPv) ||
           is_replaced(_ZnwmRKSt9nothrow_t) || is_replaced(_ZnamRKSt9nothrow_t) || is_replaced(_ZdlPvm) ||
           is_replaced(_ZdaPvm) || is_replaced(_ZnwmSt11align_val_t) || is_replaced(_ZnamSt11align_val_t) ||
           is_replaced(_ZdlPvSt11align_val_t) || is_replaced(_ZdaPvSt11align_val_t);
}

#else

INLINE void replace_find_stubs(void) {}
INLINE bool replace_c(void) { return false; }
INLINE bool replace_aligned(void) { return false; }
INLINE bool replace_operators(void) { return false; }

#endif

/* Says which views see the heap (map.h): in their order, since who replaces the C functions replaces what the operators
 * are derived from. Under the growth lock, before the first block. */
void replace_open_views(void);

/* A sanitizer's runtime that is a library of its own has to see every block, or takes the reuse of memory for a
 * race; a libc whose own functions allocate and free by its own malloc alone (musl before 1.1.20) gives and gets
 * blocks that no other malloc knows. Where one is loaded behind hakmem, its functions serve every call from the
 * constructor on; NULL elsewhere. */
extern struct replace_runtime {
    void *(*malloc)(size_t size);
    void *(*calloc)(size_t count, size_t size);
    void *(*realloc)(void *block, size_t size);
    void *(*aligned_alloc)(size_t align, size_t size);
    void (*free)(void *block);
    size_t (*usable_size)(void *block);
} replace_runtime;
INLINE bool replace_stands_aside(void) { return UNLIKELY(replace_runtime.malloc != NULL); }

/* In the constructor: looks for either. */
void replace_start(void);

/* Whether the block (or what is taken for one) is hakmem's: an exact look into the page map. */
bool replace_owns(const void *block);

/* Give a block that is not hakmem's to the program's own function; false when there is none, or it came from there. */
bool replace_free(void *block) __attribute__((cold));
bool replace_realloc(void *block, size_t size, void **out) __attribute__((cold));

#endif
