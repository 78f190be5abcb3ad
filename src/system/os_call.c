#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "system/os_call.h"

#include "system/machine.h"

#include <errno.h>
#include <sys/syscall.h>

#if HAK_DEBUG
static __thread bool calls_are_forbidden __attribute__((tls_model("initial-exec")));
void os_forbid_calls(bool forbidden) { calls_are_forbidden = forbidden; }
#define CALLS_ARE_ALLOWED (!calls_are_forbidden)
#else
#define CALLS_ARE_ALLOWED true
#endif

/* The thread's own, so that it goes with it: whoever is given its memory next is another thread. */
static __thread volatile bool is_shut __attribute__((tls_model("initial-exec")));

COLD void os_thread_shut(void) { is_shut = true; }

bool os_thread_is_shut(void) { return UNLIKELY(is_shut); }

long os_call(long number, long a, long b, long c, long d, long e, long f)
{
    HAK_ASSERT(CALLS_ARE_ALLOWED);
    if (os_thread_is_shut() && number != SYS_write)
        return -EPERM;
    return machine_call(number, a, b, c, d, e, f);
}

long os_call_of_program(long number, long a, long b, long c, long d, long e, long f)
{
    return machine_call(number, a, b, c, d, e, f);
}

int os_call4(long number, long a, long b, long c, long d)
{
    HAK_ASSERT(CALLS_ARE_ALLOWED);
    return os_thread_is_shut() ? EPERM : os_error_of(machine_call(number, a, b, c, d, 0, 0));
}

int os_call_mmap(void *hint, size_t size, int rights, int flags, int fd, void **out)
{
    HAK_ASSERT(CALLS_ARE_ALLOWED);
    if (os_thread_is_shut())
        return EPERM;
#if defined(__s390x__) /* where a call had five arguments once */
    const long arguments[6] = {(long)hint, (long)size, rights, flags, fd, 0};
    long result = machine_call(SYS_mmap, (long)arguments, 0, 0, 0, 0, 0);
#else
    long result = machine_call(SYS_mmap, (long)hint, (long)size, rights, flags, fd, 0);
#endif
    int error = os_error_of(result);
    if (!error)
        *out = (void *)result;
    return error;
}
