/* system.c - the clock and the system that hakmem's heap sees in the simulator. The linker leads its calls here
 * (--wrap); what has an effect is done for real, too, so that the heap may rely on it.
 * SPDX-License-Identifier: MIT */
#include "retention.h"

#include "heap/prefault.h"
#include "system/cgroup.h"
#include "system/os_advise.h"
#include "system/os_clock.h"
#include "system/os_map.h"

/* The linker's names. */
#define REAL(name) __real_##name
#define SIMULATED(name) __wrap_##name

uint64_t SIMULATED(os_milliseconds)(void);
uint64_t SIMULATED(os_nanoseconds)(void);
int REAL(os_purge)(void *address, size_t size);
int SIMULATED(os_purge)(void *address, size_t size);
uint32_t REAL(os_purge_all)(const struct os_range *ranges, unsigned count);
uint32_t SIMULATED(os_purge_all)(const struct os_range *ranges, unsigned count);
int REAL(os_unmap)(void *address, size_t size);
int SIMULATED(os_unmap)(void *address, size_t size);
int REAL(os_resize)(void *address, size_t old_size, size_t new_size);
int SIMULATED(os_resize)(void *address, size_t old_size, size_t new_size);
int REAL(os_move)(void *address, size_t old_size, size_t new_size, void *target);
int SIMULATED(os_move)(void *address, size_t old_size, size_t new_size, void *target);
struct cgroup_memory SIMULATED(cgroup_memory)(void);
uint64_t SIMULATED(prefault_touch_time)(void);

/* The system has been up for a while when a program starts. */
enum { UP_MICROSECONDS = 1000 * 1000 * 1000 };

uint64_t SIMULATED(os_milliseconds)(void) { return (UP_MICROSECONDS + now_us) / 1000; }

/* Work takes no time. */
uint64_t SIMULATED(os_nanoseconds)(void) { return (UP_MICROSECONDS + now_us) * 1000; }

int SIMULATED(os_purge)(void *address, size_t size)
{
    int error = REAL(os_purge)(address, size);
    if (!error)
        memory_purged((uintptr_t)address, size);
    return error;
}

uint32_t SIMULATED(os_purge_all)(const struct os_range *ranges, unsigned count)
{
    uint32_t purged = REAL(os_purge_all)(ranges, count);
    for (unsigned i = 0; i < count; i++)
        if (purged >> i & 1)
            memory_purged((uintptr_t)ranges[i].start, ranges[i].size);
    return purged;
}

int SIMULATED(os_unmap)(void *address, size_t size)
{
    int error = REAL(os_unmap)(address, size);
    if (!error)
        memory_purged((uintptr_t)address, size);
    return error;
}

int SIMULATED(os_resize)(void *address, size_t old_size, size_t new_size)
{
    int error = REAL(os_resize)(address, old_size, new_size);
    if (!error && new_size < old_size)
        memory_purged((uintptr_t)address + new_size, old_size - new_size);
    return error;
}

int SIMULATED(os_move)(void *address, size_t old_size, size_t new_size, void *target)
{
    int error = REAL(os_move)(address, old_size, new_size, target);
    if (!error)
        memory_moved((uintptr_t)address, old_size < new_size ? old_size : new_size, (uintptr_t)target);
    return error;
}

/* The simulator's own limits are none of the program's. */
struct cgroup_memory SIMULATED(cgroup_memory)(void)
{
    return (struct cgroup_memory){.limit = SIZE_MAX, .room = SIZE_MAX};
}

uint64_t SIMULATED(prefault_touch_time)(void) { return options.touch_ns; }
