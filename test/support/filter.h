/* filter.h - filters of system calls (seccomp) for this process and all that come of it. They cannot be lifted.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TEST_FILTER_H
#define HAKMEM_TEST_FILTER_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>

/* How one is installed: by libc's functions, which hakmem stands before, or past them, so that hakmem does not notice:
 * for it the filter is one that was there when the program started, or one of an emulator. */
enum filter_way { FILTER_BY_PRCTL, FILTER_BY_SYSCALL, FILTER_UNSEEN };

void filter_install(enum filter_way way, struct sock_filter *code, size_t count);

/* `action` (SECCOMP_RET_...) for the calls that are in a list of numbers, or for all that are not. */
void filter_these(enum filter_way way, unsigned action, const long *numbers, size_t count);
void filter_others(enum filter_way way, unsigned action, const long *numbers, size_t count);

#endif
