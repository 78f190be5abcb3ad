/* perfmap.c - see perfmap.h. A line of the file is "START SIZE NAME", the numbers hexadecimal; later lines are of later
 * code. It lies where anybody may write, so it is believed only if it is the process's own, and nothing in it is.
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "names/perfmap.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "grow.h"
#include "read/source.h"

enum { BYTES_MOST = 256 << 20 };

struct perfmap {
    char *text; /* what the names lie in */
    struct perfmap_function *functions;
    size_t count;
};

/* ---- Names ------------------------------------------------------------------------------------------------------- */

/* V8's are "JS:", a mark for the kind of code, the name, which may be missing, and " file:line:column". */
static void script_split(struct perfmap_function *function, char *name)
{
    char *place = strrchr(name, ' '), *column = place ? strrchr(place, ':') : NULL;
    name += strspn(name, "~^*+'");
    function->name = *name == ' ' || *name == '\0' ? "(anonymous)" : name;
    if (!column || column == place + 1)
        return;
    *column = '\0';
    char *line = strrchr(place, ':');
    if (line) {
        *line = '\0';
        function->line = (unsigned)strtoul(line + 1, NULL, 10);
        function->file = place + 1;
    }
    *place = '\0';
}

/* Python's are "py::name:file". */
static void python_split(struct perfmap_function *function, char *name)
{
    char *file = strchr(name, ':');
    function->name = name;
    if (file && file[1] != '\0') {
        *file = '\0';
        function->file = file + 1;
    }
}

static void name_split(struct perfmap_function *function, char *name)
{
    text_clean(name, strlen(name) + 1);
    function->name = name;
    if (strncmp(name, "JS:", 3) == 0)
        script_split(function, name + 3);
    else if (strncmp(name, "py::", 4) == 0)
        python_split(function, name + 4);
}

/* ---- The file ---------------------------------------------------------------------------------------------------- */

/* Whether the line is one; its parts then. */
static bool line_parse(struct perfmap_function *function, char *line)
{
    char *end;
    uint64_t start = strtoull(line, &end, 16);
    if (end == line || *end != ' ')
        return false;
    char *size = end + 1;
    uint64_t bytes = strtoull(size, &end, 16);
    if (end == size || *end != ' ' || end[1] == '\0' || bytes == 0 || bytes > UINT64_MAX - start)
        return false;
    *function = (struct perfmap_function){.start = start, .end = start + bytes};
    name_split(function, end + 1);
    return true;
}

/* What comes after the last whole line is being written. */
static void text_parse(struct perfmap *map)
{
    for (char *line = map->text, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        struct perfmap_function function;
        struct perfmap_function *functions = line_parse(&function, line)
                                                 ? array_grow(map->functions, map->count, sizeof *functions)
                                                 : NULL;
        if (!functions)
            continue;
        map->functions = functions;
        functions[map->count++] = function;
    }
}

/* Allocated, terminated; NULL when it cannot be had. */
static char *file_read(int fd, size_t size)
{
    char *text = malloc(size + 1);
    size_t length = 0;
    for (ssize_t got; text && length < size && (got = read(fd, text + length, size - length)) > 0;)
        length += (size_t)got;
    if (text)
        text[length] = '\0';
    return text;
}

/* The file of the process, if nobody else has put it there. */
static int file_open(pid_t process, size_t *size)
{
    char path[96], folder[32];
    struct stat own, info;
    snprintf(folder, sizeof folder, "/proc/%d", (int)process);
    snprintf(path, sizeof path, "%s/root/tmp/perf-%u.map", folder, process_own_id(process));
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    bool is_own = fd >= 0 && stat(folder, &own) == 0 && fstat(fd, &info) == 0 && S_ISREG(info.st_mode) &&
                  (info.st_uid == own.st_uid || info.st_uid == 0) && info.st_size <= BYTES_MOST;
    if (is_own) {
        *size = (size_t)info.st_size;
        return fd;
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

struct perfmap *perfmap_of_text(char *text)
{
    struct perfmap *map = calloc(1, sizeof *map);
    if (!map) {
        free(text);
        return NULL;
    }
    map->text = text;
    text_parse(map);
    return map;
}

struct perfmap *perfmap_open(pid_t process)
{
    size_t size;
    int fd = process > 0 ? file_open(process, &size) : -1;
    char *text = fd >= 0 ? file_read(fd, size) : NULL;
    if (fd >= 0)
        close(fd);
    return text ? perfmap_of_text(text) : NULL;
}

void perfmap_close(struct perfmap *map)
{
    if (!map)
        return;
    free(map->functions);
    free(map->text);
    free(map);
}

const struct perfmap_function *perfmap_find(const struct perfmap *map, uint64_t address)
{
    for (size_t i = map->count; i > 0; i--)
        if (address >= map->functions[i - 1].start && address < map->functions[i - 1].end)
            return &map->functions[i - 1];
    return NULL;
}
