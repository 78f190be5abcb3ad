/* os_advise_test.c - what is purged is gone, and what is not said to be is not.
 * SPDX-License-Identifier: MIT */
#include "os_tests.h"

#include <sys/mman.h>
#include <sys/syscall.h>

#include "system/os_advise.h"
#include "system/os_map.h"
#include "system/os_sandbox.h"

static void test_purge_frees_memory_and_zeroes(void **state)
{
    (void)state;
    char *start = map(64 * MIB, MIB);
    memset(start, 7, 64 * MIB);
    size_t full = process_rss();
    assert_int_equal(os_purge(start + MIB, 62 * MIB), 0);
    size_t rest = process_rss();
    must(rest + 60 * MIB < full, "RSS fell from %zu to %zu", full, rest);
    assert_int_equal(bytes_check(start, MIB, 7), MIB);
    assert_int_equal(bytes_check(start + MIB, 62 * MIB, 0), 62 * MIB);
    assert_int_equal(bytes_check(start + 63 * MIB, MIB, 7), MIB);
    assert_int_equal(os_unmap(start, 64 * MIB), 0);
    assert_int_not_equal(os_purge(start + 1, os_page_size()), 0);
}

/* All but one that cannot be purged; and only one. */
static void test_purge_of_many_ranges(void **state)
{
    (void)state;
    size_t page = os_page_size(), size = 2 * OS_RANGES_MAX * page;
    char *start = map(size, MIB);
    struct os_range ranges[OS_RANGES_MAX];
    for (unsigned round = 0; round < 3; round++) {
        memset(start, 7, size);
        for (unsigned i = 0; i < OS_RANGES_MAX; i++)
            ranges[i] = (struct os_range){start + (2 * i + 1) * page, i % 5 == 3 ? 0 : page};
        if (round == 1)
            ranges[20].start = start + 1;
        uint32_t purged = round == 2 ? 1 : round == 1 ? ~((uint32_t)1 << 20) : UINT32_MAX;
        assert_int_equal(os_purge_all(ranges, round == 2 ? 1 : OS_RANGES_MAX), purged);
        for (unsigned i = 0; i < OS_RANGES_MAX; i++) {
            char *range = start + (2 * i + 1) * page;
            bool gone = (purged >> i & 1) && i % 5 != 3;
            assert_int_equal(bytes_check(range - page, page, 7), page);
            assert_int_equal(bytes_check(range, page, gone ? 0 : 7), page);
        }
    }
    assert_int_equal(os_purge_all(ranges, 0), 0);
    assert_int_equal(os_unmap(start, size), 0);
}

static void test_wiped_on_fork(void **state)
{
    (void)state;
    void *word;
    assert_int_equal(os_map_wiped_on_fork(&word), 0);
    *(volatile uint32_t *)word = 77;
    pid_t child = child_fork(10);
    if (child == 0)
        _exit(*(volatile uint32_t *)word == 0 ? 0 : 1);
    child_join(child, "a word that is wiped on fork");
    assert_int_equal(*(volatile uint32_t *)word, 77);
    assert_int_equal(os_unmap(word, os_page_size()), 0);
}

static void say_yes_to(long number) { filter_these(FILTER_UNSEEN, SECCOMP_RET_ERRNO | 0, &number, 1); }

static void must_not_be_purged(char *start)
{
    must(os_purge(start, os_page_size()) == ENOSYS, "a purge that did nothing succeeded");
    must(bytes_check(start, os_page_size(), 7) == os_page_size(), "the contents have changed");
    struct os_range ranges[2] = {{start, os_page_size()}, {start, 0}};
    must((os_purge_all(ranges, 2) & 1) == 0, "a purge that did nothing succeeded among others");
}

static char *dirty_page(void)
{
    char *start = map(os_page_size(), 1);
    memset(start, 7, os_page_size());
    return start;
}

static void purges_do_nothing(void)
{
    char *start = dirty_page();
    say_yes_to(SYS_madvise);
    for (unsigned i = 0; i < 3; i++)
        must_not_be_purged(start);
}

/* They did something so far: a filter of the program's own is another system. */
static void purges_do_nothing_any_more(void)
{
    must(os_purge(dirty_page(), os_page_size()) == 0, "the first purge failed");
    long number = SYS_madvise;
    os_sandbox_shut();
    filter_these(FILTER_UNSEEN, SECCOMP_RET_ERRNO | 0, &number, 1);
    must_not_be_purged(dirty_page());
}

static void purges_together_do_nothing(void)
{
    char *first = dirty_page(), *second = dirty_page();
    store_relaxed(&os_sandbox, OS_SANDBOX_NONE);
    must(os_purge(dirty_page(), os_page_size()) == 0, "the first purge failed");
    say_yes_to(SYS_process_madvise);
    struct os_range ranges[2] = {{first, os_page_size()}, {second, os_page_size()}};
    uint32_t purged = os_purge_all(ranges, 2);
    must(purged == 3 && *first == 0 && *second == 0, "purged: %#x, read: %d %d", (unsigned)purged, *first, *second);
}

/* A failure of the first says nothing of the others, and leaves what was there. */
static void the_first_purge_fails(void)
{
    char *start = dirty_page();
    must(mlock(start, os_page_size()) == 0 || errno == ENOMEM || errno == EPERM, "mlock: %s", strerror(errno));
    int error = os_purge(start, os_page_size());
    must(error == 0 || (error == EINVAL && bytes_check(start, os_page_size(), 7) == os_page_size()), "errno %d", error);
    must(os_purge(dirty_page(), os_page_size()) == 0, "the second failed, too");
}

static void test_purges_that_do_nothing(void **state)
{
    (void)state;
    in_child(purges_do_nothing, "purges that do nothing");
    in_child(purges_do_nothing_any_more, "purges that do nothing any more");
    in_child(purges_together_do_nothing, "purges of many that do nothing");
    in_child(the_first_purge_fails, "a first purge that fails");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_purges_that_do_nothing), /* first: who has looked once believes */
        TEST(test_purge_frees_memory_and_zeroes),
        TEST(test_purge_of_many_ranges),
        TEST(test_wiped_on_fork),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
