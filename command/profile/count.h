/* count.h - hakmem heap --for: has a process count what it allocates, for a while.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TOOLS_COUNT_H
#define HAKMEM_TOOLS_COUNT_H

#include "profile/profile.h"

/* The profile of the process, with what it allocated in so many seconds; Ctrl-C ends them early. NULL when it cannot be
 * had, which has been said. */
struct profile *count_process(const char *what, double seconds);

#endif
