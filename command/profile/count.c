/* count.c - see count.h. The request is a time in the process's record (struct record_requests), until which its
 * threads count; each sees it when it next looks at the clock in a slow path.
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "profile/count.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "read/record.h"
#include "tool.h"

static volatile sig_atomic_t is_ended; /* by Ctrl-C */

static void end_note(int number)
{
    (void)number;
    is_ended = 1;
}

static void wait_for(double seconds)
{
    struct timespec left = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    struct sigaction before;
    is_ended = 0;
    sigaction(SIGINT, &(struct sigaction){.sa_handler = end_note}, &before);
    while (!is_ended && nanosleep(&left, &left) != 0 && errno == EINTR)
        continue;
    sigaction(SIGINT, &before, NULL);
}

static bool ask_refuse(const struct record *record, int error)
{
    int process = (int)record_process(record);
    if (error == ESRCH)
        complain(0, NULL, "process %d has ended, or has become another program", process);
    else
        complain(0, "who may trace a process may write to its memory, unless the kernel forbids that to all",
                 "process %d cannot be asked: %s", process, strerror(error));
    return false;
}

/* When counting is to end by itself, if nobody ends it. */
static uint64_t end_of(const struct record *record, double seconds)
{
    enum { SPARE_MILLISECONDS = 1000 };
    return record_now(record) + (uint64_t)(seconds * 1000) + SPARE_MILLISECONDS;
}

/* Whether the process counts from now on, for so long. */
static bool counting_begin(const struct record *record, double seconds)
{
    struct record_requests requests;
    if (record_process(record) == 0) {
        complain(0, NULL, "'%s' is what a process has left: only one that runs can count", record_name(record));
        return false;
    }
    if (!record_requests(record, &requests))
        return ask_refuse(record, ESRCH);
    uint64_t until = end_of(record, seconds);
    int error = until > requests.count_until ? record_ask_count(record, until) : 0;
    return error == 0 || ask_refuse(record, error);
}

/* Not at once for somebody who has asked for longer. */
static void counting_end(const struct record *record, double seconds)
{
    struct record_requests requests;
    if (record_requests(record, &requests) && requests.count_until <= end_of(record, seconds))
        record_ask_count(record, 1);
}

static bool is_same(const struct record *before, const struct record *after)
{
    return record_process(before) == record_process(after) &&
           record_header(before)->began_monotonic == record_header(after)->began_monotonic;
}

/* What was allocated from the one to the other. */
static struct profile *profile_between(const struct record *before, const struct record *after)
{
    int process = (int)record_process(before);
    if (!is_same(before, after)) {
        complain(0, NULL, "process %d has become another program meanwhile", process);
        return NULL;
    }
    struct profile *profile = profile_of_record(after, before);
    if (!profile)
        complain(0, NULL, "no memory for the profile of process %d", process);
    else if (profile->counted == 0)
        complain(0, "what a thread has at hand for all that it asks for only HAKMEM_ALLOCATED=1, from its start, counts",
                 "process %d has not got to it: it is idle, or its threads have all that they ask for", process);
    else
        return profile;
    profile_free(profile);
    return NULL;
}

struct profile *count_process(const char *what, double seconds)
{
    struct record *before = record_open(what), *after = NULL;
    struct profile *profile = NULL;
    if (before && counting_begin(before, seconds)) {
        wait_for(seconds);
        after = record_open(what);
        counting_end(before, seconds);
    }
    if (after)
        profile = profile_between(before, after);
    record_close(after);
    record_close(before);
    return profile;
}
