/* os_file_test.c - files are believed, made and renamed as os_file.h promises.
 * SPDX-License-Identifier: MIT */
#include "os_tests.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "system/os_file.h"

static char g_directory[] = "/tmp/hakmem-os-XXXXXX";
static char g_path[64], g_other[64];

static int directory_set(void **state)
{
    (void)state;
    memcpy(strrchr(g_directory, '-') + 1, "XXXXXX", 6);
    if (!mkdtemp(g_directory))
        return -1;
    snprintf(g_path, sizeof g_path, "%s/p", g_directory);
    snprintf(g_other, sizeof g_other, "%s/other", g_directory);
    errno = UNTOUCHED;
    return 0;
}

static int directory_check(void **state)
{
    int result = errno_check(state);
    unlink(g_path);
    unlink(g_other);
    return rmdir(g_directory) == 0 ? result : -1; /* empty: nothing was left beside them */
}

/* Through the system's own calls, to leave errno alone. */
static void file_put(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void must_read(int error, const char *expected)
{
    char text[16];
    size_t length;
    int saw = os_file_read(g_path, text, sizeof text, &length);
    must(saw == error, "expected %d, saw %d", error, saw);
    assert_true(error || (length == strlen(expected) && memcmp(text, expected, length) == 0));
}

static void test_file_is_read_if_it_can_be_believed(void **state)
{
    (void)state;
    must_read(ENOENT, NULL);
    file_put(g_path, "text", 0644);
    must_read(0, "text");
    file_put(g_path, "sixteen letters!", 0644);
    must_read(EFBIG, NULL);
    file_put(g_path, "text", 0666);
    must_read(EPERM, NULL);
    unlink(g_path);
    file_put(g_other, "linked", 0644);
    assert_int_equal(symlink("other", g_path), 0);
    must_read(0, "linked");
    unlink(g_path);
    assert_int_equal(symlink("/dev/null", g_path), 0);
    must_read(ENODEV, NULL);
    unlink(g_path);
    assert_int_equal(mkfifo(g_path, 0600), 0);
    must_read(ENODEV, NULL); /* and does not wait for a writer */
    unlink(g_path);
    assert_int_equal(mkdir(g_path, 0700), 0);
    must_read(ENODEV, NULL);
    rmdir(g_path);
    errno = UNTOUCHED;
}

/* What another user owns is not believed, nor followed. Only root can make such files. */
static void test_file_of_another_user(void **state)
{
    (void)state;
    enum { SOMEBODY = 4242 };
    if (geteuid() != 0)
        return;
    file_put(g_path, "text", 0644);
    assert_int_equal(chown(g_path, SOMEBODY, SOMEBODY), 0);
    must_read(EPERM, NULL);
    unlink(g_path);
    file_put(g_other, "text", 0644);
    assert_int_equal(symlink("other", g_path), 0);
    assert_int_equal(lchown(g_path, SOMEBODY, SOMEBODY), 0);
    must_read(ELOOP, NULL);
}

static void test_file_is_made_where_nothing_was(void **state)
{
    (void)state;
    struct stat stat;
    assert_int_equal(os_file_make(g_path, "text", 4), 0);
    must_read(0, "text");
    assert_int_equal(lstat(g_path, &stat), 0);
    assert_int_equal(stat.st_mode & 022, 0);
    assert_int_equal(os_file_make(g_path, "other", 5), EEXIST);
    must_read(0, "text");
    unlink(g_path);
    assert_int_equal(mkfifo(g_path, 0600), 0);
    assert_int_equal(os_file_make(g_path, "text", 4), EEXIST); /* and does not wait for a reader */
    unlink(g_path);
    assert_int_equal(symlink("other", g_path), 0);
    assert_int_equal(os_file_make(g_path, "text", 4), EEXIST);
    assert_int_not_equal(access(g_other, F_OK), 0);
    unlink(g_path);
    errno = UNTOUCHED;
}

/* Where there is no room for it, nothing is left; and SIGXFSZ does not end the process. */
static void make_under_limit(void *argument)
{
    struct rlimit limit = {3, 3};
    (void)argument;
    must(setrlimit(RLIMIT_FSIZE, &limit) == 0, "setrlimit");
    int error = os_file_make(g_path, "text", 4);
    must(error == EFBIG, "saw %d", error);
    error = os_file_make(g_path, "3", 1);
    must(error == 0, "saw %d", error);
}

static void test_file_is_made_whole(void **state)
{
    (void)state;
    static struct child_result result;
    child_run(make_under_limit, NULL, 10, &result);
    must_end_well(&result, "a limit of 3 bytes");
    must_read(0, "3");
}

/* A closed stream's number is not used for a file that is written to. Descriptors in this process are the test's. */
static void open_without_streams(void *argument)
{
    (void)argument;
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        close(fd);
    int file = os_open("/dev/null");
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) >= 0 || file <= STDERR_FILENO)
            _exit(1);
    if (fcntl(file, F_GETFD) != FD_CLOEXEC || os_file_make(g_path, "text", 4) != 0)
        _exit(2);
    _exit(0);
}

static void test_streams_stay_closed(void **state)
{
    (void)state;
    static struct child_result result;
    child_run(open_without_streams, NULL, 10, &result);
    must_end_well(&result, "a process without streams");
    must_read(0, "text");
}

static void test_rename(void **state)
{
    (void)state;
    file_put(g_path, "one", 0644);
    assert_int_equal(os_file_rename(g_path, g_other, false), 0);
    file_put(g_path, "two", 0644);
    assert_int_equal(os_file_rename(g_path, g_other, false), EEXIST);
    must_read(0, "two");
    assert_int_equal(os_file_rename(g_path, g_other, true), 0);
    must_read(ENOENT, NULL);
    assert_int_equal(os_file_rename(g_other, g_path, false), 0);
    must_read(0, "two");
}

static void name_count(void *context, const char *name)
{
    unsigned *count = context;
    *count += strlen(name) == 40 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static void test_directory_list(void **state)
{
    (void)state;
    enum { FILES = 100 };
    char path[96];
    unsigned count = 0;
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < FILES; i++) {
            snprintf(path, sizeof path, "%s/%040u", g_directory, i);
            if (round == 0)
                file_put(path, "x", 0644);
            else
                unlink(path);
            if (round == 0 && i == FILES - 1)
                os_directory_list(g_directory, name_count, &count);
        }
    assert_int_equal(count, FILES + 2);
    os_directory_list(g_path, name_count, &count);
    os_directory_list("/dev/null", name_count, &count);
    assert_int_equal(count, FILES + 2);
}

int main(void)
{
#define FILE_TEST(f) cmocka_unit_test_setup_teardown(f, directory_set, directory_check)
    const struct CMUnitTest tests[] = {
        FILE_TEST(test_file_is_read_if_it_can_be_believed),
        FILE_TEST(test_file_of_another_user),
        FILE_TEST(test_file_is_made_where_nothing_was),
        FILE_TEST(test_file_is_made_whole),
        FILE_TEST(test_streams_stay_closed),
        FILE_TEST(test_rename),
        FILE_TEST(test_directory_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
