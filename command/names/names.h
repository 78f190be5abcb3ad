/* names.h - names of functions, as people write them.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TOOLS_NAMES_H
#define HAKMEM_TOOLS_NAMES_H

#include <stdbool.h>
#include <stddef.h>

/* The name of a function as its source has it, from the one that the linker has: C++ and Rust demangled, without
 * parameters and what is returned. A copy where it is not mangled, or cannot be read; NULL when memory is out. To be
 * freed. */
char *name_readable(const char *linkage);

/* Whether a name that was made readable is still Rust's for the linker. */
bool name_is_opaque(const char *name);

/* Fills `text` with the name in at most `width` characters: without template arguments, then without the outer
 * namespaces, at last cut off, as far as it takes. */
void name_condense(char *text, size_t width, const char *name);

/* Whether the function only passes on what malloc gives it, so that its caller is who wants the memory
 * (wrappers.def). */
bool name_is_wrapper(const char *name);
/* The same of what lies between a script's functions and malloc, where these functions have names. */
bool name_is_bridge(const char *name);

#endif
