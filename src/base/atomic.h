/* atomic.h - the atomic operations in use, with the order in their name. Every use says what it pairs with. */
#ifndef HAK_ATOMIC_H
#define HAK_ATOMIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#define load_relaxed(p) atomic_load_explicit(p, memory_order_relaxed)
#define load_acquire(p) atomic_load_explicit(p, memory_order_acquire)
#define load_seq(p) atomic_load_explicit(p, memory_order_seq_cst)
#define store_relaxed(p, v) atomic_store_explicit(p, v, memory_order_relaxed)
#define store_release(p, v) atomic_store_explicit(p, v, memory_order_release)
#define store_seq(p, v) atomic_store_explicit(p, v, memory_order_seq_cst)
#define fetch_or_seq(p, v) atomic_fetch_or_explicit(p, v, memory_order_seq_cst)
#define fetch_and_seq(p, v) atomic_fetch_and_explicit(p, v, memory_order_seq_cst)
#define fetch_or_release(p, v) atomic_fetch_or_explicit(p, v, memory_order_release)
#define fetch_and_acquire(p, v) atomic_fetch_and_explicit(p, v, memory_order_acquire)
#define exchange_acquire(p, v) atomic_exchange_explicit(p, v, memory_order_acquire)
#define exchange_release(p, v) atomic_exchange_explicit(p, v, memory_order_release)
#define exchange_seq(p, v) atomic_exchange_explicit(p, v, memory_order_seq_cst)
#define fetch_add_relaxed(p, v) atomic_fetch_add_explicit(p, v, memory_order_relaxed)
#define fetch_sub_relaxed(p, v) atomic_fetch_sub_explicit(p, v, memory_order_relaxed)
#define cas_seq(p, expected, v) \
    atomic_compare_exchange_strong_explicit(p, expected, v, memory_order_seq_cst, memory_order_seq_cst)
#define cas_acquire(p, expected, v) \
    atomic_compare_exchange_strong_explicit(p, expected, v, memory_order_acquire, memory_order_relaxed)
#define cas_relaxed(p, expected, v) \
    atomic_compare_exchange_strong_explicit(p, expected, v, memory_order_relaxed, memory_order_relaxed)

/* A counter that one thread writes and others may read: no read-modify-write instruction. */
#define counter_add(p, v) store_relaxed(p, load_relaxed(p) + (v))
/* Keeps the compiler, but not the processor, from moving memory accesses: order seen by a signal handler. */
#define signal_fence() atomic_signal_fence(memory_order_seq_cst)

#if defined(__SANITIZE_THREAD__)
#define HAS_THREAD_SANITIZER 1
#elif defined(__has_feature)
#define HAS_THREAD_SANITIZER __has_feature(thread_sanitizer)
#else
#define HAS_THREAD_SANITIZER 0
#endif

/* Whether a number is below one that others may write, relaxed. Compilers load what is atomic into a register before
 * they compare: gcc compares with memory where it has no choice, clang where it is not told that this is atomic. */
static inline __attribute__((always_inline)) bool is_below(size_t number, const _Atomic(size_t) *end)
{
#if defined(__clang__) && !HAS_THREAD_SANITIZER
    return number < *(const size_t *)end;
#elif defined(__x86_64__) && !HAS_THREAD_SANITIZER
    bool below;
    __asm__("cmp %2, %1" : "=@ccb"(below) : "r"(number), "m"(*end));
    return below;
#else
    return number < load_relaxed(end);
#endif
}

/* Compare and swap of a pointer that only the calling thread uses: one instruction, as far as this thread's signal
 * handlers see: on x86 without the lock prefix. */
static inline bool cas_in_thread(void ***pointer, void **from, void **to)
{
#if defined(__x86_64__)
    bool done;
    __asm__ volatile("cmpxchg %3, %1" : "+a"(from), "+m"(*pointer), "=@ccz"(done) : "r"(to) : "memory");
    return done;
#else
    return __atomic_compare_exchange_n(pointer, &from, to, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
#endif
}

#endif
