/* generations.c - each process is the child of one whose threads were busy. What their caches held, and what they were
 * about to do, is the child's: it grows from generation to generation by what its allocator does not find again.
 *
 * The threads' blocks are in a table that the child inherits, and frees. So nothing is lost but the one block that a
 * thread may be making or freeing at the moment of the fork.
 * SPDX-License-Identifier: MIT */
#include "scale.h"

#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 8, LIVE = 200, STEPS_BEFORE_FORK = 20000, MEMORY_PERCENT = 60 };
/* What each process is expected to take besides what it shares with the one before; all of them live to the end. */
enum { GENERATION_BYTES = 16 << 20 };

static const uint64_t default_times[SCALES] = {[SCALE_TINY] = 5, [SCALE_MODEST] = 20, [SCALE_FULL] = 50};

static unsigned times_asked(void)
{
    return (unsigned)(options.times != 0 ? options.times : default_times[options.scale]);
}

/* ---- The threads ------------------------------------------------------------------------------------------------- */

static struct busy {
    pthread_t thread;
    _Atomic(void *) blocks[LIVE];
    atomic_uint steps;
} all[THREADS];

static atomic_bool go_on;

/* Mostly small blocks; one in 64 of 4 to 32 KiB. */
static size_t size_draw(struct random *random)
{
    return random_below(random, 64) == 0 ? random_size(random, 12, 15) : 16 + random_below(random, 2000);
}

static void *busy_main(void *argument)
{
    struct busy *busy = argument;
    struct random random = {.state = clock_ns() | 1};
    while (atomic_load_explicit(&go_on, memory_order_relaxed)) {
        _Atomic(void *) *block = &busy->blocks[random_below(&random, LIVE)];
        free(atomic_exchange(block, NULL));
        atomic_store(block, block_make_touched(size_draw(&random)));
        atomic_fetch_add_explicit(&busy->steps, 1, memory_order_relaxed);
    }
    return NULL;
}

static void threads_begin(void)
{
    atomic_store(&go_on, true);
    for (unsigned i = 0; i < THREADS; i++) {
        atomic_store(&all[i].steps, 0);
        all[i].thread = thread_start(busy_main, &all[i]);
    }
    for (unsigned i = 0; i < THREADS; i++)
        while (atomic_load(&all[i].steps) < STEPS_BEFORE_FORK)
            sleep_seconds(0.001);
}

static void threads_end(void)
{
    atomic_store(&go_on, false);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(all[i].thread, NULL);
}

static void blocks_free(void)
{
    for (unsigned i = 0; i < THREADS; i++)
        for (unsigned k = 0; k < LIVE; k++)
            free(atomic_exchange(&all[i].blocks[k], NULL));
}

/* ---- The processes ----------------------------------------------------------------------------------------------- */

struct generation {
    uint64_t resident_kb;
};

static int generation_wait(pid_t child)
{
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

/* Returns in the first process only, when all that follow have ended: 0, or how one of them ended. */
static int generations_live(struct generation *results, unsigned times)
{
    for (unsigned number = 0;; number++) {
        threads_begin();
        results[number].resident_kb = memory_field_kb("Rss:");
        pid_t parent = getpid(), child = number < times ? fork() : 0;
        if (child < 0)
            case_fail_errno("fork", errno);
        if (child == 0 && number < times) {
            process_tie(parent);
            blocks_free();
            continue;
        }
        threads_end();
        int end = number < times ? generation_wait(child) : 0;
        if (number == 0)
            return end;
        _exit(end);
    }
}

/* 1, 2, 5, 10, 20, 50 ..., and the last one. */
static unsigned row_next(unsigned number, unsigned times)
{
    unsigned unit = 1;
    while (number >= 10 * unit)
        unit *= 10;
    number = number < 2 * unit ? 2 * unit : number < 5 * unit ? 5 * unit : 10 * unit;
    return number < times ? number : times;
}

static double growth_kb(const struct generation *results, unsigned from, unsigned to)
{
    return ((double)results[to].resident_kb - (double)results[from].resident_kb) / (to - from);
}

static void rows_send(const struct generation *results, unsigned times)
{
    case_name("generation 0");
    case_row((double[COLUMNS]){(double)results[0].resident_kb, NAN});
    for (unsigned before = 0, number = 1; before < times; before = number, number = row_next(number, times)) {
        case_name("generation %u", number);
        case_row((double[COLUMNS]){(double)results[number].resident_kb, growth_kb(results, before, number)});
    }
    case_note("%.1f kB for each generation of the second half", growth_kb(results, times / 2, times));
}

static void generations_run(unsigned number)
{
    (void)number;
    unsigned times = times_asked();
    case_name("generation %u", times);
    if (!machine_allows(0, (uint64_t)times * GENERATION_BYTES, MEMORY_PERCENT))
        return;
    struct generation *results = own_alloc_shared((times + 1) * sizeof *results);
    int end = generations_live(results, times);
    if (end != 0)
        case_fail("a generation ended by this signal or with this status: %d", end);
    if (results[times].resident_kb != 0) /* else one of them has said why not */
        rows_send(results, times);
}

static unsigned generations_cases(void) { return 1; }

const struct measurement generations = {
    .name = "generations",
    .about = "a child of a process with 8 busy threads, its child, and so on",
    .label = "process",
    .uses = OPTION_TIMES,
    .columns = {{"resident", "resident_kb", UNIT_KB}, {"growth", "growth_kb", UNIT_KB}},
    .cases = generations_cases,
    .run = generations_run,
};
