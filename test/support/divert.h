/* divert.h - the code that registration caches write over the beginning of a function, so that calls of it go
 * elsewhere.
 * SPDX-License-Identifier: MIT */
#ifndef DIVERT_H
#define DIVERT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { DIVERT_MAX = 32 };

/* Returns how many bytes it is. */
static inline size_t divert_code(unsigned char code[static DIVERT_MAX], const void *to)
{
#if defined(__x86_64__)
    static const unsigned char jump[12] = {0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xe0}; /* movabs $to, %rax; jmp *%rax */
    enum { ADDRESS = 2 };
#elif defined(__aarch64__)
    static const uint32_t jump[4] = {0x58000050, 0xd61f0200}; /* ldr x16, to; br x16 */
    enum { ADDRESS = 8 };
#elif defined(__riscv)
    static const uint32_t jump[6] = {0x00000317, 0x01033303, 0x00030067}; /* auipc t1, 0; ld t1, 16(t1); jr t1 */
    enum { ADDRESS = 16 };
#elif defined(__powerpc64__)
    uintptr_t part = (uintptr_t)to;
    const uint32_t jump[7] = {
        0x3d800000 | (uint32_t)(part >> 48),          /* lis r12 */
        0x618c0000 | (uint32_t)(part >> 32 & 0xffff), /* ori */
        0x798c07c6,                                   /* sldi r12, r12, 32 */
        0x658c0000 | (uint32_t)(part >> 16 & 0xffff), /* oris */
        0x618c0000 | (uint32_t)(part & 0xffff),       /* ori */
        0x7d8903a6, 0x4e800420,                       /* mtctr r12; bctr */
    };
    enum { ADDRESS = -1 };
#elif defined(__s390x__)
    /* larl %r1, to; lg %r1, 0(%r1); br %r1 */
    static const unsigned char jump[24] = {0xc0, 0x10, 0, 0, 0, 8, 0xe3, 0x10, 0x10, 0, 0, 0x04, 0x07, 0xf1};
    enum { ADDRESS = 16 };
#endif
    memcpy(code, jump, sizeof jump);
    if (ADDRESS >= 0)
        memcpy(code + ADDRESS, &to, sizeof to);
    return sizeof jump;
}

#endif
