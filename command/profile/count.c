/* count.c - see count.h. The request is a time in the process's record (struct record_requests), until which its
 * threads count; each sees it when it next looks at the clock in a slow path. It is renewed as long as somebody waits
 * here, so that a process does not go on counting for nobody.
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "profile/count.h"

#include <signal.h>
#include <stdbool.h>
#include <time.h>

#include "read/record.h"
#include "tool.h"

enum { LOOK_MILLISECONDS = 1000, LEASE_MILLISECONDS = 3 * LOOK_MILLISECONDS };

/* From now on for so long, unless somebody has asked for longer than a lease. 0 or an errno value. */
static int lease_set(const struct record *record, uint64_t milliseconds)
{
    struct record_requests requests;
    uint64_t now = record_clock();
    bool is_others = record_requests(record, &requests) && requests.count_until > now + LEASE_MILLISECONDS;
    return is_others ? 0 : record_ask_count(record, now + milliseconds);
}

/* Until the time is up, Ctrl-C, or the process cannot be asked any more; SIGINT is blocked. Somebody else who waits,
 * too, renews what ends here. */
static void counting_keep(const struct record *record, const sigset_t *interrupt, double seconds)
{
    uint64_t end = record_clock() + (uint64_t)(seconds * 1000);
    for (uint64_t now; (now = record_clock()) < end && lease_set(record, LEASE_MILLISECONDS) == 0;) {
        uint64_t left = end - now < LOOK_MILLISECONDS ? end - now : LOOK_MILLISECONDS;
        const struct timespec wait = {.tv_sec = (time_t)(left / 1000), .tv_nsec = (long)(left % 1000) * 1000000};
        if (sigtimedwait(interrupt, NULL, &wait) == SIGINT)
            break;
    }
    lease_set(record, 0);
}

/* What was allocated from the one to the other. */
static struct profile *profile_between(const struct record *before, const struct record *after)
{
    int process = (int)record_process(before);
    if (!record_is_same(before, after)) {
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

static struct profile *record_count(const struct record *before, const char *what, double seconds)
{
    sigset_t interrupt, usual;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    sigprocmask(SIG_BLOCK, &interrupt, &usual); /* before anything is asked for */
    int error = lease_set(before, LEASE_MILLISECONDS);
    if (error == 0)
        counting_keep(before, &interrupt, seconds);
    sigprocmask(SIG_SETMASK, &usual, NULL);
    if (error != 0) {
        record_ask_refuse(before, error);
        return NULL;
    }
    struct record *after = record_open(what);
    struct profile *profile = after ? profile_between(before, after) : NULL;
    record_close(after);
    return profile;
}

struct profile *count_process(const char *what, double seconds)
{
    struct record *before = record_open(what);
    bool can = before && record_can_ask(before, "count");
    struct profile *profile = can ? record_count(before, what, seconds) : NULL;
    record_close(before);
    return profile;
}
