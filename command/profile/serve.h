/* serve.h - `hakmem serve`: figures and heap profiles of all processes, for programs and browsers on this machine.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TOOLS_SERVE_H
#define HAKMEM_TOOLS_SERVE_H

/* Takes the command's arguments; a status. */
int command_serve(char **arguments);

#endif
