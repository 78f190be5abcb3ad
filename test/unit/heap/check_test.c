/* check_test.c - HAKMEM_CHECK=1: good programs run, and every kind of damage to a block is named when it is freed or
 * handed out again. The program starts itself with the option, if it was started without.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "heap/check.h"
#include "heap/class.h"
#include "hakmem.h"
#include "heap/map.h"
#include "system/options.h"
#include "cache/ring.h"

static const size_t g_sizes[] = {0,    1,    8,    15,    24,    56,    100,     120,    121,
                                 1000, 4080, 5000, 32760, 32761, 60000, 1000000, 1048568};

static size_t class_for(size_t size) { return class_size(class_of(size + CHECK_MARK)); }

static void test_option_is_on(void **state)
{
    (void)state;
    assert_int_equal(option(OPTION_CHECK), 1);
    void *block = hak_malloc(100);
    assert_ptr_equal(cache_self, &cache_none);
    assert_true(map_page(block)->checked);
    hak_free(block);
}

/* The usable size is what was asked for, so that whatever is written behind it is damage. */
static void test_usable_size_is_exact(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(g_sizes); i++) {
        size_t usable;
        char *block = hak_malloc_usable(g_sizes[i], &usable);
        assert_int_equal(usable, g_sizes[i]);
        assert_int_equal(hak_usable_size(block), g_sizes[i]);
        memset(block, 0xff, usable);
        hak_free(block);
        block = hak_calloc(1, g_sizes[i]);
        assert_int_equal(bytes_check(block, g_sizes[i], 0), g_sizes[i]);
        assert_int_equal(hak_usable_size(block), g_sizes[i]);
        hak_free(block);
    }
}

/* ---- Good programs ----------------------------------------------------------------------------------------------- */

enum { SLOTS = 300 };

static void good_steps(size_t steps, uint64_t random)
{
    struct {
        char *block;
        size_t size;
    } slots[SLOTS] = {{NULL, 0}};
    while (steps-- > 0) {
        size_t i = random_next(&random) % SLOTS,
               size = random_size(&random, random_next(&random) % 50 ? 3000 : 3 * MIB);
        uint64_t way = random_next(&random) % 8;
        char *block = slots[i].block;
        must(pattern_check(block, slots[i].size, i) == slots[i].size, "a live block was changed");
        if (block && way < 3) {
            size_t kept = min_size(size, slots[i].size);
            block = hak_realloc(block, size);
            must(pattern_check(block, kept, i) == kept, "realloc lost contents");
        } else {
            hak_free(block);
            block = way == 3   ? hak_calloc(1, size)
                    : way == 4 ? hak_aligned_alloc((size_t)16 << size % 12, size)
                               : hak_malloc(size);
            must(way != 3 || bytes_check(block, size, 0) == size, "calloc(%zu) is not zero", size);
        }
        slots[i].block = block;
        slots[i].size = size;
        pattern_fill(block, size, i);
    }
    for (size_t i = 0; i < SLOTS; i++)
        hak_free(slots[i].block);
}

static void good_thread(void *unused)
{
    (void)unused;
    good_steps(10000, 21);
}

static void test_good_programs(void **state)
{
    (void)state;
    good_steps(UNDER_TSAN ? 5000 : 30000, 3);
    in_thread(good_thread, NULL);
    heap_must_be_valid("after a good program");
}

static void free_it(void *block) { hak_free(block); }

static void test_hand_over(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(g_sizes); i++) {
        char *block = hak_malloc(g_sizes[i]);
        memset(block, 1, g_sizes[i]);
        in_thread(free_it, block);
    }
}

/* What a large block leaves behind is not a write to a free block. */
static void test_pages_made_of_used_memory(void **state)
{
    (void)state;
    void *blocks[40];
    for (size_t round = 0; round < 4; round++) {
        for (size_t i = 0; i < COUNT_OF(blocks); i++) {
            blocks[i] = hak_malloc(2 * MIB);
            memset(blocks[i], 0xee, 2 * MIB);
        }
        for (size_t i = 0; i < COUNT_OF(blocks); i++)
            hak_free(blocks[i]);
        for (size_t i = 0; i < COUNT_OF(blocks); i++)
            blocks[i] = hak_malloc(class_size(20 + (unsigned)i) - CHECK_MARK);
        for (size_t i = 0; i < COUNT_OF(blocks); i++)
            hak_free(blocks[i]);
    }
}

/* ---- Damage ------------------------------------------------------------------------------------------------------ */

struct damage {
    size_t size;
    size_t offset; /* of the byte that is overwritten */
    void (*find)(char *block);
};

static void find_by_free(char *block) { hak_free(block); }
static void find_by_realloc(char *block) { hak_realloc(block, 5); }
static void find_by_usable_size(char *block) { hak_usable_size(block); }

static void do_damage(void *argument)
{
    const struct damage *damage = argument;
    char *block = hak_malloc(damage->size);
    block[damage->offset] ^= 0x40;
    damage->find(block);
}

static void overflow(struct damage damage, const char *call)
{
    must_die_of(ERROR_OVERFLOW, call, class_for(damage.size), do_damage, &damage);
}

static void test_every_byte_behind_a_block(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(g_sizes); i++) {
        size_t size = g_sizes[i], end = class_for(size);
        overflow((struct damage){size, size, find_by_free}, "free");
        overflow((struct damage){size, end - 1, find_by_free}, "free");
        overflow((struct damage){size, (size + end) / 2, find_by_free}, "free");
        overflow((struct damage){size, size, find_by_realloc}, "realloc");
        overflow((struct damage){size, size, find_by_usable_size}, "malloc_usable_size");
    }
    for (size_t offset = 50; offset < class_for(50); offset++)
        overflow((struct damage){50, offset, find_by_free}, "free");
}

static void write_after_free(void *argument)
{
    const struct damage *damage = argument;
    void *keeps_the_page = hak_malloc(damage->size);
    char *block = hidden(hak_malloc(damage->size));
    hak_free(block);
    block[damage->offset] = 1;
    for (size_t i = 0; i < PAGE_MAX_BLOCKS; i++)
        must(hak_malloc(damage->size) != NULL, "no memory");
    hak_free(keeps_the_page);
}

static void test_write_after_free(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(g_sizes); i++) {
        struct damage damage = {g_sizes[i], 0, NULL};
        must_die_of(ERROR_WRITE_AFTER_FREE, "malloc", class_for(damage.size), write_after_free, &damage);
        damage.offset = class_for(damage.size) - 1;
        must_die_of(ERROR_WRITE_AFTER_FREE, "malloc", class_for(damage.size), write_after_free, &damage);
    }
}

/* A block is the only one of its page, and others of its size are in use. */
static void free_twice(void *argument)
{
    size_t size = *(size_t *)argument;
    void *keeps_the_page = hak_malloc(size), *block = hak_malloc(size);
    hak_free(block);
    for (size_t i = 0; i < 200; i++)
        hak_free(hak_malloc(size + 16 <= CLASS_MAX_SIZE - CHECK_MARK ? class_for(size) + 1 : 1));
    hak_free(block);
    hak_free(keeps_the_page);
}

static void free_interior(void *argument)
{
    char *block = hak_malloc(*(size_t *)argument);
    hak_free(block + 16);
}

static void test_double_and_interior(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(g_sizes); i++) {
        size_t size = g_sizes[i];
        must_die_of(ERROR_DOUBLE_FREE, "free", class_for(size), free_twice, &size);
        if (class_for(size) > 16)
            must_die_of(ERROR_INTERIOR, "free", class_for(size), free_interior, &size);
    }
}

struct sized {
    size_t size, said;
};

static void free_wrong_size(void *argument)
{
    const struct sized *sized = argument;
    hak_free_at(hak_malloc(sized->size), sized->said, 0);
}

static void test_size_mismatch(void **state)
{
    (void)state;
    for (size_t i = 1; i < COUNT_OF(g_sizes); i++) {
        hak_free_at(hak_malloc(g_sizes[i]), g_sizes[i], 7);
        hak_free_at(hak_malloc(g_sizes[i]), 0, 7);
        struct sized sized = {g_sizes[i], g_sizes[i] + 1};
        must_die_of(ERROR_SIZE_MISMATCH, "free_sized", class_for(sized.size), free_wrong_size, &sized);
        sized.said = g_sizes[i] - 1;
        if (sized.said > 0) /* 0: not known */
            must_die_of(ERROR_SIZE_MISMATCH, "free_sized", class_for(sized.size), free_wrong_size, &sized);
    }
}

int main(int count, char **arguments)
{
    (void)count;
    run_again_with("HAKMEM_CHECK", arguments);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_option_is_on),
        cmocka_unit_test(test_usable_size_is_exact),
        cmocka_unit_test(test_good_programs),
        cmocka_unit_test(test_hand_over),
        cmocka_unit_test(test_pages_made_of_used_memory),
        cmocka_unit_test(test_every_byte_behind_a_block),
        cmocka_unit_test(test_write_after_free),
        cmocka_unit_test(test_double_and_interior),
        cmocka_unit_test(test_size_mismatch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
