/* cases.c - each case in a process of its own, and what it sends to the one that prints: records, by a pipe that is its
 * standard output.
 *
 * No process survives the one that started it: the kernel ends it by SIGKILL (process_tie), also when that was itself
 * killed or interrupted. So nobody here handles a signal.
 * SPDX-License-Identifier: MIT */
#include "scale.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* After which a case is taken to hang. */
enum { CASE_SECONDS = 1200, CASE_SECONDS_TINY = 60 };

/* ---- In the case's process --------------------------------------------------------------------------------------- */

static char name[LABEL_SIZE];

static void record_send(enum record_kind kind, const double *values, const char *text)
{
    struct record record = {.kind = kind};
    memcpy(record.label, name, sizeof name);
    for (unsigned i = 0; i < COLUMNS; i++)
        record.values[i] = values == NULL ? NAN : values[i];
    snprintf(record.text, sizeof record.text, "%s", text);
    if (write(STDOUT_FILENO, &record, sizeof record) != sizeof record)
        _exit(1);
}

static void text_send(enum record_kind kind, const char *format, va_list arguments)
{
    char text[TEXT_SIZE];
    vsnprintf(text, sizeof text, format, arguments);
    record_send(kind, NULL, text);
}

void case_name(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    record_send(RECORD_NAME, NULL, "");
}

void case_row(const double *values) { record_send(RECORD_ROW, values, ""); }

void case_skip(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    text_send(RECORD_SKIP, format, arguments);
    va_end(arguments);
}

void case_note(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    text_send(RECORD_NOTE, format, arguments);
    va_end(arguments);
}

void case_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    text_send(RECORD_FAILURE, format, arguments);
    va_end(arguments);
    _exit(0);
}

void case_fail_errno(const char *what, int error) { case_fail("%s: %s", what, strerror(error)); }

/* Rather this one than any other process of the machine. */
static void memory_end_first(void)
{
    int file = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (file >= 0 && write(file, "1000", 4) < 0)
        perror("hakmem-scale: oom_score_adj");
    if (file >= 0)
        close(file);
}

void case_main(const struct measurement *measurement, unsigned number)
{
    alarm(options.scale == SCALE_TINY ? CASE_SECONDS_TINY : CASE_SECONDS);
    memory_end_first();
    clock_prepare();
    measurement->run(number);
    _exit(0);
}

void process_tie(int parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
}

/* ---- In the first process ---------------------------------------------------------------------------------------- */

/* The program itself, told which case it is before all that it was told anyway. */
static void case_exec(const struct measurement *measurement, unsigned number, char **arguments)
{
    char number_text[16];
    size_t count = 0;
    snprintf(number_text, sizeof number_text, "%u", number);
    while (arguments[count] != NULL)
        count++;
    const char **all = calloc(count + 4, sizeof *all);
    if (all == NULL)
        _exit(1);
    all[0] = arguments[0];
    all[1] = "--case";
    all[2] = measurement->name;
    all[3] = number_text;
    memcpy(all + 4, arguments + 1, (count - 1) * sizeof *all);
    execv("/proc/self/exe", (char **)all);
    perror("hakmem-scale: /proc/self/exe");
    _exit(1);
}

static pid_t case_spawn(const struct measurement *measurement, unsigned number, char **arguments, int *from)
{
    int ends[2];
    pid_t parent = getpid();
    pid_t child = pipe2(ends, O_CLOEXEC) != 0 ? -1 : fork();
    if (child < 0) {
        perror("hakmem-scale: a process cannot be started");
        exit(1);
    }
    if (child == 0) {
        process_tie(parent);
        dup2(ends[1], STDOUT_FILENO);
        case_exec(measurement, number, arguments);
    }
    close(ends[1]);
    *from = ends[0];
    return child;
}

static bool record_receive(int from, struct record *record)
{
    size_t done = 0;
    while (done < sizeof *record) {
        ssize_t length = read(from, (char *)record + done, sizeof *record - done);
        if (length < 0 && errno == EINTR)
            continue;
        if (length <= 0)
            return false;
        done += (size_t)length;
    }
    return true;
}

/* What the end of a case is to be told as; false: it ended as it should. */
static bool end_describe(int status, char *text)
{
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        snprintf(text, TEXT_SIZE, "hangs: it did not end in %d s",
                 options.scale == SCALE_TINY ? CASE_SECONDS_TINY : CASE_SECONDS);
    else if (WIFSIGNALED(status))
        snprintf(text, TEXT_SIZE, "ended by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) != 0)
        snprintf(text, TEXT_SIZE, "ended with status %d", WEXITSTATUS(status));
    else
        return false;
    return true;
}

void case_start(const struct measurement *measurement, unsigned number, char **arguments,
                void (*take)(const struct record *))
{
    int from, status = 0;
    struct record record, end = {.kind = RECORD_FAILURE};
    pid_t child = case_spawn(measurement, number, arguments, &from);
    snprintf(end.label, sizeof end.label, "case %u", number + 1);
    while (record_receive(from, &record)) {
        memcpy(end.label, record.label, sizeof end.label);
        take(&record);
    }
    close(from);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    if (end_describe(status, end.text))
        take(&end);
}
