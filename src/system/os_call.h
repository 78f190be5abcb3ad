/* os_call.h - how the system is called: os_*.c make the only system calls of the allocator.
 *
 * Contract of every function in os_*.h: sizes and addresses are multiples of the system's page size unless said
 * otherwise; the result is 0 or an errno value; errno itself is never touched, because the calls are made without
 * libc's wrappers (which also keeps libraries that replace mmap, open or write, and cancellation points, out of the
 * allocator), but where somebody watches libc's munmap, madvise and mremap (os_watch.h). All are safe in any thread and
 * in a signal handler. src/system/system_calls.def lists the calls, docs/system-calls.md tells what happens where one
 * fails, is fatal, or does nothing. */
#ifndef HAK_OS_CALL_H
#define HAK_OS_CALL_H

#include "base/base.h"

/* Any system call: its result, or minus an errno value. */
long os_call(long number, long a, long b, long c, long d, long e, long f);

/* The program's own, passed on whatever is known of it. */
long os_call_of_program(long number, long a, long b, long c, long d, long e, long f);

/* Any with up to four arguments and no result: 0 or an errno value. */
int os_call4(long number, long a, long b, long c, long d);

/* mmap, of a file from its beginning, if there is one. */
int os_call_mmap(void *hint, size_t size, int rights, int flags, int fd, void **out);

/* The errno value in a call's result; 0 when it has succeeded. */
INLINE int os_error_of(long result) { return result < 0 && result > -4096 ? (int)-result : 0; }

/* All that the calling thread may still do is to read and write (SECCOMP_MODE_STRICT): from now on its calls fail
 * without being made. */
void os_thread_shut(void);
bool os_thread_is_shut(void);

/* In debug builds a system call ends the program that this thread makes while they are forbidden. */
#if HAK_DEBUG
void os_forbid_calls(bool forbidden);
#else
INLINE void os_forbid_calls(bool forbidden) { (void)forbidden; }
#endif

#endif
