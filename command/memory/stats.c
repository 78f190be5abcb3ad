/* stats.c - see stats.h.
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "memory/stats.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "read/cgroup.h"
#include "profile/json.h"
#include "present.h"
#include "names/symbols.h"
#include "tool.h"

enum form { FORM_TEXT, FORM_JSON, FORM_METRICS };

struct wish {
    enum form form;
    bool all;
    bool has_options; /* none behind "--" */
    double every;     /* seconds; 0: once */
    const char *what;
};

static int stats_help(void)
{
    puts("usage: hakmem stats [OPTION...] PID|RECORD|CORE\n"
         "\n"
         "Shows the memory of a process that runs on hakmem, by what it is used for: a\n"
         "bill that adds up to the resident memory that the kernel reports. The process is\n"
         "not disturbed; or it is gone, and left a core file or the file that\n"
         "HAKMEM_RECORD names.\n"
         "\n"
         "options:\n"
         "  --all            then every statistic\n"
         "  --json           everything, as a JSON object in one line\n"
         "  --openmetrics    everything, as OpenMetrics has it (Prometheus)\n"
         "  --watch SECONDS  again and again\n"
         "  -h, --help       show this text\n"
         "\n"
         "examples:\n"
         "  hakmem stats $(pidof redis-server)\n"
         "  hakmem stats --json --watch 10 4711 | jq .bill.live");
    return finish_output();
}

/* ---- For people -------------------------------------------------------------------------------------------------- */

/* What this version knows. */
static const struct known {
    const char *name, *unit, *doc;
} known[] = {
#define X(field, name, unit, doc) {name, unit, doc},
#include "insight/stats.def"
#undef X
};
enum { KNOWN = sizeof known / sizeof known[0] };

static const char *statistic_doc(const char *name)
{
    for (size_t i = 0; i < KNOWN; i++)
        if (strcmp(known[i].name, name) == 0)
            return known[i].doc;
    return "";
}

static void statistics_print(const struct record *record)
{
    const struct record_statistic *statistics;
    size_t count = record_statistics(record, &statistics);
    putchar('\n');
    for (size_t i = 0; i < count; i++) {
        char value[24];
        if (statistics[i].is_bytes)
            snprintf(value, sizeof value, "%s", bytes_text(statistics[i].value).text);
        else
            snprintf(value, sizeof value, "%llu", (unsigned long long)statistics[i].value);
        text_wrap_behind(stdout, statistic_doc(statistics[i].name), "  %-16s %12s  ", statistics[i].name, value);
    }
}

/* Those that have something, or had. */
static void heaps_print(const struct record *record)
{
    const struct record_heap *heaps;
    size_t count = record_heaps(record, &heaps);
    if (count > 0)
        puts("\n       live   blocks        peak       limit  refused  heap by name");
    for (size_t i = 0; i < count; i++)
        printf("%11s %8llu %11s %11s %8llu  %s\n", bytes_text(heaps[i].live).text, (unsigned long long)heaps[i].blocks,
               bytes_text(heaps[i].peak).text, heaps[i].limit ? bytes_text(heaps[i].limit).text : "none",
               (unsigned long long)heaps[i].refused, heaps[i].name);
}

static void people_print(const struct measured *measured, bool all)
{
    title_print(stdout, measured->record, &measured->bill);
    bill_print(stdout, &measured->bill, NULL);
    heaps_print(measured->record);
    if (all)
        statistics_print(measured->record);
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static const char *state_name(const struct record *record)
{
    if (record_process(record) != 0)
        return "running";
    return record_header(record)->state == RECORD_ENDED ? "ended" : "not ended";
}

static void json_heaps(const struct record *record)
{
    const struct record_heap *heaps;
    size_t count = record_heaps(record, &heaps);
    fputs(",\"heaps\":[", stdout);
    for (size_t i = 0; i < count; i++) {
        fputs(i == 0 ? "{\"name\":" : ",{\"name\":", stdout);
        json_write_text(heaps[i].name, stdout);
        printf(",\"live\":%llu,\"blocks\":%llu,\"peak\":%llu,\"limit\":%llu,\"held\":%llu,\"refused\":%llu}",
               (unsigned long long)heaps[i].live, (unsigned long long)heaps[i].blocks,
               (unsigned long long)heaps[i].peak, (unsigned long long)heaps[i].limit, (unsigned long long)heaps[i].held,
               (unsigned long long)heaps[i].refused);
    }
    putchar(']');
}

static void json_print(const struct measured *measured)
{
    const struct record *record = measured->record;
    const struct record_header *header = record_header(record);
    const struct bill *bill = &measured->bill;
    const struct record_statistic *statistics;
    size_t count = record_statistics(record, &statistics);
    pid_t process = record_process(record);
    fputs("{\"program\":", stdout);
    json_write_text(header->program, stdout);
    printf(",\"process\":%u,\"state\":\"%s\",\"version\":", process != 0 ? (unsigned)process : header->process,
           state_name(record));
    json_write_text(header->library, stdout);
    printf(",\"milliseconds\":%llu,\"resident\":%llu,\"live\":%llu,\"peak\":%llu,\"peak_resident\":%llu,"
           "\"shared\":%llu,\"swapped\":%llu,\"limit\":%llu",
           (unsigned long long)record_lasted(record), (unsigned long long)bill->total, (unsigned long long)bill->live,
           (unsigned long long)bill->peak, (unsigned long long)bill->peak_total, (unsigned long long)bill->shared,
           (unsigned long long)bill->swapped,
           (unsigned long long)(process != 0 ? cgroup_limit(process) : 0));
    for (int i = 0; i < BILL_ITEMS; i++)
        printf("%s\"%s\":%llu", i == 0 ? ",\"bill\":{" : ",", bill_names[i], (unsigned long long)bill->item[i]);
    fputs("},\"statistics\":{", stdout);
    for (size_t i = 0; i < count; i++)
        printf("%s\"%s\":%llu", i == 0 ? "" : ",", statistics[i].name, (unsigned long long)statistics[i].value);
    putchar('}');
    json_heaps(record);
    puts("}");
}

/* ---- OpenMetrics ------------------------------------------------------------------------------------------------- */

static void family_print(FILE *to, const char *name, const char *type, const char *unit, const char *doc)
{
    fprintf(to, "# TYPE %s %s\n", name, type);
    if (unit)
        fprintf(to, "# UNIT %s %s\n", name, unit);
    if (*doc)
        fprintf(to, "# HELP %s %s\n", name, doc);
}

/* A label's value: UTF-8 without control characters, as all that comes out of a record. */
static void label_print(FILE *to, const char *text)
{
    fputc('"', to);
    for (; *text; text++)
        fprintf(to, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
    fputc('"', to);
}

static void sample_print(FILE *to, const char *name, const char *suffix, const struct record *record,
                         const char *label, const char *item, uint64_t value)
{
    const struct record_header *header = record_header(record);
    pid_t process = record_process(record);
    fprintf(to, "%s%s{process=\"%u\",program=", name, suffix, process != 0 ? (unsigned)process : header->process);
    label_print(to, path_base(header->program));
    if (item) {
        fprintf(to, ",%s=", label);
        label_print(to, item);
    }
    fprintf(to, "} %llu\n", (unsigned long long)value);
}

/* What only grows: names that begin so. */
static bool is_counter(const char *name)
{
    static const char *const counters[] = {"malloc.",      "free.",       "flush",         "purged",
                                           "limit.purged", "limit.nears", "limit.refusals"};
    for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++)
        if (strncmp(name, counters[i], strlen(counters[i])) == 0)
            return true;
    return false;
}

/* "bytes.free_dirty" is hakmem_free_dirty_bytes. */
static void metric_name(char *text, size_t size, const struct known *statistic, bool is_bytes)
{
    const char *name = strncmp(statistic->name, "bytes.", 6) == 0 ? statistic->name + 6 : statistic->name;
    snprintf(text, size, "hakmem_%s%s", name, is_bytes ? "_bytes" : "");
    for (char *dot; (dot = strchr(text, '.'));)
        *dot = '_';
}

/* The family of a statistic: a sample of each record that has it. */
static void statistic_print(FILE *to, const struct measured *measured, size_t count, const struct known *statistic)
{
    char name[96];
    bool counts = is_counter(statistic->name), is_bytes = strcmp(statistic->unit, "bytes") == 0;
    metric_name(name, sizeof name, statistic, is_bytes);
    family_print(to, name, counts ? "counter" : "gauge", is_bytes ? "bytes" : NULL, statistic->doc);
    for (size_t i = 0; i < count; i++) {
        const struct record_statistic *found = record_statistic(measured[i].record, statistic->name);
        if (found)
            sample_print(to, name, counts ? "_total" : "", measured[i].record, NULL, NULL, found->value);
    }
}

/* What there is of each heap by name. */
static const struct heap_value {
    const char *name, *type, *suffix, *unit, *doc;
    size_t offset;
} heap_values[] = {
    {"hakmem_heap_live_bytes", "gauge", "", "bytes", "blocks of heaps by name", offsetof(struct record_heap, live)},
    {"hakmem_heap_peak_bytes", "gauge", "", "bytes", "the most that each had", offsetof(struct record_heap, peak)},
    {"hakmem_heap_limit_bytes", "gauge", "", "bytes", "what each may have; 0: any",
     offsetof(struct record_heap, limit)},
    {"hakmem_heap_blocks", "gauge", "", NULL, "blocks of heaps by name", offsetof(struct record_heap, blocks)},
    {"hakmem_heap_refused", "counter", "_total", NULL, "requests that a limit refused",
     offsetof(struct record_heap, refused)},
};

static uint64_t heap_value(const struct record_heap *heap, size_t offset)
{
    uint64_t value;
    memcpy(&value, (const char *)heap + offset, sizeof value);
    return value;
}

/* The value of each of the record's heaps: of those with one name, which would be the same to whoever reads this, the
 * sum. */
static void heap_value_print(FILE *to, const struct record *record, const struct heap_value *value)
{
    const struct record_heap *heaps;
    size_t count = record_heaps(record, &heaps);
    for (size_t i = 0; i < count; i++) {
        uint64_t sum = 0;
        bool is_first = true;
        for (size_t j = 0; j < count; j++)
            if (strcmp(heaps[j].name, heaps[i].name) == 0) {
                is_first = is_first && j >= i;
                sum += heap_value(&heaps[j], value->offset);
            }
        if (is_first)
            sample_print(to, value->name, value->suffix, record, "heap", heaps[i].name, sum);
    }
}

/* No family where nobody has heaps. */
static void heaps_metrics(FILE *to, const struct measured *measured, size_t count)
{
    const struct record_heap *heaps;
    size_t all = 0;
    for (size_t i = 0; i < count; i++)
        all += record_heaps(measured[i].record, &heaps);
    for (size_t k = 0; all > 0 && k < sizeof heap_values / sizeof heap_values[0]; k++) {
        family_print(to, heap_values[k].name, heap_values[k].type, heap_values[k].unit, heap_values[k].doc);
        for (size_t i = 0; i < count; i++)
            heap_value_print(to, measured[i].record, &heap_values[k]);
    }
}

static void bills_print(FILE *to, const struct measured *measured, size_t count)
{
    family_print(to, "hakmem_resident_bytes", "gauge", "bytes",
                 "resident memory of the process, by what it is used for");
    for (size_t i = 0; i < count; i++)
        for (int item = 0; item < BILL_ITEMS; item++)
            sample_print(to, "hakmem_resident_bytes", "", measured[i].record, "item", bill_names[item],
                         measured[i].bill.item[item]);
    family_print(to, "hakmem_hand_bytes", "gauge", "bytes", "bytes in the program's hands, resident or not");
    for (size_t i = 0; i < count; i++)
        sample_print(to, "hakmem_hand_bytes", "", measured[i].record, NULL, NULL, measured[i].bill.live);
    family_print(to, "hakmem_peak_bytes", "gauge", "bytes", BILL_PEAK_LIVE);
    for (size_t i = 0; i < count; i++)
        sample_print(to, "hakmem_peak_bytes", "", measured[i].record, NULL, NULL, measured[i].bill.peak);
    family_print(to, "hakmem_peak_resident_bytes", "gauge", "bytes", BILL_PEAK_RESIDENT);
    for (size_t i = 0; i < count; i++)
        if (measured[i].bill.peak_total > 0)
            sample_print(to, "hakmem_peak_resident_bytes", "", measured[i].record, NULL, NULL,
                         measured[i].bill.peak_total);
}

/* By our table of statistics, not by a record's: each has what its version knew, or what somebody wrote there. */
void metrics_print(FILE *to, const struct measured *measured, size_t count)
{
    bills_print(to, measured, count);
    heaps_metrics(to, measured, count);
    for (size_t i = 0; i < KNOWN; i++)
        statistic_print(to, measured, count, &known[i]);
    fputs("# EOF\n", to);
}

/* ---- The command ------------------------------------------------------------------------------------------------- */

static int stats_once(const struct record *record, const struct wish *wish)
{
    struct measured measured = {.record = record};
    if (!bill_read(&measured.bill, NULL, record))
        return STATUS_NO;
    if (wish->form == FORM_JSON)
        json_print(&measured);
    else if (wish->form == FORM_METRICS)
        metrics_print(stdout, &measured, 1);
    else
        people_print(&measured, wish->all);
    return finish_output();
}

/* A terminal shows the newest; anything else gets them one behind the other, text with an empty line between. */
static int stats_again(struct record *record, const struct wish *wish)
{
    double whole = (double)(time_t)wish->every;
    struct timespec pause = {.tv_sec = (time_t)wish->every, .tv_nsec = (long)((wish->every - whole) * 1e9)};
    nanosleep(&pause, NULL);
    if (record_refresh(record) != 0)
        return STATUS_NO;
    if (wish->form == FORM_TEXT)
        fputs(isatty(STDOUT_FILENO) ? "\033[H\033[J" : "\n", stdout);
    return stats_once(record, wish);
}

static const char hint[] = "try 'hakmem stats --help'";

/* Handles the option at the head of *arguments and moves past it; a status. */
static int option_take(struct wish *wish, char ***arguments)
{
    char *option = *(*arguments)++, *end;
    if (strcmp(option, "--") == 0)
        wish->has_options = false;
    else if (strcmp(option, "--all") == 0)
        wish->all = true;
    else if (strcmp(option, "--json") == 0)
        wish->form = FORM_JSON;
    else if (strcmp(option, "--openmetrics") == 0)
        wish->form = FORM_METRICS;
    else if (strcmp(option, "--watch") == 0) {
        wish->every = **arguments ? strtod(**arguments, &end) : 0;
        if (!(wish->every >= 0.1 && wish->every <= 1e6) || *end != '\0')
            return complain(STATUS_USAGE, hint, "stats: --watch takes seconds, from 0.1 on");
        ++*arguments;
    } else
        return complain(STATUS_USAGE, hint, "stats: no option '%s'", option);
    return 0;
}

/* The same for an option or for what is to be looked at. */
static int argument_take(struct wish *wish, char ***arguments)
{
    if (wish->has_options && (**arguments)[0] == '-' && (**arguments)[1])
        return option_take(wish, arguments);
    if (wish->what)
        return complain(STATUS_USAGE, hint, "stats: one process, record or core file at a time");
    wish->what = *(*arguments)++;
    return 0;
}

static bool is_help(const char *argument) { return strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0; }

int command_stats(char **arguments)
{
    struct wish wish = {.has_options = true};
    while (*arguments) {
        if (wish.has_options && is_help(*arguments))
            return stats_help();
        int status = argument_take(&wish, &arguments);
        if (status != 0)
            return status;
    }
    if (!wish.what)
        return complain(STATUS_USAGE, hint, "stats: no process, record or core file given");
    struct record *record = record_open(wish.what);
    int status = record ? stats_once(record, &wish) : STATUS_NO;
    while (status == 0 && wish.every > 0)
        status = stats_again(record, &wish);
    record_close(record);
    return status;
}
