/* os_stream_test.c - all is written that can be, no signal comes of it, and files are known again.
 * SPDX-License-Identifier: MIT */
#include "os_tests.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "system/os_stream.h"

enum { MUCH = 1 << 20 };
static pthread_t g_writer;
static int g_pipe[2];

static void interrupt(int number) { (void)number; }

/* Interrupts the writer twice, when the pipe is full, and then reads all. */
static void *drain(void *unused)
{
    static char text[MUCH + 1];
    size_t have = 0;
    ssize_t got;
    (void)unused;
    for (unsigned i = 0; i < 2; i++) {
        sleep_milliseconds(50);
        pthread_kill(g_writer, SIGUSR1);
    }
    while ((got = read(g_pipe[0], text + have, min_size(sizeof text - have, 7777))) > 0)
        have += (size_t)got;
    must(have == MUCH && pattern_check(text, MUCH, 3) == MUCH, "of %d bytes through a pipe, %zu arrived", MUCH, have);
    return NULL;
}

static void test_write_writes_all(void **state)
{
    (void)state;
    static char text[MUCH];
    pthread_t thread;
    struct sigaction action = {.sa_handler = interrupt}; /* no SA_RESTART: write is to come back early */
    sigaction(SIGUSR1, &action, NULL);
    g_writer = pthread_self();
    assert_int_equal(pipe(g_pipe), 0);
    pattern_fill(text, MUCH, 3);
    assert_int_equal(pthread_create(&thread, NULL, drain, NULL), 0);
    os_write(g_pipe[1], text, MUCH);
    close(g_pipe[1]);
    pthread_join(thread, NULL);
    close(g_pipe[0]);
    errno = UNTOUCHED;
    os_write(g_pipe[1], "nobody there", 12);
    os_write(-1, "nobody there", 12);
    assert_int_equal(os_duplicate(987654), -1);
}

/* A reader that is gone, and a limit, do not end a process, nor do their signals come later. One that is the
 * program's own stays pending. */
static void write_in_vain(void *argument)
{
    sigset_t set, pending;
    int pipes[2], file = file_make();
    struct rlimit limit = {3, 3};
    (void)argument;
    must(pipe(pipes) == 0 && close(pipes[0]) == 0 && setrlimit(RLIMIT_FSIZE, &limit) == 0, "no pipe");
    os_write(pipes[1], "nobody there", 12);
    os_write(file, "too much", 8);
    os_write(file, "too much", 8);
    sigpending(&pending);
    must(!sigismember(&pending, SIGPIPE) && !sigismember(&pending, SIGXFSZ), "a signal is pending");
    sigprocmask(SIG_BLOCK, NULL, &set);
    must(!sigismember(&set, SIGPIPE) && !sigismember(&set, SIGXFSZ), "a signal is blocked");
    sigaddset(&set, SIGPIPE);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGPIPE);
    os_write(pipes[1], "nobody there", 12);
    sigpending(&pending);
    must(sigismember(&pending, SIGPIPE), "the program's own signal is gone");
}

static void test_write_in_vain(void **state)
{
    (void)state;
    static struct child_result result;
    child_run(write_in_vain, NULL, 10, &result);
    must_end_well(&result, "writing in vain");
    errno = UNTOUCHED;
}

static void test_duplicate(void **state)
{
    (void)state;
    int file = file_make();
    int copy = os_duplicate(file);
    char text[8];
    assert_true(copy >= 100);
    assert_int_equal(fcntl(copy, F_GETFD), FD_CLOEXEC);
    os_write(copy, "same", 4);
    file_read(file, text, sizeof text);
    assert_string_equal(text, "same");
    close(copy);
    close(file);
}

static void test_which_file(void **state)
{
    (void)state;
    int file = file_make(), other = file_make(), copy = os_duplicate(file);
    struct file_id id = os_file_id(file), none = os_file_id(-1);
    assert_true(id.inode != 0);
    assert_true(none.device == 0 && none.inode == 0);
    assert_true(os_is_file(file, id));
    assert_true(os_is_file(copy, id));
    assert_false(os_is_file(other, id));
    assert_false(os_is_file(-1, id));
    /* What was not there at first is no file, though it is not there now either. */
    assert_false(os_is_file(-1, none));
    assert_false(os_is_file(file, none));
    /* The number goes to another file; then to none. */
    dup2(other, copy);
    assert_false(os_is_file(copy, id));
    assert_true(os_is_file(copy, os_file_id(other)));
    close(copy);
    errno = UNTOUCHED;
    assert_false(os_is_file(copy, id));
    none = os_file_id(copy);
    assert_true(none.device == 0 && none.inode == 0);
    close(file);
    close(other);
}

/* High numbers as far as the limit of open files allows; there must be something that says so to the parent. */
static void duplicate_under_limits(void *argument)
{
    static const struct {
        rlim_t limit;
        int least;
    } cases[] = {{600, 500}, {256, 250}, {100, 62}, {20, 15}, {12, -1}};
    (void)argument;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct rlimit limit = {cases[i].limit, cases[i].limit};
        must(setrlimit(RLIMIT_NOFILE, &limit) == 0, "setrlimit");
        int copy = os_duplicate(STDERR_FILENO);
        must(copy >= cases[i].least && copy < (int)limit.rlim_cur && (copy >= 0) == (cases[i].least >= 0),
             "with at most %d files: %d", (int)limit.rlim_cur, copy);
        if (copy >= 0)
            close(copy);
    }
}

static void test_duplicate_under_limits(void **state)
{
    (void)state;
    static struct child_result result;
    child_run(duplicate_under_limits, NULL, 10, &result);
    must_end_well(&result, "duplicates");
    errno = UNTOUCHED;
}

static void test_which_files_are_logs(void **state)
{
    (void)state;
    int file = file_make(), pipes[2], sockets[2];
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    assert_true(os_is_log(pipes[1]));
    assert_false(os_is_log(sockets[0]));
    assert_false(os_is_log(file));
    assert_false(os_is_log(-1));
    assert_int_equal(fcntl(file, F_SETFL, O_APPEND), 0);
    assert_true(os_is_log(file));
    close(file);
    for (unsigned i = 0; i < 2; i++) {
        close(pipes[i]);
        close(sockets[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_write_writes_all),
        TEST(test_write_in_vain),
        TEST(test_duplicate),
        TEST(test_which_file),
        TEST(test_duplicate_under_limits),
        TEST(test_which_files_are_logs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
