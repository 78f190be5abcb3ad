/* processes.h - the processes of the machine that run on hakmem.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TOOLS_PROCESSES_H
#define HAKMEM_TOOLS_PROCESSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "insight/bill_split.h"

struct process {
    pid_t id;
    uint64_t resident, live, free, peak; /* bytes; `free`: kept, as in bytes.kept, and in rings */
    int64_t growth;                      /* bytes by the minute */
    uint64_t limit;                      /* of its control group; 0: none */
    double pressure;                     /* percent of time that the group waits for memory; below 0: not known */
    char program[32];                    /* without folders, its end if it is longer */
};

struct processes {
    struct process *process;
    size_t count;
    size_t refused; /* that may not be looked at, so that nobody knows whether they do */
};

/* X(letter, option's name, title, width, what it is): the columns, and the keys that sort by them. */
#define PROCESSES_COLUMNS(X)                                                                         \
    X('n', "pid", "PID", 7, "number")                                                                \
    X('r', "resident", "RESIDENT", 8, "resident memory")                                             \
    X('l', "live", "LIVE", 8, "live blocks")                                                         \
    X('f', "free", "FREE", 8, "free blocks and runs that are kept, and may be resident")             \
    X('p', "peak", "PEAK", 8, BILL_PEAK_LIVE)                                                        \
    X('g', "growth", "GROWTH/m", 8, "growth of live blocks by the minute")                           \
    X('i', "limit", "LIMIT", 8, "limit of the control group")                                        \
    X('s', "press", "PRESS", 5,                                                                      \
      "percent of the last 10 s in which the control group, or else the machine, waited for memory") \
    X('o', "program", "PROGRAM", -1, "program")

/* False when there is no memory, or no /proc; that has been said. */
bool processes_read(struct processes *processes);
void processes_free(struct processes *processes);

/* Resident bytes of a process; 0: there is none. */
uint64_t process_resident(pid_t id);

/* Sorts by a column's letter: the largest first, but numbers and names from the least. */
void processes_sort(struct processes *processes, char letter);

#endif
