/* why.c - see why.h.
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "memory/why.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory/bill.h"
#include "memory/fault.h"
#include "read/cgroup.h"
#include "memory/owners.h"
#include "present.h"
#include "read/record.h"
#include "read/source.h"
#include "names/symbols.h"
#include "tool.h"
#include "memory/verdict.h"

static int why_help(void)
{
    puts("usage: hakmem why [--at ADDRESS] PID|RECORD|CORE\n"
         "\n"
         "Says on one screen where the memory of a process is: a bill that adds up to the\n"
         "resident memory that the kernel reports (RSS), what grew since when, the\n"
         "verdict, and what to do about it. The process runs on hakmem and is not\n"
         "disturbed; or it is gone, and left a core file or the file that HAKMEM_RECORD\n"
         "names.\n"
         "\n"
         "Of live blocks, the bill names the three functions that hold most, with their\n"
         "callers. What is not hakmem's are stacks, files that are mapped, shared memory,\n"
         "and what the program or another allocator has mapped.\n"
         "\n"
         "Of a core file that was left because memory was touched that nobody may touch,\n"
         "it is said first whether that was at a guarded block (HAKMEM_GUARD), and where\n"
         "this was allocated, freed, and used. --at asks that of any address, as the\n"
         "kernel's log has it (\"segfault at ...\").\n"
         "\n"
         "A process of your own can be looked at unless kernel.yama.ptrace_scope forbids\n"
         "it; root may look at all.\n"
         "\n"
         "examples:\n"
         "  hakmem why $(pidof redis-server)\n"
         "  HAKMEM_RECORD=/var/tmp/%e.%p.record hakmem run ./server\n"
         "  hakmem why /var/tmp/server.4711.record");
    return finish_output();
}

static void sentence_print(FILE *to, char *text)
{
    if (text)
        text_wrap(to, "", text);
    free(text);
}

enum { SCREEN = 24 }; /* lines */

static size_t lines_count(const char *text)
{
    size_t lines = 0;
    for (; (text = strchr(text, '\n')); text++)
        lines++;
    return lines;
}

enum { BELOW_PEAK = 80 }; /* percent: what is live was more, and its growth since the start tells nothing */

/* What live blocks were before, and at most. */
static void growth_print(FILE *to, const struct facts *facts, const struct record *record)
{
    const struct growth *growth = &facts->growth;
    const struct record_header *header = record_header(record);
    uint64_t now = record_now(record);
    struct amount live = bytes_text(growth->now), peak = bytes_text(facts->bill.peak);
    bool is_below_peak = growth->now < facts->bill.peak / 100 * BELOW_PEAK;
    char *since = growth->before_ago > 0 && !is_below_peak
                      ? text_make("Live blocks grew from %s to %s in the last %s", bytes_text(growth->before).text,
                                  live.text, time_text(growth->before_ago).text)
                      : text_make("Live blocks are %s", live.text);
    char *at = header->peak_at > 0 && header->peak_at < now
                   ? text_make(", %s ago", time_text(now - header->peak_at).text)
                   : text_make("%s", "");
    if (since && at)
        sentence_print(to, text_make("%s%s%s%s.", since, bill_says[BILL_SAYS_PEAK], peak.text, at));
    free(since);
    free(at);
}

/* What is beside the bill: a limit, what others share, what is swapped out; and how far it can be believed. */
static void remarks_print(FILE *to, const struct facts *facts, const struct record *record)
{
    const struct bill *bill = &facts->bill;
    uint64_t limit = facts->runs ? cgroup_limit(record_process(record)) : 0;
    if (limit > 0)
        sentence_print(to, text_make("The limit of its control group is %s.", bytes_text(limit).text));
    if (bill->shared > bill->total / 10)
        sentence_print(to, text_make("Of the resident memory, %s are shared with other processes, and counted in each.",
                                     bytes_text(bill->shared).text));
    if (bill->swapped > bill->total / 100)
        sentence_print(to, text_make("Beside it, %s are swapped out.", bytes_text(bill->swapped).text));
    if (record_is_torn(record))
        sentence_print(to, text_make("The figures were just being written: they are of two moments."));
}

/* The verdicts, first things first, as far as they fit into a screen whose upper `line`s are taken. */
static void verdicts_print(FILE *to, const struct facts *facts, size_t line)
{
    struct verdict verdicts[VERDICTS_MOST];
    size_t count = verdicts_make(facts, verdicts);
    for (size_t i = 0; i < count; i++) {
        char *text = NULL;
        size_t size;
        FILE *part = open_memstream(&text, &size);
        if (!part)
            break;
        fputc('\n', part);
        text_wrap(part, "Verdict: ", verdicts[i].what ? verdicts[i].what : "no memory");
        text_wrap(part, "What to do: ", verdicts[i].advice ? verdicts[i].advice : "no memory");
        fclose(part);
        line += lines_count(text);
        if (i == 0 || line <= SCREEN)
            fputs(text, to);
        free(text);
    }
    verdicts_free(verdicts, count);
}

static struct facts facts_make(const struct record *record)
{
    uint64_t now = record_now(record), taken = record_header(record)->taken_at;
    struct facts facts = {.name = record_name(record),
                          .program = path_base(record_header(record)->program),
                          .runs = record_process(record) != 0};
    facts.idle = facts.runs && taken > 0 && taken < now ? now - taken : 0;
    return facts;
}

/* All of it; false when there is no memory. */
static bool screen_print(const struct facts *facts, const struct record *record)
{
    char *text = NULL;
    size_t size;
    FILE *upper = open_memstream(&text, &size);
    if (!upper)
        return false;
    title_print(upper, record, &facts->bill);
    bill_print(upper, &facts->bill, facts->owners);
    fputc('\n', upper);
    growth_print(upper, facts, record);
    remarks_print(upper, facts, record);
    bool is_made = fclose(upper) == 0;
    if (is_made) {
        fputs(text, stdout);
        verdicts_print(stdout, facts, lines_count(text));
    }
    free(text);
    return is_made;
}

/* What was asked for beside the process. */
struct question {
    bool has_address;
    uint64_t address;
};

/* Of an access that ended the process, or that is asked for. False when that was asked for, and there is nothing. */
static bool access_print(const struct record *record, struct question question)
{
    uint64_t address = question.address;
    bool is_known = question.has_address || record_fault(record, &address);
    bool is_told = is_known && fault_print(stdout, record, address);
    if (is_told)
        fputc('\n', stdout);
    return is_told || !question.has_address;
}

/* They come with the first snapshot; of a process that lives, the kernel has most of them. */
static bool has_sums(const struct record *record)
{
    return record_header(record)->taken_at > 0 || record_process(record) > 0;
}

static int why(const struct record *record, struct question question)
{
    struct owners owners;
    struct facts facts = facts_make(record);
    int status = STATUS_NO;
    if (!access_print(record, question))
        return complain(STATUS_NO, NULL, "0x%" PRIx64 " lies at no guarded block of '%s'", question.address,
                        record_name(record));
    if (!has_sums(record)) {
        sentence_print(
            stdout, text_make("The process ended before it had told its sums; 'hakmem heap %s' shows what samples say.",
                              record_name(record)));
        return finish_output();
    }
    if (bill_read(&facts.bill, &owners, record)) {
        facts.owners = &owners;
        facts.growth = growth_read(record, facts.bill.live);
        status = screen_print(&facts, record) ? finish_output() : complain(STATUS_FAILED, NULL, "no memory");
    }
    owners_free(&owners);
    return status;
}

/* "0x7f...", or without "0x", as the kernel has it. */
static bool address_parse(const char *text, uint64_t *out)
{
    char *end = NULL;
    errno = 0;
    *out = text ? strtoull(text, &end, 16) : 0;
    return text && end != text && *end == '\0' && errno == 0;
}

int command_why(char **arguments)
{
    static const char hint[] = "try 'hakmem why --help'";
    struct question question = {0};
    if (*arguments && (strcmp(*arguments, "--help") == 0 || strcmp(*arguments, "-h") == 0))
        return why_help();
    if (*arguments && strcmp(*arguments, "--at") == 0) {
        question.has_address = address_parse(arguments[1], &question.address);
        if (!question.has_address)
            return complain(STATUS_USAGE, hint, "why: --at takes an address, in hexadecimal digits");
        arguments += 2;
    }
    if (*arguments && strcmp(*arguments, "--") == 0)
        arguments++;
    else if (*arguments && (*arguments)[0] == '-')
        return complain(STATUS_USAGE, hint, "why: no option '%s'", *arguments);
    if (!*arguments || arguments[1])
        return complain(STATUS_USAGE, hint, "why: one process, record or core file is to be given");
    struct record *record = record_open(*arguments);
    int status = record ? why(record, question) : STATUS_NO;
    record_close(record);
    return status;
}
