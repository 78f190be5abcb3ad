/* cgroup.h - what the process's control groups allow: its own and all that it lies in, of version 1 and 2.
 *
 * Files are read, a few for each group: where a filter may be that came after the start (os_sandbox.h), none are, and
 * nothing is known. Any thread, but one at a time; not under a lock. */
#ifndef HAK_CGROUP_H
#define HAK_CGROUP_H

#include "base/base.h"

struct cgroup_memory {
    size_t limit; /* bytes: the least that any of the groups may have (memory.max, memory.high, memory.limit_in_bytes);
                     SIZE_MAX: they do not say */
    size_t room;  /* bytes until the first of them has as much; what the system can drop of its page cache is not
                     counted. SIZE_MAX where no group has a limit */
    size_t used;  /* bytes that this one has */
    const char *file; /* that says how much this one may have; NULL: none does. It stands there until the next call */
    unsigned version; /* 1 or 2; 0: it is in no group that is known */
};
struct cgroup_memory cgroup_memory(void);

/* The same for what stands in the file `list` as /proc/self/cgroup has it, and groups under `root` instead of
 * /sys/fs/cgroup. For tests. */
struct cgroup_memory cgroup_memory_at(const char *list, const char *root);

#endif
