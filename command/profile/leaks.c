/* leaks.c - hakmem leaks: what grows and does not end, by stack.
 *
 * From one look at the samples of live blocks, each of which knows when it was born, and at what has ended of each
 * stack. The time since the record began is divided into eight parts. A stack is a suspect when
 *
 *   1. there is evidence: at least 8 samples of it are live;
 *   2. it goes on: they were born in 5 parts or more, and one of these is among the last two. So what a program builds
 *      at its start, and a cache that is full and has been for a while, is none;
 *   3. it does not end: at most a tenth of all that was allocated there has ended, or the live ones are, in the mean,
 *      four times as old as those that have ended became. So a cache that replaces its entries is none, while a place
 *      that loses one block in ten is one.
 *
 * A cache that is still being filled looks the same as a leak from outside; its owner knows. Growth is what was born
 * in the later half of the time and lives.
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "profile/heap.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "names/debuginfo.h"
#include "present.h"
#include "profile/profile.h"
#include "tool.h"

enum { PARTS = 8, PARTS_LEAST = 5, SAMPLES_LEAST = 8, ENDED_SHARE = 10, AGE_TIMES = 4, EARLY_MS = 60000 };

/* What is known of a stack. */
struct suspect {
    const struct profile_stack *stack;
    uint64_t samples, live, ended, life;
    uint64_t grown;    /* bytes born in the later half */
    double age;        /* of live bytes: bytes times milliseconds */
    uint64_t oldest;   /* milliseconds ago */
    unsigned parts;    /* a bit for each part of the time in which one was born; bit 0: the first */
};

/* ---- The rules --------------------------------------------------------------------------------------------------- */

static void sample_count(struct suspect *suspect, const struct record_sample *sample, uint64_t began, uint64_t now)
{
    uint64_t born = sample->born < began ? began : sample->born > now ? now : sample->born;
    uint64_t duration = now > began ? now - began : 1;
    unsigned part = (unsigned)((born - began) * PARTS / duration);
    suspect->samples++;
    suspect->live += sample->bytes;
    suspect->parts |= 1U << (part < PARTS ? part : PARTS - 1);
    suspect->grown += part >= PARTS / 2 ? sample->bytes : 0;
    suspect->age += (double)sample->bytes * (double)(now - born);
    if (now - born > suspect->oldest)
        suspect->oldest = now - born;
}

static bool goes_on(const struct suspect *suspect)
{
    return __builtin_popcount(suspect->parts) >= PARTS_LEAST && suspect->parts >> (PARTS - 2) != 0;
}

/* Lifetimes are in MiB times milliseconds. */
static bool does_not_end(const struct suspect *suspect)
{
    if (suspect->ended <= (suspect->ended + suspect->live) / ENDED_SHARE)
        return true;
    double ended_life = (double)suspect->life * (1 << 20) / (double)suspect->ended;
    return suspect->age / (double)suspect->live >= AGE_TIMES * ended_life;
}

static bool is_leak(const struct suspect *suspect)
{
    return suspect->samples >= SAMPLES_LEAST && goes_on(suspect) && does_not_end(suspect);
}

/* ---- All stacks -------------------------------------------------------------------------------------------------- */

/* The suspects of a record, by the numbers of their stacks; NULL when memory is out. */
static struct suspect *suspects_count(const struct record *record, uint64_t now)
{
    const struct record_sample *samples;
    size_t count = record_samples(record, &samples);
    struct suspect *suspects = calloc((size_t)record_stacks(record) + 1, sizeof *suspects);
    for (size_t i = 0; suspects && i < count; i++)
        sample_count(&suspects[samples[i].stack], &samples[i], record_header(record)->began_monotonic, now);
    for (uint32_t i = 0; suspects && i < record_stacks(record); i++) {
        const struct record_stack *stack = record_stack(record, i);
        suspects[i].ended = stack ? stack->ended : 0;
        suspects[i].life = stack ? stack->life : 0;
    }
    return suspects;
}

static int suspect_compare(const void *a, const void *b)
{
    const struct suspect *one = a, *other = b;
    if (one->live != other->live)
        return one->live > other->live ? -1 : 1;
    return one->stack->number < other->stack->number ? -1 : 1;
}

/* Moves what the rules choose to the beginning, with its stack; how many. Stack 0 is what could not be told apart. */
static size_t suspects_choose(struct suspect *suspects, const struct profile *profile)
{
    size_t kept = 0;
    for (size_t i = 0; i < profile->stack_count; i++) { /* by their numbers: none is overwritten before its turn */
        struct suspect suspect = suspects[profile->stacks[i].number];
        suspect.stack = &profile->stacks[i];
        if (profile->stacks[i].number > 0 && is_leak(&suspect))
            suspects[kept++] = suspect;
    }
    if (kept > 0)
        qsort(suspects, kept, sizeof *suspects, suspect_compare);
    return kept;
}

/* ---- Words ------------------------------------------------------------------------------------------------------- */

static void head_print(const struct profile *profile, size_t count)
{
    printf("leaks of %s, after %s, by %" PRIu64 " samples\n\n", profile_title(profile).text,
           time_text(profile->duration).text, profile->samples);
    if (count == 0)
        puts("Of no stack it is sure that it grows without an end.");
    else
        printf("%11s  %11s  %11s  %6s  %s\n", "live", "growth/h", "oldest", "ended", "function < who called it");
}

static void suspect_print(const struct profile *profile, const struct suspect *suspect, size_t width)
{
    enum { BEFORE = 47, WAY_LEAST = 20 }; /* columns */
    double hours = (double)profile->duration / 2 / 3600000;
    uint64_t all = suspect->ended + suspect->live;
    printf("%11s  %11s  %11s  %4.0f %%  ", bytes_text(suspect->live).text,
           bytes_text(hours > 0 ? (uint64_t)((double)suspect->grown / hours) : 0).text,
           time_text(suspect->oldest).text, 100 * (double)suspect->ended / (double)all);
    size_t room = width > BEFORE + WAY_LEAST ? width - BEFORE : WAY_LEAST;
    profile_print_way(profile, suspect->stack, SIZE_MAX, room, stdout);
}

static int leaks_help(void)
{
    puts("usage: hakmem leaks PID|RECORD|CORE\n"
         "\n"
         "Shows what grows and does not end in a process that runs on hakmem: stacks of\n"
         "which blocks were allocated all the time, up to now, and live, while nearly none\n"
         "was freed, or those that were freed lived shortly.\n"
         "\n"
         "columns: bytes live; growth in an hour, by the later half of the time; the age\n"
         "of the oldest block; how much of all that was allocated there has ended; the\n"
         "function that wants the memory, and its callers. A cache that is still being\n"
         "filled looks the same.\n"
         "\n"
         "examples:\n"
         "  hakmem leaks 4711\n"
         "  hakmem leaks /var/tmp/server.record");
    return finish_output();
}

static int leaks_show(const struct record *record)
{
    struct profile *profile = profile_of_record(record, NULL);
    struct suspect *suspects = profile ? suspects_count(record, record_now(record)) : NULL;
    if (!suspects) {
        profile_free(profile);
        return complain(STATUS_FAILED, NULL, "no memory for the samples of '%s'", record_name(record));
    }
    size_t count = suspects_choose(suspects, profile);
    head_print(profile, count);
    for (size_t i = 0; i < count; i++)
        suspect_print(profile, &suspects[i], output_width());
    if (profile->duration < EARLY_MS)
        puts("\nIt is early: what is still being filled looks like a leak.");
    free(suspects);
    profile_free(profile);
    return finish_output();
}

int command_leaks(char **arguments)
{
    static const char hint[] = "try 'hakmem leaks --help'";
    if (*arguments && (strcmp(*arguments, "--help") == 0 || strcmp(*arguments, "-h") == 0))
        return leaks_help();
    if (*arguments && strcmp(*arguments, "--") == 0)
        arguments++;
    else if (*arguments && **arguments == '-')
        return complain(STATUS_USAGE, hint, "leaks: no option '%s'", *arguments);
    if (!*arguments || arguments[1])
        return complain(STATUS_USAGE, hint, "leaks: takes one process, record or core file");
    struct record *record = record_open(*arguments);
    if (!record)
        return STATUS_NO;
    if (debuginfo_obstacle())
        complain(0, NULL, "%s", debuginfo_obstacle());
    int status = leaks_show(record);
    record_close(record);
    return status;
}
