/* why.h - `hakmem why`: one screen that says where the memory of a process is.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TOOLS_WHY_H
#define HAKMEM_TOOLS_WHY_H

/* Takes the command's arguments; a status. */
int command_why(char **arguments);

#endif
