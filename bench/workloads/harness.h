/* harness.h - what all workloads of the bench lab share.
 *
 * A workload (a file of this directory) is a way to use malloc; a variant (a line of variants.c) is a workload with
 * its parameters. The program runs one variant and prints one line of JSON; the allocator is whichever LD_PRELOAD
 * brings.
 *
 * A workload's run function calls workers_run with the function that each worker (a thread; the first is the main
 * thread) executes: it makes its preparations, calls worker_start, and then repeats its work as long as worker_goes_on
 * says so. Each worker measures its own steady state, which begins when the warm-up is over.
 *
 * Blocks come from block_make and go through block_free. They are written when made, and compared when freed, so that
 * an allocator that hands out memory twice, or loses what is in it, is found out: exit status 3. What the harness
 * needs for itself comes from own_alloc, never from malloc, and is left out of all figures of memory.
 * SPDX-License-Identifier: MIT */
#ifndef WORKLOADS_HARNESS_H
#define WORKLOADS_HARNESS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { CACHE_LINE = 64, MEMORY_PAGE = 4096 };

/* ---- Random numbers: splitmix64, one draw for each decision ------------------------------------------------------ */

struct random {
    uint64_t state;
};

static inline uint64_t random_next(struct random *random)
{
    uint64_t z = random->state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

/* From 0 to limit - 1. */
static inline uint64_t random_below(struct random *random, uint64_t limit)
{
    return (uint64_t)((unsigned __int128)random_next(random) * limit >> 64);
}

static inline bool random_percent(struct random *random, unsigned percent)
{
    return random_below(random, 100) < percent;
}

/* ---- Sizes ------------------------------------------------------------------------------------------------------- */

enum sizes_kind {
    SIZES_UNIFORM, /* every size from min to max is as likely */
    SIZES_LOG,     /* every doubling from min to max is as likely; max is min times a power of two */
    SIZES_POWERS,  /* min times a power of two, up to max */
    SIZES_APP, /* as in many programs: 80 % 16 to 256 bytes, 15 % to 2 KiB, 5 % to 32 KiB; min and max are not used */
};

struct sizes {
    enum sizes_kind kind;
    size_t min, max;
};

static inline size_t size_between(struct random *random, size_t min, size_t max)
{
    return min + random_below(random, max - min + 1);
}

size_t size_draw_uneven(struct random *random, const struct sizes *sizes);

static inline size_t size_draw(struct random *random, const struct sizes *sizes)
{
    if (sizes->kind == SIZES_UNIFORM)
        return size_between(random, sizes->min, sizes->max);
    return size_draw_uneven(random, sizes);
}

/* ---- Workloads and variants -------------------------------------------------------------------------------------- */

struct workload {
    const char *name;
    const char *group;
    const char *title;
    const char *about;  /* what it does, in two or three sentences */
    const char *kind;   /* throughput, memory or latency */
    const char *unit;   /* of the value that sums a run up */
    const char *better; /* higher or lower */
    void (*run)(void);
};

enum { USE_QUICK = 1, USE_CHECK = 2 };
enum allocation { CALL_MALLOC, CALL_CALLOC, CALL_ALIGNED };
enum growth { GROW_DOUBLING, GROW_BY_STEPS };
enum busy { BUSY_ARRAYS, BUSY_QUERIES, BUSY_KINDS };
enum survivors { SURVIVE_NONE, SURVIVE_SPARSE, SURVIVE_PAGES, SURVIVE_NEWEST };

struct variant {
    const struct workload *workload;
    const char *id;
    const char *title;    /* what sets it apart from the other variants of its workload */
    unsigned use;         /* USE_QUICK: in `make bench`; USE_CHECK: in `make bench-check` */
    unsigned threads;     /* workers */
    struct sizes sizes;   /* of blocks */
    size_t live;          /* blocks, or what the workload is made of, at a time; of each worker */
    size_t rounds;        /* repetitions of what the workload repeats */
    uint64_t counted;     /* blocks of each worker that enter the checksum; 0: BLOCKS_COUNTED */
    double seconds;       /* of steady state, unless asked for otherwise; 0: 1 s */
    double extra_seconds; /* that a run takes besides, idle time apart */
    bool idles;           /* has an idle phase, whose length is --idle */
    bool is_timed;        /* every malloc and free by itself, with the cycle counter */

    enum allocation allocation;    /* slots.c */
    bool touches_pages;            /* slots.c, messages.c: every page of a block is written */
    unsigned remote_percent;       /* remote.c: frees that another thread does */
    bool to_all;                   /* remote.c: any other thread, not only the next one */
    unsigned producers;            /* messages.c: of the threads; the others are consumers */
    bool consumers_allocate;       /* messages.c */
    bool owner_exits;              /* owners.c: else it sleeps */
    enum growth growth;            /* growth.c */
    enum survivors survivors;      /* memory.c */
    enum busy busy;                /* quiet.c: what is done before */
    bool is_passive;               /* sharing.c */
    bool is_aged, counts_building; /* linked.c */
};

/* Blocks that every worker certainly makes, in however short a time. */
enum { BLOCKS_COUNTED = 1000 };

/* ---- Blocks ------------------------------------------------------------------------------------------------------ */

/* A block in the program's hands: what it needs to know of it to tell whether it still is as it was written. */
struct block {
    void *data;
    uint32_t size : 31;   /* at least 8 */
    uint32_t counted : 1; /* for the checksum */
    uint32_t serial;
};

/* The first 8 bytes of a block. The last byte is the top one of this. */
static inline uint64_t block_word(const struct block *block)
{
    return ((uint64_t)block->serial << 32 | block->size) * UINT64_C(0x9E3779B97F4A7C15);
}

/* A workload may use the rest of the block for itself: what lies behind this head and before the last byte. */
struct block_head {
    uint64_t word;
};

/* ---- Workers ----------------------------------------------------------------------------------------------------- */

struct latency;

struct progress {
    uint64_t ns; /* 0: not reached */
    uint64_t busy_ns;
    uint64_t operations;
};

struct worker {
    unsigned number;
    struct random random;
    struct latency *latency; /* NULL unless calls are timed */
    uint64_t made;           /* blocks */
    uint64_t counted;        /* how many of them count for the checksum, and have to be made before the end */
    uint64_t checksum;       /* sum of what was found in the counted blocks when they were freed */
    uint64_t operations;
    uint64_t busy_ns;   /* of workloads that measure a part of their time only; else 0 */
    uint64_t next_look; /* at the clock, in operations */
    uint64_t stride;
    uint64_t looked_ns;
    uint64_t start_ns;
    struct progress begin, end; /* of the steady state */
    void (*work)(struct worker *);
    pthread_t thread;
} __attribute__((aligned(2 * CACHE_LINE)));

/* Starts the workers of the variant, of which the calling thread is the first, and waits for all of them. */
void workers_run(void (*work)(struct worker *));

/* The same in parts, for workloads that start their threads themselves: the array, then the sum of what they did. */
struct worker *workers_prepare(unsigned count);
void worker_pin(const struct worker *worker);

/* Waits until all workers have come here; the warm-up begins. */
void worker_start(struct worker *worker);

bool worker_look(struct worker *worker);

/* To be called after so many more operations. False when the steady state of all workers is over, and from then on. */
static inline bool worker_goes_on(struct worker *worker, uint64_t operations)
{
    worker->operations += operations;
    return worker->operations < worker->next_look || worker_look(worker);
}

/* The same, for a worker that had nothing to do. */
bool worker_waits(struct worker *worker);

/* ---- The run ----------------------------------------------------------------------------------------------------- */

/* When the resident memory is taken. */
#define RSS_POINTS(X)                                                                   \
    X(START, start)     /* before the first worker began */                             \
    X(PEAK, peak)       /* the highest until the end of the steady state */             \
    X(STEADY, steady)   /* at the end of the steady state */                            \
    X(FREED, freed)     /* when everything, or all but the survivors, was freed */      \
    X(IDLE, idle)       /* after the idle phase */                                      \
    X(LAZY, lazy)       /* of which the system may take back at any time (MADV_FREE) */ \
    X(TRIMMED, trimmed) /* after malloc_trim, if the allocator has one */

enum rss_point {
#define X(id, name) RSS_##id,
    RSS_POINTS(X)
#undef X
        RSS_COUNT
};

struct usage {
    double user, system;
    long minor_faults, major_faults, voluntary_switches, involuntary_switches;
};

struct run {
    const struct variant *variant;
    double seconds, warmup, idle;
    uint64_t seed;
    bool is_pinned;
    bool times_calls; /* as for variants that are timed, beside what the workload measures */
    uint64_t slowest; /* so many of the slowest calls of each kind are told of, with what they did */
    struct worker *workers;
    unsigned worker_count;
    void (*idle_step)(void);  /* what is done now and then while idle; NULL: nothing */
    double value;             /* NAN: operations per second */
    long long rss[RSS_COUNT]; /* -1: not taken */
    uint64_t begin_ns, end_ns;
    struct usage begin_usage, end_usage;
    double cycles_per_ns;
};

extern struct run run;

/* Called by worker 0, or by a workload without a steady state of that kind: what is measured begins and ends here. */
void steady_begin(void);
void steady_end(void);

uint64_t clock_ns(void);
void sleep_ns(uint64_t ns);

/* Zeroed, resident memory for the harness. Never freed. */
void *own_alloc(size_t bytes);
/* The same, seen by the children of a fork, too. */
void *shared_alloc(size_t bytes);

/* Ends the program with status 1: the allocator did not do what it has to, or the system refused. */
void fail(const char *what) __attribute__((noreturn, cold));
/* Ends the program with status 3. */
void block_wrong(const struct block *block, const char *what) __attribute__((noreturn, cold));

/* ---- Memory (rss.c) ---------------------------------------------------------------------------------------------- */

/* So many bytes belong to the harness. */
void rss_subtract(size_t bytes);
void rss_note(enum rss_point point);
/* Takes part in the picture of memory over time, if it is time for another sample. */
void rss_sample(void);
long long rss_now(void);
void phase_note(const char *name);
/* What follows when the last block was freed: the idle phase and malloc_trim, with their notes. */
void rss_settle(void);
/* Sleeps, and takes samples meanwhile. */
void rss_sleep(double seconds);
void rss_print_json(void);

/* ---- Latency (latency.c) ----------------------------------------------------------------------------------------- */

/* Those of calloc and posix_memalign are mallocs. */
#define TIMED_CALLS(X) X(MALLOC, malloc) X(FREE, free) X(REALLOC, realloc)

enum timed_call {
#define X(id, name) TIMED_##id,
    TIMED_CALLS(X)
#undef X
        TIMED_COUNT
};

struct latency *latency_make(void);
void latency_open(struct latency *latency, bool is_open);
void *latency_malloc(struct latency *latency, size_t size);
void *latency_calloc(struct latency *latency, size_t size);
void *latency_aligned(struct latency *latency, size_t alignment, size_t size);
void *latency_realloc(struct latency *latency, void *data, size_t size);
void latency_free(struct latency *latency, void *data);
uint64_t cycles_now(void);
/* Over all workers; prints the member "latency" and returns the 99.9th percentile of malloc in nanoseconds. */
double latency_print_json(void);

/* ---- What a call did (trace.c) ----------------------------------------------------------------------------------- */

/* A function of the traced library, and what this thread was in it since trace_begin, without what it called. */
struct step {
    void *function;
    uint64_t cycles;
};

enum { STEPS = 6 };

struct trace;
struct trace *trace_make(void);
/* In the calling thread, until trace_end. */
void trace_begin(struct trace *trace);
/* The steps that took longest, the longest first, and their number: none where the allocator is not the traced one.
 * total: of all steps; overhead: what tracing them has cost, about. */
unsigned trace_end(struct step steps[STEPS], uint64_t *total, uint64_t *overhead);

/* ---- What the machine takes (host.c) ----------------------------------------------------------------------------- */

/* Prints a line of JSON. */
void host_print(void);

void result_print(void);

/* ---- Blocks, continued ------------------------------------------------------------------------------------------- */

static inline void block_write(const struct block *block)
{
    uint64_t word = block_word(block);
    memcpy(block->data, &word, sizeof word);
    ((unsigned char *)block->data)[block->size - 1] = (unsigned char)(word >> 56);
}

static inline uint64_t block_check(const struct block *block)
{
    uint64_t word;
    memcpy(&word, block->data, sizeof word);
    if (word != block_word(block) || ((unsigned char *)block->data)[block->size - 1] != word >> 56)
        block_wrong(block, "does not hold what was written to it");
    return word;
}

/* Takes memory from any function of the malloc family into the books. */
static inline struct block block_adopt(struct worker *worker, void *data, size_t size)
{
    if (data == NULL)
        fail("the allocator returned NULL");
    struct block block = {
        .data = data,
        .size = (uint32_t)size & INT32_MAX,
        .counted = worker->made < worker->counted,
        .serial = (uint32_t)worker->made + worker->number * UINT32_C(0x9E3779B1),
    };
    worker->made++;
    block_write(&block);
    return block;
}

static inline struct block block_make(struct worker *worker, size_t size)
{
    void *data = __builtin_expect(worker->latency != NULL, 0) ? latency_malloc(worker->latency, size) : malloc(size);
    return block_adopt(worker, data, size);
}

static inline void block_free(struct worker *worker, struct block *block)
{
    uint64_t word = block_check(block);
    if (block->counted)
        worker->checksum += word;
    if (__builtin_expect(worker->latency != NULL, 0))
        latency_free(worker->latency, block->data);
    else
        free(block->data);
    block->data = NULL;
}

/* By realloc; the block is another one afterwards. */
void block_resize(struct worker *worker, struct block *block, size_t size);

/* Marks every page of a block between two offsets and checks the marks. The first page has the block's own word. */
void pages_write(const struct block *block, size_t from, size_t to);
void pages_check(const struct block *block, size_t from, size_t to);

#endif
