/* pack.h - gzip.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TOOLS_PACK_H
#define HAKMEM_TOOLS_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Writes the bytes compressed, as gzip does; as they are where the command was built without zlib. False when memory is
 * out; errors of the stream stay with it. */
bool pack_write(const void *data, size_t size, FILE *to);

#endif
