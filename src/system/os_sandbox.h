/* os_sandbox.h - what is known of filters that make system calls fatal. os_look.h finds out what is not. */
#ifndef HAK_OS_SANDBOX_H
#define HAK_OS_SANDBOX_H

#include "base/atomic.h"
#include "base/base.h"

/* A filter may make system calls fatal, so what stands beyond those that libc's malloc makes, too, depends on what
 * is known of filters. os_sandbox_watch says that any filter which the program installs from now on will be told of,
 * os_sandbox_shut that one is about to be; nothing opens what has been shut. */
enum os_sandbox {
    OS_SANDBOX_SHUT,    /* the program installs a filter: nothing but libc's malloc's own calls */
    OS_SANDBOX_UNKNOWN, /* nobody tells: no calls that known filters lack */
    OS_SANDBOX_ASK,     /* none has come so far; whether there was one at the start is not known yet */
    OS_SANDBOX_OLD,     /* there was one at the start: what the loader needed is allowed */
    OS_SANDBOX_NONE
};
extern _Atomic(uint8_t) os_sandbox; /* relaxed: the calls that it is about order nothing */
__attribute__((unused)) INLINE void os_sandbox_shut(void) { store_relaxed(&os_sandbox, OS_SANDBOX_SHUT); }
void os_sandbox_watch(void);

/* Nothing but what libc's malloc calls, too. */
INLINE bool os_is_shut(void) { return load_relaxed(&os_sandbox) == OS_SANDBOX_SHUT; }

/* Whether files may be made: no filter of the program's own is known. */
bool os_may_make_files(void);

#endif
