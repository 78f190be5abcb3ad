/* stdatomic.h - found before the compiler's own when a model is compiled: every atomic operation of src/ becomes a step
 * of the explorer, with the order that the source asks for. What is not here does not compile, so that no operation can
 * go unseen.
 * SPDX-License-Identifier: MIT */
#ifndef MODEL_STDATOMIC_H
#define MODEL_STDATOMIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    memory_order_relaxed = 0,
    memory_order_acquire = 1,
    memory_order_release = 2,
    memory_order_acq_rel = memory_order_acquire | memory_order_release,
    memory_order_seq_cst = 4 | memory_order_acq_rel
} memory_order;

enum model_action { MODEL_LOAD, MODEL_STORE, MODEL_EXCHANGE, MODEL_OR, MODEL_AND, MODEL_ADD, MODEL_SUB, MODEL_CAS };

struct model_site {
    const char *function, *file, *object;
    int line;
};

/* Performs the operation, when the explorer says so, and returns the value from before. */
uint64_t model_atomic(enum model_action action, const volatile void *object, size_t size, uint64_t value,
                      memory_order order, const struct model_site *site);
/* Likewise; true when the object was *expected. */
bool model_cas(const volatile void *object, size_t size, void *expected, uint64_t value, memory_order order,
               memory_order failure, const struct model_site *site);

#define MODEL_SITE(p) (&(const struct model_site){__func__, __FILE__, #p, __LINE__})
/* A block, so that nobody minds when the value is not used. */
#define MODEL_ATOMIC(action, p, value, order)                                                                 \
    __extension__({                                                                                           \
        (__typeof__((void)0, *(p)))model_atomic(action, p, sizeof *(p), (uint64_t)(value), order, MODEL_SITE(p)); \
    })

#define atomic_load_explicit(p, order) MODEL_ATOMIC(MODEL_LOAD, p, 0, order)
#define atomic_store_explicit(p, value, order) ((void)MODEL_ATOMIC(MODEL_STORE, p, value, order))
#define atomic_exchange_explicit(p, value, order) MODEL_ATOMIC(MODEL_EXCHANGE, p, value, order)
#define atomic_fetch_or_explicit(p, value, order) MODEL_ATOMIC(MODEL_OR, p, value, order)
#define atomic_fetch_and_explicit(p, value, order) MODEL_ATOMIC(MODEL_AND, p, value, order)
#define atomic_fetch_add_explicit(p, value, order) MODEL_ATOMIC(MODEL_ADD, p, value, order)
#define atomic_fetch_sub_explicit(p, value, order) MODEL_ATOMIC(MODEL_SUB, p, value, order)
#define atomic_compare_exchange_strong_explicit(p, expected, value, order, failure) \
    model_cas(p, sizeof *(p), expected, (uint64_t)(value), order, failure, MODEL_SITE(p))
/* Signal handlers are not modelled. */
#define atomic_signal_fence(order) ((void)0)

/* A thread of a model is no thread of the system: what is thread-local is gathered, and swapped when a thread gets its
 * turn. */
#define __thread __attribute__((section("model_thread_local")))
#define tls_model(model) /* an attribute that such a variable cannot have */

#endif
