/* heap.h - the commands that show who holds the memory of a process; each a status.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TOOLS_HEAP_H
#define HAKMEM_TOOLS_HEAP_H

#include <stddef.h>

int command_heap(char **arguments);
int command_leaks(char **arguments);

/* Columns of the terminal, if standard output is one, as COLUMNS says otherwise, else 80. */
size_t output_width(void);

#endif
