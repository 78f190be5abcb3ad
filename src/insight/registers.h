/* registers.h - what differs from one architecture to the next in walking a stack: the registers, as DWARF numbers
 * them, and what the calling convention says about frames. For cfi.c and unwind.c. */
#ifndef HAK_REGISTERS_H
#define HAK_REGISTERS_H

#include "base/base.h"

/* Of each architecture:
 *   CFI_FP, CFI_SP, CFI_RA  the frame pointer, the stack pointer, and the column of the return address
 *   CFI_REGISTERS           so many are followed, the first ones
 *   FRAME_LEAST             bytes from the stack pointer to the frame address at least: what a call pushes, so that no
 *                           frame is empty there
 *   FRAME_ABOVE_STACK       bytes from the stack pointer, as it is after the return, to the frame address
 *   FRAME_ABOVE             bytes from the frame address on that the called function may save its caller's registers in
 *   FRAME_ALIGN             of frame addresses
 *   RED_ZONE                bytes below the stack pointer where a function may save registers
 *   HAS_POINTERS            there are frame pointers: the next one, and behind it the return address, lie
 *   POINTER_BELOW           bytes below what one points to, at the end of the frame
 *   SIGNAL_REGISTERS        bytes from the stack pointer in a signal's trampoline, which has no rules, to the registers
 *                           that the kernel has saved, in their order; 0: it has rules, or nothing leads on
 *   SIGNAL_PC, SIGNAL_RA    of these, the numbers of what runs next, and of the return address
 *   KEPT_NUMBERS            the registers that calls preserve, and the return address: what kept rules can be about
 *   registers_read          those registers, and where this is: all at one place of the code, which has rules */
#if defined(__x86_64__)

enum {
    CFI_FP = 6, CFI_SP = 7, CFI_RA = 16, CFI_REGISTERS = 17,
    FRAME_LEAST = 8, FRAME_ABOVE_STACK = 0, FRAME_ABOVE = 0, FRAME_ALIGN = 16, RED_ZONE = 128,
    HAS_POINTERS = true, POINTER_BELOW = 0,
    SIGNAL_REGISTERS = 0, SIGNAL_PC = 0, SIGNAL_RA = 0
};
#define KEPT_NUMBERS 3, CFI_FP, 12, 13, 14, 15, CFI_RA

INLINE uintptr_t registers_read(uintptr_t *value)
{
    uintptr_t pc;
    __asm__ volatile("movq %%rbx, 24(%1)\n\t"
                     "movq %%rbp, 48(%1)\n\t"
                     "movq %%rsp, 56(%1)\n\t"
                     "movq %%r12, 96(%1)\n\t"
                     "movq %%r13, 104(%1)\n\t"
                     "movq %%r14, 112(%1)\n\t"
                     "movq %%r15, 120(%1)\n\t"
                     "leaq 0(%%rip), %0"
                     : "=&r"(pc) : "r"(value) : "memory");
    return pc;
}

#elif defined(__aarch64__)

enum {
    CFI_FP = 29, CFI_RA = 30, CFI_SP = 31, CFI_REGISTERS = 32,
    FRAME_LEAST = 0, FRAME_ABOVE_STACK = 0, FRAME_ABOVE = 0, FRAME_ALIGN = 16, RED_ZONE = 0,
    HAS_POINTERS = true, POINTER_BELOW = 0,
    SIGNAL_REGISTERS = 128 + 176 + 8, SIGNAL_PC = 32, SIGNAL_RA = 30
};
#define KEPT_NUMBERS 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, CFI_FP, CFI_RA

INLINE uintptr_t registers_read(uintptr_t *value)
{
    uintptr_t pc;
    __asm__ volatile("stp x19, x20, [%1, #152]\n\t"
                     "stp x21, x22, [%1, #168]\n\t"
                     "stp x23, x24, [%1, #184]\n\t"
                     "stp x25, x26, [%1, #200]\n\t"
                     "stp x27, x28, [%1, #216]\n\t"
                     "stp x29, x30, [%1, #232]\n\t"
                     "mov %0, sp\n\t"
                     "str %0, [%1, #248]\n\t"
                     "adr %0, ."
                     : "=&r"(pc) : "r"(value) : "memory");
    return pc;
}

#elif defined(__riscv)

enum {
    CFI_RA = 1, CFI_SP = 2, CFI_FP = 8, CFI_REGISTERS = 32,
    FRAME_LEAST = 0, FRAME_ABOVE_STACK = 0, FRAME_ABOVE = 0, FRAME_ALIGN = 16, RED_ZONE = 0,
    HAS_POINTERS = true, POINTER_BELOW = 16,
    SIGNAL_REGISTERS = 128 + 176, SIGNAL_PC = 0, SIGNAL_RA = 1
};
/* All but s11, the last that compilers take. */
#define KEPT_NUMBERS CFI_RA, CFI_FP, 9, 18, 19, 20, 21, 22, 23, 24, 25, 26

INLINE uintptr_t registers_read(uintptr_t *value)
{
    uintptr_t pc;
    __asm__ volatile("sd ra, 8(%1)\n\t"
                     "sd sp, 16(%1)\n\t"
                     "sd s0, 64(%1)\n\t"
                     "sd s1, 72(%1)\n\t"
                     "sd s2, 144(%1)\n\t"
                     "sd s3, 152(%1)\n\t"
                     "sd s4, 160(%1)\n\t"
                     "sd s5, 168(%1)\n\t"
                     "sd s6, 176(%1)\n\t"
                     "sd s7, 184(%1)\n\t"
                     "sd s8, 192(%1)\n\t"
                     "sd s9, 200(%1)\n\t"
                     "sd s10, 208(%1)\n\t"
                     "sd s11, 216(%1)\n\t"
                     "auipc %0, 0"
                     : "=&r"(pc) : "r"(value) : "memory");
    return pc;
}

#elif defined(__powerpc64__)

/* A function saves the return address above the frame address: in its caller's frame, behind two words. */
enum {
    CFI_SP = 1, CFI_FP = 31, CFI_RA = 32, CFI_REGISTERS = 33,
    FRAME_LEAST = 0, FRAME_ABOVE_STACK = 0, FRAME_ABOVE = 24, FRAME_ALIGN = 16, RED_ZONE = 288,
    HAS_POINTERS = false, POINTER_BELOW = 0,
    SIGNAL_REGISTERS = 0, SIGNAL_PC = 0, SIGNAL_RA = 0
};
/* The others are seldom in use: compilers take the highest first. */
#define KEPT_NUMBERS 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, CFI_RA

INLINE uintptr_t registers_read(uintptr_t *value)
{
    uintptr_t pc;
    __asm__ volatile("std 1, 8(%1)\n\t"
                     "std 14, 112(%1)\n\t"
                     "std 15, 120(%1)\n\t"
                     "std 16, 128(%1)\n\t"
                     "std 17, 136(%1)\n\t"
                     "std 18, 144(%1)\n\t"
                     "std 19, 152(%1)\n\t"
                     "std 20, 160(%1)\n\t"
                     "std 21, 168(%1)\n\t"
                     "std 22, 176(%1)\n\t"
                     "std 23, 184(%1)\n\t"
                     "std 24, 192(%1)\n\t"
                     "std 25, 200(%1)\n\t"
                     "std 26, 208(%1)\n\t"
                     "std 27, 216(%1)\n\t"
                     "std 28, 224(%1)\n\t"
                     "std 29, 232(%1)\n\t"
                     "std 30, 240(%1)\n\t"
                     "std 31, 248(%1)\n\t"
                     "bcl 20, 31, 1f\n"
                     "1:\tmflr %0"
                     : "=&r"(pc) : "b"(value) : "lr", "memory");
    return pc;
}

#elif defined(__s390x__)

/* The frame address is that of what the caller keeps for a called function to save registers in, and 160 bytes. */
enum {
    CFI_FP = 11, CFI_RA = 14, CFI_SP = 15, CFI_REGISTERS = 16,
    FRAME_LEAST = 160, FRAME_ABOVE_STACK = 160, FRAME_ABOVE = 0, FRAME_ALIGN = 8, RED_ZONE = 0,
    HAS_POINTERS = false, POINTER_BELOW = 0,
    SIGNAL_REGISTERS = 168 + 128 + 40 + 16, SIGNAL_PC = -1, SIGNAL_RA = 14
};
#define KEPT_NUMBERS 6, 7, 8, 9, 10, CFI_FP, 12, 13, CFI_RA, CFI_SP

INLINE uintptr_t registers_read(uintptr_t *value)
{
    uintptr_t pc;
    __asm__ volatile("stmg %%r6, %%r15, 48(%1)\n\t"
                     "larl %0, ."
                     : "=&a"(pc) : "a"(value) : "memory");
    return pc;
}

#endif

/* The place of a register in what is followed, by its number in the tables; CFI_REGISTERS: it is not followed. */
INLINE unsigned register_place(uint64_t number)
{
#if defined(__powerpc64__)
    enum { LINK = 65, FLOAT_FIRST = 32 }; /* numbers in between are other registers' */
    return number == LINK ? CFI_RA : number < FLOAT_FIRST ? (unsigned)number : CFI_REGISTERS;
#else
    return number < CFI_REGISTERS ? (unsigned)number : CFI_REGISTERS;
#endif
}

#endif
