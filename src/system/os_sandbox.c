#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "system/os_sandbox.h"

_Atomic(uint8_t) os_sandbox = OS_SANDBOX_UNKNOWN;

void os_sandbox_watch(void)
{
    uint8_t unknown = OS_SANDBOX_UNKNOWN;
    cas_relaxed(&os_sandbox, &unknown, OS_SANDBOX_ASK);
}

COLD bool os_may_make_files(void) { return !os_is_shut(); }
