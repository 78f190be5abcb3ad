/* class_test.c - size classes, exhaustively: every size, every byte of every page.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include "heap/class.h"
#include "hakmem.h"

/* The table as it stands in the file, to compare with what the module makes of it. */
static const struct entry {
    unsigned id;
    size_t first, size, units;
} table[] = {
#define X(id, first, size, units) {id, first, size, units},
#include "heap/classes.def"
#undef X
};

static void test_table_is_in_order(void **state)
{
    (void)state;
    assert_int_equal(COUNT_OF(table), CLASS_FIXED_LAST);
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        const struct entry *entry = &table[i];
        assert_int_equal(entry->id, i + 1);
        assert_int_equal(entry->first, i == 0 ? 0 : table[i - 1].size + 1);
        assert_true(entry->first <= entry->size);
    }
    assert_int_equal(table[CLASS_FIXED_LAST - 1].size, CLASS_MAX_SIZE);
}

static void test_class_info_agrees_with_the_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        const struct entry *entry = &table[i];
        const struct class_info *info = &class_info[entry->id];
        assert_int_equal(class_of(entry->first), entry->id);
        assert_int_equal(class_of(entry->size), entry->id);
        assert_int_equal(class_size(entry->id), entry->size);
        assert_int_equal(info->units, entry->units);
        assert_int_equal(info->blocks, entry->units * UNIT_SIZE / entry->size);
        assert_int_equal(info->words, (info->blocks + 63) / 64);
        assert_in_range(info->blocks, 2, PAGE_MAX_BLOCKS);
        assert_in_range(info->units, 1, SUPERSLAB_UNITS);
    }
    for (unsigned id = 0; id < CLASS_SLOTS; id++)
        if (id < 1 || id > CLASS_LAST)
            assert_int_equal(class_info[id].size, 0);
}

static void test_every_size(void **state)
{
    (void)state;
    unsigned last = 1;
    for (size_t size = 0; size <= CLASS_MAX_SIZE; size++) {
        unsigned id = class_of(size);
        size_t have = class_size(id);
        must(id >= last && id <= last + 1 && id <= CLASS_FIXED_LAST, "size %zu: class %u after class %u", size, id,
             last);
        must(have >= size, "size %zu: a block of %zu bytes", size, have);
        must(id == 1 || class_size(id - 1) < size, "size %zu: class %u would do, saw %u", size, id - 1, id);
        size_t part = have <= 262144 ? 5 : 3; /* steps in a doubling, and 1 */
        must(have <= 128 ? have - size < 16 || size == 0 : (have - size) * part <= have, "size %zu wastes %zu bytes",
             size, have - size);
        /* A medium block is one of the class, or a run of its own. */
        size_t good = size > CLASS_TABLE_MAX ? min_size(have, align_up(size, UNIT_SIZE)) : have;
        must(hak_good_size(size) == good, "good size of %zu: expected %zu, saw %zu", size, good, hak_good_size(size));
        must(hak_good_size(good) == good, "good size of %zu: saw %zu", good, hak_good_size(good));
        last = id;
    }
    assert_int_equal(last, CLASS_FIXED_LAST);
}

static void test_block_index_of_every_byte(void **state)
{
    (void)state;
    for (unsigned id = 1; id <= CLASS_FIXED_LAST; id++) {
        size_t size = class_size(id), bytes = class_info[id].units * UNIT_SIZE;
        uint32_t index = 0;
        for (size_t begin = 0; begin < bytes; begin += size, index++) {
            size_t end = begin + size < bytes ? begin + size : bytes;
            for (size_t offset = begin; offset < end; offset++)
                if (class_block_index(id, offset) != index)
                    must_fail(__FILE__, __LINE__, "class %u, offset %zu: expected block %u, saw %u", id, offset, index,
                              class_block_index(id, offset));
        }
        assert_in_range(index, class_info[id].blocks, class_info[id].blocks + 1u);
    }
}

static void test_blocks_are_aligned(void **state)
{
    (void)state;
    for (unsigned id = 1; id <= CLASS_FIXED_LAST; id++) {
        size_t size = class_size(id);
        size_t align = size & -size; /* pages begin at a unit, so no more than a unit's counts */
        assert_true(align >= BLOCK_ALIGN);
        if (is_power_of_two(size) && size <= UNIT_SIZE)
            assert_int_equal(class_of(class_aligned_size(size, size)), id);
    }
}

static void test_class_of_aligned(void **state)
{
    (void)state;
    for (size_t align = 1; align <= UNIT_SIZE; align *= 2)
        for (size_t size = 0; size <= CLASS_MAX_SIZE; size += size < 5000 ? 1 : 13) {
            unsigned expected = 0;
            for (unsigned id = CLASS_FIXED_LAST; id >= 1; id--)
                if (class_size(id) >= size && class_size(id) % align == 0)
                    expected = id;
            unsigned id = class_of(class_aligned_size(size, align));
            must(id == expected, "size %zu, alignment %zu: expected class %u, saw %u", size, align, expected, id);
        }
    for (size_t i = 0; i < COUNT_OF(table); i++)
        assert_true(class_of(class_aligned_size(table[i].size, UNIT_SIZE)) >= table[i].id);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_is_in_order),
        cmocka_unit_test(test_class_info_agrees_with_the_table),
        cmocka_unit_test(test_every_size),
        cmocka_unit_test(test_block_index_of_every_byte),
        cmocka_unit_test(test_blocks_are_aligned),
        cmocka_unit_test(test_class_of_aligned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
