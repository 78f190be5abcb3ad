/* os_clock.h - what time it is. */
#ifndef HAK_OS_CLOCK_H
#define HAK_OS_CLOCK_H

#include "base/base.h"

/* Milliseconds on a clock that never goes back, exact to about 5 ms. Not a system call where the kernel helps
 * (vDSO). */
uint64_t os_milliseconds(void);

/* Nanoseconds on the same clock, exact unless the counter is shut; at most a system call. */
uint64_t os_nanoseconds(void);

/* Milliseconds since 1970, by a clock that somebody may set. */
uint64_t os_wall_milliseconds(void);

/* The processor's counter may no longer be read (PR_SET_TSC), which is how the kernel's own code reads the exact clock:
 * times are exact to about 5 ms from now on. */
void os_counter_shut(void);

/* Milliseconds of processor time that all threads of the process used. */
uint64_t os_cpu_milliseconds(void);

#endif
