/* bound.h - what bound.c has beside malloc.
 * SPDX-License-Identifier: MIT */
#ifndef BOUND_H
#define BOUND_H

#include <stddef.h>

/* As getline: the line may be the program's block, or NULL, and grows by realloc. */
char *bound_append(char *line, const char *text);

/* Bytes that were taken from its room, headers included. */
size_t bound_allocated(void);

#endif
