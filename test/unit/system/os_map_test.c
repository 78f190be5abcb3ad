/* os_map_test.c - memory comes and goes where and as it is to.
 * SPDX-License-Identifier: MIT */
#include "os_tests.h"

#include "system/os_map.h"

static void test_page_size(void **state)
{
    (void)state;
    assert_int_equal(os_page_size(), sysconf(_SC_PAGESIZE));
    assert_int_equal(UNIT_SIZE % os_page_size(), 0);
}

static void test_map_is_aligned_zero_and_given_back(void **state)
{
    (void)state;
    size_t before = process_mappings();
    for (size_t align = 1; align <= GIB; align *= 2)
        for (size_t size = os_page_size(); size <= 4 * MIB; size *= 4) {
            unsigned char *start = map(size, align);
            assert_int_equal(bytes_check(start, size, 0), size);
            start[0] = start[size - 1] = 1;
            assert_int_equal(os_unmap(start, size), 0);
        }
    must(process_mappings() <= before + 1, "%zu mappings became %zu", before, process_mappings());
}

static void test_map_honours_a_free_hint(void **state)
{
    (void)state;
    void *here, *start = map(4 * MIB, MIB);
    assert_int_equal(os_unmap(start, 4 * MIB), 0);
    assert_int_equal(os_map(MIB, MIB, (char *)start + 2 * MIB, &here), 0);
    assert_ptr_equal(here, (char *)start + 2 * MIB);
    assert_int_equal(os_unmap(here, MIB), 0);
}

static void test_map_refuses_the_impossible(void **state)
{
    (void)state;
    void *start;
    assert_int_equal(os_map((size_t)1 << 62, 1, NULL, &start), ENOMEM);
    assert_int_equal(os_map(os_page_size(), (size_t)1 << 62, NULL, &start), ENOMEM);
    assert_int_equal(os_map((size_t)1 << 62, (size_t)1 << 63, NULL, &start), ENOMEM);
}

static void test_unmap_of_a_part(void **state)
{
    (void)state;
    size_t page = os_page_size();
    char *start = map(3 * page, page);
    memset(start, 7, 3 * page);
    assert_int_equal(os_unmap(start + page, page), 0);
    assert_int_equal(bytes_check(start, page, 7), page);
    assert_int_equal(bytes_check(start + 2 * page, page, 7), page);
    assert_int_equal(os_unmap(start, page), 0);
    assert_int_equal(os_unmap(start + 2 * page, page), 0);
}

static void test_resize_in_place(void **state)
{
    (void)state;
    char *start = map(4 * MIB, MIB);
    memset(start, 7, MIB);
    assert_int_equal(os_resize(start, 4 * MIB, MIB), 0);
    assert_int_equal(os_resize(start, MIB, 3 * MIB), 0);
    assert_int_equal(bytes_check(start, MIB, 7), MIB);
    assert_int_equal(bytes_check(start + MIB, 2 * MIB, 0), 2 * MIB);
    /* What follows is in use: it has to fail, and not to move. */
    void *behind;
    assert_int_equal(os_map(MIB, MIB, start + 3 * MIB, &behind), 0);
    if (behind == start + 3 * MIB)
        assert_int_equal(os_resize(start, 3 * MIB, 4 * MIB), ENOMEM);
    assert_int_equal(bytes_check(start, MIB, 7), MIB);
    assert_int_equal(os_unmap(behind, MIB), 0);
    assert_int_equal(os_unmap(start, 3 * MIB), 0);
}

static void test_move_keeps_contents(void **state)
{
    (void)state;
    char *start = map(MIB, MIB), *target = map(2 * MIB, MIB);
    pattern_fill(start, MIB, 5);
    memset(target, 9, 2 * MIB);
    assert_int_equal(os_move(start, MIB, 2 * MIB, target), 0);
    assert_int_equal(pattern_check(target, MIB, 5), MIB);
    assert_int_equal(bytes_check(target + MIB, MIB, 0), MIB);
    assert_int_equal(os_unmap(target, 2 * MIB), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_page_size),
        TEST(test_map_is_aligned_zero_and_given_back),
        TEST(test_map_honours_a_free_hint),
        TEST(test_map_refuses_the_impossible),
        TEST(test_unmap_of_a_part),
        TEST(test_resize_in_place),
        TEST(test_move_keeps_contents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
