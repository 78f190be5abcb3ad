/* os_look_test.c - what is resident is found in both ways, and whether there is a filter.
 * SPDX-License-Identifier: MIT */
#include "os_tests.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "system/os_look.h"
#include "system/os_map.h"
#include "system/os_sandbox.h"

enum { LOOKED_AT = 1200 }; /* pages of memory: more than are looked at in one piece */

/* Touches some pages of memory; returns how many bytes. */
static size_t touch_some(char *start)
{
    uint64_t random = 5;
    size_t touched = 0;
    for (size_t i = 0; i < LOOKED_AT; i++)
        if (random_next(&random) % 3 == 0) {
            start[i * os_page_size()] = 1;
            touched += os_page_size();
        }
    return touched;
}

/* os_resident with what is known of filters. */
static size_t resident_when(enum os_sandbox known, char *start, size_t size)
{
    uint8_t before = load_relaxed(&os_sandbox);
    store_relaxed(&os_sandbox, known);
    size_t resident = os_resident(start, size);
    store_relaxed(&os_sandbox, before);
    return resident;
}

static void test_resident_by_call_and_by_file(void **state)
{
    (void)state;
    size_t page = os_page_size(), size = LOOKED_AT * page;
    char *start = map(size, page);
    must(madvise(start, size, MADV_NOHUGEPAGE) == 0 || errno == EINVAL, "madvise: %s", strerror(errno));
    errno = UNTOUCHED;
    size_t touched = touch_some(start);
    assert_int_equal(resident_when(OS_SANDBOX_NONE, start, size), touched);
    assert_int_equal(resident_when(OS_SANDBOX_OLD, start, size), touched);
    for (size_t i = 0; i < LOOKED_AT; i += 7)
        assert_int_equal(resident_when(OS_SANDBOX_NONE, start + i * page, page),
                         resident_when(OS_SANDBOX_OLD, start + i * page, page));
    assert_int_equal(resident_when(OS_SANDBOX_SHUT, start, size), 0);
    assert_int_equal(resident_when(OS_SANDBOX_UNKNOWN, start, size), 0);
    assert_int_equal(os_unmap(start, size), 0);
}

static void must_find(enum os_sandbox expected)
{
    char *page = map(os_page_size(), 1);
    store_relaxed(&os_sandbox, OS_SANDBOX_ASK);
    os_resident(page, os_page_size());
    uint8_t found = load_relaxed(&os_sandbox);
    must(found == expected, "expected to find %d, found %d", expected, found);
}

static void no_filter_is_found(void) { must_find(OS_SANDBOX_NONE); }

static void a_filter_is_found(void)
{
    kill_at(SYS_mincore);
    must_find(OS_SANDBOX_OLD);
}

/* What cannot be read may have said that there is one. */
static void an_unreadable_status_is_a_filter(void)
{
    long number = SYS_openat;
    filter_these(FILTER_UNSEEN, SECCOMP_RET_ERRNO | EACCES, &number, 1);
    must_find(OS_SANDBOX_OLD);
}

static void test_what_is_found_of_filters(void **state)
{
    (void)state;
    in_child(a_filter_is_found, "a filter");
    in_child(an_unreadable_status_is_a_filter, "an unreadable status");
    if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 0) /* not in a container */
        in_child(no_filter_is_found, "no filter");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_resident_by_call_and_by_file),
        TEST(test_what_is_found_of_filters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
