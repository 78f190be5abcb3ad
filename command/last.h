/* last.h - what a program held that a signal ended: it says nothing itself then, but it has a record, which outlives
 * it.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TOOLS_LAST_H
#define HAKMEM_TOOLS_LAST_H

#include <sys/types.h>

/* Makes a folder for the record, unless the environment has a place for one; a status. */
int last_prepare(void);

/* In the process that becomes the program: sets the environment so that it, and none of its children, has the record. A
 * status. */
int last_announce(void);

/* When the program has ended: says on standard error where its memory was if a signal ended it, and removes the
 * folder. */
void last_say(pid_t program, int wait_status);

#endif
