/* error_test.c - the exact line for every error and warning of errors.def, and that an error is the end.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct error_case {
    enum error_id id;
    const char *name;
} g_errors[] = {
#define X(id, what, advice) {ERROR_##id, #id},
#define W(id, what)
#include "system/errors.def"
#undef X
#undef W
};

struct death {
    enum error_id id;
    void *address;
    size_t block_size;
};

static void die(void *argument)
{
    const struct death *death = argument;
    error_fatal(death->id, "realloc", death->address, death->block_size);
}

static bool was_aborted(const struct child_result *result)
{
    return !result->timed_out && WIFSIGNALED(result->status) && WTERMSIG(result->status) == SIGABRT;
}

static void test_every_error(void **state)
{
    (void)state;
    static void *const addresses[] = {NULL, (void *)0x7f12345678f0, (void *)UINTPTR_MAX};
    static const size_t sizes[] = {0, 64, 1048576};
    static struct child_result result;
    char expected[512];
    for (size_t i = 0; i < COUNT_OF(g_errors); i++) {
        struct death death = {g_errors[i].id, addresses[i % 3], sizes[(i + 1) % 3]};
        child_run(die, &death, 10, &result);
        error_line(expected, sizeof expected, death.id, "realloc", death.address, death.block_size);
        must(was_aborted(&result) && is_fatal_line(result.err, expected), "%s: expected SIGABRT and\n%ssaw %s and\n%s",
             g_errors[i].name, expected, child_ending(&result), result.err);
    }
}

static void ignore_and_die(void *argument)
{
    sigset_t all;
    sigfillset(&all);
    signal(SIGABRT, SIG_IGN);
    sigprocmask(SIG_BLOCK, &all, NULL);
    die(argument);
}

static void test_ignored_abort(void **state)
{
    (void)state;
    static struct child_result result;
    struct death death = {ERROR_INTERIOR, NULL, 0};
    child_run(ignore_and_die, &death, 10, &result);
    must(was_aborted(&result), "with SIGABRT ignored and blocked: %s", child_ending(&result));
}

static void abort_handler(int number)
{
    (void)number;
    ssize_t unused = write(STDOUT_FILENO, "handled", 7);
    (void)unused;
}

static void handle_and_die(void *argument)
{
    signal(SIGABRT, abort_handler);
    die(argument);
}

static void test_handled_abort(void **state)
{
    (void)state;
    static struct child_result result;
    struct death death = {ERROR_INTERIOR, NULL, 0};
    child_run(handle_and_die, &death, 10, &result);
    must(was_aborted(&result), "with a handler that returns: %s", child_ending(&result));
    assert_string_equal(result.out, "handled");
}

static void assert_and_die(void *argument)
{
    (void)argument;
    error_assert("pigs == fly", "farm.c", 17);
}

static void test_failed_assertion(void **state)
{
    (void)state;
    static struct child_result result;
    child_run(assert_and_die, NULL, 10, &result);
    must(was_aborted(&result), "%s", child_ending(&result));
    assert_string_equal(result.err, "hakmem: assertion failed: pigs == fly at farm.c:17\n");
}

static void test_every_warning(void **state)
{
    (void)state;
    static const char *const whats[] = {
#define X(id, what, advice)
#define W(id, what) [WARNING_##id] = what,
#include "system/errors.def"
#undef X
#undef W
    };
    char seen[512], expected[512];
    for (unsigned id = 0; id < COUNT_OF(whats); id++) {
        errno = 4242;
        stderr_capture();
        error_warn((enum warning_id)id, "subject and more", 7, "nearest");
        stderr_release(seen, sizeof seen);
        snprintf(expected, sizeof expected, "hakmem: warning: subject: %snearest\n", whats[id]);
        assert_string_equal(seen, expected);
        assert_int_equal(errno, 4242);
    }
}

static void test_long_subject_is_cut(void **state)
{
    (void)state;
    char seen[512];
    char subject[4096];
    memset(subject, 's', sizeof subject);
    stderr_capture();
    error_warn(WARNING_OPTION_UNKNOWN, subject, sizeof subject, "x");
    stderr_release(seen, sizeof seen);
    const char *run = strstr(seen, "warning: ") + strlen("warning: ");
    size_t length = strspn(run, "s");
    assert_in_range(length, 40, 200);
    assert_memory_equal(run + length, ": ", 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_error),   cmocka_unit_test(test_ignored_abort),
        cmocka_unit_test(test_handled_abort), cmocka_unit_test(test_failed_assertion),
        cmocka_unit_test(test_every_warning), cmocka_unit_test(test_long_subject_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
