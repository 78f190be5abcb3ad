/* cgroup_test.c - limits of control groups, in files as the system has them: both versions, all ancestors, containers.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "system/cgroup.h"

static char g_root[] = "/tmp/hakmem-cgroup-XXXXXX";

/* Writes a file below the folder, and makes the folders on its way. */
static void write_below(const char *path, const char *text)
{
    char full[256];
    snprintf(full, sizeof full, "%s/%s", g_root, path);
    for (char *slash = strchr(full + strlen(g_root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        must(mkdir(full, 0700) == 0 || errno == EEXIST, "mkdir %s: errno %d", full, errno);
        *slash = '/';
    }
    FILE *file = fopen(full, "w");
    must(file && fputs(text, file) >= 0 && fclose(file) == 0, "cannot write %s", full);
}

static void begin(const char *list)
{
    char command[64];
    snprintf(command, sizeof command, "rm -rf '%s'", g_root);
    must(system(command) == 0 && mkdir(g_root, 0700) == 0, "cannot make %s", g_root);
    write_below("list", list);
    write_below("sys/other", "");
}

static struct cgroup_memory g_found; /* by the last must_find */

/* That the file `name` below the folder sets the limit. */
static void must_name(const char *name, unsigned version)
{
    char full[256];
    snprintf(full, sizeof full, "%s/%s", g_root, name);
    must(g_found.file && strcmp(g_found.file, full) == 0 && g_found.version == version,
         "version %u, file %s; expected %u, %s", g_found.version, g_found.file ? g_found.file : "none", version, full);
}

static void must_find(size_t limit, size_t room, const char *what)
{
    char list[64], root[64];
    snprintf(list, sizeof list, "%s/list", g_root);
    snprintf(root, sizeof root, "%s/sys", g_root);
    struct cgroup_memory found = cgroup_memory_at(list, root);
    g_found = found;
    must(found.limit == limit && found.room == room, "%s: limit %zu and room %zu, expected %zu and %zu", what,
         found.limit, found.room, limit, room);
}

static void test_nothing_is_known(void **state)
{
    (void)state;
    begin("");
    must_find(SIZE_MAX, SIZE_MAX, "an empty list");
    begin("0::/a/b\n");
    must_find(SIZE_MAX, SIZE_MAX, "no files");
    begin("1:cpu,cpuacct:/a\n2:name=memory:/b\n");
    write_below("sys/memory/b/memory.limit_in_bytes", "1000\n");
    must_find(SIZE_MAX, SIZE_MAX, "no group for memory");
    begin("0::/a\n");
    write_below("sys/a/memory.max", "max\n");
    write_below("sys/a/memory.high", "max\n");
    write_below("sys/a/memory.current", "4096\n");
    must_find(SIZE_MAX, SIZE_MAX, "no limit");
    must(g_found.file == NULL && g_found.version == 2, "a file is named where there is no limit");
    for (const char *const *text =
             (const char *const[]){"::::", "0:", "0::", ":", "\n\n", "4:memory", "4:memory:", NULL};
         *text; text++) {
        begin(*text);
        must_find(SIZE_MAX, SIZE_MAX, *text);
    }
}

static void test_version_2(void **state)
{
    (void)state;
    begin("0::/a/b\n");
    write_below("sys/a/b/memory.max", "max\n");
    write_below("sys/a/b/memory.high", "9000000\n");
    write_below("sys/a/b/memory.current", "4000000\n");
    write_below("sys/a/b/memory.stat",
                "anon 1000000\nfile 3000000\ninactive_file 2000000\nactive_file 500000\nworkingset 7\n");
    must_find(9000000, 7500000, "memory.high");
    must_name("sys/a/b/memory.high", 2);
    write_below("sys/a/memory.max", "8000000\n");
    write_below("sys/a/memory.current", "7000000\n");
    must_find(8000000, 1000000, "the one above has less");
    must_name("sys/a/memory.max", 2);
    write_below("sys/memory.max", "20000000\n"); /* of a container */
    write_below("sys/memory.current", "30000000\n");
    must_find(8000000, 0, "the root is above its limit");
}

static void test_version_1(void **state)
{
    (void)state;
    begin("5:cpu:/x\n4:hugetlb,memory:/docker/17\n0::/y\n");
    write_below("sys/memory.max", "1000\n");
    write_below("sys/memory/docker/17/memory.limit_in_bytes", "9223372036854771712\n");
    write_below("sys/memory/docker/memory.limit_in_bytes", "6000000\n");
    write_below("sys/memory/docker/memory.usage_in_bytes", "5000000\n");
    write_below("sys/memory/docker/memory.stat",
                "cache 3\ninactive_file 9\ntotal_inactive_file 1000000\ntotal_active_file 7\n");
    must_find(6000000, 2000007, "version 1");
    must_name("sys/memory/docker/memory.limit_in_bytes", 1);
}

/* A container may see the path that its group has on the host, and its own group as the root. */
static void test_container(void **state)
{
    (void)state;
    begin("4:memory:/docker/1234\n");
    write_below("sys/memory/memory.limit_in_bytes", "7000000\n");
    write_below("sys/memory/memory.usage_in_bytes", "3000000\n");
    must_find(7000000, 4000000, "version 1");
    must_name("sys/memory/memory.limit_in_bytes", 1);
    begin("0::/\n");
    write_below("sys/memory.max", "7000000\n");
    write_below("sys/memory.current", "1000000\n");
    must_find(7000000, 6000000, "version 2");
}

static void test_long_paths(void **state)
{
    (void)state;
    char list[3000] = "0::/";
    memset(list + strlen(list), 'a', 2000);
    begin(list);
    must_find(SIZE_MAX, SIZE_MAX, "a long path");
}

static int folder_remove(void **state)
{
    char command[64];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", g_root);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_known), cmocka_unit_test(test_version_2), cmocka_unit_test(test_version_1),
        cmocka_unit_test(test_container),        cmocka_unit_test(test_long_paths),
    };
    must(mkdtemp(g_root) != NULL, "mkdtemp failed");
    return cmocka_run_group_tests(tests, NULL, folder_remove);
}
