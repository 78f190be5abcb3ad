#include "insight/probe.h"

/* In the file, not in .bss: tracers name the semaphore to the kernel by its offset there. */
#define PROBE_SEMAPHORE __attribute__((section(".probes"), visibility("hidden"), used))
PROBE_SEMAPHORE _Atomic(uint16_t) probe_alloc_semaphore;
PROBE_SEMAPHORE _Atomic(uint16_t) probe_free_semaphore;

/* The registers of a call's first three arguments, by name, and as notes have them: 8 bytes each, without a sign. That
 * the values are in these is more than notes need; but the first version of the contract's tracer reads no further. */
#if defined(__x86_64__)
#define VALUE_1 "rdi"
#define VALUE_2 "rsi"
#define VALUE_3 "rdx"
#define VALUE_IN(name) "8@%%" name
#elif defined(__aarch64__)
#define VALUE_1 "x0"
#define VALUE_2 "x1"
#define VALUE_3 "x2"
#define VALUE_IN(name) "8@" name
#elif defined(__riscv)
#define VALUE_1 "a0"
#define VALUE_2 "a1"
#define VALUE_3 "a2"
#define VALUE_IN(name) "8@" name
#elif defined(__powerpc64__)
#define VALUE_1 "3"
#define VALUE_2 "4"
#define VALUE_3 "5"
#define VALUE_IN(name) "8@" name
#elif defined(__s390x__)
#define VALUE_1 "r2"
#define VALUE_2 "r3"
#define VALUE_3 "r4"
#define VALUE_IN(name) "8@%%" name
#endif

/* A byte of which there is one in each file, whoever has probes in it: tools know by its address how far the file's
 * addresses have moved since the notes were written. */
__asm__(".ifndef _.stapsdt.base\n"
        ".pushsection .stapsdt.base, \"aG\", \"progbits\", .stapsdt.base, comdat\n"
        ".weak _.stapsdt.base\n"
        ".hidden _.stapsdt.base\n"
        ".size _.stapsdt.base, 1\n"
        "_.stapsdt.base: .byte 0\n"
        ".popsection\n"
        ".endif\n");

/* A probe: an instruction that does nothing, at which a tracer puts its trap, and a note of type 3 by "stapsdt", which
 * says where this is, and where its semaphore and the values are.
 *
 * The header for it, systemtap's <sys/sdt.h>, is not used: neither every libc's compiler nor a cross compiler finds it,
 * nor has who compiles the single file; and it leaves the choice of registers to the compiler. Its notes are the same,
 * as the test probes.notes sees to. */
#define PROBE(name, semaphore, values, ...)                                                 \
    __asm__ volatile("1: nop\n"                                                             \
                     ".pushsection .note.stapsdt, \"\", \"note\"\n"                         \
                     ".balign 4\n"                                                          \
                     ".4byte 3f - 2f, 5f - 4f, 3\n"                                         \
                     "2: .asciz \"stapsdt\"\n"                                              \
                     "3: .balign 4\n"                                                       \
                     "4: .8byte 1b, _.stapsdt.base, " #semaphore "\n"                       \
                     ".asciz \"otel_memory\", \"" name "\", \"" values "\"\n"               \
                     "5: .balign 4\n"                                                       \
                     ".popsection"                                                          \
                     :                                                                      \
                     : __VA_ARGS__)

NOINLINE void probe_alloc_fire(const void *block, size_t size, uint64_t weight)
{
    register const void *first __asm__(VALUE_1) = block;
    register size_t second __asm__(VALUE_2) = size;
    register uint64_t third __asm__(VALUE_3) = weight;
    PROBE("alloc", probe_alloc_semaphore, VALUE_IN(VALUE_1) " " VALUE_IN(VALUE_2) " " VALUE_IN(VALUE_3),
          "r"(first), "r"(second), "r"(third));
}

NOINLINE void probe_free_fire(const void *block)
{
    register const void *first __asm__(VALUE_1) = block;
    PROBE("free", probe_free_semaphore, VALUE_IN(VALUE_1), "r"(first));
}
