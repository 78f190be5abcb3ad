/* loader_test.c - hakmem in a process in every way there is: preloaded, linked, static, static-pie, dlopen'ed; before
 * constructors and after destructors; in a setuid program. Each case is a program of its own, run from here.
 * SPDX-License-Identifier: MIT */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { SECONDS = 60, NOBODY = 65534 };

static const char *const g_preloaded[] = {"LD_PRELOAD=" HAKMEM_LIBRARY, NULL};
static const char *const g_not_preloaded[] = {"LD_PRELOAD", NULL};

static void program_run(const char *path, const char *argument, const char *const changes[],
                        struct child_result *result)
{
    char *const arguments[] = {(char *)path, (char *)argument, NULL};
    child_exec(arguments, environment_with(changes), SECONDS, result);
}

static void must_run_well(const char *path, const char *argument, const char *const changes[])
{
    struct child_result result;
    program_run(path, argument, changes, &result);
    must_end_well(&result, argument != NULL ? argument : path);
}

/* ---- Linked statically ------------------------------------------------------------------------------------------- */

static void test_static_programs(void **state)
{
    (void)state;
    static const char *const programs[] = {STATIC_PROGRAM, STATIC_PIE_PROGRAM, ARCHIVE_PROGRAM, STATIC_CXX_PROGRAM,
                                           ARCHIVE_CXX_PROGRAM};
    for (size_t i = 0; i < COUNT_OF(programs); i++) {
        must_run_well(programs[i], NULL, g_not_preloaded);
    }
}

/* An archive and the preloaded library in one process: the program's own definition is the one that everybody gets. */
static void test_archive_and_preload(void **state)
{
    (void)state;
    must_run_well(ARCHIVE_PROGRAM, NULL, g_preloaded);
}

/* ---- dlopen ------------------------------------------------------------------------------------------------------ */

static void test_dlopen(void **state)
{
    (void)state;
    static const char *const ways[] = {"local", "global", "deepbind", "threads_outlive_it", "many_times", "namespace"};
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        must_run_well(DLOPEN_PROGRAM, ways[i], g_not_preloaded);
    }
}

/* The C++ runtime is there only after the library has been loaded, and nobody but the plugin has been linked to it. */
static void test_cxx_plugin_of_a_c_program(void **state)
{
    (void)state;
    must_run_well(CXX_PLUGIN_PROGRAM, "local", g_preloaded);
    must_run_well(CXX_PLUGIN_PROGRAM, "global", g_preloaded);
}

/* ---- Before constructors, after destructors ---------------------------------------------------------------------- */

static void test_constructors_and_destructors(void **state)
{
    (void)state;
    must_run_well(EARLY_PROGRAM, "return", g_preloaded);
    must_run_well(EARLY_PROGRAM, "exit", g_preloaded);
    must_run_well(EARLY_PROGRAM, "quick_exit", g_preloaded);
    must_run_well(EARLY_PROGRAM, "_exit", g_preloaded);
    must_run_well(STATIC_OBJECTS_PROGRAM, NULL, g_preloaded);
    static const char *const checked[] = {"LD_PRELOAD=" HAKMEM_LIBRARY ":" FIRST_OBJECT, "HAKMEM_CHECK=1", NULL};
    must_run_well("/bin/true", NULL, checked);
}

/* Before the loader is done; also where it binds everything at once, and where blocks are checked. */
static void test_resolvers(void **state)
{
    (void)state;
    static const char *const changes[] = {NULL, "LD_BIND_NOW=1", "HAKMEM_CHECK=1", "HAKMEM_HARDEN=1"};
    for (size_t i = 0; i < COUNT_OF(changes); i++) {
        const char *const environment[] = {g_preloaded[0], changes[i], NULL};
        must_run_well(RESOLVER_PROGRAM, NULL, environment);
    }
}

/* ---- Environments ------------------------------------------------------------------------------------------------ */

static void test_odd_environments(void **state)
{
    (void)state;
    static const char *const ways[] = {"null", "cleared", "overwritten"};
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        const char *const changes[] = {g_preloaded[0],
                                       ways[i][0] == 'n'   ? "TEST_ENVIRONMENT=null"
                                       : ways[i][0] == 'c' ? "TEST_ENVIRONMENT=cleared"
                                                           : "TEST_ENVIRONMENT=overwritten",
                                       NULL};
        must_run_well(ENVIRONMENT_PROGRAM, NULL, changes);
    }
    /* No environment and no arguments at all; linked, since nothing can be preloaded then. */
    struct child_result result;
    char *const nothing[] = {NULL};
    char *const arguments[] = {(char *)ARCHIVE_PROGRAM, NULL};
    child_exec(arguments, nothing, SECONDS, &result);
    must_end_well(&result, "a program without an environment");
}

/* ---- Pipelines --------------------------------------------------------------------------------------------------- */

/* Many small programs, each with the library preloaded: the same output as without. They read nothing that others may
 * change meanwhile, and what they list is their own. */
static void test_shell_pipelines(void **state)
{
    (void)state;
    static const char *const scripts[] = {
        "seq 1 50000 | sort -r | sort -n | tail -n 3",
        "seq 1 20000 | sed 's/1/one/g' | awk '{ count[length($0)]++ } END { for (n in count) print n, count[n] }' | "
        "sort",
        "for i in 1 2 3 4 5 6 7 8 9 10; do echo $i | tr 0-9 a-j; done | sort | uniq -c | wc",
        "d=$(mktemp -d) && cd \"$d\" && for i in $(seq 1 400); do echo \"#define A$i\" > std$i.h; done; "
        "chmod 600 std1*; find . -name 'std*.h' | xargs cat | grep -c define; "
        "ls -l | tail -n +2 | cut -c1-10 | sort | uniq -c | sort -rn; "
        "cd / && rm -r \"$d\"",
        "x=$(cat /proc/cpuinfo | wc -c); [ \"$x\" -gt 0 ] && (echo a; (echo b; (echo c))) | cat | cat; true & wait; "
        "echo done",
    };
    for (size_t i = 0; i < COUNT_OF(scripts); i++) {
        struct child_result with;
        struct child_result without;
        char *const arguments[] = {(char *)"/bin/sh", (char *)"-c", (char *)scripts[i], NULL};
        child_exec(arguments, environment_with(g_preloaded), SECONDS, &with);
        child_exec(arguments, environment_with(g_not_preloaded), SECONDS, &without);
        must_end_well(&with, scripts[i]);
        must(strcmp(with.out, without.out) == 0, "%s: expected the output\n%s\nsaw\n%s", scripts[i], without.out,
             with.out);
        must(without.out[0] != 0, "%s printed nothing: nothing was compared", scripts[i]);
    }
}

/* ---- setuid ------------------------------------------------------------------------------------------------------ */

static void file_copy(const char *from, const char *to, mode_t mode)
{
    char buffer[65536];
    ssize_t got;
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
    must(in >= 0 && out >= 0, "%s cannot be copied to %s: %s", from, to, strerror(errno));
    while ((got = read(in, buffer, sizeof buffer)) > 0) {
        must(write(out, buffer, (size_t)got) == got, "%s cannot be written: %s", to, strerror(errno));
    }
    must(fchmod(out, mode) == 0, "%s cannot be given mode %o: %s", to, (unsigned)mode, strerror(errno));
    close(in);
    close(out);
}

static void as_nobody_body(void *argument)
{
    char *const arguments[] = {argument, NULL};
    char *const environment[] = {(char *)"HAKMEM_STATS=1", (char *)"HAKMEM_CONF=nonsense:1", NULL};
    must(setgroups(0, NULL) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0, "cannot become nobody: %s",
         strerror(errno));
    execve(arguments[0], arguments, environment);
    must(false, "%s cannot be run as nobody: %s", arguments[0], strerror(errno));
}

/* secure_program prints what the kernel says of its rights; as nobody, from a copy with the given mode. */
static void secure_run(const char *directory, const char *name, mode_t mode, struct child_result *result)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    file_copy(SECURE_PROGRAM, path, mode);
    child_run(as_nobody_body, path, SECONDS, result);
    unlink(path);
    must(result->status == 0, "%s: expected exit status 0, saw %s, stderr: %s", path, child_ending(result),
         result->err);
}

static void test_setuid_program_ignores_options(void **state)
{
    (void)state;
    struct statvfs file_system;
    struct child_result plain;
    struct child_result secure;
    char directory[] = "/tmp/hakmem-test-XXXXXX";
    if (geteuid() != 0) {
        skip_because("only root can make a program setuid root");
        skip();
    }
    must(mkdtemp(directory) != NULL && chmod(directory, 0755) == 0, "no temporary directory: %s", strerror(errno));
    must(statvfs(directory, &file_system) == 0, "statvfs: %s", strerror(errno));
    secure_run(directory, "plain", 0755, &plain);
    secure_run(directory, "setuid", 04755, &secure);
    rmdir(directory);
    if ((file_system.f_flag & ST_NOSUID) != 0 || secure.out[0] != '1') {
        skip_because("a setuid program gets no rights here (nosuid, or no new privileges)");
        skip();
    }
    must(plain.out[0] == '0' && strstr(plain.err, "nonsense") != NULL,
         "the plain copy must read its options: saw '%s', stderr '%s'", plain.out, plain.err);
    must(secure.err[0] == 0, "a setuid program must ignore HAKMEM_*: expected an empty stderr, saw '%s'", secure.err);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_static_programs),
        cmocka_unit_test(test_archive_and_preload),
        cmocka_unit_test(test_dlopen),
        cmocka_unit_test(test_cxx_plugin_of_a_c_program),
        cmocka_unit_test(test_constructors_and_destructors),
        cmocka_unit_test(test_resolvers),
        cmocka_unit_test(test_odd_environments),
        cmocka_unit_test(test_shell_pipelines),
        cmocka_unit_test(test_setuid_program_ignores_options),
    };
    return RUN_TESTS(tests);
}
