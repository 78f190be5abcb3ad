#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "system/os_clock.h"

#include "base/atomic.h"
#include "system/image.h"
#include "system/machine.h"
#include "system/os_call.h"

#include <errno.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <time.h>

typedef int clock_function(long clock, struct timespec *out);

/* The only call that is made under a lock (os_forbid_calls), where the kernel has no code for it in the process. */
static int clock_by_call(long clock, struct timespec *out)
{
    return os_thread_is_shut() ? EPERM : os_error_of(machine_call(SYS_clock_gettime, clock, (long)out, 0, 0, 0, 0));
}

/* The kernel's own code in the process, which reads the clock without a call. libc's function of the name leads there,
 * too, but others may stand before it, and allocate. */
static COLD clock_function *clock_find(void)
{
    struct image image;
    const void *found = NULL;
    if (image_open(&image, (const void *)getauxval(AT_SYSINFO_EHDR)))
        found = image_find(&image, MACHINE_CLOCK);
    return found ? (clock_function *)(uintptr_t)found : clock_by_call;
}

static struct timespec clock_read(long clock)
{
    static clock_function *_Atomic function; /* relaxed: the same whoever finds it */
    struct timespec now = {0, 0};
    clock_function *read = load_relaxed(&function);
    if (UNLIKELY(!read)) {
        read = clock_find();
        store_relaxed(&function, read);
    }
    if (read(clock, &now) != 0)
        clock_by_call(clock, &now);
    return now;
}

static uint64_t clock_milliseconds(long clock)
{
    struct timespec now = clock_read(clock);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* The coarse clocks are what the kernel wrote down at its last tick; the others add what the counter says since
 * then. */
static _Atomic(bool) counter_is_shut; /* relaxed: the thread that it is about has set it itself */

COLD void os_counter_shut(void) { store_relaxed(&counter_is_shut, true); }

uint64_t os_milliseconds(void) { return clock_milliseconds(CLOCK_MONOTONIC_COARSE); }
COLD uint64_t os_wall_milliseconds(void) { return clock_milliseconds(CLOCK_REALTIME_COARSE); }

uint64_t os_nanoseconds(void)
{
    struct timespec now =
        clock_read(UNLIKELY(load_relaxed(&counter_is_shut)) ? CLOCK_MONOTONIC_COARSE : CLOCK_MONOTONIC);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t os_cpu_milliseconds(void)
{
    struct timespec used = {0, 0};
    clock_by_call(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000 + (uint64_t)used.tv_nsec / 1000000;
}
