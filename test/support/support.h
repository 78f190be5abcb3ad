/* support.h - what the tests share: one way to fail, proof that hakmem serves the process, children with a time
 * limit, readings of /proc, and blocks filled with a pattern that can be checked later.
 *
 * A test fails through must(). On the main thread of a cmocka program that fails the running test; anywhere else
 * (another thread, a child, a signal handler, a program without cmocka) it prints the same line and ends the process
 * with status 1.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TEST_SUPPORT_H
#define HAKMEM_TEST_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* ---- Failing ----------------------------------------------------------------------------------------------------- */

void must_fail(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* must(condition, "what was expected and what was seen", ...) */
#define must(condition, ...)                            \
    do {                                                \
        if (!(condition)) {                             \
            must_fail(__FILE__, __LINE__, __VA_ARGS__); \
        }                                               \
    } while (0)

/* The last line of main(argc, argv) of a cmocka program: runs its tests, or those whose names match the argument. */
#define RUN_TESTS(tests) \
    (argc > 1 ? cmocka_set_test_filter(argv[1]) : (void)0, cmocka_run_group_tests(tests, NULL, NULL))

/* Says on stdout why a case cannot run on this machine, in the same words everywhere. */
void skip_because(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Keeps the compiler from knowing where a pointer came from: it may neither remove a malloc+free pair nor warn of a
 * deliberate misuse. */
static inline void *hidden(void *pointer)
{
    __asm__ volatile("" : "+r"(pointer) : : "memory");
    return pointer;
}

static inline size_t hidden_size(size_t size)
{
    __asm__ volatile("" : "+r"(size));
    return size;
}

/* ---- Children ---------------------------------------------------------------------------------------------------- */

/* How a child ended, and what it wrote. The texts are cut at their capacity and always end in a zero byte. */
struct child_result {
    int status;     /* as waitpid gives it */
    bool timed_out; /* it was killed because its time was up */
    double seconds;
    char out[8192];
    char err[8192];
};

/* Runs body(argument) in a forked child that ends with status 0 when body returns. */
void child_run(void (*body)(void *), void *argument, unsigned seconds, struct child_result *result);

/* Runs a program; environment NULL means the caller's own. */
void child_exec(char *const argv[], char *const environment[], unsigned seconds, struct child_result *result);

/* Whether stderr is the one fatal line expected ("hakmem: fatal: ...\n"), which may go on with who called. */
bool is_fatal_line(const char *seen, const char *expected);

/* Fails unless the child ended by itself with status 0 and left stderr empty. */
void must_end_well(const struct child_result *result, const char *what);

/* "exit status 3", "signal 6 (Aborted)", "killed after 5 s": for messages; a static buffer of the calling thread. */
const char *child_ending(const struct child_result *result);

/* The caller's environment with `changes` ("NAME=value" sets, "NAME" removes; NULL ends) applied. Never freed. */
char **environment_with(const char *const changes[]);

/* ---- This process ------------------------------------------------------------------------------------------------ */

/* Resident memory, exact (from smaps_rollup, not from the kernel's approximate counters). */
size_t process_rss(void);
/* Minor page faults of this process so far. */
size_t process_faults(void);
/* Anonymous resident memory: what an allocator's pages are. */
size_t process_anonymous(void);
/* Lines of /proc/self/maps. */
size_t process_mappings(void);
/* Threads of this process. */
size_t process_threads(void);
double clock_seconds(void);

/* ---- Contents ---------------------------------------------------------------------------------------------------- */

static inline uint64_t random_next(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    *state = x;
    return x * UINT64_C(0x2545F4914F6CDD1D);
}

/* A size with every order of magnitude from 1 B to `limit` equally likely. */
size_t random_size(uint64_t *state, size_t limit);

/* The pattern of `seed` over `size` bytes. Checking returns the offset of the first wrong byte, `size` when all fit. */
void pattern_fill(void *block, size_t size, uint64_t seed);
size_t pattern_check(const void *block, size_t size, uint64_t seed);
/* Offset of the first byte that is not `value`; `size` when there is none. */
size_t bytes_check(const void *block, size_t size, unsigned char value);

#ifdef __cplusplus
}
#endif
#endif
