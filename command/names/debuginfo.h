/* debuginfo.h - functions and lines of one file, by libdw: from its debug information, in the file, in a separate
 * one or from a debuginfod server, else from its table of symbols.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TOOLS_DEBUGINFO_H
#define HAKMEM_TOOLS_DEBUGINFO_H

#include "names/symbols.h"

struct debuginfo;

/* Why there are no names, as a sentence; NULL where there are. */
const char *debuginfo_obstacle(void);

/* For the open file, which `path` names; `root` is where its process has its files ("": where we have ours). NULL when
 * libdw can do nothing with it. */
struct debuginfo *debuginfo_open(int fd, const char *path, const char *root);
void debuginfo_close(struct debuginfo *info);

/* Fills `symbol` with the functions at the address, by the file's own tables, at most `max`; how many. Names are to be
 * freed, files are the debuginfo's. */
size_t debuginfo_find(struct debuginfo *info, uint64_t address, struct symbol *symbol, size_t max);

/* The stack of the thread that ended a process, from its core file: return addresses, the innermost first; that of the
 * instruction which did it is one too large, as if it had been a call. How many, `max` at most; 0 when it is no core
 * file. */
size_t debuginfo_core_stack(const char *path, uint64_t *out, size_t max);

#endif
