/* unwind_module.c - a library that unwind_test.c loads. Compiled twice, with frames of different sizes and the same
 * code otherwise, so that both have the same addresses.
 * SPDX-License-Identifier: MIT */
#include "unwind_shapes.h"

static __attribute__((noinline)) void module_frame(leaf_call *leaf)
{
    char bytes[MODULE_FRAME];
    bytes[0] = 1;
    __asm__ volatile("" : : "r"(bytes) : "memory");
    leaf();
    __asm__ volatile("" : : "r"(bytes) : "memory");
}

__attribute__((visibility("default"))) module_run module_run_frames __asm__("module_run");
void module_run_frames(leaf_call *leaf)
{
    module_frame(leaf);
    __asm__ volatile("" : : : "memory");
}
