/* trace.c - which functions of the allocator a call went through, and how long it was in each. A compiler that
 * instruments functions (-finstrument-functions: the traced library) lets each of them call one of these two at its
 * beginning and the other at its end. No other allocator does, and nothing is known of it.
 * SPDX-License-Identifier: MIT */
#include "harness.h"

/* Deeper calls than any path has: what is beyond counts for the function that it was called by. And more functions than
 * any path has, as a power of two. */
enum { DEPTH = 64, FUNCTIONS = 1024 };

struct frame {
    void *function;
    uint64_t begin;
    uint64_t inner; /* of what it called */
};

struct trace {
    unsigned depth, count, calls;
    struct frame frames[DEPTH];
    struct step steps[FUNCTIONS]; /* a hash table, in which only those of `used` are of this call */
    uint16_t used[FUNCTIONS];     /* count of them */
};

/* NULL while nothing is traced. A pointer, since every thread's start clears all thread-local storage. */
static __thread struct trace *tracing;

/* The counter as it is, in whatever order the processor reads it: much quicker than cycles_now. */
static uint64_t cycles_about(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#else
    return cycles_now();
#endif
}

void __cyg_profile_func_enter(void *function, void *caller) __attribute__((visibility("default")));
void __cyg_profile_func_exit(void *function, void *caller) __attribute__((visibility("default")));

void __cyg_profile_func_enter(void *function, void *caller)
{
    (void)caller;
    struct trace *trace = tracing;
    if (trace == NULL)
        return;
    if (trace->depth < DEPTH)
        trace->frames[trace->depth] = (struct frame){.function = function, .begin = cycles_about()};
    trace->depth++;
    trace->calls++;
}

static void step_add(struct trace *trace, void *function, uint64_t cycles)
{
    size_t place = (uintptr_t)function / 16 % FUNCTIONS;
    while (trace->steps[place].function != NULL && trace->steps[place].function != function)
        place = (place + 1) % FUNCTIONS;
    struct step *step = &trace->steps[place];
    if (step->function == NULL && trace->count == FUNCTIONS - 1)
        return;
    if (step->function == NULL)
        trace->used[trace->count++] = (uint16_t)place;
    step->function = function;
    step->cycles += cycles;
}

void __cyg_profile_func_exit(void *function, void *caller)
{
    (void)caller;
    struct trace *trace = tracing;
    if (trace == NULL || trace->depth == 0 || --trace->depth >= DEPTH)
        return;
    const struct frame *frame = &trace->frames[trace->depth];
    uint64_t cycles = cycles_about() - frame->begin;
    step_add(trace, function, cycles > frame->inner ? cycles - frame->inner : 0);
    if (trace->depth > 0)
        trace->frames[trace->depth - 1].inner += cycles;
}

struct trace *trace_make(void) { return own_alloc(sizeof(struct trace)); }

void trace_begin(struct trace *trace)
{
    for (unsigned i = 0; i < trace->count; i++)
        trace->steps[trace->used[i]] = (struct step){.function = NULL};
    trace->depth = trace->count = trace->calls = 0;
    tracing = trace;
}

/* Cycles that the two functions above take for a call that does nothing; found once, and the same for all threads. */
static uint64_t cost_of_a_call(void)
{
    enum { TRIES = 100, CALLS = 100 };
    static atomic_uint_least64_t cost; /* relaxed: whoever finds none looks for itself */
    uint64_t least = atomic_load_explicit(&cost, memory_order_relaxed);
    if (least != 0)
        return least;
    struct trace *trace = trace_make();
    least = UINT64_MAX;
    for (unsigned i = 0; i < TRIES; i++) {
        trace_begin(trace);
        uint64_t begin = cycles_now();
        for (unsigned k = 0; k < CALLS; k++) {
            __cyg_profile_func_enter((void *)&cost, NULL);
            __cyg_profile_func_exit((void *)&cost, NULL);
        }
        uint64_t cycles = (cycles_now() - begin) / CALLS;
        least = cycles < least ? cycles : least;
    }
    tracing = NULL;
    atomic_store_explicit(&cost, least, memory_order_relaxed);
    return least;
}

unsigned trace_end(struct step steps[STEPS], uint64_t *total, uint64_t *overhead)
{
    struct trace *trace = tracing;
    tracing = NULL;
    unsigned found = 0;
    *total = 0;
    for (unsigned i = 0; i < trace->count; i++)
        *total += trace->steps[trace->used[i]].cycles;
    for (; found < STEPS && found < trace->count; found++) {
        unsigned longest = found;
        for (unsigned i = found + 1; i < trace->count; i++)
            if (trace->steps[trace->used[i]].cycles > trace->steps[trace->used[longest]].cycles)
                longest = i;
        uint16_t place = trace->used[longest];
        trace->used[longest] = trace->used[found];
        trace->used[found] = place;
        steps[found] = trace->steps[place];
    }
    *overhead = trace->calls * cost_of_a_call();
    return found;
}
