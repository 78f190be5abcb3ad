/* tool.h - what all commands share: complaints, exit statuses, output.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TOOLS_TOOL_H
#define HAKMEM_TOOLS_TOOL_H

/* As env(1) and timeout(1) have them, so that a program's own status can be told from ours. STATUS_NO is for commands
 * that look at something: it was not there, or could not be read. */
enum { STATUS_NO = 1, STATUS_USAGE = 2, STATUS_FAILED = 125, STATUS_NOT_EXECUTABLE = 126, STATUS_NOT_FOUND = 127 };

/* One line on stderr, and perhaps a second one that says where help is; returns `status`. */
__attribute__((format(printf, 3, 4))) int complain(int status, const char *hint, const char *format, ...);

/* Output that nobody received is a failure too; a status. */
int finish_output(void);

#endif
