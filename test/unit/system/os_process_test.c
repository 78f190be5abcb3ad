/* os_process_test.c - what the process knows of itself.
 * SPDX-License-Identifier: MIT */
#include "os_tests.h"

#include <sys/syscall.h>

#include "system/os_process.h"

static void test_process(void **state)
{
    (void)state;
    assert_int_equal(os_process_id(), getpid());
    assert_false(os_is_privileged());
}

static void memory_is_asked_for_once(void)
{
    size_t before = os_memory_size();
    must(before >= 64 * MIB, "the system has %zu bytes", before);
    kill_at(SYS_sysinfo);
    must(os_memory_size() == before, "it has another size now");
}

static void test_memory_size(void **state)
{
    (void)state;
    in_child(memory_is_asked_for_once, "the size of memory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_process),
        TEST(test_memory_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
