#include "heap/prefault.h"

#include "system/os_advise.h"
#include "system/os_clock.h"
#include "system/os_map.h"

#include <errno.h>

enum {
    MOST = 64 << 20,   /* bytes: of a mistake, more would hurt */
    AT_ONCE = 1 << 20, /* of these in one call, for which other threads may have to wait */
    BATCH = 8,         /* pages of memory of which the time is taken, */
    TIMINGS = 2,       /* so often in each way; the fastest counts, for a thread may lose its processor any time */
    GAIN_LEAST = 115   /* hundredths of the time by call that touching has to take; larger batches gain more */
};

_Atomic(uint8_t) prefault_verdict;

/* Relaxed, all of it: threads that come here at the same time may lose one. */
static struct {
    _Atomic(uint32_t) count[PREFAULT_WAYS];
    _Atomic(uint64_t) least[PREFAULT_WAYS]; /* nanoseconds */
    _Atomic(size_t) bytes;
} timing;

static bool is_timed(enum prefault_way way) { return load_relaxed(&timing.count[way]) >= TIMINGS; }

void prefault_note(enum prefault_way way, uint64_t nanoseconds)
{
    uint64_t least = load_relaxed(&timing.least[way]);
    if (load_relaxed(&timing.count[way]) == 0 || nanoseconds < least)
        store_relaxed(&timing.least[way], nanoseconds);
    fetch_add_relaxed(&timing.count[way], 1);
    if (!is_timed(PREFAULT_BY_TOUCH) || !is_timed(PREFAULT_BY_CALL))
        return;
    uint64_t touch = load_relaxed(&timing.least[PREFAULT_BY_TOUCH]),
             call = load_relaxed(&timing.least[PREFAULT_BY_CALL]);
    store_relaxed(&prefault_verdict, touch * 100 > call * GAIN_LEAST ? PREFAULT_PAYS : PREFAULT_NEVER);
}

/* False when the system does not know the call, or refuses it; where it has no memory, the program will see. */
static bool populate(char *start, size_t size)
{
    for (size_t done = 0; done < size; done += AT_ONCE) {
        int error = os_populate(start + done, min_size(size - done, AT_ONCE));
        if (error && error != ENOMEM)
            store_relaxed(&prefault_verdict, PREFAULT_NEVER);
        if (error)
            return false;
    }
    fetch_add_relaxed(&timing.bytes, size);
    return true;
}

/* Where the host keeps page tables of its own, the first touch of what the guest made resident costs something, too. */
static COLD void time_batch(char *start)
{
    enum prefault_way way = is_timed(PREFAULT_BY_TOUCH) ? PREFAULT_BY_CALL : PREFAULT_BY_TOUCH;
    uint64_t begin = os_nanoseconds();
    if (way == PREFAULT_BY_CALL && !populate(start, BATCH * os_page_size()))
        return;
    for (size_t i = 0; i < BATCH; i++)
        *(volatile char *)(start + i * os_page_size()) = 0;
    prefault_note(way, (os_nanoseconds() - begin) / BATCH);
}

void prefault(char *start, size_t size)
{
    size_t batch = BATCH * os_page_size();
    char *end = start + min_size(size, MOST);
    for (; load_relaxed(&prefault_verdict) == PREFAULT_UNKNOWN && start + batch <= end; start += batch)
        time_batch(start);
    prefault_rest(start, (size_t)(end - start));
}

void prefault_rest(char *start, size_t size)
{
    if (size > 0 && load_relaxed(&prefault_verdict) == PREFAULT_PAYS)
        populate(start, min_size(size, MOST));
}

uint64_t prefault_touch_time(void)
{
    return is_timed(PREFAULT_BY_TOUCH) ? load_relaxed(&timing.least[PREFAULT_BY_TOUCH]) : 0;
}

size_t prefault_bytes(void) { return load_relaxed(&timing.bytes); }
