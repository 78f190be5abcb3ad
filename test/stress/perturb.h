/* perturb.h - included before everything else when the library is compiled for the stress tests: now and then, a
 * thread that is about to do something atomic gives its processor away. So the few instructions between one atomic
 * operation and the next, in which another thread has to come for a mistake to show, last as long as a turn on the
 * processor; and that on a machine with few processors, or with none to spare.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TEST_PERTURB_H
#define HAKMEM_TEST_PERTURB_H

#include "base/atomic.h"

void perturb(void); /* stress.c */

/* An operation as the headers define it, with a pause before it. What atomic.h names is wrapped there; of what it
 * takes the names from, the operations on bits, which some files use directly. */
#undef load_relaxed
#undef load_acquire
#undef load_seq
#undef store_relaxed
#undef store_release
#undef store_seq
#undef exchange_acquire
#undef exchange_release
#undef exchange_seq
#undef cas_seq
#undef cas_acquire
#undef atomic_fetch_or_explicit
#undef atomic_fetch_and_explicit

#define load_relaxed(p) (perturb(), atomic_load_explicit(p, memory_order_relaxed))
#define load_acquire(p) (perturb(), atomic_load_explicit(p, memory_order_acquire))
#define load_seq(p) (perturb(), atomic_load_explicit(p, memory_order_seq_cst))
#define store_relaxed(p, v) (perturb(), atomic_store_explicit(p, v, memory_order_relaxed))
#define store_release(p, v) (perturb(), atomic_store_explicit(p, v, memory_order_release))
#define store_seq(p, v) (perturb(), atomic_store_explicit(p, v, memory_order_seq_cst))
#define exchange_acquire(p, v) (perturb(), atomic_exchange_explicit(p, v, memory_order_acquire))
#define exchange_release(p, v) (perturb(), atomic_exchange_explicit(p, v, memory_order_release))
#define exchange_seq(p, v) (perturb(), atomic_exchange_explicit(p, v, memory_order_seq_cst))
#define cas_seq(p, expected, v) \
    (perturb(), atomic_compare_exchange_strong_explicit(p, expected, v, memory_order_seq_cst, memory_order_seq_cst))
#define cas_acquire(p, expected, v) \
    (perturb(), atomic_compare_exchange_strong_explicit(p, expected, v, memory_order_acquire, memory_order_relaxed))
#ifdef __clang__
#define atomic_fetch_or_explicit(p, v, order) (perturb(), __c11_atomic_fetch_or(p, v, order))
#define atomic_fetch_and_explicit(p, v, order) (perturb(), __c11_atomic_fetch_and(p, v, order))
#else
#define atomic_fetch_or_explicit(p, v, order) (perturb(), __atomic_fetch_or(p, v, order))
#define atomic_fetch_and_explicit(p, v, order) (perturb(), __atomic_fetch_and(p, v, order))
#endif

#endif
