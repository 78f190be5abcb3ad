/* support.c - see support.h. Nothing here allocates between a fork and the child's body, and the /proc readers never
 * allocate: they would change what they measure.
 * SPDX-License-Identifier: MIT */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* cmocka's, when the program has it. */
extern void _fail(const char *file, int line) __attribute__((weak));
extern void cm_print_error(const char *format, ...) __attribute__((weak));

static pid_t g_first_process;

__attribute__((constructor)) static void first_process_note(void) { g_first_process = getpid(); }

void must_fail(const char *file, int line, const char *format, ...)
{
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (_fail != NULL && getpid() == g_first_process && (pid_t)syscall(SYS_gettid) == g_first_process) {
        cm_print_error("%s\n", text);
        _fail(file, line);
    }
    dprintf(STDERR_FILENO, "%s:%d: %s\n", file, line, text);
    _exit(1);
}

void skip_because(const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    printf("skipped: %s\n", text);
    fflush(stdout);
}

double clock_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* ---- Children ---------------------------------------------------------------------------------------------------- */

/* Reads what is there; closes the pipe and returns false at its end. */
static bool pipe_read(int *fd, char *text, size_t capacity, size_t *length)
{
    char rest[4096];
    bool room = *length + 1 < capacity;
    ssize_t got = room ? read(*fd, text + *length, capacity - 1 - *length) : read(*fd, rest, sizeof rest);
    if (got <= 0) {
        close(*fd);
        *fd = -1;
        return false;
    }
    if (room) {
        *length += (size_t)got;
        text[*length] = 0;
    }
    return true;
}

/* Collects both pipes until they close or the time is up; a grandchild may hold them open after the child's end, so
 * that the child's end plus a short grace ends the wait too. */
static void child_watch(pid_t child, int out, int err, unsigned seconds, struct child_result *result)
{
    double start = clock_seconds();
    size_t out_length = 0;
    size_t err_length = 0;
    bool ended = false;
    while (!ended || out >= 0 || err >= 0) {
        struct pollfd fds[2] = {{.fd = out, .events = POLLIN}, {.fd = err, .events = POLLIN}};
        poll(fds, 2, ended ? 200 : out < 0 && err < 0 ? 1 : 10);
        bool quiet = fds[0].revents == 0 && fds[1].revents == 0;
        if (fds[0].revents != 0) {
            pipe_read(&out, result->out, sizeof result->out, &out_length);
        }
        if (fds[1].revents != 0) {
            pipe_read(&err, result->err, sizeof result->err, &err_length);
        }
        if (ended && quiet) {
            break;
        }
        if (!ended) {
            ended = waitpid(child, &result->status, WNOHANG) == child;
        }
        if (!ended && clock_seconds() - start > seconds) {
            result->timed_out = true;
            kill(child, SIGKILL);
            ended = waitpid(child, &result->status, 0) == child;
        }
    }
    if (out >= 0) {
        close(out);
    }
    if (err >= 0) {
        close(err);
    }
    result->seconds = clock_seconds() - start;
}

static void child_start(void (*body)(void *), void *argument, char *const argv[], char *const environment[],
                        unsigned seconds, struct child_result *result)
{
    int out[2];
    int err[2];
    memset(result, 0, sizeof *result);
    fflush(stdout);
    if (pipe(out) != 0 || pipe(err) != 0) {
        must_fail(__FILE__, __LINE__, "pipe failed: %s", strerror(errno));
    }
    pid_t child = fork();
    if (child < 0) {
        must_fail(__FILE__, __LINE__, "fork failed: %s", strerror(errno));
    }
    if (child == 0) {
        dup2(out[1], STDOUT_FILENO);
        dup2(err[1], STDERR_FILENO);
        for (int i = 0; i < 2; i++) {
            close(out[i]);
            close(err[i]);
        }
        if (body != NULL) {
            body(argument);
            _exit(0);
        }
        execve(argv[0], argv, environment);
        dprintf(STDERR_FILENO, "execve of %s failed: errno %d\n", argv[0], errno);
        _exit(127);
    }
    close(out[1]);
    close(err[1]);
    child_watch(child, out[0], err[0], seconds, result);
}

void child_run(void (*body)(void *), void *argument, unsigned seconds, struct child_result *result)
{
    child_start(body, argument, NULL, NULL, seconds, result);
}

void child_exec(char *const argv[], char *const environment[], unsigned seconds, struct child_result *result)
{
    child_start(NULL, NULL, argv, environment != NULL ? environment : environ, seconds, result);
}

const char *child_ending(const struct child_result *result)
{
    static _Thread_local char text[96];
    if (result->timed_out) {
        snprintf(text, sizeof text, "killed after %.1f s without an end", result->seconds);
    } else if (WIFSIGNALED(result->status)) {
        snprintf(text, sizeof text, "signal %d (%s)", WTERMSIG(result->status), strsignal(WTERMSIG(result->status)));
    } else {
        snprintf(text, sizeof text, "exit status %d", WEXITSTATUS(result->status));
    }
    return text;
}

void must_end_well(const struct child_result *result, const char *what)
{
    bool well = !result->timed_out && WIFEXITED(result->status) && WEXITSTATUS(result->status) == 0;
    must(well && result->err[0] == 0, "%s: expected exit status 0 and an empty stderr, saw %s\nstdout: %s\nstderr: %s",
         what, child_ending(result), result->out, result->err);
}

/* Whether an environment entry is of the variable that `change` names. */
static bool same_variable(const char *entry, const char *change)
{
    size_t length = strcspn(change, "=");
    return strncmp(entry, change, length) == 0 && entry[length] == '=';
}

char **environment_with(const char *const changes[])
{
    size_t have = 0;
    size_t add = 0;
    while (environ[have] != NULL) {
        have++;
    }
    while (changes[add] != NULL) {
        add++;
    }
    char **result = calloc(have + add + 1, sizeof *result);
    must(result != NULL, "no memory for an environment of %zu entries", have + add);
    size_t kept = 0;
    for (size_t i = 0; i < have; i++) {
        bool changed = false;
        for (size_t k = 0; k < add && !changed; k++) {
            changed = same_variable(environ[i], changes[k]);
        }
        if (!changed) {
            result[kept++] = environ[i];
        }
    }
    for (size_t k = 0; k < add; k++) {
        if (strchr(changes[k], '=') != NULL) {
            result[kept++] = strdup(changes[k]);
        }
    }
    return result;
}

/* ---- This process ------------------------------------------------------------------------------------------------ */

/* The number after `name` in smaps_rollup, in bytes. */
static size_t rollup_read(const char *name)
{
    char text[4096];
    int fd = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0) {
        close(fd);
    }
    must(got > 0, "/proc/self/smaps_rollup cannot be read: %s", strerror(errno));
    text[got] = 0;
    const char *line = strstr(text, name);
    must(line != NULL, "/proc/self/smaps_rollup has no line %s", name);
    return (size_t)strtoull(line + strlen(name), NULL, 10) * KIB;
}

size_t process_rss(void) { return rollup_read("\nRss:"); }

size_t process_anonymous(void) { return rollup_read("\nAnonymous:"); }

size_t process_faults(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (size_t)usage.ru_minflt;
}

static size_t count_in_file(const char *path, char wanted)
{
    char text[4096];
    size_t count = 0;
    ssize_t got;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    must(fd >= 0, "%s cannot be opened: %s", path, strerror(errno));
    while ((got = read(fd, text, sizeof text)) > 0) {
        for (ssize_t i = 0; i < got; i++) {
            count += text[i] == wanted;
        }
    }
    close(fd);
    return count;
}

size_t process_mappings(void) { return count_in_file("/proc/self/maps", '\n'); }

size_t process_threads(void)
{
    char text[4096];
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0) {
        close(fd);
    }
    must(got > 0, "/proc/self/status cannot be read: %s", strerror(errno));
    text[got] = 0;
    const char *line = strstr(text, "\nThreads:");
    must(line != NULL, "/proc/self/status has no line Threads");
    return (size_t)strtoull(line + strlen("\nThreads:"), NULL, 10);
}

/* ---- Contents ---------------------------------------------------------------------------------------------------- */

size_t random_size(uint64_t *state, size_t limit)
{
    unsigned orders = 64 - (unsigned)__builtin_clzll(limit);
    size_t below = (size_t)1 << (random_next(state) % orders + 1);
    size_t size = below / 2 + random_next(state) % (below / 2 + 1);
    return size < limit ? size : limit;
}

/* Eight bytes of the pattern at a time: a test fills gigabytes. */
static uint64_t pattern_word(uint64_t seed, size_t index)
{
    return (seed + index) * UINT64_C(0x9E3779B97F4A7C15) ^ seed;
}

void pattern_fill(void *block, size_t size, uint64_t seed)
{
    unsigned char *bytes = block;
    for (size_t at = 0; at < size; at += 8) {
        uint64_t word = pattern_word(seed, at);
        memcpy(bytes + at, &word, size - at < 8 ? size - at : 8);
    }
}

size_t pattern_check(const void *block, size_t size, uint64_t seed)
{
    const unsigned char *bytes = block;
    for (size_t at = 0; at < size; at += 8) {
        uint64_t word = pattern_word(seed, at);
        size_t length = size - at < 8 ? size - at : 8;
        if (memcmp(bytes + at, &word, length) != 0) {
            for (size_t i = 0; i < length; i++) {
                if (bytes[at + i] != (unsigned char)(word >> (8 * i))) {
                    return at + i;
                }
            }
        }
    }
    return size;
}

size_t bytes_check(const void *block, size_t size, unsigned char value)
{
    const unsigned char *bytes = block;
    if (size == 0 || (bytes[0] == value && memcmp(bytes, bytes + 1, size - 1) == 0)) {
        return size;
    }
    size_t at = 0;
    while (at < size && bytes[at] == value) {
        at++;
    }
    return at;
}

bool is_fatal_line(const char *seen, const char *expected)
{
    static const char caller[] = "; noticed in a call by ";
    size_t length = strlen(expected) - 1; /* without the line's end */
    if (strncmp(seen, expected, length) != 0) {
        return false;
    }
    const char *rest = seen + length;
    bool is_named = strncmp(rest, caller, strlen(caller)) == 0;
    return strcmp(is_named ? strchr(rest, '\n') ? strchr(rest, '\n') : "" : rest, "\n") == 0;
}
