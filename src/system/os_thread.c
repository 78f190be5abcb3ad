#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "system/os_thread.h"

#include "system/os_call.h"
#include "system/os_process.h"
#include "system/os_sandbox.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>

uint32_t os_thread_id(void) { return (uint32_t)os_call(SYS_gettid, 0, 0, 0, 0, 0, 0); }

bool os_thread_exists(uint32_t thread_id)
{
    return os_is_shut() || os_call4(SYS_tgkill, (long)os_process_id(), (long)thread_id, 0, 0) != ESRCH;
}

void os_wait(_Atomic(uint32_t) *word, uint32_t value, unsigned milliseconds)
{
    struct timespec limit = {.tv_sec = milliseconds / 1000, .tv_nsec = (long)(milliseconds % 1000) * 1000000};
    os_call4(SYS_futex, (long)word, FUTEX_WAIT_PRIVATE, (long)value, (long)&limit);
}

void os_wake_one(_Atomic(uint32_t) *word) { os_call4(SYS_futex, (long)word, FUTEX_WAKE_PRIVATE, 1, 0); }
