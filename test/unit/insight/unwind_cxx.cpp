// unwind_cxx.cpp - frames that an exception passes, for unwind_test.c.
// SPDX-License-Identifier: MIT
extern "C" {
#include "unwind_shapes.h"
}

namespace {

struct guard {
    leaf_call *call;
    ~guard() { call(); }
};

__attribute__((noinline)) void thrower(int depth)
{
    if (depth == 0)
        throw depth;
    thrower(depth - 1);
    __asm__ volatile("" : : : "memory");
}

__attribute__((noinline)) void guarded(leaf_call *call)
{
    guard on_the_way = {call};
    thrower(3);
    __asm__ volatile("" : : "r"(&on_the_way) : "memory");
}

} // namespace

// The leaf is called while an exception is being handled.
extern "C" void cxx_catch(leaf_call *call)
{
    try {
        thrower(5);
    } catch (int) {
        call();
    }
}

// The leaf is called while the stack is being unwound, by a destructor.
extern "C" void cxx_unwind(leaf_call *call)
{
    try {
        guarded(call);
    } catch (int) {
    }
}
