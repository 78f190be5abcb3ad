/* machine.h - what differs from one architecture to the next in talking to Linux; for os_*.c alone, but for what a
 * program may look like that it does not know.
 *
 * Each architecture has three functions and a name here; its registers are in insight/registers.h. */
#ifndef HAK_MACHINE_H
#define HAK_MACHINE_H

#include "base/base.h"

/*   machine_call         a system call as the kernel defines it: the result, or minus an errno value
 *   machine_thread       libc's description of the calling thread, which glibc and musl put on top of the stack that
 *                        they map for a thread
 *   machine_is_diverted  whether a function that begins with this code goes elsewhere at once, as others make it do
 *                        (libc's own functions of the names in os_watch.h do not begin so)
 *   MACHINE_CLOCK        the name of the kernel's own clock_gettime in the process
 *   MACHINE_RETURN       and of where signal handlers return to, where that has no rules that lead on (unwind.c) */
#if defined(__x86_64__)

#define MACHINE_CLOCK "__vdso_clock_gettime"

INLINE long machine_call(long number, long a, long b, long c, long d, long e, long f)
{
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

INLINE uintptr_t machine_thread(void)
{
    uintptr_t pointer;
    __asm__("mov %%fs:0, %0" : "=r"(pointer));
    return pointer;
}

INLINE bool machine_is_diverted(const uint8_t *code)
{
    static const uint8_t endbr64[4] = {0xf3, 0x0f, 0x1e, 0xfa};
    if (__builtin_memcmp(code, endbr64, sizeof endbr64) == 0)
        code += sizeof endbr64;
    bool loads_address = (code[0] | 1) == 0x49 && (code[1] & 0xf8) == 0xb8; /* movabs $address, register */
    return code[0] == 0xe9 || code[0] == 0xeb || loads_address || (code[0] == 0xff && code[1] == 0x25);
}

#elif defined(__aarch64__)

#define MACHINE_CLOCK "__kernel_clock_gettime"
#define MACHINE_RETURN "__kernel_rt_sigreturn"

INLINE long machine_call(long number, long a, long b, long c, long d, long e, long f)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
}

INLINE uintptr_t machine_thread(void)
{
    uintptr_t pointer;
    __asm__("mrs %0, tpidr_el0" : "=r"(pointer));
    return pointer;
}

INLINE bool machine_is_diverted(const uint8_t *code)
{
    uint32_t first;
    __builtin_memcpy(&first, code, sizeof first);
    return (first & 0xfc000000) == 0x14000000 || (first & 0xff000000) == 0x58000000; /* b; ldr register, address */
}

#elif defined(__riscv) && __riscv_xlen == 64

#define MACHINE_CLOCK "__vdso_clock_gettime"
#define MACHINE_RETURN "__vdso_rt_sigreturn"

INLINE long machine_call(long number, long a, long b, long c, long d, long e, long f)
{
    register long a7 __asm__("a7") = number;
    register long a0 __asm__("a0") = a;
    register long a1 __asm__("a1") = b;
    register long a2 __asm__("a2") = c;
    register long a3 __asm__("a3") = d;
    register long a4 __asm__("a4") = e;
    register long a5 __asm__("a5") = f;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5) : "memory");
    return a0;
}

INLINE uintptr_t machine_thread(void)
{
    uintptr_t pointer;
    __asm__("mv %0, tp" : "=r"(pointer));
    return pointer;
}

INLINE bool machine_is_diverted(const uint8_t *code)
{
    uint32_t first;
    __builtin_memcpy(&first, code, sizeof first);
    return (first & 0xfff) == 0x06f || (first & 0x7f) == 0x37 || (first & 0x7f) == 0x17; /* j; lui; auipc */
}

#elif defined(__powerpc64__) && _CALL_ELF == 2

#define MACHINE_CLOCK "__kernel_clock_gettime"

/* An error shows in a bit of the condition register, and its number is positive. */
INLINE long machine_call(long number, long a, long b, long c, long d, long e, long f)
{
    register long r0 __asm__("r0") = number;
    register long r3 __asm__("r3") = a;
    register long r4 __asm__("r4") = b;
    register long r5 __asm__("r5") = c;
    register long r6 __asm__("r6") = d;
    register long r7 __asm__("r7") = e;
    register long r8 __asm__("r8") = f;
    __asm__ volatile("sc\n\t"
                     "bns+ 1f\n\t"
                     "neg %1, %1\n"
                     "1:"
                     : "+r"(r0), "+r"(r3), "+r"(r4), "+r"(r5), "+r"(r6), "+r"(r7), "+r"(r8)
                     :
                     : "r9", "r10", "r11", "r12", "cr0", "ctr", "memory");
    return r3;
}

/* Register 13 points so far behind it, for the sake of short distances. */
INLINE uintptr_t machine_thread(void)
{
    enum { BIAS = 0x7000 };
    uintptr_t pointer;
    __asm__("mr %0, 13" : "=r"(pointer));
    return pointer - BIAS;
}

INLINE bool machine_is_diverted(const uint8_t *code)
{
    uint32_t first;
    __builtin_memcpy(&first, code, sizeof first);
    return first >> 26 == 18 || (first & 0xfc1f0000) == 0x3c000000; /* b; lis */
}

#elif defined(__s390x__)

#define MACHINE_CLOCK "__kernel_clock_gettime"
#define MACHINE_RETURN "__kernel_rt_sigreturn"

INLINE long machine_call(long number, long a, long b, long c, long d, long e, long f)
{
    register long r1 __asm__("r1") = number;
    register long r2 __asm__("r2") = a;
    register long r3 __asm__("r3") = b;
    register long r4 __asm__("r4") = c;
    register long r5 __asm__("r5") = d;
    register long r6 __asm__("r6") = e;
    register long r7 __asm__("r7") = f;
    __asm__ volatile("svc 0" : "+d"(r2) : "d"(r1), "d"(r3), "d"(r4), "d"(r5), "d"(r6), "d"(r7) : "memory");
    return r2;
}

INLINE uintptr_t machine_thread(void) { return (uintptr_t)__builtin_thread_pointer(); }

INLINE bool machine_is_diverted(const uint8_t *code)
{
    bool loads_address = code[0] == 0xc0 && (code[1] & 0x0f) == 0x00; /* larl */
    return loads_address || (code[0] == 0xc0 && code[1] == 0xf4) || (code[0] == 0xa7 && code[1] == 0xf4); /* jg; j */
}

#else
#error "hakmem knows x86-64, aarch64, riscv64, ppc64le and s390x; all of them are 64-bit"
#endif

#endif
