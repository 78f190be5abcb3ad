/* sites.c - see sites.h.
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "sites.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "names/names.h"
#include "names/symbols.h"

/* ---- The pipe ---------------------------------------------------------------------------------------------------- */

/* Neither end is a standard stream, which may be closed: text for it would go into the pipe. */
static int pipe_make(int ends[2])
{
    int low[2];
    if (pipe2(low, O_CLOEXEC) != 0)
        return -1;
    for (int i = 0; i < 2; i++)
        ends[i] = fcntl(low[i], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    close(low[0]);
    close(low[1]);
    return ends[0] < 0 || ends[1] < 0 ? -1 : 0;
}

int sites_prepare(int *reader, int *writer)
{
    enum { HIGH = 700, LOW = 3 }; /* out of the way of programs that count on low numbers, as far as the limit allows */
    int ends[2];
    char number[16];
    if (pipe_make(ends) != 0)
        return errno;
    *reader = ends[0];
    *writer = -1;
    for (int least = HIGH; *writer < 0 && least >= LOW; least /= 2)
        *writer = fcntl(ends[1], F_DUPFD, least);
    int error = *writer < 0 ? errno : 0;
    close(ends[1]);
    snprintf(number, sizeof number, "%d", *writer);
    if (error == 0 && (setenv("HAKMEM_SITES", "1", 1) != 0 || setenv("HAKMEM_SITES_FD", number, 1) != 0))
        error = errno;
    return error;
}

/* ---- Names ------------------------------------------------------------------------------------------------------- */

/* Of functions that are inlined into each other the first that allocates for its own purposes; else the outermost. */
static const struct symbol *symbol_choose(const struct symbols_place *place)
{
    size_t i = 0;
    while (i + 1 < place->count && (!place->symbol[i].function || name_is_wrapper(place->symbol[i].function)))
        i++;
    return &place->symbol[i];
}

/* Prints "function (file:line)", or "function (module)"; false when no name is known. */
static bool name_print(struct symbols *symbols, const char *path, uint64_t offset)
{
    const struct symbol *symbol = symbol_choose(symbols_find_in_file(symbols, path, offset));
    if (!symbol->function)
        return false;
    if (symbol->file)
        fprintf(stderr, "%s (%s:%u)", symbol->function, path_base(symbol->file), symbol->line);
    else
        fprintf(stderr, "%s (%s)", symbol->function, path_base(path));
    return true;
}

/* Prints a line of the table; what ends in "/file+0xoffset" with a name instead, if there is one. */
static void line_print(struct symbols *symbols, char *line)
{
    char *path = strchr(line, '/'), *plus = path ? strrchr(path, '+') : NULL;
    if (!symbols || !plus || strncmp(plus, "+0x", 3) != 0) {
        fprintf(stderr, "%s\n", line);
        return;
    }
    fprintf(stderr, "%.*s", (int)(path - line), line);
    *plus = '\0';
    if (!name_print(symbols, path, strtoull(plus + 1, NULL, 16)))
        fprintf(stderr, "%s+%s", path, plus + 1);
    fputc('\n', stderr);
}

/* ---- Relaying ---------------------------------------------------------------------------------------------------- */

struct report {
    char *text;
    size_t length, capacity;
};

/* Reads what there is; false at the end of the pipe, or when memory is out. */
static bool report_read(struct report *report, int reader)
{
    if (report->length + 4096 > report->capacity) {
        size_t capacity = report->capacity * 2 + 8192;
        char *text = realloc(report->text, capacity);
        if (!text)
            return false;
        report->text = text;
        report->capacity = capacity;
    }
    ssize_t got = read(reader, report->text + report->length, report->capacity - report->length - 1);
    if (got > 0)
        report->length += (size_t)got;
    return got > 0 || (got < 0 && errno == EINTR);
}

static void report_print(struct report *report)
{
    if (!report->text)
        return;
    struct symbols *symbols = symbols_new(0, 0);
    report->text[report->length] = '\0';
    for (char *line = strtok(report->text, "\n"); line; line = strtok(NULL, "\n"))
        line_print(symbols, line);
    if (symbols)
        symbols_free(symbols);
    free(report->text);
}

int sites_relay(int reader, pid_t child)
{
    enum { LOOK_MILLISECONDS = 20 };
    struct report report = {0};
    struct pollfd wait = {.fd = reader, .events = POLLIN};
    int status = 0;
    bool ended = false, open = true;
    /* A program that this one leaves behind may keep the pipe open: nobody waits for that. */
    while (open || !ended) {
        int ready = open ? poll(&wait, 1, ended ? 0 : LOOK_MILLISECONDS) : 0;
        if (ready > 0)
            open = report_read(&report, reader);
        else if (ended)
            open = false;
        if (!ended)
            ended = waitpid(child, &status, open ? WNOHANG : 0) == child;
    }
    report_print(&report);
    return status;
}
