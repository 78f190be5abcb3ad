/* perfmap.h - names of code that a process makes while it runs: the file /tmp/perf-PID.map that just-in-time compilers
 * write for perf when they are told to (Node.js: --perf-basic-prof, with --interpreted-frames-native-stack; Python from
 * 3.12 on: -X perf; also Java's, .NET's, Ruby's). Where code has been replaced meanwhile, it has the name of what lies
 * there now.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TOOLS_PERFMAP_H
#define HAKMEM_TOOLS_PERFMAP_H

#include <stdint.h>
#include <sys/types.h>

struct perfmap;

/* That of a process that runs, as it sees its own id and file system. NULL when there is none that it has written, or
 * root. */
struct perfmap *perfmap_open(pid_t process);
void perfmap_close(struct perfmap *map);

/* The same of what such a file has: the text, allocated and terminated, is the map's then. NULL when memory is out. */
struct perfmap *perfmap_of_text(char *text);

/* A function, with the place in its source where that is told. Valid until perfmap_close. */
struct perfmap_function {
    uint64_t start, end;
    const char *name; /* without control characters */
    const char *file; /* NULL: not told */
    unsigned line;    /* 0: not told */
};

/* The one that has the byte at the address; NULL: none. */
const struct perfmap_function *perfmap_find(const struct perfmap *map, uint64_t address);

#endif
