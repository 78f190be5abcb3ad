/* profile_test.c - profiles: what is written is read back; whatever is damaged is found out.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os.h"
#include "profile.h"

static char g_text[PROFILE_MAX];

static struct policy learned(void)
{
    struct policy policy = policy_static;
    policy.rests = true;
    policy.thread_bytes_max = 16 * MIB;
    policy.depot_bytes = 64 * MIB;
    policy.retained = 100 * MIB;
    policy.class[class_of(64)].capacity = 2046;
    policy.class[class_of(5000)].batch = 4;
    policy.class[class_of(5000)].wmax = 25;
    policy.class[class_of(700)].hands_over = true;
    policy.class[class_of(48)].huge = true;
    return policy;
}

static void test_round_trip(void **state)
{
    (void)state;
    struct policy policy = learned(), read;
    size_t length = profile_compose(g_text, "abc", &policy_static, &policy);
    assert_true(length < 1000);
    assert_null(profile_parse(g_text, length, "abc", &policy_static, &read));
    policy.depot_slots = read.depot_slots;
    assert_int_equal(read.depot_slots, POLICY_DEPOT_SLOTS_MAX);
    assert_memory_equal(&read, &policy, sizeof policy);
}

/* Thrift is for when there are many threads. */
static void test_thrift_is_not_saved(void **state)
{
    (void)state;
    struct policy policy = policy_static, read;
    policy_set_thrift(&policy, &policy_static, true);
    size_t length = profile_compose(g_text, "abc", &policy_static, &policy);
    assert_null(profile_parse(g_text, length, "abc", &policy_static, &read));
    assert_memory_equal(&read, &policy_static, sizeof read);
}

/* Cut off anywhere, or with any letter changed, it is refused. */
static void test_damage(void **state)
{
    (void)state;
    struct policy policy = learned(), read;
    size_t length = profile_compose(g_text, "abc", &policy_static, &policy);
    for (size_t cut = 0; cut < length; cut++)
        must(profile_parse(g_text, cut, "abc", &policy_static, &read) != NULL, "%zu of %zu letters were taken", cut,
             length);
    for (size_t at = 0; at < length; at++)
        for (unsigned bit = 0; bit < 8; bit++) {
            g_text[at] = (char)(g_text[at] ^ 1 << bit);
            must(profile_parse(g_text, length, "abc", &policy_static, &read) != NULL,
                 "bit %u of letter %zu was not missed", bit, at);
            g_text[at] = (char)(g_text[at] ^ 1 << bit);
        }
    assert_null(profile_parse(g_text, length, "abc", &policy_static, &read));
    assert_string_equal(profile_parse(g_text, length, "abd", &policy_static, &read),
                        "of another program, or another build of it");
    assert_string_equal(profile_parse(g_text, length, "ab", &policy_static, &read),
                        "of another program, or another build of it");
    assert_string_equal(profile_parse("x", 1, "abc", &policy_static, &read), "not a profile of this version of hakmem");
}

/* Values out of bounds are refused even with a right checksum: by composing from a policy that is not valid. */
static void test_bounds(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 7; i++) {
        struct policy policy = learned(), read;
        struct class_policy *class = &policy.class[class_of(5000)];
        switch (i) {
        case 0:
            class->capacity = 4095;
            break;
        case 1:
            class->capacity = 0;
            break;
        case 2:
            class->batch = 5;
            break;
        case 3:
            class->wmax = 101;
            break;
        case 4:
            policy.thread_bytes_max = 1;
            break;
        case 5:
            policy.retained = POLICY_RETAINED_MAX + 1;
            break;
        default:
            policy.depot_bytes = POLICY_DEPOT_BYTES_MAX + 1;
            break;
        }
        size_t length = profile_compose(g_text, "abc", &policy_static, &policy);
        must(profile_parse(g_text, length, "abc", &policy_static, &read) != NULL, "case %u was taken", i);
    }
}

static void test_build_id(void **state)
{
    (void)state;
    char id[OS_BUILD_ID_MAX], again[OS_BUILD_ID_MAX];
    os_build_id(id);
    os_build_id(again);
    assert_in_range(strlen(id), 16, OS_BUILD_ID_MAX - 1);
    assert_int_equal(strspn(id, "0123456789abcdef"), strlen(id));
    assert_string_equal(id, again);
}

/* A file is replaced as a whole; where that cannot be, the old one stays, and nothing beside it. */
static void test_replace(void **state)
{
    (void)state;
    char directory[] = "/tmp/hakmem-profile-XXXXXX", path[64], missing[64], text[16];
    size_t length;
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/p", directory);
    snprintf(missing, sizeof missing, "%s/none/p", directory);
    assert_int_equal(os_file_replace(path, "first", 5), 0);
    assert_int_equal(os_file_replace(path, "second", 6), 0);
    assert_int_equal(os_file_read(path, text, sizeof text, &length), 0);
    assert_true(length == 6 && memcmp(text, "second", 6) == 0);
    assert_int_equal(os_file_read(path, text, 6, &length), EFBIG);
    assert_int_equal(os_file_replace(missing, "x", 1), ENOENT);
    assert_int_equal(os_file_read(missing, text, sizeof text, &length), ENOENT);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(directory), 0); /* empty: no draft was left */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_thrift_is_not_saved),
        cmocka_unit_test(test_damage),     cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_build_id),   cmocka_unit_test(test_replace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
