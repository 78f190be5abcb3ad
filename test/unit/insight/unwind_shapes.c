/* unwind_shapes.c - compiled several times, SHAPES being the name of the table.
 * SPDX-License-Identifier: MIT */
#include "unwind_shapes.h"

#include <alloca.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FRAME static __attribute__((noinline))
/* Nothing is known of the memory; and the call before it is no tail call. */
#define USE(pointer) __asm__ volatile("" : : "r"(pointer) : "memory")

static volatile int g_zero;

FRAME void plain(leaf_call *leaf)
{
    leaf();
    USE(leaf);
}

FRAME void deep_step(leaf_call *leaf, int depth)
{
    if (depth > 0)
        deep_step(leaf, depth - 1);
    else
        leaf();
    USE(&depth);
}

/* More frames than are wanted. */
FRAME void deep(leaf_call *leaf) { deep_step(leaf, 60); }

FRAME void variable_step(leaf_call *leaf, int depth)
{
    char *bytes = alloca((size_t)(depth * 100 + 1 + g_zero));
    memset(bytes, depth, (size_t)depth * 100 + 1);
    USE(bytes);
    if (depth > 0)
        variable_step(leaf, depth - 1);
    else
        leaf();
    USE(bytes);
}

/* The frame address follows from another register than the stack pointer. */
FRAME void variable(leaf_call *leaf) { variable_step(leaf, 5); }

FRAME void aligned_step(leaf_call *leaf, int depth)
{
    _Alignas(256) char bytes[256];
    char *more = alloca((size_t)(depth * 24 + 1 + g_zero));
    memset(bytes, depth, sizeof bytes);
    USE(more);
    if (depth > 0)
        aligned_step(leaf, depth - 1);
    else
        leaf();
    USE(bytes);
}

/* The frame address is saved in the frame, and is found by an expression. */
FRAME void aligned(leaf_call *leaf) { aligned_step(leaf, 5); }

FRAME void large_step(leaf_call *leaf, int depth)
{
    char bytes[70000];
    bytes[0] = (char)depth;
    USE(bytes);
    if (depth > 0)
        large_step(leaf, depth - 1);
    else
        leaf();
    USE(bytes);
}

FRAME void large(leaf_call *leaf) { large_step(leaf, 3); }

/* All registers that calls preserve have something to preserve. */
FRAME long busy_step(leaf_call *leaf, long a, long b, long c, long d, long e, long f, long g, long h, long i, long j)
{
    if (a < 5)
        a += busy_step(leaf, a + 1, c, d, e, f, g, h, i, j, b);
    else
        leaf();
    return a * b + c * d - e * f + g * h - i * j;
}

FRAME void busy(leaf_call *leaf)
{
    volatile long result = busy_step(leaf, g_zero, 1, 2, 3, 4, 5, 6, 7, 8, 9);
    USE(&result);
}

FRAME void listed(leaf_call *leaf, int count, ...)
{
    va_list list;
    va_start(list, count);
    double sum = 0;
    for (int i = 0; i < count; i++)
        sum += va_arg(list, double);
    leaf();
    va_end(list);
    USE(&sum);
}

FRAME void variadic(leaf_call *leaf)
{
    listed(leaf, 10, 1., 2., 3., 4., 5., 6., 7., 8., 9., 10.);
    USE(leaf);
}

/* Where it is optimised, this has no frame when the leaf is called. */
FRAME void tail(leaf_call *leaf) { leaf(); }
FRAME void tail_caller(leaf_call *leaf)
{
    tail(leaf);
    USE(leaf);
}

static _Thread_local leaf_call *g_leaf;
static int compare_numbers(const void *a, const void *b)
{
    static _Thread_local int calls;
    if (calls++ % 7 == 0)
        g_leaf();
    return *(const int *)a - *(const int *)b;
}

/* Through libc, which has no symbols for these frames. */
FRAME void sorting(leaf_call *leaf)
{
    int numbers[] = {5, 3, 8, 1, 9, 2, 7, 4}, key = 4;
    g_leaf = leaf;
    qsort(numbers, sizeof numbers / sizeof *numbers, sizeof *numbers, compare_numbers);
    USE(bsearch(&key, numbers, sizeof numbers / sizeof *numbers, sizeof *numbers, compare_numbers));
}

const struct shape SHAPES[] = {
    {"plain", plain}, {"deep", deep}, {"variable", variable}, {"aligned", aligned}, {"large", large},
    [SHAPE_BUSY] = {"busy", busy}, {"variadic", variadic}, {"tail", tail_caller}, {"sorting", sorting}, {NULL, NULL},
};
