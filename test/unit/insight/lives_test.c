/* lives_test.c - whose blocks stay where others' go, as samples tell.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include "insight/lives.h"

/* `live` and `ended` MiB, of which each lived, or lives so far, for so many milliseconds. */
static struct lives_site site_of(uintptr_t site, uint64_t live, uint64_t live_ms, uint64_t ended, uint64_t ended_ms)
{
    return (struct lives_site){site, live * MIB, ended * MIB, ended * ended_ms, live * live_ms, false};
}

static void test_one_site_is_like_none(void **state)
{
    (void)state;
    struct lives_site all[] = {site_of(1, 1, 5000, 100, 20)};
    assert_false(lives_stays(&all[0], all, 1));
}

static void test_sites_differ(void **state)
{
    (void)state;
    struct lives_site all[] = {site_of(1, 1, 30, 100, 20), site_of(2, 1, 300, 0, 0), site_of(3, 1, 70, 2, 75),
                               site_of(4, 0, 0, 5, 9000)};
    assert_false(lives_stays(&all[0], all, 3));
    assert_true(lives_stays(&all[1], all, 3));
    assert_false(lives_stays(&all[2], all, 3)); /* not four times as long */
    assert_false(lives_stays(&all[3], all, 4)); /* nothing of it is live */
}

static void test_little_proves_nothing(void **state)
{
    (void)state;
    struct lives_site all[] = {site_of(1, 1, 30, 3, 20), site_of(2, 1, 300, 0, 0)};
    assert_false(lives_stays(&all[1], all, 2));
    all[0].ended += MIB;
    assert_true(lives_stays(&all[1], all, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_site_is_like_none),
        cmocka_unit_test(test_sites_differ),
        cmocka_unit_test(test_little_proves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
