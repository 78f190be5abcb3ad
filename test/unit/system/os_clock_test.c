/* os_clock_test.c - the clocks go as the system's, without a call.
 * SPDX-License-Identifier: MIT */
#include "os_tests.h"

#include <sys/auxv.h>
#include <sys/syscall.h>
#include <time.h>

#include "system/os_clock.h"

static void test_clock(void **state)
{
    (void)state;
    uint64_t start = os_milliseconds(), last = start;
    for (unsigned i = 0; i < 10; i++) {
        sleep_milliseconds(10);
        uint64_t now = os_milliseconds();
        assert_true(now >= last);
        last = now;
    }
    assert_in_range(last - start, 90, 5000);
}

static uint64_t system_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void test_clock_is_the_systems(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t before = system_clock(CLOCK_MONOTONIC), exact = os_nanoseconds(),
                 after = system_clock(CLOCK_MONOTONIC);
        assert_in_range(exact, before, after);
        before = system_clock(CLOCK_MONOTONIC_COARSE) / 1000000;
        uint64_t coarse = os_milliseconds();
        assert_in_range(coarse, before, system_clock(CLOCK_MONOTONIC_COARSE) / 1000000);
    }
}

static void the_clock_is_no_call(void)
{
    kill_at(SYS_clock_gettime);
    must(os_milliseconds() > 0, "the clock stands at 0");
}

static void test_clock_is_no_call(void **state)
{
    (void)state;
    if (getauxval(AT_SYSINFO_EHDR) == 0) {
        skip_because("the kernel put no code of its own into this process");
        return;
    }
    in_child(the_clock_is_no_call, "the clock");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_clock),
        TEST(test_clock_is_the_systems),
        TEST(test_clock_is_no_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
