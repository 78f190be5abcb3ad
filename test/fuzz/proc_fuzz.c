/* proc_fuzz.c - whatever stands in the kernel's files about a process and its control groups, it is read without harm:
 * by the command (/proc/PID/smaps, groups) and by the library (groups). All files have the same bytes.
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "read/areas.h"
#include "read/cgroup.h"
#include "system/cgroup.h"

static const char *const names[] = {"memory.max",    "memory.high", "memory.current", "memory.stat",
                                    "memory.limit_in_bytes", "memory.usage_in_bytes"};
enum { NAMES = sizeof names / sizeof names[0] };
static char root[] = "/tmp/hakmem-fuzz-XXXXXX";

/* Calls `each` with the path of every file and folder that stands for the control groups' of either version. */
static void root_walk(void (*each)(const char *path, void *context), void *context)
{
    char path[PATH_MAX];
    for (size_t i = 0; i < 2 * NAMES; i++) {
        snprintf(path, sizeof path, "%s%s/%s", root, i % 2 ? "/memory" : "", names[i / 2]);
        each(path, context);
    }
}

static void link_make(const char *path, void *target) { FUZZ_MUST(symlink(target, path) == 0); }

static void link_remove(const char *path, void *context)
{
    (void)context;
    unlink(path);
}

static void root_remove(void)
{
    char folder[PATH_MAX];
    root_walk(link_remove, NULL);
    snprintf(folder, sizeof folder, "%s/memory", root);
    rmdir(folder);
    rmdir(root);
}

static void root_make(const char *file)
{
    char folder[PATH_MAX];
    FUZZ_MUST(mkdtemp(root));
    snprintf(folder, sizeof folder, "%s/memory", root);
    FUZZ_MUST(mkdir(folder, 0700) == 0);
    root_walk(link_make, (void *)(uintptr_t)file);
    atexit(root_remove);
}

static void areas_check(const uint8_t *data, size_t size)
{
    struct areas areas;
    FILE *smaps = fmemopen((void *)(uintptr_t)data, size, "r");
    FUZZ_MUST(smaps && areas_parse(&areas, smaps) == 0);
    for (size_t i = 0; i < areas.count; i++) {
        FUZZ_MUST(memchr(areas.area[i].name, 0, sizeof areas.area[i].name));
        areas_find(&areas, areas.area[i].start);
        areas_resident(&areas, areas.area[i].start, areas.area[i].end / 2);
    }
    areas_free(&areas);
    fclose(smaps);
}

static void groups_check(const char *file)
{
    struct cgroup_memory memory = cgroup_memory_at(file, root);
    FUZZ_MUST(memory.room <= memory.limit || memory.limit == SIZE_MAX);
    FUZZ_MUST(memory.version <= 2 && (memory.limit == SIZE_MAX) == (memory.file == NULL));
    FUZZ_MUST(cgroup_limit_of(file, root) < UINT64_C(1) << 60);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool is_made;
    const char *file = fuzz_file(data, size);
    if (!is_made)
        root_make(file);
    is_made = true;
    if (size > 0)
        areas_check(data, size);
    groups_check(file);
    return 0;
}
