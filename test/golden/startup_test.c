/* startup_test.c - what hakmem costs the smallest program: /bin/true with and without it, resident memory at its end
 * and page faults over its life. The median of several runs of each.
 * SPDX-License-Identifier: MIT */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { RUNS = 11, FAULTS_MORE_MAX = 40 };
#define RSS_MORE_MAX (200 * KIB)

struct cost {
    size_t rss;
    size_t faults;
};

/* Resident memory of a stopped process, or 0. */
static size_t rss_of(pid_t process)
{
    char path[64];
    char text[4096];
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)process);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0) {
        close(fd);
    }
    text[got > 0 ? got : 0] = 0;
    const char *line = strstr(text, "\nRss:");
    return line != NULL ? (size_t)strtoull(line + 5, NULL, 10) * KIB : 0;
}

/* Runs it under ptrace, which stops it at its very end, with all its memory. False when ptrace is not allowed. */
static bool measure(char *const environment[], struct cost *cost)
{
    char *const arguments[] = {(char *)"/bin/true", NULL};
    int status = 0;
    struct rusage usage;
    pid_t child = fork();
    must(child >= 0, "fork: %s", strerror(errno));
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, 0, 0) == 0) {
            execve(arguments[0], arguments, environment);
        }
        _exit(99);
    }
    must(waitpid(child, &status, 0) == child, "waitpid: %s", strerror(errno));
    if (!WIFSTOPPED(status) || ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACEEXIT | PTRACE_O_EXITKILL) != 0) {
        return false;
    }
    ptrace(PTRACE_CONT, child, 0, 0);
    must(waitpid(child, &status, 0) == child, "waitpid: %s", strerror(errno));
    must(WIFSTOPPED(status) && status >> 8 == (SIGTRAP | PTRACE_EVENT_EXIT << 8),
         "/bin/true stopped with status %#x before its end", (unsigned)status);
    cost->rss = rss_of(child);
    ptrace(PTRACE_CONT, child, 0, 0);
    must(wait4(child, &status, 0, &usage) == child && status == 0, "/bin/true ended with status %#x", (unsigned)status);
    cost->faults = (size_t)usage.ru_minflt;
    return cost->rss > 0;
}

static int compare_sizes(const void *a, const void *b)
{
    size_t x = *(const size_t *)a;
    size_t y = *(const size_t *)b;
    return x < y ? -1 : x > y;
}

static bool measure_median(char *const environment[], struct cost *cost)
{
    size_t rss[RUNS];
    size_t faults[RUNS];
    for (size_t i = 0; i < RUNS; i++) {
        struct cost one;
        if (!measure(environment, &one)) {
            return false;
        }
        rss[i] = one.rss;
        faults[i] = one.faults;
    }
    qsort(rss, RUNS, sizeof *rss, compare_sizes);
    qsort(faults, RUNS, sizeof *faults, compare_sizes);
    *cost = (struct cost){rss[RUNS / 2], faults[RUNS / 2]};
    return true;
}

static void test_start_up_cost(void **state)
{
    (void)state;
    struct cost without;
    struct cost with;
    static const char *const plain[] = {"LD_PRELOAD", NULL};
    static const char *const preloaded[] = {"LD_PRELOAD=" HAKMEM_LIBRARY, NULL};
    if (!measure_median(environment_with(plain), &without) || !measure_median(environment_with(preloaded), &with)) {
        skip_because("ptrace is not allowed here");
        skip();
    }
    printf("/bin/true: %zu KiB and %zu faults without hakmem, %zu KiB and %zu faults with it\n", without.rss / KIB,
           without.faults, with.rss / KIB, with.faults);
    must(with.rss <= without.rss + RSS_MORE_MAX,
         "/bin/true: expected at most %zu KiB more RSS, saw %zu KiB instead of %zu KiB", RSS_MORE_MAX / KIB,
         with.rss / KIB, without.rss / KIB);
    must(with.faults <= without.faults + FAULTS_MORE_MAX,
         "/bin/true: expected at most %d page faults more, saw %zu instead of %zu", FAULTS_MORE_MAX, with.faults,
         without.faults);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_start_up_cost)};
    return RUN_TESTS(tests);
}
