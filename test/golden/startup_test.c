/* startup_test.c - what hakmem costs the smallest program: /bin/true with and without it, resident memory at its end
 * and page faults over its life. The mean of many runs of each: where the loader puts a library decides how much of
 * it the kernel maps at one fault, so the figures of single runs are far apart and lie in groups, between which a
 * median jumps. How the file lies in the page cache decides, too, so that what is the process's own (anonymous memory)
 * has a limit of its own.
 * SPDX-License-Identifier: MIT */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { RUNS = 1000, FAULTS_MORE_MAX = 20 };
#define OWN_MORE_MAX (44 * KIB) /* ten pages, and one of the stack if that begins near a border */
#define RSS_MORE_MAX (184 * KIB)

struct cost {
    size_t rss, own; /* bytes */
    size_t faults;
};

/* A sum of a stopped process's memory, or 0. */
static size_t memory_of(pid_t process, const char *what)
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
    const char *line = strstr(text, what);
    return line != NULL ? (size_t)strtoull(line + strlen(what), NULL, 10) * KIB : 0;
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
    cost->rss = memory_of(child, "\nRss:");
    cost->own = memory_of(child, "\nAnonymous:");
    ptrace(PTRACE_CONT, child, 0, 0);
    must(wait4(child, &status, 0, &usage) == child && status == 0, "/bin/true ended with status %#x", (unsigned)status);
    cost->faults = (size_t)usage.ru_minflt;
    return cost->rss > 0;
}

static bool measure_mean(char *const environment[], struct cost *cost)
{
    struct cost sum = {0, 0, 0};
    for (size_t i = 0; i < RUNS; i++) {
        struct cost one;
        if (!measure(environment, &one)) {
            return false;
        }
        sum.rss += one.rss;
        sum.own += one.own;
        sum.faults += one.faults;
    }
    *cost = (struct cost){sum.rss / RUNS, sum.own / RUNS, sum.faults / RUNS};
    return true;
}

static void test_start_up_cost(void **state)
{
    (void)state;
    struct cost without;
    struct cost with;
    static const char *const plain[] = {"LD_PRELOAD", NULL};
    static const char *const preloaded[] = {"LD_PRELOAD=" HAKMEM_LIBRARY, NULL};
    if (!measure_mean(environment_with(plain), &without) || !measure_mean(environment_with(preloaded), &with)) {
        skip_because("ptrace is not allowed here");
        skip();
    }
    printf("/bin/true: %zu KiB (%zu its own) and %zu faults without hakmem, %zu KiB (%zu) and %zu faults with it\n",
           without.rss / KIB, without.own / KIB, without.faults, with.rss / KIB, with.own / KIB, with.faults);
    must(with.own <= without.own + OWN_MORE_MAX,
         "/bin/true: expected at most %zu KiB more memory of its own, saw %zu KiB instead of %zu KiB",
         OWN_MORE_MAX / KIB, with.own / KIB, without.own / KIB);
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
