/* cxx_plugin.cpp - an object in C++, which cxx_plugin_program.c loads: what operator new does in it when memory is out.
 * SPDX-License-Identifier: MIT */
#include "support.h"

#include <new>

extern "C" int plugin_run(void);

/* More than any machine has; the compiler does not see it. */
static std::size_t too_much() { return hidden_size(std::size_t{1} << 61); }

static int g_handler_calls;

static void handler_third_time_gives_up()
{
    if (++g_handler_calls == 3) {
        std::set_new_handler(nullptr);
    }
}

struct own_exception {};

static void handler_throws() { throw own_exception(); }

template <typename Exception, typename Call> static bool throws(Call call)
{
    try {
        hidden(call());
    } catch (const Exception &) {
        return true;
    }
    return false;
}

static void *plain() { return ::operator new(too_much()); }
static void *array() { return ::operator new[](too_much()); }
static void *aligned() { return ::operator new(too_much(), std::align_val_t{64}); }

static void must_throw_all()
{
    must(throws<std::bad_alloc>(plain), "operator new did not throw std::bad_alloc");
    must(throws<std::bad_alloc>(array), "operator new[] did not throw std::bad_alloc");
    must(throws<std::bad_alloc>(aligned), "the aligned operator new did not throw std::bad_alloc");
    must(::operator new(too_much(), std::nothrow) == nullptr, "the nothrow operator new: expected NULL");
}

int plugin_run(void)
{
    must_throw_all();
    std::set_new_handler(handler_third_time_gives_up);
    must(throws<std::bad_alloc>(plain), "operator new with a new_handler did not throw std::bad_alloc in the end");
    must(g_handler_calls == 3, "the new_handler was called %d times, expected 3", g_handler_calls);
    std::set_new_handler(handler_throws);
    must(throws<own_exception>(plain), "what the new_handler threw did not arrive");
    std::set_new_handler(nullptr);
    must_throw_all();
    ::operator delete(::operator new(hidden_size(1000)));
    return 17;
}
