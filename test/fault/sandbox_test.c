/* sandbox_test.c - programs to which system calls are forbidden, fatally or not: by themselves, by whoever started
 * them; programs without /proc. What libc's malloc survives, hakmem does.
 * SPDX-License-Identifier: MIT */
#include "support.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <cmocka.h>

enum { SECONDS = 60, STATUS_SKIPPED = 77 };

/* The learner looks often, so that it asks soon what is resident. */
static void sandboxed_run(const char *way, const char *list, const char *action, struct child_result *result)
{
    static const char *const changes[] = {"HAKMEM_LEARN_WINDOW_MS=10", NULL};
    char *const arguments[] = {(char *)SANDBOXED_PROGRAM, (char *)way, (char *)list, (char *)action, NULL};
    child_exec(arguments, environment_with(changes), SECONDS, result);
}

static void must_live(const char *way, const char *list)
{
    char no_such_call[16];
    char not_allowed[16];
    snprintf(no_such_call, sizeof no_such_call, "%d", ENOSYS);
    snprintf(not_allowed, sizeof not_allowed, "%d", EPERM);
    const char *const actions[] = {"kill", no_such_call, not_allowed};
    for (size_t i = 0; i < COUNT_OF(actions); i++) {
        struct child_result result;
        char what[128];
        sandboxed_run(way, list, actions[i], &result);
        snprintf(what, sizeof what, "what is not for '%s' forbidden by '%s': %s", list, way, actions[i]);
        must_end_well(&result, what);
    }
}

static void test_forbidden_by_itself(void **state)
{
    (void)state;
    must_live("prctl", "malloc");
    must_live("syscall", "malloc");
    must_live("prctl", "service");
    must_live("syscall", "service");
}

static void test_forbidden_before_constructors(void **state)
{
    (void)state;
    must_live("early", "malloc");
}

static void test_forbidden_by_argument(void **state)
{
    (void)state;
    must_live("prctl", "arguments");
    must_live("syscall", "arguments");
}

static void test_forbidden_by_the_parent(void **state)
{
    (void)state;
    must_live("exec", "malloc");
    must_live("exec", "service");
}

/* Where nobody tells, nothing is risked. */
static void test_forbidden_where_nobody_tells(void **state)
{
    static const char *const changes[] = {"LD_PRELOAD", NULL};
    char *const arguments[] = {(char *)OPENED_PROGRAM, getenv("LD_PRELOAD"), NULL};
    struct child_result result;
    (void)state;
    child_exec(arguments, environment_with(changes), SECONDS, &result);
    must_end_well(&result, "hakmem opened by dlopen");
}

/* As under qemu-user before 7.1: what calloc returns is zero all the same, which the program looks at. */
static void test_purges_only_say_yes(void **state)
{
    static const char *const ways[] = {"exec", "early", "prctl", "syscall"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        struct child_result result;
        sandboxed_run(ways[i], "purges", "0", &result);
        must_end_well(&result, ways[i]);
    }
}

static void must_live_or_skip(const char *way, const char *why_skipped)
{
    struct child_result result;
    sandboxed_run(way, NULL, NULL, &result);
    if (WIFEXITED(result.status) && WEXITSTATUS(result.status) == STATUS_SKIPPED) {
        skip_because("%s", why_skipped);
        skip();
    }
    must_end_well(&result, way);
}

static void test_without_proc(void **state)
{
    (void)state;
    must_live_or_skip("noproc", "/proc may not be unmounted here");
}

/* The kernel's own code that tells the exact time reads the counter. */
static void test_without_counter(void **state)
{
    (void)state;
    must_live_or_skip("counter", "this processor's counter can always be read");
}

/* The kernel then ends the thread at any other call, and shuts the counter, too. */
static void test_reading_and_writing_only(void **state)
{
    (void)state;
    must_live_or_skip("strict", "there is a filter already");
    must_live_or_skip("after", "there is a filter already");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forbidden_by_itself),    cmocka_unit_test(test_forbidden_before_constructors),
        cmocka_unit_test(test_forbidden_by_argument),  cmocka_unit_test(test_forbidden_by_the_parent),
        cmocka_unit_test(test_forbidden_where_nobody_tells),
        cmocka_unit_test(test_purges_only_say_yes),    cmocka_unit_test(test_without_proc),
        cmocka_unit_test(test_without_counter),        cmocka_unit_test(test_reading_and_writing_only),
    };
    return RUN_TESTS(tests);
}
