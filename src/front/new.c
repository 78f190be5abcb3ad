/* The slow side of C++'s operators, without linking the C++ runtime, and the aligned ones whole.
 * Compiled with -fexceptions: what a new_handler throws passes through. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "front/derived.h"

#include "system/error.h"
#include "front/replace.h"
#include "front/slow.h"

#include "hakmem.h"

#include <dlfcn.h>
#include <unwind.h>

#ifndef HAK_NO_OVERRIDE

/* ---- The C++ runtime --------------------------------------------------------------------------------------------- */

typedef void (*new_handler)(void);

/* There when a C++ runtime is linked to the program, else NULL: std::get_new_handler(), std::__throw_bad_alloc(), and
 * what a catch clause calls. */
__attribute__((weak)) new_handler _ZSt15get_new_handlerv(void);
__attribute__((weak)) void _ZSt17__throw_bad_allocv(void);
__attribute__((weak)) void *__cxa_begin_catch(void *exception);
__attribute__((weak)) void __cxa_end_catch(void);
__attribute__((weak)) void _Unwind_SetIP(struct _Unwind_Context *context, _Unwind_Ptr address);
/* NULL where it is not in libc. */
__attribute__((weak)) void *dlsym(void *handle, const char *name);

/* A function of the C++ runtime; also of one that came later, with an object that a program in C has loaded. */
static COLD void *runtime_function(void *linked, const char *name)
{
    /* By its name, since to name dlopen is an error in static programs; these have no runtime that came later. */
    void *(*open)(const char *, int) =
        linked || !dlsym ? NULL : (void *(*)(const char *, int))dlsym(RTLD_DEFAULT, "dlopen");
    static const char *const runtimes[] = {"libstdc++.so.6", "libc++abi.so.1", "libc++.so.1"};
    for (unsigned i = 0; open && !linked && i < sizeof runtimes / sizeof runtimes[0]; i++) {
        void *runtime = open(runtimes[i], RTLD_LAZY | RTLD_NOLOAD);
        linked = runtime ? dlsym(runtime, name) : NULL;
    }
    return linked;
}
#define RUNTIME_FUNCTION(name) ((__typeof__(&name))runtime_function((void *)(uintptr_t)name, #name))

/* ---- A catch clause ---------------------------------------------------------------------------------------------- */

/* C has none, so call_catching has a personality routine of its own (Itanium C++ ABI, exception handling, 2.5.2):
 * whatever is thrown through it lands behind the call. */
static const void *landing; /* the place in call_catching; the same whoever stores it */
static __thread void *caught __attribute__((tls_model("initial-exec"))); /* the exception that is about to land */

__attribute__((used)) static _Unwind_Reason_Code catch_all(int version, _Unwind_Action actions, uint64_t kind,
                                                           struct _Unwind_Exception *exception,
                                                           struct _Unwind_Context *context) __asm__("hak_catch_all");
static _Unwind_Reason_Code catch_all(int version, _Unwind_Action actions, uint64_t kind,
                                     struct _Unwind_Exception *exception, struct _Unwind_Context *context)
{
    (void)version, (void)kind;
    void (*set_ip)(struct _Unwind_Context *, _Unwind_Ptr) = RUNTIME_FUNCTION(_Unwind_SetIP);
    if ((actions & _UA_FORCE_UNWIND) || !set_ip) /* a thread is cancelled: that is nobody's to stop */
        return _URC_CONTINUE_UNWIND;
    if (actions & _UA_SEARCH_PHASE)
        return _URC_HANDLER_FOUND;
    caught = exception;
    set_ip(context, (uintptr_t)landing);
    return _URC_INSTALL_CONTEXT;
}

static COLD void *catch_end(void)
{
    void *(*begin_catch)(void *) = RUNTIME_FUNCTION(__cxa_begin_catch);
    void (*end_catch)(void) = RUNTIME_FUNCTION(__cxa_end_catch);
    if (begin_catch && end_catch) { /* the exception's memory is the runtime's */
        begin_catch(caught);
        end_catch();
    }
    return NULL;
}

/* There must be one of it, since `landing` is one. */
#if defined(__has_attribute)
#if __has_attribute(noclone)
#define ONE_OF_IT __attribute__((noclone))
#endif
#endif
#ifndef ONE_OF_IT
#define ONE_OF_IT
#endif

/* allocate(size, align); NULL when that throws. */
static COLD ONE_OF_IT void *call_catching(void *(*allocate)(size_t, size_t), size_t size, size_t align)
{
    /* 0x1b: an offset of four bytes from where it stands. */
    __asm__ volatile(".cfi_personality 0x1b, hak_catch_all");
    landing = &&landed;
    void *block = allocate(size, align);
    /* Tells the compiler that control may go there from here; nothing but the stack frame is needed there. */
    __asm__ goto("" : : : "memory" : landed);
    return block;
landed:
    return catch_end();
}

/* ---- operator new ------------------------------------------------------------------------------------------------ */

/* As the C++ runtimes: never 0 bytes, for which a program's malloc may return NULL. */
enum { ALIGN_NONE = 0 };
static void *new_try(size_t size, size_t align, uintptr_t site)
{
    if (align != ALIGN_NONE)
        return derived_aligned(align, max_size(size, 1), site);
    return is_replaced(malloc) ? process_malloc(max_size(size, 1)) : malloc_slow_at(size, site);
}

/* Without memory: runs the new_handler and asks again, until there is memory, or no handler, or the handler throws. */
static COLD void *retry(size_t size, size_t align)
{
    new_handler (*handler_get)(void) = RUNTIME_FUNCTION(_ZSt15get_new_handlerv);
    for (;;) {
        new_handler handler = handler_get ? handler_get() : NULL;
        if (!handler)
            return NULL;
        handler();
        void *block = new_try(size, align, CALLER);
        if (block)
            return block;
    }
}

static COLD void *retry_or_throw(size_t size, size_t align)
{
    void *block = retry(size, align);
    if (block)
        return block;
    void (*throw_bad_alloc)(void) = RUNTIME_FUNCTION(_ZSt17__throw_bad_allocv);
    if (!throw_bad_alloc)
        error_fatal(ERROR_NEW_FAILED, "operator new", (void *)size, 0);
    throw_bad_alloc();
    __builtin_unreachable();
}

static void *new_or_throw(size_t size, uintptr_t site)
{
    void *block = new_try(size, ALIGN_NONE, site);
    return LIKELY(block) ? block : retry_or_throw(size, ALIGN_NONE);
}

static void *new_or_null(size_t size, uintptr_t site)
{
    void *block = new_try(size, ALIGN_NONE, site);
    return LIKELY(block) ? block : call_catching(retry, size, ALIGN_NONE);
}

/* For call_catching. */
static void *process_new(size_t size, size_t align) { return (void)align, process__Znwm(size); }
static void *process_new_array(size_t size, size_t align) { return (void)align, process__Znam(size); }

void *derived_new(size_t size) { return new_or_throw(size, CALLER); }

void *derived_new_array(size_t size) { return is_replaced(_Znwm) ? process__Znwm(size) : new_or_throw(size, CALLER); }

void *derived_new_nothrow(size_t size)
{
    return is_replaced(_Znwm) ? call_catching(process_new, size, 0) : new_or_null(size, CALLER);
}

void *derived_new_array_nothrow(size_t size)
{
    bool is_other = is_replaced(_Znam) || is_replaced(_Znwm); /* hakmem's new[] goes to the program's new */
    return is_other ? call_catching(process_new_array, size, 0) : new_or_null(size, CALLER);
}

HAK_OPERATOR void *_ZnwmSt11align_val_t(size_t size, size_t align)
{
    void *block = aligned_at(align, size, CALLER);
    return LIKELY(block) ? block : retry_or_throw(size, align);
}

HAK_OPERATOR void *_ZnamSt11align_val_t(size_t size, size_t align)
{
    if (UNLIKELY(is_replaced(_ZnwmSt11align_val_t)))
        return process__ZnwmSt11align_val_t(size, align);
    void *block = aligned_at(align, size, CALLER);
    return LIKELY(block) ? block : retry_or_throw(size, align);
}

HAK_OPERATOR void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t align, const void *tag)
{
    (void)tag;
    if (UNLIKELY(is_replaced(_ZnwmSt11align_val_t)))
        return call_catching(process__ZnwmSt11align_val_t, size, align);
    void *block = aligned_at(align, size, CALLER);
    return LIKELY(block) ? block : call_catching(retry, size, align);
}

HAK_OPERATOR void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t align, const void *tag)
{
    (void)tag;
    if (UNLIKELY(is_replaced(_ZnamSt11align_val_t) || is_replaced(_ZnwmSt11align_val_t)))
        return call_catching(process__ZnamSt11align_val_t, size, align);
    void *block = aligned_at(align, size, CALLER);
    return LIKELY(block) ? block : call_catching(retry, size, align);
}

/* ---- operator delete --------------------------------------------------------------------------------------------- */

void derived_delete_array(void *block)
{
    if (is_replaced(_ZdlPv))
        process__ZdlPv(block);
    else
        derived_free(block);
}

void derived_delete_array_nothrow(void *block)
{
    if (is_replaced(_ZdaPv))
        process__ZdaPv(block);
    else
        derived_delete_array(block);
}

void derived_delete_sized(void *block, size_t size)
{
    if (is_replaced(_ZdlPv))
        process__ZdlPv(block);
    else if (replace_operators()) /* a program's new may make blocks larger than it was asked for */
        derived_free(block);
    else
        derived_free_sized(block, size);
}

void derived_delete_array_sized(void *block, size_t size)
{
    if (is_replaced(_ZdaPv))
        process__ZdaPv(block);
    else
        derived_delete_sized(block, size);
}

static void delete_aligned(void *block, size_t align)
{
    if (UNLIKELY(is_replaced(free)))
        derived_free_aligned(block, align);
    else
        hak_free(block);
}

static void delete_aligned_sized(void *block, size_t size, size_t align)
{
    if (UNLIKELY(is_replaced(_ZdlPvSt11align_val_t)))
        process__ZdlPvSt11align_val_t(block, align);
    else if (UNLIKELY(is_replaced(free) || is_replaced(_ZnwmSt11align_val_t) || is_replaced(_ZnamSt11align_val_t)))
        derived_free_aligned(block, align);
    else
        hak_free_sized(block, size);
}

HAK_OPERATOR void _ZdlPvSt11align_val_t(void *block, size_t align) { delete_aligned(block, align); }

HAK_OPERATOR void _ZdaPvSt11align_val_t(void *block, size_t align)
{
    if (UNLIKELY(is_replaced(_ZdlPvSt11align_val_t)))
        process__ZdlPvSt11align_val_t(block, align);
    else
        delete_aligned(block, align);
}

HAK_OPERATOR void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *block, size_t align, const void *tag)
{
    (void)tag;
    process__ZdlPvSt11align_val_t(block, align);
}

HAK_OPERATOR void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *block, size_t align, const void *tag)
{
    (void)tag;
    process__ZdaPvSt11align_val_t(block, align);
}

HAK_OPERATOR void _ZdlPvmSt11align_val_t(void *block, size_t size, size_t align)
{
    delete_aligned_sized(block, size, align);
}

HAK_OPERATOR void _ZdaPvmSt11align_val_t(void *block, size_t size, size_t align)
{
    if (UNLIKELY(is_replaced(_ZdaPvSt11align_val_t)))
        process__ZdaPvSt11align_val_t(block, align);
    else
        delete_aligned_sized(block, size, align);
}

#endif
