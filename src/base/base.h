/* base.h - compiler attributes, arithmetic and the constants that every layer shares. No project types, no state. */
#ifndef HAK_BASE_H
#define HAK_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

_Static_assert(sizeof(void *) == 8, "hakmem needs 64-bit addresses");

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
/* Rarely called: compiled for size, and kept apart from the rest. The kernel maps the library in lumps, and the
 * smallest program pays for all of it. */
#define COLD __attribute__((noinline, cold))
#define NOINLINE __attribute__((noinline))
#define INLINE static inline __attribute__((always_inline))
/* For large variables of which little is ever touched: kept apart, so that the small ones are not strewn between
 * them over many pages of memory. */
#define SPARSE __attribute__((section(".bss.sparse")))
#define CACHE_ALIGNED __attribute__((aligned(64)))

/* Hides from the compiler where a value came from. On the hot path, where gcc would otherwise spend an instruction
 * on copying it to the register it ends up in. */
#define FORGET_ORIGIN(value) __asm__("" : "+r"(value))

/* One unit is the granule of the page map and of runs; one superslab is the granule of growth and of huge pages. */
#define UNIT_SHIFT 16
#define UNIT_SIZE ((size_t)1 << UNIT_SHIFT)
#define SUPERSLAB_SHIFT 21
#define SUPERSLAB_SIZE ((size_t)1 << SUPERSLAB_SHIFT)
#define SUPERSLAB_UNITS 32u

/* Every block is aligned to this: what glibc's malloc promises on every 64-bit machine, and enough for max_align_t
 * (which is 8 on s390x). */
#define BLOCK_ALIGN ((size_t)16)

/* Larger blocks than this are mappings of their own, so that mremap can move them without copying. */
#define RUN_MAX_SIZE ((size_t)32 << 20)

INLINE bool is_power_of_two(size_t x) { return x != 0 && (x & (x - 1)) == 0; }
/* `align` is a power of two; the caller has excluded overflow. */
INLINE size_t align_up(size_t x, size_t align) { return (x + align - 1) & ~(align - 1); }
INLINE size_t units_for(size_t bytes) { return (bytes + UNIT_SIZE - 1) >> UNIT_SHIFT; }
/* Bits [0, n) set; n from 0 to the width. */
INLINE uint64_t low_mask64(unsigned n) { return n >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << n) - 1; }
INLINE uint32_t low_mask32(unsigned n) { return (uint32_t)low_mask64(n); }
INLINE unsigned lowest_bit(uint64_t x) { return (unsigned)__builtin_ctzll(x); }
INLINE unsigned highest_bit(uint64_t x) { return 63u - (unsigned)__builtin_clzll(x); }
INLINE unsigned count_bits(uint64_t x) { return (unsigned)__builtin_popcountll(x); }
INLINE size_t min_size(size_t a, size_t b) { return a < b ? a : b; }
INLINE size_t max_size(size_t a, size_t b) { return a > b ? a : b; }

/* Copies what a block holds. memmove, though the blocks are two: without a symbol version, as references of this
 * library are, glibc binds memcpy on x86-64 to the one of 1999 that knows no wider registers than SSE2's; and gcc makes
 * a byte-wise string instruction of memcpy in functions that it takes for cold. The origin is hidden, or it would see
 * that they are two. */
INLINE void copy_bytes(void *to, const void *from, size_t bytes)
{
    FORGET_ORIGIN(to);
    __builtin_memmove(to, from, bytes);
}

/* Spreads a number over all bits of another; by the golden ratio. */
INLINE uint64_t hash_mix(uint64_t x)
{
    x *= 0x9E3779B97F4A7C15u;
    return x ^ x >> 32;
}

/* Another number in each call; the state is not 0. xorshift64*, by G. Marsaglia and S. Vigna: its upper half is good,
 * and the state does not show in a few values. */
INLINE uint64_t random_draw(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * 0x2545F4914F6CDD1D;
}

/* An invariant of ours. Checked in debug builds; in release builds it is still compiled, so that it cannot rot. */
#ifndef HAK_DEBUG
#define HAK_DEBUG 0
#endif
void error_assert(const char *condition, const char *file, int line) __attribute__((noreturn, cold));
#define HAK_ASSERT(condition)                                  \
    do {                                                       \
        if (HAK_DEBUG && UNLIKELY(!(condition)))               \
            error_assert(#condition, __FILE__, __LINE__);      \
    } while (0)

#endif
