/* cgroup.h - the limit that a process's control groups put on its memory, and how short of memory its group is.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TOOLS_CGROUP_H
#define HAKMEM_TOOLS_CGROUP_H

#include <stdint.h>
#include <sys/types.h>

/* Bytes; the least of the group's and its ancestors', as far as they are seen from here. 0: none. */
uint64_t cgroup_limit(pid_t process);

/* The same for groups as /proc/PID/cgroup lists them, below `root` in place of /sys/fs/cgroup. */
uint64_t cgroup_limit_of(const char *groups, const char *root);

/* Percent of the last ten seconds in which some process of the group waited for memory (memory.pressure); of the
 * machine where the group does not tell. Below 0: not known. */
double cgroup_pressure(pid_t process);

/* The same for groups as /proc/PID/cgroup lists them, below `root`, and the machine's file. */
double cgroup_pressure_of(const char *groups, const char *root, const char *machine);

#endif
