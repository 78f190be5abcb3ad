/* atomic.c - for gcc before 14 on riscv64, which calls functions of libatomic where less than a word is changed. libgcc
 * has what they take, and is linked anyway; its functions only acquire and release, so there are fences around them. */
#include "base/atomic.h"

#include <stdint.h>

#if defined(__riscv) && !defined(__clang__)

/* By their names in the object: compilers have ideas of their own about what these are. */
#define NAMED(name) __asm__(name) __attribute__((used, visibility("hidden")))
bool byte_cas(volatile uint8_t *at, uint8_t *expected, uint8_t value, int success, int failure)
    NAMED("__atomic_compare_exchange_1");
uint8_t byte_exchange(volatile uint8_t *at, uint8_t value, int order) NAMED("__atomic_exchange_1");
uint16_t half_and(volatile uint16_t *at, uint16_t value, int order) NAMED("__atomic_fetch_and_2");
uint16_t half_or(volatile uint16_t *at, uint16_t value, int order) NAMED("__atomic_fetch_or_2");

bool byte_cas(volatile uint8_t *at, uint8_t *expected, uint8_t value, int success, int failure)
{
    (void)success, (void)failure;
    uint8_t before = *expected;
    atomic_thread_fence(memory_order_seq_cst);
    *expected = __sync_val_compare_and_swap(at, before, value);
    atomic_thread_fence(memory_order_seq_cst);
    return *expected == before;
}

uint8_t byte_exchange(volatile uint8_t *at, uint8_t value, int order)
{
    uint8_t before = *at;
    while (!byte_cas(at, &before, value, order, order))
        ;
    return before;
}

uint16_t half_and(volatile uint16_t *at, uint16_t value, int order)
{
    (void)order;
    atomic_thread_fence(memory_order_seq_cst);
    uint16_t before = __sync_fetch_and_and(at, value);
    atomic_thread_fence(memory_order_seq_cst);
    return before;
}

uint16_t half_or(volatile uint16_t *at, uint16_t value, int order)
{
    (void)order;
    atomic_thread_fence(memory_order_seq_cst);
    uint16_t before = __sync_fetch_and_or(at, value);
    atomic_thread_fence(memory_order_seq_cst);
    return before;
}

#endif
