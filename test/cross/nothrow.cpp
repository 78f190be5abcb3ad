/* nothrow.cpp - what operator new does when memory is out and the new_handler throws, frees memory, or is cancelled. A
 * program, and (NOTHROW_PLUGIN) an object that a program in C loads.
 * SPDX-License-Identifier: MIT */
#include "support.h"

#include <exception>
#include <new>
#include <pthread.h>
#include <sys/resource.h>
#include <vector>

/* In a static program, a runtime's function that throws is there only if something needs it: as most programs do. */
static void pull_runtime() { std::vector<int>(hidden_size(1)).reserve(hidden_size(2)); }

static size_t too_much() { return hidden_size(SIZE_MAX / 2 - 4096); }
static constexpr std::align_val_t ALIGN{64};

static void *nothrow_new(int form, size_t size)
{
    return form == 0   ? ::operator new(size, std::nothrow)
           : form == 1 ? ::operator new[](size, std::nothrow)
           : form == 2 ? ::operator new(size, ALIGN, std::nothrow)
                       : ::operator new[](size, ALIGN, std::nothrow);
}

static void *throwing_new(int form, size_t size)
{
    return form == 0   ? ::operator new(size)
           : form == 1 ? ::operator new[](size)
           : form == 2 ? ::operator new(size, ALIGN)
                       : ::operator new[](size, ALIGN);
}

/* ---- A handler that throws --------------------------------------------------------------------------------------- */

struct large_exception {
    char bytes[2000];
};

static int g_calls;
static void throw_bad_alloc() { g_calls++; throw std::bad_alloc(); }
static void throw_number() { g_calls++; throw 7; }
static void throw_large() { g_calls++; throw large_exception(); }

static void must_be_null(std::new_handler handler)
{
    std::set_new_handler(handler);
    for (int form = 0; form < 4; form++) {
        g_calls = 0;
        must(nothrow_new(form, too_much()) == nullptr, "nothrow new, form %d: expected NULL", form);
        must(g_calls == (handler ? 1 : 0), "nothrow new, form %d: the handler ran %d times", form, g_calls);
    }
    std::set_new_handler(nullptr);
}

template <typename Exception> static void must_throw(std::new_handler handler)
{
    std::set_new_handler(handler);
    for (int form = 0; form < 4; form++) {
        bool caught = false;
        try {
            hidden(throwing_new(form, too_much()));
        } catch (const Exception &) {
            caught = true;
        }
        must(caught, "throwing new, form %d: what was expected was not thrown", form);
    }
    std::set_new_handler(nullptr);
}

/* While another exception is handled, too. */
static void must_nest()
{
    try {
        throw 1;
    } catch (int) {
        must_be_null(throw_number);
        try {
            throw 2;
        } catch (int number) {
            must(number == 2, "an exception within a handler: expected 2, saw %d", number);
        }
    }
    must(!std::uncaught_exceptions(), "an exception is still under way");
}

static void must_not_leak()
{
    std::set_new_handler(throw_large);
    for (int i = 0; i < 100; i++)
        nothrow_new(i % 4, too_much());
    size_t before = process_anonymous();
    for (int i = 0; i < 10000; i++)
        must(nothrow_new(i % 4, too_much()) == nullptr, "nothrow new: expected NULL, for the %d-th time", i);
    size_t after = process_anonymous();
    must(after < before + 4 * MIB, "10000 exceptions of 2000 bytes left %zu bytes", after - before);
    std::set_new_handler(nullptr);
}

/* ---- A handler that frees memory --------------------------------------------------------------------------------- */

static void *volatile g_reserve;
static void free_reserve()
{
    must(g_reserve != nullptr, "the handler ran again after it had freed memory");
    ::operator delete(g_reserve);
    g_reserve = nullptr;
}

/* Not inlined: clang 14 would merge the two, and call both. */
__attribute__((noinline)) static void give(int form, void *block)
{
    if (form < 2)
        ::operator delete(block);
    else
        ::operator delete(hidden(block), ALIGN);
}

static void must_succeed_then()
{
    struct rlimit old, limit;
    getrlimit(RLIMIT_AS, &old);
    for (int form = 0; form < 8; form++) {
        std::set_new_handler(nullptr);
        g_reserve = ::operator new(hidden_size(3 * GIB));
        limit = {5 * GIB, old.rlim_max};
        must(setrlimit(RLIMIT_AS, &limit) == 0, "no limit can be set");
        std::set_new_handler(free_reserve);
        size_t size = hidden_size(3 * GIB);
        void *block = hidden(form < 4 ? nothrow_new(form, size) : throwing_new(form - 4, size));
        must(block != nullptr && g_reserve == nullptr, "form %d: no block after the handler freed memory", form);
        setrlimit(RLIMIT_AS, &old);
        give(form % 4, block);
    }
    std::set_new_handler(nullptr);
}

/* ---- A handler in which the thread is cancelled ------------------------------------------------------------------ */

static int g_unwound;
struct unwinds {
    ~unwinds() { g_unwound++; }
};

static void cancel_here()
{
    pthread_cancel(pthread_self());
    pthread_testcancel();
    must_fail(__FILE__, __LINE__, "the thread was not cancelled");
}

static void *cancelled_body(void *form)
{
    unwinds noted;
    int number = (int)(intptr_t)form;
    hidden(number < 4 ? nothrow_new(number, too_much()) : throwing_new(number - 4, too_much()));
    return nullptr;
}

static void must_unwind()
{
#ifdef _LIBCPP_VERSION
    return; /* Debian's has an unwinder of its own, and libc cancels by another: that crashes without hakmem, too */
#endif
    std::set_new_handler(cancel_here);
    for (int form = 4; form < 8; form++) { /* nothrow new is noexcept: with libstdc++'s, too, cancelling ends there */
        pthread_t thread;
        void *result;
        g_unwound = 0;
        must(pthread_create(&thread, nullptr, cancelled_body, (void *)(intptr_t)form) == 0, "no thread");
        pthread_join(thread, &result);
        must(result == PTHREAD_CANCELED, "form %d: the thread was not cancelled", form);
        must(g_unwound == 1, "form %d: destructors ran %d times", form, g_unwound);
    }
    std::set_new_handler(nullptr);
}

extern "C" int nothrow_run(void)
{
    pull_runtime();
    must_be_null(nullptr), must_be_null(throw_bad_alloc), must_be_null(throw_number), must_be_null(throw_large);
    must_throw<std::bad_alloc>(nullptr), must_throw<std::bad_alloc>(throw_bad_alloc), must_throw<int>(throw_number);
    must_nest();
    must_not_leak();
    must_unwind();
    must_succeed_then();
    return 0;
}

#ifndef NOTHROW_PLUGIN
int main(void) { return nothrow_run(); }
#endif
