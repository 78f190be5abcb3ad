/* fork.c - what a child waits for: fork itself, its first malloc, and work that needs more than what a cache holds.
 * Who sets the heap right after fork block by block, or thread by thread, does it here.
 * SPDX-License-Identifier: MIT */
#include "scale.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 5, WORK_CALLS = 1000, MEMORY_PERCENT = 60 };
/* What a thread is expected to need at most. */
enum { THREAD_BYTES = 1 << 20 };

static const struct series untouched_heaps = {{
    [SCALE_TINY] = {256 * MIB},
    [SCALE_MODEST] = {20 * GIB},
    [SCALE_FULL] = {20 * GIB},
}};
static const struct series small_heaps = {{
    [SCALE_TINY] = {16 * MIB},
    [SCALE_MODEST] = {1 * GIB},
    [SCALE_FULL] = {1 * GIB, 3 * GIB, 6 * GIB},
}};
static const struct series thread_counts = {{
    [SCALE_TINY] = {20},
    [SCALE_MODEST] = {100, 1000},
    [SCALE_FULL] = {100, 1000, 4000},
}};

/* ---- What the parent has. False: the row is skipped. ------------------------------------------------------------- */

static bool nothing_build(uint64_t zero)
{
    case_name("nothing");
    return zero == 0;
}

/* As many blocks as there are of that size. */
static void **untouched_make(uint64_t bytes, size_t size)
{
    size_t count = (size_t)(bytes / size);
    if (!machine_allows(bytes, count * header_bytes(), MEMORY_PERCENT))
        return NULL;
    void **blocks = own_alloc(count * sizeof *blocks);
    return blocks_make_untouched(blocks, count, size, MEMORY_PERCENT) ? blocks : NULL;
}

static bool untouched_build(uint64_t bytes)
{
    char text[SIZE_TEXT];
    case_name("%s, untouched", size_text(bytes, text));
    return untouched_make(bytes, MIB) != NULL;
}

/* Address space that is the allocator's, but no block's. */
static bool freed_build(uint64_t bytes)
{
    char text[SIZE_TEXT];
    case_name("%s, freed again", size_text(bytes, text));
    void **blocks = untouched_make(bytes, 16 * MIB);
    for (size_t i = 0; blocks != NULL && i < bytes / (16 * MIB); i++)
        free(blocks[i]);
    return blocks != NULL;
}

static bool small_build(uint64_t bytes)
{
    char text[SIZE_TEXT];
    case_name("%s in blocks of 64 B", size_text(bytes, text));
    return machine_allows(small_need(bytes), small_need(bytes), MEMORY_PERCENT) && small_make(bytes) != NULL;
}

static bool threads_build(uint64_t count)
{
    case_name("%u idle threads", (unsigned)count);
    if (!machine_allows(0, count * THREAD_BYTES, MEMORY_PERCENT))
        return false;
    threads_idle((unsigned)count, true);
    return true;
}

/* The cases: one kind after the other, with all its sizes. */
static const struct kind {
    const struct series *series;
    const uint64_t *last;
    bool (*build)(uint64_t size);
} kinds[] = {
    {NULL, NULL, nothing_build},
    {&untouched_heaps, &options.max_bytes, untouched_build},
    {&untouched_heaps, &options.max_bytes, freed_build},
    {&small_heaps, &options.max_bytes, small_build},
    {&thread_counts, &options.threads, threads_build},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static unsigned kind_cases(const struct kind *kind)
{
    return kind->series == NULL ? 1 : series_length(kind->series, *kind->last);
}

static unsigned fork_cases(void)
{
    unsigned count = 0;
    for (unsigned i = 0; i < KINDS; i++)
        count += kind_cases(&kinds[i]);
    return count;
}

static bool case_build(unsigned number)
{
    const struct kind *kind = kinds;
    for (; number >= kind_cases(kind); kind++)
        number -= kind_cases(kind);
    return kind->build(kind->series == NULL ? 0 : series_step(kind->series, *kind->last, number));
}

/* ---- The children ------------------------------------------------------------------------------------------------ */

/* Written by the child; 0: it did not come so far. */
struct times {
    uint64_t first_ns, work_ns;
};

static void child_work(struct times *times, uint64_t begin)
{
    struct random random = {.state = 1};
    block_make_touched(100);
    times->first_ns = clock_since(begin);
    for (unsigned i = 0; i < WORK_CALLS; i++)
        block_make_touched(random_size(&random, 4, 20));
    times->work_ns = clock_since(begin);
}

static void child_wait(pid_t child)
{
    int status = 0;
    if (child < 0)
        case_fail_errno("fork", errno);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    if (WIFSIGNALED(status))
        case_fail("the child was ended by signal %d", WTERMSIG(status));
    if (WEXITSTATUS(status) != 0)
        case_fail("the child ended with status %d", WEXITSTATUS(status));
}

static void child_fork(struct times *times, struct samples *in_parent)
{
    pid_t parent = getpid();
    uint64_t begin = clock_ns();
    pid_t child = fork();
    if (child == 0) {
        process_tie(parent);
        child_work(times, begin);
        _exit(0);
    }
    samples_add(in_parent, clock_since(begin));
    child_wait(child);
    if (times->work_ns == 0)
        case_fail("malloc returned NULL in the child");
}

/* Without an environment: what the allocator's own start takes in another program is not the question. */
static void child_exec(struct samples *samples)
{
    char *arguments[] = {(char[]){"true"}, NULL}, *environment[] = {NULL};
    uint64_t begin = clock_ns();
    pid_t child = fork();
    if (child == 0) {
        execve("/bin/true", arguments, environment);
        execve("/usr/bin/true", arguments, environment);
        _exit(1);
    }
    child_wait(child);
    samples_add(samples, clock_since(begin));
}

static void fork_run(unsigned number)
{
    if (!case_build(number))
        return;
    struct times *times = own_alloc_shared(sizeof *times);
    struct samples fork_returns = samples_make(ROUNDS), first = samples_make(ROUNDS), work = samples_make(ROUNDS),
                   exec = samples_make(ROUNDS);
    for (unsigned i = 0; i < ROUNDS; i++) {
        *times = (struct times){0};
        child_fork(times, &fork_returns);
        samples_add(&first, times->first_ns);
        samples_add(&work, times->work_ns);
        child_exec(&exec);
    }
    case_row((double[COLUMNS]){samples_median(&fork_returns), samples_median(&first), samples_median(&work),
                               samples_median(&exec)});
}

const struct measurement fork_child = {
    .name = "fork",
    .about = "from fork to its return, a child's malloc, its 1000th, and exec's end",
    .label = "the parent has",
    .uses = OPTION_MAX | OPTION_THREADS,
    .columns = {{"fork", "fork_ns", UNIT_TIME},
                {"malloc", "first_malloc_ns", UNIT_TIME},
                {"1000th", "work_ns", UNIT_TIME},
                {"exec", "fork_exec_wait_ns", UNIT_TIME}},
    .cases = fork_cases,
    .run = fork_run,
};
