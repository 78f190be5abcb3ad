/* elffile_test.c - which files are opened at all.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "names/elffile.h"

/* Whether anybody opens the file while elf_open is asked to; *fd is its answer. */
static bool is_opened(const char *path, int *fd)
{
    char events[4096];
    int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    assert_true(watch >= 0);
    assert_true(inotify_add_watch(watch, path, IN_OPEN) >= 0);
    *fd = elf_open(path);
    bool is_seen = read(watch, events, sizeof events) > 0;
    close(watch);
    return is_seen;
}

static void a_file_is_opened(void **state)
{
    (void)state;
    int fd;
    char first[4];
    assert_true(is_opened("/proc/self/exe", &fd));
    assert_true(fd >= 0);
    assert_int_equal(read(fd, first, sizeof first), sizeof first);
    assert_memory_equal(first, "\177ELF", sizeof first);
    close(fd);
}

/* Devices may do something when they are opened (/dev/watchdog): a FIFO is one that anybody can make. */
static void a_fifo_is_not_even_opened(void **state)
{
    (void)state;
    char folder[] = "/tmp/hakmem-elffile-XXXXXX", path[sizeof folder + 8];
    int fd;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/fifo", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    bool is_seen = is_opened(path, &fd);
    unlink(path);
    rmdir(folder);
    assert_false(is_seen);
    assert_int_equal(fd, -1);
}

static void what_has_no_contents_is_not_opened(void **state)
{
    (void)state;
    assert_int_equal(elf_open("/dev/null"), -1);
    assert_int_equal(elf_open("/proc/self/status"), -1);
    assert_int_equal(elf_open("/tmp"), -1);
    assert_int_equal(elf_open("/no such file"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_opened),
        cmocka_unit_test(a_fifo_is_not_even_opened),
        cmocka_unit_test(what_has_no_contents_is_not_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
