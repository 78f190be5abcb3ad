/* top.h - `hakmem top`: all processes of the machine that run on hakmem.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TOOLS_TOP_H
#define HAKMEM_TOOLS_TOP_H

/* Takes the command's arguments; a status. */
int command_top(char **arguments);

#endif
