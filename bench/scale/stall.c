/* stall.c - what one thread's calls take while another does something to a block of gigabytes. Who does such work with
 * a lock held, or in pieces that are too large, stops all other threads as long as it lasts.
 * SPDX-License-Identifier: MIT */
#include "scale.h"

#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>

enum { ROUNDS = 3, MEMORY_PERCENT = 40, LIVE = 64, SAMPLES = 4000000 };
enum { SHRUNK_BYTES = 40 << 20, GROWN_BYTES = 64 << 20 };
static const uint64_t warm_ns = 5000000, window_ns = 20000000;

static const struct series sizes = {{
    [SCALE_TINY] = {32 * MIB},
    [SCALE_MODEST] = {1 * GIB},
    [SCALE_FULL] = {1 * GIB, 2 * GIB, 3 * GIB},
}};

static unsigned stall_cases(void) { return series_length(&sizes, options.max_bytes); }

/* ---- The thread with the large block ----------------------------------------------------------------------------- */

/* It waits at both semaphores asleep: a thread that looks now and then would be measured, too. */
static struct {
    void (*act)(void);
    size_t size;
    char *block;
    sem_t ready, go, measured;
    atomic_bool is_done;
    uint64_t took_ns;
} other;

/* What the measuring thread suffers without any help: the noise of the machine. */
static void act_rest(void) { sleep_seconds(0.1); }

static void block_resize(size_t size)
{
    other.block = realloc(other.block, size);
    if (other.block == NULL)
        case_fail("realloc returned NULL");
}

static void act_shrink(void) { block_resize(SHRUNK_BYTES < other.size ? SHRUNK_BYTES : other.size / 2); }

/* Room behind a block of this size is rare: it has to move. */
static void act_move(void) { block_resize(other.size + GROWN_BYTES); }

static void act_free(void)
{
    free(other.block);
    other.block = NULL;
}

static void block_prepare(void)
{
    other.block = block_make(other.size);
    for (size_t i = 0; i < other.size; i += MEMORY_PAGE)
        other.block[i] = 1;
}

static void semaphore_wait(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0)
        continue;
}

static void *other_main(void *argument)
{
    if (other.act != act_rest)
        block_prepare();
    sem_post(&other.ready);
    semaphore_wait(&other.go);
    uint64_t begin = clock_ns();
    other.act();
    other.took_ns = clock_since(begin);
    atomic_store(&other.is_done, true);
    semaphore_wait(&other.measured);
    act_free();
    return argument;
}

/* ---- The thread that is measured --------------------------------------------------------------------------------- */

static struct {
    struct random random;
    void *blocks[LIVE];
    struct samples samples;
    long preempted;
} self = {.random = {.state = 1}};

static uint64_t pair_timed(void)
{
    void **block = &self.blocks[random_below(&self.random, LIVE)];
    size_t size = random_size(&self.random, 4, 21);
    uint64_t begin = clock_ns();
    free(*block);
    *block = malloc(size);
    uint64_t took = clock_since(begin);
    if (*block == NULL)
        case_fail("malloc(%zu) returned NULL", size);
    return took;
}

static long preempted_now(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nivcsw;
}

static void pairs_sample(void)
{
    for (uint64_t end = clock_ns() + warm_ns; clock_ns() < end;)
        pair_timed();
    long preempted = preempted_now();
    uint64_t end = clock_ns() + window_ns;
    sem_post(&other.go);
    while (!atomic_load(&other.is_done) || clock_ns() < end)
        samples_add(&self.samples, pair_timed());
    self.preempted += preempted_now() - preempted;
}

/* Returns what the act itself took, at worst. */
static uint64_t act_watch(void (*act)(void))
{
    uint64_t took = 0;
    samples_clear(&self.samples);
    self.preempted = 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        other.act = act;
        atomic_store(&other.is_done, false);
        pthread_t thread = thread_start(other_main, NULL);
        semaphore_wait(&other.ready);
        pairs_sample();
        sem_post(&other.measured);
        pthread_join(thread, NULL);
        took = other.took_ns > took ? other.took_ns : took;
    }
    return took;
}

static void stall_run(unsigned number)
{
    static const struct {
        const char *name;
        void (*act)(void);
    } acts[] = {{"rests", act_rest}, {"shrinks", act_shrink}, {"moves", act_move}, {"is freed", act_free}};
    char text[SIZE_TEXT];
    uint64_t size = series_step(&sizes, options.max_bytes, number);
    case_name("%s", size_text(size, text));
    if (!machine_allows(2 * size + GIB, size, MEMORY_PERCENT))
        return;
    other.size = size;
    sem_init(&other.ready, 0, 0);
    sem_init(&other.go, 0, 0);
    sem_init(&other.measured, 0, 0);
    self.samples = samples_make(SAMPLES);
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        case_name("%s %s", size_text(size, text), acts[i].name);
        double took = (double)act_watch(acts[i].act);
        case_row((double[COLUMNS]){took, (double)self.samples.count, samples_part(&self.samples, 0.999),
                                   (double)self.samples.worst, (double)self.preempted});
    }
}

const struct measurement stall = {
    .name = "stall",
    .about = "malloc and free of one thread while another resizes a large block",
    .label = "the large block",
    .uses = OPTION_MAX,
    .columns = {{"takes", "act_ns", UNIT_TIME},
                {"pairs", "pairs", UNIT_COUNT},
                {"99.9 %", "p999_ns", UNIT_TIME},
                {"worst", "worst_ns", UNIT_TIME},
                {"preempted", "preempted", UNIT_COUNT}},
    .cases = stall_cases,
    .run = stall_run,
};
