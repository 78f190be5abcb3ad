/* trim.c - see trim.h. The request is a number in the process's record (struct record_requests), which one of the
 * process's threads finds when it next looks at the clock in a slow path, and answers. Nothing else of the process is
 * touched.
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "memory/trim.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "names/symbols.h"
#include "present.h"
#include "read/processes.h"
#include "read/record.h"
#include "read/source.h"
#include "tool.h"

struct wish {
    double wait; /* seconds */
    const char *what;
};

static const char hint[] = "try 'hakmem trim --help'";

static int trim_help(void)
{
    puts("usage: hakmem trim [--wait SECONDS] PID\n"
         "\n"
         "Has a process that runs on hakmem give back to the system what is free, as if it\n"
         "called malloc_trim(0). No signal is sent to it and no thread started in it: the\n"
         "request is written into its record, and one of its threads finds it there when\n"
         "it next has more to do than its own free blocks can serve.\n"
         "\n"
         "A process that is idle does not get to it; the request stays, and is done when\n"
         "it goes on. What threads keep for themselves each gives back at its own next\n"
         "such call: that of idle threads stays where it is.\n"
         "\n"
         "options:\n"
         "  --wait SECONDS  wait so long for the answer, 5 if it is not given; 0: not at\n"
         "                  all\n"
         "  -h, --help      show this text\n"
         "\n"
         "exit status:\n"
         "  0 when it was done, or with --wait 0 asked for; else 1\n"
         "\n"
         "examples:\n"
         "  hakmem trim $(pidof redis-server)");
    return finish_output();
}

/* ---- Asking and waiting ------------------------------------------------------------------------------------------ */

enum answer { ANSWER_NONE, ANSWER_GIVEN, ANSWER_GONE };

/* Until the request, or a later one, is done, or the time is up. */
static enum answer answer_await(const struct record *record, uint64_t number, double wait,
                                struct record_requests *answer)
{
    const struct timespec pause = {.tv_nsec = 20 * 1000000};
    uint64_t end = record_clock() + (uint64_t)(wait * 1000);
    for (; record_requests(record, answer); nanosleep(&pause, NULL)) {
        if (answer->trimmed >= number)
            return ANSWER_GIVEN;
        if (record_clock() >= end)
            return ANSWER_NONE;
    }
    return ANSWER_GONE;
}

/* ---- Telling ----------------------------------------------------------------------------------------------------- */

static void sentence_print(char *text)
{
    if (text)
        text_wrap(stdout, "", text);
    free(text);
}

/* What is in the way of more. */
static void rest_print(const struct record *record)
{
    uint64_t threads = record_value(record, "threads"), rings = record_value(record, "bytes.ring");
    if (threads > 1)
        sentence_print(text_make("It has %llu threads, which had %s of free blocks for themselves when this was asked. "
                                 "Each gives its own back when it next needs more; idle ones keep theirs.",
                                 (unsigned long long)threads, bytes_text(rings).text));
}

static int done_tell(const struct record *record, const struct record_requests *answer, uint64_t before)
{
    int process = (int)record_process(record);
    uint64_t after = process_resident(process);
    sentence_print(text_make("%s, process %d: %s of free memory went back; %s resident before, %s after.",
                             path_base(record_header(record)->program), process, bytes_text(answer->given).text,
                             bytes_text(before).text, bytes_text(after).text));
    rest_print(record);
    return finish_output();
}

static int trim_do(const struct record *record, double wait)
{
    int process = (int)record_process(record);
    uint64_t number, before = process_resident(process);
    int error = record_ask_trim(record, &number);
    if (error)
        return record_ask_refuse(record, error);
    struct record_requests answer;
    enum answer given = wait > 0 ? answer_await(record, number, wait, &answer) : ANSWER_NONE;
    if (given == ANSWER_GIVEN)
        return done_tell(record, &answer, before);
    if (given == ANSWER_GONE)
        return complain(STATUS_NO, NULL, "process %d has ended before it got to it", process);
    if (wait > 0)
        return complain(STATUS_NO, "the request stays, and is done when the process goes on",
                        "process %d has not got to it in %g s: it is idle, or its threads have all that they ask for",
                        process, wait);
    sentence_print(text_make("Process %d was asked.", process));
    return finish_output();
}

static int trim_process(const struct wish *wish)
{
    struct record *record = record_open(wish->what);
    bool can = record && record_can_ask(record, "give memory back");
    int status = can ? trim_do(record, wish->wait) : STATUS_NO;
    record_close(record);
    return status;
}

/* ---- The command ------------------------------------------------------------------------------------------------- */

/* Takes the argument at the head of *arguments and moves past it; a status. */
static int argument_take(struct wish *wish, char ***arguments)
{
    char *argument = *(*arguments)++, *end;
    if (strcmp(argument, "--wait") == 0) {
        wish->wait = **arguments && ***arguments ? strtod(**arguments, &end) : -1;
        if (!(wish->wait >= 0 && wish->wait <= 1e6) || *end != '\0')
            return complain(STATUS_USAGE, hint, "trim: --wait takes seconds");
        ++*arguments;
    } else if (argument[0] == '-') {
        return complain(STATUS_USAGE, hint, "trim: no option '%s'", argument);
    } else if (wish->what) {
        return complain(STATUS_USAGE, hint, "trim: one process at a time");
    } else {
        wish->what = argument;
    }
    return 0;
}

int command_trim(char **arguments)
{
    struct wish wish = {.wait = 5};
    while (*arguments) {
        if (strcmp(*arguments, "--help") == 0 || strcmp(*arguments, "-h") == 0)
            return trim_help();
        int status = argument_take(&wish, &arguments);
        if (status != 0)
            return status;
    }
    return wish.what ? trim_process(&wish) : complain(STATUS_USAGE, hint, "trim: no process given");
}
