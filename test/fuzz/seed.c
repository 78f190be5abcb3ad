/* seed.c - writes what the fuzzers begin with, a folder for each: seed FOLDER, which has the folders record, options,
 * profile and proc.
 * SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "fixture.h"
#include "profile_seed.h"

static bool file_write(const char *folder, const char *name, const void *bytes, size_t size)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "we");
    return file && fwrite(bytes, 1, size, file) == size && fclose(file) == 0;
}

static bool records_write(const char *folder)
{
    static _Alignas(64) char memory[FIXTURE_SIZE], core[FIXTURE_CORE];
    fixture_fill(memory);
    return file_write(folder, "record/record", memory, sizeof memory) &&
           file_write(folder, "record/core", core, fixture_core(core, memory));
}

/* Every option with the largest value that it may have, so that a letter more is too much; and the ways of a file. */
static bool options_write(const char *folder)
{
    static const char file[] =
        "stats:1,limit:2G,cap_mid:1/2/3/4/5,\0limit = 80% # of it\n[mariadbd]\nwmax_mid = 1.25\n"
        "[maria*]\nprofile = /var/lib/x\n; no\n[*]\nlearn = shadow\nexplain = json\nhuge = never\n";
    static const struct {
        const char *name;
        unsigned long long most;
    } rows[] = {
#define X(id, name, kind, value, min, max, doc) {name, max},
#include "system/options.def"
#undef X
    };
    char list[4096];
    size_t length = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        length += (size_t)snprintf(list + length, sizeof list - length, "%s = %llu\n", rows[i].name, rows[i].most);
    return file_write(folder, "options/file", file, sizeof file - 1) &&
           file_write(folder, "options/every", list, length);
}

/* Of a policy that says everything, without its last line, for the fuzzer makes that. */
static bool profile_write(const char *folder)
{
    static char text[PROFILE_MAX + 1];
    struct policy policy = policy_static;
    policy.rests = true;
    policy.retained = 100 << 20;
    policy.class[class_of(64)].capacity = 2046;
    policy.class[class_of(5000)].wmax = 25;
    text[profile_compose(text, &profile_seed_program, &policy_static, &policy)] = 0;
    return file_write(folder, "profile/profile", text, (size_t)(strstr(text, "end ") - text));
}

/* What the kernel says of this process. */
static bool proc_copy(const char *folder, const char *from, const char *to)
{
    static char text[1 << 20];
    FILE *file = fopen(from, "re");
    size_t length = file ? fread(text, 1, sizeof text, file) : 0;
    return file && fclose(file) == 0 && file_write(folder, to, text, length);
}

int main(int argc, char **argv)
{
    static const char functions[] =
        "1 10 JS:*make /srv/a.js:12:7\n10 10 JS:~ node:fs:5:1\n100 10 py::Shop.keep:/a.py\n1000 1 x\n";
    bool is_written = argc == 2 && records_write(argv[1]) && options_write(argv[1]) && profile_write(argv[1]) &&
                      proc_copy(argv[1], "/proc/self/smaps", "proc/smaps") &&
                      proc_copy(argv[1], "/proc/self/cgroup", "proc/cgroup") &&
                      file_write(argv[1], "proc/unified", "0::/\n", 5) &&
                      file_write(argv[1], "perfmap/map", functions, sizeof functions - 1) &&
                      file_write(argv[1], "proc/number", "4096\n4:cpu,memory:/a/b\n", 23);
    return is_written ? 0 : 1;
}
