/* reference.c - the probes of insight/probe.c, as systemtap's header writes them, with values in the same registers.
 * SPDX-License-Identifier: MIT */
#include <stddef.h>
#include <stdint.h>

#define _SDT_HAS_SEMAPHORES 1
#define STAP_SDT_ARG_CONSTRAINT r
#include <sys/sdt.h>

#define SEMAPHORE __attribute__((section(".probes"), visibility("hidden"), used))
SEMAPHORE unsigned short otel_memory_alloc_semaphore, otel_memory_free_semaphore;

void alloc(const void *block, size_t size, uint64_t weight);
void release(const void *block);

void alloc(const void *block, size_t size, uint64_t weight)
{
    STAP_PROBE3(otel_memory, alloc, block, size, weight);
}

void release(const void *block)
{
    STAP_PROBE1(otel_memory, free, block);
}
