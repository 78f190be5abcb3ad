#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "system/os_process.h"

#include "base/atomic.h"
#include "system/os_call.h"
#include "system/os_clock.h"
#include "system/os_sandbox.h"

#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>

uint32_t os_process_id(void) { return (uint32_t)os_call(SYS_getpid, 0, 0, 0, 0, 0, 0); }
uint32_t os_user_id(void) { return (uint32_t)os_call(SYS_geteuid, 0, 0, 0, 0, 0, 0); }

const char *os_program(void)
{
    const char *path = (const char *)getauxval(AT_EXECFN);
    return path ? path : "?";
}

bool os_is_privileged(void) { return getauxval(AT_SECURE) != 0; }

/* Asked for once, at the start: later a filter of the program's own may forbid the call. */
size_t os_memory_size(void)
{
    static _Atomic(size_t) memory_size = SIZE_MAX; /* not known. Relaxed: the same whoever finds it out */
    struct sysinfo info;
    size_t size = load_relaxed(&memory_size);
    if (size == SIZE_MAX) {
        bool known = !os_is_shut() && os_call4(SYS_sysinfo, (long)&info, 0, 0, 0) == 0;
        size = known ? (size_t)info.totalram * info.mem_unit : 0;
        store_relaxed(&memory_size, size);
    }
    return size;
}

/* The bits of `x` on their way into all others (the end of MurmurHash3, by A. Appleby, in the public domain). */
static uint64_t stir(uint64_t x)
{
    x = (x ^ x >> 33) * 0xFF51AFD7ED558CCD;
    x = (x ^ x >> 33) * 0xC4CEB9FE1A85EC53;
    return x ^ x >> 33;
}

COLD uint64_t os_random(void)
{
    static _Atomic(uint64_t) calls; /* relaxed: two at once get two numbers */
    const uint64_t *given = (const uint64_t *)getauxval(AT_RANDOM); /* 16 bytes, which libc makes its secrets of */
    uint64_t from_kernel[2] = {0, 0};
    if (given)
        __builtin_memcpy(from_kernel, given, sizeof from_kernel);
    uint64_t x = stir(from_kernel[0] ^ os_nanoseconds());
    x = stir(x ^ from_kernel[1] ^ (uintptr_t)&x);
    x = stir(x ^ (uintptr_t)__builtin_return_address(0) ^ fetch_add_relaxed(&calls, 1));
    return x ? x : 1;
}
