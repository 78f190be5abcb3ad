/* profile_test.c - profiles: what is written is read back; whatever is damaged is found out.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <string.h>

#include "policy/profile.h"

static char g_text[PROFILE_MAX];
static const struct profile_program g_program = {"server", "0123", "abc"};

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
    size_t length = profile_compose(g_text, &g_program, &policy_static, &policy);
    assert_true(length < 1000);
    assert_null(profile_parse(g_text, length, &g_program, &policy_static, &read));
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
    size_t length = profile_compose(g_text, &g_program, &policy_static, &policy);
    assert_null(profile_parse(g_text, length, &g_program, &policy_static, &read));
    assert_memory_equal(&read, &policy_static, sizeof read);
}

/* Cut off anywhere, or with any letter changed, it is refused. */
static void test_damage(void **state)
{
    (void)state;
    struct policy policy = learned(), read;
    size_t length = profile_compose(g_text, &g_program, &policy_static, &policy);
    for (size_t cut = 0; cut < length; cut++)
        must(profile_parse(g_text, cut, &g_program, &policy_static, &read) != NULL, "%zu of %zu letters were taken",
             cut, length);
    for (size_t at = 0; at < length; at++)
        for (unsigned bit = 0; bit < 8; bit++) {
            g_text[at] = (char)(g_text[at] ^ 1 << bit);
            must(profile_parse(g_text, length, &g_program, &policy_static, &read) != NULL,
                 "bit %u of letter %zu was not missed", bit, at);
            g_text[at] = (char)(g_text[at] ^ 1 << bit);
        }
    assert_null(profile_parse(g_text, length, &g_program, &policy_static, &read));
    assert_string_equal(profile_parse("x", 1, &g_program, &policy_static, &read), "not a profile");
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
        size_t length = profile_compose(g_text, &g_program, &policy_static, &policy);
        must(profile_parse(g_text, length, &g_program, &policy_static, &read) != NULL, "case %u was taken", i);
    }
}

/* What may be replaced: this program's, of any build, and what an older hakmem wrote, but nothing that is not whole. */
static void test_verdicts(void **state)
{
    (void)state;
    static const struct {
        const char *name, *place, *build;
        enum store_verdict verdict;
        const char *fault;
    } cases[] = {
        {"server", "0123", "abc", STORE_OWN, NULL},
        {"server", "4567", "abc", STORE_OWN, NULL},
        {"server", "0123", "abd", STORE_OLD, "of another build of the program"},
        {"server", "0123", "ab", STORE_OLD, "of another build of the program"},
        {"server", "4567", "abd", STORE_OWN, "of another build of the program"},
        {"serve", "0123", "abc", STORE_OTHERS, "of another program; a directory holds one for each"},
        {"servers", "0123", "abc", STORE_OTHERS, "of another program; a directory holds one for each"},
    };
    struct policy policy = learned(), read;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct profile_program other = {"", "", ""};
        strcpy(other.name, cases[i].name);
        strcpy(other.place, cases[i].place);
        strcpy(other.build, cases[i].build);
        size_t length = profile_compose(g_text, &other, &policy_static, &policy);
        assert_int_equal(profile_judge(g_text, length, &g_program), cases[i].verdict);
        assert_int_equal(profile_judge(g_text, length - 1, &g_program), STORE_FOREIGN);
        const char *fault = profile_parse(g_text, length, &g_program, &policy_static, &read);
        must((!fault && !cases[i].fault) || (fault && cases[i].fault && strcmp(fault, cases[i].fault) == 0),
             "case %zu: saw %s", i, fault);
        g_text[length - 20]++;
        assert_int_equal(profile_judge(g_text, length, &g_program), STORE_FOREIGN);
    }
    assert_int_equal(profile_judge("", 0, &g_program), STORE_FOREIGN);
    assert_int_equal(profile_judge("mine\n", 5, &g_program), STORE_FOREIGN);
}

static void test_older_format(void **state)
{
    (void)state;
    struct policy read;
    static const char older[] = "hakmem profile 3\nbuild cafe\nfitted 0\nrests 0\nthread_bytes 8388608\n"
                                "depot_bytes 33554432\nretained 0\nend 1ceea422f08765a5\n";
    assert_int_equal(profile_judge(older, sizeof older - 1, &g_program), STORE_OWN);
    assert_string_equal(profile_parse(older, sizeof older - 1, &g_program, &policy_static, &read),
                        "of another version of hakmem");
}

/* What the second line of a class says would hold for a part of it only. */
static void test_a_class_has_one_line(void **state)
{
    (void)state;
    struct policy read;
#define HEAD "hakmem profile 4\nprogram server 0123\nbuild abc\nfitted 0\nrests 1\nthread_bytes 8388608\n" \
             "depot_bytes 33554432\nretained 0\nclass 64 1 4 1 25 0\n"
    static const char one[] = HEAD "end 80357425f48eda71\n";
    static const char two[] = HEAD "class 64 9 4 1 25 0\nend ffb19ec818fb3196\n";
#undef HEAD
    assert_null(profile_parse(one, sizeof one - 1, &g_program, &policy_static, &read));
    assert_string_equal(profile_parse(two, sizeof two - 1, &g_program, &policy_static, &read), "damaged");
}

static void test_program(void **state)
{
    (void)state;
    struct profile_program program, again;
    profile_program_find(&program);
    profile_program_find(&again);
    assert_string_equal(program.name, "unit_profile");
    assert_int_equal(strlen(program.place), PROFILE_HASH_LETTERS);
    assert_in_range(strlen(program.build), 16, OS_BUILD_ID_MAX - 1);
    assert_string_equal(program.place, again.place);
    assert_string_equal(program.build, again.build);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_thrift_is_not_saved),
        cmocka_unit_test(test_damage),     cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_verdicts),   cmocka_unit_test(test_older_format),
        cmocka_unit_test(test_program),    cmocka_unit_test(test_a_class_has_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
