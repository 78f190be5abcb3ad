/* scale.h - what all parts of hakmem-scale share.
 *
 * A measurement (a file of this directory) draws a curve: one row for each size. It consists of cases, and every case
 * runs in a process of its own, so that it finds a fresh heap, and so that an allocator which crashes or hangs costs
 * one row. A case sends what it found to the program's first process (cases.c), which prints tables (report.c).
 *
 * The measured process takes what it needs for itself from own_alloc, never from malloc, and ends by _exit without
 * freeing its heap. It is the first that the system ends when memory runs out after all.
 * SPDX-License-Identifier: MIT */
#ifndef SCALE_SCALE_H
#define SCALE_SCALE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define TIB (UINT64_C(1) << 40)

/* The step in which memory is touched: no system has smaller pages. */
enum { MEMORY_PAGE = 4096 };

/* ---- Options (main.c) -------------------------------------------------------------------------------------------- */

enum scale { SCALE_TINY, SCALE_MODEST, SCALE_FULL, SCALES };

enum { OPTION_MAX = 1, OPTION_THREADS = 2, OPTION_TIMES = 4, OPTION_SECONDS = 8 };

struct options {
    enum scale scale;
    uint64_t max_bytes; /* 0 here and below: as the measurement has it */
    uint64_t threads;
    uint64_t times;
    double seconds;
    bool json;
};

extern struct options options;

/* The sizes of a curve: those of each scale, up to the first 0. */
enum { STEPS = 6 };
struct series {
    uint64_t steps[SCALES][STEPS];
};

/* With a last one that was asked for (not 0), those below that, and that. */
unsigned series_length(const struct series *series, uint64_t last);
uint64_t series_step(const struct series *series, uint64_t last, unsigned number);

/* ---- Measurements ------------------------------------------------------------------------------------------------ */

enum unit { UNIT_TIME, UNIT_COUNT, UNIT_BYTES, UNIT_KB, UNIT_RATE }; /* ns; -; bytes; kB; millions a second */

struct column {
    const char *heading;
    const char *key; /* in JSON */
    enum unit unit;
};

enum { COLUMNS = 5 };

struct measurement {
    const char *name;
    const char *about;              /* a line for the list and above the table */
    const char *label;              /* what a row stands for */
    unsigned uses;                  /* OPTION_... */
    struct column columns[COLUMNS]; /* up to the first without a heading */
    unsigned (*cases)(void);
    void (*run)(unsigned number); /* a case, in its own process */
};

extern const struct measurement runs, stall, free_random, fork_child, generations, heap_info, growth, huge, idle,
    threads;

/* ---- Cases (cases.c) --------------------------------------------------------------------------------------------- */

enum record_kind { RECORD_NAME, RECORD_ROW, RECORD_SKIP, RECORD_FAILURE, RECORD_NOTE };
enum { LABEL_SIZE = 32, TEXT_SIZE = 200 };

/* What a case sends, in one write each. */
struct record {
    enum record_kind kind;
    char label[LABEL_SIZE];
    double values[COLUMNS]; /* NAN: none */
    char text[TEXT_SIZE];
};

/* To be called by cases. What follows is about a row of this name. */
void case_name(const char *format, ...) __attribute__((format(printf, 1, 2)));
void case_row(const double *values);
/* The machine does not allow this row. */
void case_skip(const char *format, ...) __attribute__((format(printf, 1, 2)));
void case_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Ends the process: the allocator or the system refused what this row needs. */
void case_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn, cold));
/* The same, with the number of a system error. */
void case_fail_errno(const char *what, int error) __attribute__((noreturn, cold));

/* Runs a case in a new process and hands over each record. The process is given the arguments of this one. */
void case_start(const struct measurement *measurement, unsigned number, char **arguments,
                void (*take)(const struct record *));
/* The other end of it: does not return. */
void case_main(const struct measurement *measurement, unsigned number) __attribute__((noreturn));
/* The process ends with the one that started it, however that ends. */
void process_tie(int parent);

/* ---- Report (report.c) ------------------------------------------------------------------------------------------- */

void table_begin(const struct measurement *measurement);
void record_print(const struct record *record);
void progress_print(const char *what, const char *label);
/* All rows so far, a JSON object each. */
void rows_print_json(void);
bool rows_have_failed(void);
/* Such as "1.5 GiB", in a buffer of the caller. */
enum { SIZE_TEXT = 24 };
const char *size_text(uint64_t bytes, char *text);

/* ---- The machine (machine.c) ------------------------------------------------------------------------------------- */

/* Bytes, as the system tells them now; of this process, including its page tables. */
uint64_t memory_available(void);
uint64_t memory_total(void);
uint64_t memory_used(void);
/* A field of /proc/self/smaps_rollup, such as "Rss:", in kB; ends the case where there is none. */
uint64_t memory_field_kb(const char *field);

/* Whether this process may have so much address space and touch so much of it, which is a percentage of what is
 * available at most. Otherwise the row is skipped, with the reason. */
bool machine_allows(uint64_t space, uint64_t touched, unsigned percent);

/* What an allocator's header in a block to which nobody else writes takes: a page, and its page table at most. */
uint64_t header_bytes(void);
/* What the first byte of a block takes: where the system brings huge pages unasked, all of it. */
uint64_t touch_bytes(size_t block);

unsigned cpu_count(void);
/* To the CPUs of the process in turn: some systems pack all threads of a process on one of them otherwise. */
void cpu_pin(unsigned number);

/* Zeroed memory for the program itself, in place when this returns. Never freed. */
void *own_alloc(size_t bytes);
/* The same, seen by children, too. */
void *own_alloc_shared(size_t bytes);

/* A thread with a small stack. Where there cannot be one, the row is skipped, and the case ends. */
pthread_t thread_start(void *(*function)(void *), void *argument);
/* So many threads that have called malloc and free a few hundred times, if they are to, and then sleep for ever.
 * Returns when all sleep. */
void threads_idle(unsigned count, bool call_malloc);

/* ---- Time -------------------------------------------------------------------------------------------------------- */

static inline uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Of what began at that time, without what reading the clock takes. */
extern uint64_t clock_cost_ns;
static inline uint64_t clock_since(uint64_t begin)
{
    uint64_t ns = clock_ns() - begin;
    return ns > clock_cost_ns ? ns - clock_cost_ns : 0;
}

void clock_prepare(void);
void sleep_seconds(double seconds);

/* ---- Samples (samples.c) ----------------------------------------------------------------------------------------- */

/* Durations. Beyond what there is room for they are only counted; the worst is always right. */
struct samples {
    uint64_t *ns;
    size_t room, kept, count;
    uint64_t worst;
};

struct samples samples_make(size_t room);

static inline void samples_add(struct samples *samples, uint64_t ns)
{
    if (samples->kept < samples->room)
        samples->ns[samples->kept++] = ns;
    if (ns > samples->worst)
        samples->worst = ns;
    samples->count++;
}

void samples_clear(struct samples *samples);
/* What that part of them does not exceed; changes their order. */
double samples_part(struct samples *samples, double part);
double samples_median(struct samples *samples);

/* ---- Random numbers: xorshift64* --------------------------------------------------------------------------------- */

struct random {
    uint64_t state; /* not 0 */
};

static inline uint64_t random_next(struct random *random)
{
    uint64_t state = random->state;
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    random->state = state;
    return state * UINT64_C(0x2545F4914F6CDD1D);
}

/* From 0 to limit - 1; limit is below 2^32. */
static inline uint64_t random_below(struct random *random, uint64_t limit)
{
    return (random_next(random) >> 32) * limit >> 32;
}

/* From 2^low to below 2^high; every doubling is as likely. */
static inline size_t random_size(struct random *random, unsigned low, unsigned high)
{
    size_t base = (size_t)1 << (low + random_below(random, high - low));
    return base + random_below(random, base);
}

/* ---- Heaps (heap.c) ---------------------------------------------------------------------------------------------- */

/* A block that has to be there, and one whose first byte is touched. */
void *block_make(size_t size);
void *block_make_touched(size_t size);

/* So many, written to by nobody but the allocator. False, and the row is skipped, when that touches more memory than a
 * percentage of what is available. */
bool blocks_make_untouched(void **blocks, size_t count, size_t size, unsigned percent);

/* Blocks of 64 bytes, so many bytes in all, that form a list. */
struct small {
    struct small *next;
};
struct small *small_make(uint64_t bytes);
/* What allocators are expected to need for them. */
uint64_t small_need(uint64_t bytes);

#endif
