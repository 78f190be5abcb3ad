/* unwind_shapes.h - functions with stack frames of all kinds, for unwind_test.c.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TEST_UNWIND_SHAPES_H
#define HAKMEM_TEST_UNWIND_SHAPES_H

typedef void leaf_call(void);

/* Calls the leaf below frames of one kind. */
struct shape {
    const char *name;
    void (*run)(leaf_call *leaf);
};

/* unwind_shapes.c, once for each way of compiling it; each ends with a row without a name. */
enum { SHAPE_BUSY = 5 }; /* in which all registers are used that calls preserve */
extern const struct shape shapes_o0[], shapes_o3[], shapes_pointer[], shapes_no_pointer[];

/* unwind_cxx.cpp: frames that an exception passes. */
void cxx_catch(leaf_call *leaf);
void cxx_unwind(leaf_call *leaf);

/* What unwind_module.c, a library that is loaded, has by the name "module_run". */
typedef void module_run(leaf_call *leaf);

#endif
