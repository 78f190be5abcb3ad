/* os_signal_test.c - a process that gives up ends by SIGABRT.
 * SPDX-License-Identifier: MIT */
#include "os_tests.h"

#include <signal.h>
#include <sys/wait.h>

#include "system/os_signal.h"

static void do_abort(void *argument)
{
    (void)argument;
    os_abort();
}

static void test_abort(void **state)
{
    (void)state;
    static struct child_result result;
    child_run(do_abort, NULL, 10, &result);
    must(WIFSIGNALED(result.status) && WTERMSIG(result.status) == SIGABRT, "%s", child_ending(&result));
    errno = UNTOUCHED;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_abort),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
