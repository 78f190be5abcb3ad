/* os_stack.h - where a thread's stack ends. */
#ifndef HAK_OS_STACK_H
#define HAK_OS_STACK_H

#include "base/base.h"

/* At the start: notes where this thread's stack is. */
void os_stack_start(void);

/* An address that the stack which `sp` lies in extends to, at least; 0 when it is neither the main thread's nor seems
 * to be what libc gave to the calling thread. All from `sp` to there is mapped, but for one thing that cannot be told:
 * a stack of the program's own up to OS_STACK_REACH below that of its thread. Not a system call. */
#define OS_STACK_REACH ((uintptr_t)64 << 20)
uintptr_t os_stack_end(uintptr_t sp);

/* Where the kernel's own library lets signal handlers return to; 0 where it is not known, or libc's does. */
extern uintptr_t os_signal_return;

#endif
