/* report_test.c - text goes to the files that were there at the start, and to no other one.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <fcntl.h>
#include <unistd.h>

#include "system/report.h"

static void test_own_descriptor_first(void **state)
{
    (void)state;
    struct report report = {.fd = -1, .own = -1};
    int file = file_make(), other = file_make();
    report_open(&report, file);
    assert_int_equal(report_fd(&report), file);
    report_keep(&report);
    int own = report_fd(&report);
    assert_int_not_equal(own, file);
    assert_int_equal(fcntl(own, F_GETFD), FD_CLOEXEC);
    report_open(&report, other); /* what is known stays */
    assert_int_equal(report_fd(&report), own);
    /* The program has its number for another file; then it closes it. */
    dup2(other, own);
    assert_int_equal(report_fd(&report), file);
    close(own);
    assert_int_equal(report_fd(&report), file);
    dup2(other, file);
    assert_int_equal(report_fd(&report), -1);
    close(file);
    assert_int_equal(report_fd(&report), -1);
    close(other);
}

/* The number that was closed at the start belongs to whatever the program opens later. */
static void test_closed_at_the_start(void **state)
{
    (void)state;
    struct report report = {.fd = -1, .own = -1}, unopened = {.fd = -1, .own = -1};
    int file = file_make(), number = fcntl(file, F_DUPFD, 100);
    close(number);
    report_open(&report, number);
    report_keep(&report);
    assert_int_equal(report_fd(&report), -1);
    dup2(file, number);
    assert_int_equal(report_fd(&report), -1);
    assert_int_equal(report_fd(&unopened), -1);
    close(number);
    close(file);
}

/* stderr goes elsewhere while `fd` stands there: where would last words go, and where all else? */
static void must_go(int fd, int last_words, int all_else)
{
    int saved = dup(STDERR_FILENO);
    if (fd >= 0)
        dup2(fd, STDERR_FILENO);
    else
        close(STDERR_FILENO);
    int fatal = report_fatal_fd(), report = report_fd(&report_stderr);
    dup2(saved, STDERR_FILENO);
    close(saved);
    must(fatal == last_words && report == all_else, "descriptor %d: saw %d and %d", fd, fatal, report);
}

static void test_stderr_that_the_program_moved(void **state)
{
    (void)state;
    int file = file_make(), log = file_make(), pipes[2];
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(fcntl(log, F_SETFL, O_APPEND), 0);
    report_stderr = (struct report){.fd = -1, .own = -1};
    assert_int_equal(report_fd(&report_stderr), -1);
    assert_int_equal(report_fatal_fd(), STDERR_FILENO); /* the first error is the start */
    assert_int_equal(report_fd(&report_stderr), STDERR_FILENO);
    must_go(STDERR_FILENO, STDERR_FILENO, STDERR_FILENO);
    must_go(file, -1, -1);
    must_go(-1, -1, -1);
    must_go(log, STDERR_FILENO, -1);
    must_go(pipes[1], STDERR_FILENO, -1);
    report_keep(&report_stderr);
    int own = report_stderr.own;
    must_go(file, own, own);
    must_go(-1, own, own);
    must_go(pipes[1], STDERR_FILENO, own);
    close(own);
    close(file);
    close(log);
    close(pipes[0]);
    close(pipes[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_descriptor_first),
        cmocka_unit_test(test_closed_at_the_start),
        cmocka_unit_test(test_stderr_that_the_program_moved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
