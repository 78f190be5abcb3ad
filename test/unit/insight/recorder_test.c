/* recorder_test.c - what is asked from outside, in the process's record: found, answered once, and not by a child of
 * fork.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include "insight/recorder.h"
#include "system/os_clock.h"

static struct record_requests *requests_find(void)
{
    recorder_add(RECORD_GUARDS, 1, 64); /* with which the record begins */
    struct record_requests *found = recorder_piece(RECORD_REQUESTS, 0);
    assert_non_null(found);
    return found;
}

static void test_requests_are_answered_once(void **state)
{
    (void)state;
    struct record_requests *requests = requests_find();
    uint64_t before = os_milliseconds();
    assert_int_equal(recorder_asked(), 0);
    store_relaxed(&requests->trim, 7);
    assert_int_equal(recorder_asked(), 7);
    recorder_answer(7, 4711);
    assert_int_equal(recorder_asked(), 0);
    assert_int_equal(load_relaxed(&requests->trimmed), 7);
    assert_int_equal(load_relaxed(&requests->given), 4711);
    assert_in_range(load_relaxed(&requests->given_at), before, os_milliseconds());
}

/* Asked once more while the answer to the first is on its way. */
static void test_a_later_request_is_another(void **state)
{
    (void)state;
    struct record_requests *requests = requests_find();
    store_relaxed(&requests->trim, 9);
    recorder_answer(8, 1);
    assert_int_equal(recorder_asked(), 9);
    recorder_answer(9, 1);
    assert_int_equal(recorder_asked(), 0);
}

static void test_the_child_of_a_fork_was_asked_nothing(void **state)
{
    (void)state;
    struct record_requests *requests = requests_find();
    store_relaxed(&requests->trim, 10);
    assert_int_equal(recorder_asked(), 10);
    recorder_after_fork();
    assert_int_equal(recorder_asked(), 0);
    store_relaxed(&requests->trim, load_relaxed(&requests->trim) + 1);
    assert_int_not_equal(recorder_asked(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_are_answered_once),
        cmocka_unit_test(test_a_later_request_is_another),
        cmocka_unit_test(test_the_child_of_a_fork_was_asked_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
