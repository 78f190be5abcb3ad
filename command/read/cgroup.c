/* cgroup.c - see cgroup.h.
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "read/cgroup.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The files that hold a limit: of the group and of version 2 also the one above which the system holds it back; version
 * 1 writes a very large number for none. */
static const char *const files_v2[] = {"memory.max", "memory.high", NULL};
static const char *const files_v1[] = {"memory.limit_in_bytes", NULL};
#define NO_LIMIT (UINT64_C(1) << 60)

/* A limit from a file; UINT64_MAX: there is none. */
static uint64_t limit_read(const char *directory, const char *name)
{
    char path[PATH_MAX], text[32] = "";
    if (snprintf(path, sizeof path, "%s/%s", directory, name) >= (int)sizeof path)
        return UINT64_MAX;
    FILE *file = fopen(path, "re");
    if (!file)
        return UINT64_MAX;
    char *end = text;
    uint64_t value = fgets(text, sizeof text, file) ? strtoull(text, &end, 10) : 0;
    fclose(file);
    return end == text || value >= NO_LIMIT ? UINT64_MAX : value;
}

/* Of the group's directory, `path` below `root`, and of all between. */
static uint64_t limit_climb(const char *root, const char *path, const char *const *files)
{
    char directory[PATH_MAX];
    uint64_t least = UINT64_MAX;
    int length = snprintf(directory, sizeof directory, "%s%s", root, path);
    if (length < 0 || length >= (int)sizeof directory)
        return least;
    for (;;) {
        for (const char *const *file = files; *file; file++) {
            uint64_t limit = limit_read(directory, *file);
            least = limit < least ? limit : least;
        }
        char *slash = strrchr(directory, '/');
        if (!slash || slash < directory + strlen(root))
            return least;
        *slash = '\0';
    }
}

/* Whether the list of controllers of version 1 has the one for memory. */
static bool has_memory(const char *list)
{
    for (const char *place = list; (place = strstr(place, "memory")); place++)
        if ((place == list || place[-1] == ',') && (place[6] == ':' || place[6] == ','))
            return true;
    return false;
}

/* A line: number:controllers:path. */
static uint64_t limit_of_line(char *line, const char *root)
{
    line[strcspn(line, "\n")] = '\0';
    char *list = strchr(line, ':'), *path = list ? strchr(list + 1, ':') : NULL;
    if (!path)
        return UINT64_MAX;
    if (path == list + 1)
        return limit_climb(root, path + 1, files_v2);
    char root_v1[PATH_MAX];
    if (!has_memory(list + 1) || snprintf(root_v1, sizeof root_v1, "%s/memory", root) >= (int)sizeof root_v1)
        return UINT64_MAX;
    return limit_climb(root_v1, path + 1, files_v1);
}

uint64_t cgroup_limit_of(const char *groups, const char *root)
{
    uint64_t least = UINT64_MAX;
    char *line = NULL;
    size_t size = 0;
    FILE *file = fopen(groups, "re");
    while (file && getline(&line, &size, file) > 0) {
        uint64_t limit = limit_of_line(line, root);
        least = limit < least ? limit : least;
    }
    free(line);
    if (file)
        fclose(file);
    return least == UINT64_MAX ? 0 : least;
}

uint64_t cgroup_limit(pid_t process)
{
    char groups[64];
    snprintf(groups, sizeof groups, "/proc/%d/cgroup", (int)process);
    return cgroup_limit_of(groups, "/sys/fs/cgroup");
}

/* ---- Pressure ---------------------------------------------------------------------------------------------------- */

/* The line is "some avg10=1.23 avg60=...". */
static double pressure_read(const char *path)
{
    double share = -1;
    FILE *file = fopen(path, "re");
    if (file && fscanf(file, "some avg10=%lf", &share) != 1)
        share = -1;
    if (file)
        fclose(file);
    return share;
}

/* Of the group of version 2, which a line 0::path names; beside version 1 its tree is in a folder of its own. */
static double pressure_of_line(char *line, const char *root)
{
    static const char *const trees[] = {"", "/unified"};
    char path[PATH_MAX];
    double share = -1;
    line[strcspn(line, "\n")] = '\0';
    for (size_t i = 0; strncmp(line, "0::", 3) == 0 && share < 0 && i < sizeof trees / sizeof trees[0]; i++)
        if (snprintf(path, sizeof path, "%s%s%s/memory.pressure", root, trees[i], line + 3) < (int)sizeof path)
            share = pressure_read(path);
    return share;
}

double cgroup_pressure_of(const char *groups, const char *root, const char *machine)
{
    double share = -1;
    char *line = NULL;
    size_t size = 0;
    FILE *file = fopen(groups, "re");
    while (file && share < 0 && getline(&line, &size, file) > 0)
        share = pressure_of_line(line, root);
    free(line);
    if (file)
        fclose(file);
    return share < 0 ? pressure_read(machine) : share;
}

double cgroup_pressure(pid_t process)
{
    char groups[64];
    snprintf(groups, sizeof groups, "/proc/%d/cgroup", (int)process);
    return cgroup_pressure_of(groups, "/sys/fs/cgroup", "/proc/pressure/memory");
}
