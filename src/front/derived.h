/* derived.h - where the fast paths of derived functions (symbols.def, second column) end that could not serve a call:
 * by the program's own functions where it has replaced the ones that these are derived from, else by hakmem's slow
 * paths.
 */
#ifndef HAK_DERIVED_H
#define HAK_DERIVED_H

#include "base/base.h"

/* C. `derived_aligned` is what aligned memory of any name comes from; EINVAL when `align` is no power of two. */
void *derived_aligned(size_t align, size_t size, uintptr_t site) COLD;
void *derived_calloc(size_t count, size_t size) COLD;
void *derived_realloc(void *block, size_t size) NOINLINE;
void derived_free(void *block) COLD;
void derived_free_sized(void *block, size_t size) COLD;
/* To where derived_aligned has it from. */
void derived_free_aligned(void *block, size_t align) COLD;
/* C++ (new.c). They run the new_handler until there is memory; then throw, or return NULL if their name says
 * nothrow. */
void *derived_new(size_t size) COLD;
void *derived_new_array(size_t size) COLD;
void *derived_new_nothrow(size_t size) COLD;
void *derived_new_array_nothrow(size_t size) COLD;
void derived_delete_array(void *block) COLD;
void derived_delete_sized(void *block, size_t size) COLD;
void derived_delete_array_sized(void *block, size_t size) COLD;
void derived_delete_array_nothrow(void *block) COLD;

#endif
