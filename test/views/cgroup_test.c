/* cgroup_test.c - the limit of a control group is the least of its own and its ancestors', in both versions.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "read/cgroup.h"

#define MIB (UINT64_C(1) << 20)

static char root[64];

static void file_write(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", root, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void folder_make(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", root, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

static uint64_t limit_of(const char *groups)
{
    char path[256];
    file_write("groups", groups);
    snprintf(path, sizeof path, "%s/groups", root);
    return cgroup_limit_of(path, root);
}

static int tree_make(void **state)
{
    (void)state;
    snprintf(root, sizeof root, "/tmp/hakmem-cgroup-XXXXXX");
    assert_non_null(mkdtemp(root));
    folder_make("outer");
    folder_make("outer/inner");
    folder_make("memory");
    folder_make("memory/old");
    file_write("outer/memory.max", "1073741824\n");
    file_write("outer/memory.high", "max\n");
    file_write("outer/inner/memory.max", "max\n");
    file_write("outer/inner/memory.high", "2147483648\n");
    file_write("memory/memory.limit_in_bytes", "9223372036854771712\n");
    file_write("memory/old/memory.limit_in_bytes", "104857600\n");
    return 0;
}

static int tree_remove(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", root);
    return system(command);
}

static void the_least_of_all_ancestors_counts(void **state)
{
    (void)state;
    assert_int_equal(limit_of("0::/outer/inner\n"), 1024 * MIB);
    file_write("outer/inner/memory.high", "536870912\n");
    assert_int_equal(limit_of("0::/outer/inner\n"), 512 * MIB);
    assert_int_equal(limit_of("0::/outer\n"), 1024 * MIB);
}

static double pressure_of(const char *groups)
{
    char path[256], machine[256];
    file_write("groups", groups);
    file_write("machine",
               "some avg10=7.25 avg60=0.00 avg300=0.00 total=1\nfull avg10=3.00 avg60=0.00 avg300=0.00 total=1\n");
    snprintf(path, sizeof path, "%s/groups", root);
    snprintf(machine, sizeof machine, "%s/machine", root);
    return cgroup_pressure_of(path, root, machine);
}

static void pressure_is_the_groups_or_the_machines(void **state)
{
    (void)state;
    file_write("outer/inner/memory.pressure", "some avg10=12.50 avg60=1.00 avg300=0.00 total=9\nfull avg10=0.10\n");
    assert_true(pressure_of("4:memory:/old\n0::/outer/inner\n") == 12.5);
    assert_true(pressure_of("0::/outer\n") == 7.25);
    assert_true(pressure_of("4:memory:/outer/inner\n") == 7.25);
    folder_make("unified");
    folder_make("unified/slice");
    file_write("unified/slice/memory.pressure", "some avg10=1.50 avg60=1.00 avg300=0.00 total=9\n");
    assert_true(pressure_of("4:memory:/old\n0::/slice\n") == 1.5);
    file_write("outer/inner/memory.pressure", "nonsense\n");
    assert_true(pressure_of("0::/outer/inner\n") == 7.25);
    assert_true(cgroup_pressure_of("/nonexistent", root, "/nonexistent") < 0);
}

static void version_1_has_controllers(void **state)
{
    (void)state;
    assert_int_equal(limit_of("5:cpu,memory:/old\n3:pids:/old\n"), 100 * MIB);
    assert_int_equal(limit_of("5:cpu:/old\n"), 0);
    assert_int_equal(limit_of("4:memory:/\n"), 0);
}

static void there_may_be_none(void **state)
{
    (void)state;
    assert_int_equal(limit_of("0::/\n"), 0);
    assert_int_equal(limit_of("0::/not/here\n"), 0);
    assert_int_equal(limit_of("nonsense\n"), 0);
    assert_int_equal(cgroup_limit_of("/nowhere", root), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_least_of_all_ancestors_counts),
        cmocka_unit_test(pressure_is_the_groups_or_the_machines),
        cmocka_unit_test(version_1_has_controllers),
        cmocka_unit_test(there_may_be_none),
    };
    return cmocka_run_group_tests(tests, tree_make, tree_remove);
}
