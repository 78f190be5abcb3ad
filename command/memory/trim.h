/* trim.h - `hakmem trim`: a process gives back what is free, as if it called malloc_trim(0).
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TOOLS_TRIM_H
#define HAKMEM_TOOLS_TRIM_H

/* A status. */
int command_trim(char **arguments);

#endif
