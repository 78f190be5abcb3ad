/* base_test.c - the arithmetic that every layer relies on, against the slow way of computing it.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/base.h"

static void test_masks(void **state)
{
    (void)state;
    uint64_t mask = 0;
    for (unsigned n = 0; n <= 64; n++) {
        assert_int_equal(low_mask64(n), mask);
        if (n <= 32)
            assert_int_equal(low_mask32(n), mask);
        mask = mask * 2 + 1;
    }
}

static void test_bits(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 64; i++) {
        uint64_t one = (uint64_t)1 << i;
        assert_int_equal(lowest_bit(one), i);
        assert_int_equal(lowest_bit(~low_mask64(i)), i);
        assert_int_equal(highest_bit(one), i);
        assert_int_equal(highest_bit(one | low_mask64(i)), i);
        assert_int_equal(count_bits(low_mask64(i)), i);
        assert_true(is_power_of_two(one));
        if (i > 1) {
            assert_false(is_power_of_two(one + 1));
            assert_false(is_power_of_two(one - 1));
        }
    }
    assert_false(is_power_of_two(0));
}

static void test_alignment(void **state)
{
    (void)state;
    for (size_t align = 1; align <= 4096; align *= 2)
        for (size_t x = 0; x <= 9000; x++)
            assert_int_equal(align_up(x, align), (x + align - 1) / align * align);
    assert_int_equal(align_up(PTRDIFF_MAX, (size_t)1 << 62), (size_t)1 << 63);
}

static void test_units(void **state)
{
    (void)state;
    for (size_t x = 0; x <= 5 * UNIT_SIZE; x += 511)
        assert_int_equal(units_for(x), x / UNIT_SIZE + (x % UNIT_SIZE != 0));
    assert_int_equal(SUPERSLAB_SIZE, SUPERSLAB_UNITS * UNIT_SIZE);
    assert_int_equal(min_size(3, 4), 3);
    assert_int_equal(min_size(4, 3), 3);
    assert_int_equal(max_size(3, 4), 4);
    assert_int_equal(max_size(4, 3), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_masks),
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_alignment),
        cmocka_unit_test(test_units),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
