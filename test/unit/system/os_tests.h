/* os_tests.h - what the tests of os_*.c share: each of them also looks whether errno was left alone.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TEST_OS_TESTS_H
#define HAKMEM_TEST_OS_TESTS_H

#include "unit.h"

#include <errno.h>
#include <unistd.h>

#include "filter.h"
#include "system/os_map.h"

enum { UNTOUCHED = 4242 };

static inline int errno_set(void **state)
{
    (void)state;
    errno = UNTOUCHED;
    return 0;
}

static inline int errno_check(void **state)
{
    (void)state;
    return errno == UNTOUCHED ? 0 : -1;
}

/* A test that is to leave errno alone. */
#define TEST(f) cmocka_unit_test_setup_teardown(f, errno_set, errno_check)

static inline void *map(size_t size, size_t align)
{
    void *start = NULL;
    int error = os_map(size, align, NULL, &start);
    must(error == 0, "os_map(%zu, %zu): %s", size, align, strerror(error));
    must((uintptr_t)start % align == 0, "os_map(%zu, %zu): saw %p", size, align, start);
    return start;
}

static inline void in_child(void (*body)(void), const char *what)
{
    pid_t child = child_fork(20);
    if (child == 0) {
        body();
        _exit(0);
    }
    child_join(child, what);
}

static inline void kill_at(long number) { filter_these(FILTER_UNSEEN, SECCOMP_RET_KILL_PROCESS, &number, 1); }

#endif
