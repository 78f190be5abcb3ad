/* processes.c - see processes.h.
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "read/processes.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memory/bill.h"
#include "read/cgroup.h"
#include "grow.h"
#include "read/growth.h"
#include "read/record.h"
#include "names/symbols.h"
#include "tool.h"

uint64_t process_resident(pid_t id)
{
    char path[64];
    unsigned long long pages = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)id);
    FILE *statm = fopen(path, "re");
    if (statm && fscanf(statm, "%*s %llu", &pages) != 1)
        pages = 0;
    if (statm)
        fclose(statm);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void process_fill(struct process *process, const struct record *record)
{
    const struct record_header *header = record_header(record);
    process->id = record_process(record);
    process->resident = process_resident(process->id);
    process->live = bill_live(record);
    process->free =
        record_value(record, "bytes.ring") + record_value(record, "bytes.depot") + record_value(record, "bytes.kept");
    process->peak = header->peak > process->live ? header->peak : process->live;
    process->growth = growth_last_minute(record, process->live);
    process->limit = cgroup_limit(process->id);
    process->pressure = cgroup_pressure(process->id);
    const char *name = path_base(header->program);
    size_t length = strlen(name), most = sizeof process->program - 1;
    snprintf(process->program, sizeof process->program, "%s", name + (length > most ? length - most : 0));
}

static struct process *process_push(struct processes *processes)
{
    struct process *more = array_grow(processes->process, processes->count, sizeof *more);
    if (!more)
        return NULL;
    processes->process = more;
    return &processes->process[processes->count++];
}

/* Whether it has a program, unlike the kernel's and those that have ended: everybody may know. */
static bool has_program(pid_t id)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)id);
    FILE *line = fopen(path, "re");
    bool has = line && fgetc(line) != EOF;
    if (line)
        fclose(line);
    return has;
}

/* Adds the process if it runs on hakmem; false when there is no memory. */
static bool process_look(struct processes *processes, pid_t id)
{
    bool is_refused;
    struct record *record = record_glance(id, &is_refused);
    if (!record) {
        processes->refused += is_refused && has_program(id);
        return true;
    }
    struct process *process = process_push(processes);
    if (process)
        process_fill(process, record);
    record_close(record);
    return process;
}

bool processes_read(struct processes *processes)
{
    *processes = (struct processes){0};
    DIR *proc = opendir("/proc");
    if (!proc) {
        complain(0, NULL, "cannot read /proc: %s", strerror(errno));
        return false;
    }
    bool is_read = true;
    for (struct dirent *entry; is_read && (entry = readdir(proc));)
        if (isdigit((unsigned char)entry->d_name[0]) && atol(entry->d_name) != getpid())
            is_read = process_look(processes, (pid_t)atol(entry->d_name));
    closedir(proc);
    if (!is_read)
        complain(0, NULL, "no memory");
    return is_read;
}

void processes_free(struct processes *processes)
{
    free(processes->process);
    *processes = (struct processes){0};
}

/* ---- Order ------------------------------------------------------------------------------------------------------- */

static int number_compare(double a, double b) { return a > b ? -1 : a < b; }

static int process_compare(const void *a, const void *b, void *context)
{
    const struct process *left = a, *right = b;
    int order = 0;
    switch (*(const char *)context) {
    case 'r':
        order = number_compare((double)left->resident, (double)right->resident);
        break;
    case 'l':
        order = number_compare((double)left->live, (double)right->live);
        break;
    case 'f':
        order = number_compare((double)left->free, (double)right->free);
        break;
    case 'p':
        order = number_compare((double)left->peak, (double)right->peak);
        break;
    case 'g':
        order = number_compare((double)left->growth, (double)right->growth);
        break;
    case 'i':
        order = number_compare((double)left->limit, (double)right->limit);
        break;
    case 's':
        order = number_compare(left->pressure, right->pressure);
        break;
    case 'o':
        order = strcmp(left->program, right->program);
        break;
    default:
        break;
    }
    return order != 0 ? order : (left->id > right->id) - (left->id < right->id);
}

void processes_sort(struct processes *processes, char letter)
{
    if (processes->count > 0)
        qsort_r(processes->process, processes->count, sizeof *processes->process, process_compare, &letter);
}
