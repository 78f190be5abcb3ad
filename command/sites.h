/* sites.h - the table of call sites that libhakmem writes at a program's end, with names in place of addresses.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TOOLS_SITES_H
#define HAKMEM_TOOLS_SITES_H

#include <sys/types.h>

/* Sets the environment so that the next program writes its table to a pipe, and returns the end to read from in
 * *reader and the other in *writer, which the program inherits. 0 or an errno value. */
int sites_prepare(int *reader, int *writer);

/* Copies what comes through the pipe to standard error, with names, until the child has ended; its wait status. */
int sites_relay(int reader, pid_t child);

#endif
