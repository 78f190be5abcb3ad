/* os_stack_test.c - stacks end where they are said to.
 * SPDX-License-Identifier: MIT */
#include "os_tests.h"

#include <pthread.h>

#include "system/os_map.h"
#include "system/os_stack.h"

/* What lies between is mapped: it can be read. */
static void stack_must_end(const void *here)
{
    uintptr_t end = os_stack_end((uintptr_t)here);
    assert_in_range(end, (uintptr_t)here + 256, (uintptr_t)here + OS_STACK_REACH);
    for (const volatile char *at = here; (uintptr_t)at < end; at += 4096)
        (void)*at;
    (void)*(const volatile char *)(end - 1);
}

static void *stack_of_thread(void *argument)
{
    char here = 0;
    stack_must_end(&here);
    return argument;
}

static void test_stack_end(void **state)
{
    (void)state;
    pthread_t thread;
    char here = 0;
    stack_must_end(&here);
    assert_int_equal(pthread_create(&thread, NULL, stack_of_thread, NULL), 0);
    pthread_join(thread, NULL);
    void *elsewhere;
    assert_int_equal(os_map(1 << 20, 1, NULL, &elsewhere), 0);
    assert_int_equal(os_stack_end((uintptr_t)elsewhere + 4096), 0);
    assert_int_equal(os_unmap(elsewhere, 1 << 20), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stack_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
