/* probe.h - what tracers of the whole system hear of samples: the probes otel_memory:alloc(block, size, weight), when
 * one has begun and before the program has the block, and otel_memory:free(block), when one ends and before the block
 * can be anybody else's. The contract is that of OpenTelemetry's eBPF profiler, its design-docs/00003-memory-profiling.
 * With no tracer each costs a load: its *semaphore* counts who listens. Fired under no lock, in any thread; a block
 * that realloc resizes or moves is freed and allocated. In the child of a fork the parent's samples are live, and end
 * with `free` only.
 *
 * `weight` is what the sample stands for (draw.h), size / (1 - exp(-size / R)) for a mean distance of R bytes: what the
 * contract asks for. Samplers that know how many points N of distance R fell into a block may give N * R, whose mean
 * over all blocks is size, too, for N has the mean size / R. Ours is the mean of that over the blocks with N > 0, which
 * are the samples: so sums have the same mean, and vary less. R may change at any time, since each weight has the R of
 * its own drawing. `size` is that of the size class, as in all accounting here; so weight / size is the number of
 * blocks that the sample stands for, and sums are of bytes handed out, not of bytes asked for.
 *
 * The sum of all weights that began and have not ended is without bias what is live. That of all that began is what was
 * allocated in total, but for blocks that are used more than DRAW_RETURNS times in a row: these count too little. */
#ifndef HAK_PROBE_H
#define HAK_PROBE_H

#include "base/atomic.h"
#include "base/base.h"

/* Tracers at work on each probe; relaxed: the kernel, or a debugger, writes it whenever it likes. */
extern _Atomic(uint16_t) probe_alloc_semaphore, probe_free_semaphore;

void probe_alloc_fire(const void *block, size_t size, uint64_t weight);
void probe_free_fire(const void *block);

INLINE void probe_alloc(const void *block, size_t size, uint64_t weight)
{
    if (UNLIKELY(load_relaxed(&probe_alloc_semaphore) != 0))
        probe_alloc_fire(block, size, weight);
}

INLINE void probe_free(const void *block)
{
    if (UNLIKELY(load_relaxed(&probe_free_semaphore) != 0))
        probe_free_fire(block);
}

#endif
