/* ring.h - a bounded queue of blocks between two threads: one pushes, the other pops. Neither waits nor allocates.
 * SPDX-License-Identifier: MIT */
#ifndef WORKLOADS_RING_H
#define WORKLOADS_RING_H

#include "harness.h"

struct ring {
    _Atomic uint64_t pushed __attribute__((aligned(2 * CACHE_LINE)));
    uint64_t popped_seen; /* the pusher's last look at popped */
    _Atomic uint64_t popped __attribute__((aligned(2 * CACHE_LINE)));
    uint64_t pushed_seen;
    size_t capacity __attribute__((aligned(2 * CACHE_LINE)));
    size_t mask;
    struct block *blocks;
};

static inline void ring_init(struct ring *ring, size_t capacity)
{
    ring->capacity = capacity;
    ring->mask = capacity - 1;
    for (unsigned shift = 1; shift < 64; shift *= 2)
        ring->mask |= ring->mask >> shift;
    ring->blocks = own_alloc((ring->mask + 1) * sizeof *ring->blocks);
}

/* False when the ring is full. */
static inline bool ring_push(struct ring *ring, struct block block)
{
    uint64_t pushed = atomic_load_explicit(&ring->pushed, memory_order_relaxed);
    if (pushed - ring->popped_seen == ring->capacity) {
        ring->popped_seen = atomic_load_explicit(&ring->popped, memory_order_acquire);
        if (pushed - ring->popped_seen == ring->capacity)
            return false;
    }
    ring->blocks[pushed & ring->mask] = block;
    atomic_store_explicit(&ring->pushed, pushed + 1, memory_order_release);
    return true;
}

/* How many blocks the popping thread would find. */
static inline uint64_t ring_length(struct ring *ring)
{
    ring->pushed_seen = atomic_load_explicit(&ring->pushed, memory_order_acquire);
    return ring->pushed_seen - atomic_load_explicit(&ring->popped, memory_order_relaxed);
}

/* False when the ring is empty. */
static inline bool ring_pop(struct ring *ring, struct block *block)
{
    uint64_t popped = atomic_load_explicit(&ring->popped, memory_order_relaxed);
    if (popped == ring->pushed_seen && ring_length(ring) == 0)
        return false;
    *block = ring->blocks[popped & ring->mask];
    atomic_store_explicit(&ring->popped, popped + 1, memory_order_release);
    return true;
}

#endif
