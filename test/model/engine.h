/* engine.h - the parts of the explorer: memory.c (what the threads share), turns.c (how they take turns) and explore.c
 * (which turns there are). None of it is compiled with hooks.
 * SPDX-License-Identifier: MIT */
#ifndef ENGINE_H
#define ENGINE_H

#include "model.h"

/* ---- Vector clocks: one byte for each thread, below 128 ---------------------------------------------------------- */

typedef uint32_t clocks;
#define CLOCKS_HIGH ((clocks)0x80808080)

static inline bool clocks_cover(clocks known, clocks seen)
{
    return (((known | CLOCKS_HIGH) - seen) & CLOCKS_HIGH) == CLOCKS_HIGH;
}

static inline clocks clocks_join(clocks a, clocks b)
{
    clocks mask = ((((a | CLOCKS_HIGH) - b) & CLOCKS_HIGH) >> 7) * 0xFF; /* the lanes where a is not behind b */
    return (a & mask) | (b & ~mask);
}

static inline uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * UINT64_C(0x9E3779B97F4A7C15);
    hash = (hash ^ hash >> 29) * UINT64_C(0xBF58476D1CE4E5B9);
    return hash ^ hash >> 32;
}

/* ---- Threads ----------------------------------------------------------------------------------------------------- */

/* A store that is not sequentially consistent: its thread sees it at once, the others when it has left the buffer. */
struct buffered {
    volatile void *object;
    size_t size;
    uint64_t value;
    clocks sync; /* what a reader that acquires learns; 0 for a relaxed store */
};

enum { BUFFER_SLOTS = 12 };

struct thread {
    void (*body)(void);
    bool finished, sleeping, woken;
    _Atomic(uint32_t) *awaited;     /* the next step is possible while this is awaited_value; NULL: at once */
    uint32_t awaited_value;
    uint64_t memories;              /* hash of all that the thread has at its own */
    clocks clock;
    unsigned buffered;
    struct buffered buffer[BUFFER_SLOTS]; /* the oldest first */
};

extern struct thread threads[MODEL_THREADS + 1]; /* the last one runs setup and quiet */
extern unsigned running;                         /* its index */
enum { ALONE = MODEL_THREADS };

/* What changes is logged, the first time in an epoch, so that the search can go back to where a choice was made. */
extern uint64_t epoch;

/* ---- turns.c ----------------------------------------------------------------------------------------------------- */

void turns_prepare(void);                             /* once */
void turns_start(unsigned index, void (*body)(void)); /* the thread stands before its first step */
void turns_run(unsigned index);                       /* until it comes to its next step, finishes or fails */
void turns_yield(void);                               /* called by a thread before each step */
void turns_end(void) __attribute__((noreturn));       /* called by a thread whose interleaving is over */
/* Memory that is of no interest to other threads: stacks and what is thread-local. */
bool turns_is_private(const volatile void *address);

struct turns_mark {
    size_t log_length;
    struct thread threads[MODEL_THREADS];
};
void turns_mark(struct turns_mark *mark);
void turns_undo(const struct turns_mark *mark);

/* ---- memory.c ---------------------------------------------------------------------------------------------------- */

struct memory_mark {
    size_t log_length;
    uint64_t hash;
};
struct memory_mark memory_mark(void); /* begins an epoch */
void memory_undo(struct memory_mark mark);
uint64_t memory_hash(void);
void memory_flush_one(unsigned thread); /* the oldest of a thread's buffered stores becomes visible */
/* Whether an access was the first to make its object shared, so that steps were missing so far. */
bool memory_learnt(void);
void memory_forget_users(void);

/* ---- explore.c --------------------------------------------------------------------------------------------------- */

unsigned explore_choose(unsigned count);
bool explore_is_tracing(void);

#endif
