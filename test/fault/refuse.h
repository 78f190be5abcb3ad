/* refuse.h - makes the kernel refuse one system call to this process, with a filter that hakmem does not see coming:
 * from now on for good, or, counted, only some of the calls.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TEST_REFUSE_H
#define HAKMEM_TEST_REFUSE_H

#include <stddef.h>

/* Every call fails with `error`. Uses nothing of the C library but prctl: may be called before constructors. */
void refuse_always(long number, int error);

/* Calls number `first` .. `first + count - 1` (from 0) of those made from now on fail with `error`; the others are
 * made. A signal handler decides, so only for calls made while SIGSYS is not blocked. */
void refuse_counted(long number, int error, size_t first, size_t count);

/* How many calls were counted so far, and how many of them were refused. */
size_t refuse_seen(void);
size_t refuse_refused(void);

#endif
