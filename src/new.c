/* new.c - what operator new does when memory is out, without linking the C++ runtime.
 * Compiled with -fexceptions: what a new_handler throws passes through. */
#include "error.h"
#include "slow.h"

#include "hakmem.h"

typedef void (*new_handler)(void);

/* std::get_new_handler() and std::__throw_bad_alloc(): there when a C++ runtime is in the program, else NULL. */
__attribute__((weak)) new_handler _ZSt15get_new_handlerv(void);
__attribute__((weak)) void _ZSt17__throw_bad_allocv(void);

void *new_slow(size_t size)
{
    void *block = malloc_slow_at(size, CALLER);
    return block ? block : new_failed(size, BLOCK_ALIGN, true);
}

void *new_nothrow_slow(size_t size)
{
    void *block = malloc_slow_at(size, CALLER);
    return block ? block : new_failed(size, BLOCK_ALIGN, false);
}

void *new_failed(size_t size, size_t align, bool throws)
{
    for (;;) {
        new_handler handler = _ZSt15get_new_handlerv ? _ZSt15get_new_handlerv() : NULL;
        if (!handler)
            break;
        handler();
        void *block = aligned_slow(align, size, CALLER);
        if (block)
            return block;
    }
    if (!throws)
        return NULL;
    if (!_ZSt17__throw_bad_allocv)
        error_fatal(ERROR_NEW_FAILED, "operator new", (void *)size, 0);
    _ZSt17__throw_bad_allocv();
    __builtin_unreachable();
}
