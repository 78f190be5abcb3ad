/* malloc.h - what glibc's declares, musl's does not, and hakmem has.
 * SPDX-License-Identifier: MIT */
#include_next <malloc.h>

#ifndef HAKMEM_TEST_MUSL_MALLOC_H
#define HAKMEM_TEST_MUSL_MALLOC_H

void *pvalloc(size_t size);
int malloc_trim(size_t pad);

#endif
