/* overcommit_test.c - the machine's strict accounting of memory (vm.overcommit_memory = 2), where every writable
 * mapping counts. Switched on for the moment that the test takes, and back in any case; skipped where that is not
 * allowed.
 * SPDX-License-Identifier: MIT */
#include "churn.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define SWITCH "/proc/sys/vm/overcommit_memory"
enum { SECONDS = 20 };

static char g_before[8];

static bool switch_write(const char *value)
{
    int fd = open(SWITCH, O_WRONLY | O_CLOEXEC);
    ssize_t length = (ssize_t)strlen(value);
    bool written = fd >= 0 && write(fd, value, (size_t)length) == length;
    if (fd >= 0) {
        close(fd);
    }
    return written;
}

static void switch_restore(void)
{
    if (g_before[0] != 0) {
        switch_write(g_before);
    }
}

static void switch_restore_and_end(int number)
{
    switch_restore();
    _exit(128 + number);
}

static size_t meminfo_read(const char *name)
{
    char line[256];
    size_t size = 0;
    FILE *file = fopen("/proc/meminfo", "r");
    must(file != NULL, "/proc/meminfo cannot be opened");
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0) {
            size = strtoull(line + strlen(name), NULL, 10) * KIB;
        }
    }
    fclose(file);
    return size;
}

static void strict_body(void *argument)
{
    size_t limit = (size_t)argument;
    churn_run(1, 3 * MIB, 3000);
    for (size_t round = 0; round < 3; round++) {
        errno = 0;
        void *too_much = malloc(limit);
        must(too_much == NULL && errno == ENOMEM, "malloc(%zu), the whole limit of commitment: saw %p, errno %d", limit,
             too_much, errno);
        void *much = malloc(300 * MIB);
        must(much != NULL, "malloc(300 MiB) under strict overcommit failed: %s", strerror(errno));
        memset(much, 1, 4096);
        free(much);
    }
    churn_run(2, 3 * MIB, 3000);
}

static void test_strict_overcommit(void **state)
{
    (void)state;
    int fd = open(SWITCH, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, g_before, sizeof g_before - 1) : -1;
    if (fd >= 0) {
        close(fd);
    }
    size_t free_to_commit = meminfo_read("CommitLimit:") - meminfo_read("Committed_AS:");
    if (got <= 0 || free_to_commit > (size_t)1 << 40 || free_to_commit < GIB || !switch_write("2")) {
        g_before[0] = 0;
        skip_because("%s cannot be set to 2 here", SWITCH);
        skip();
    }
    struct child_result result;
    child_run(strict_body, (void *)meminfo_read("CommitLimit:"), SECONDS, &result);
    switch_restore();
    must_end_well(&result, "a workload under strict overcommit");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_strict_overcommit)};
    atexit(switch_restore);
    signal(SIGTERM, switch_restore_and_end);
    signal(SIGINT, switch_restore_and_end);
    return RUN_TESTS(tests);
}
