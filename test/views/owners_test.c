/* owners_test.c - who has what of a record.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"
#include "memory/owners.h"

#define MIB (UINT64_C(1) << 20)
enum { LONG = 1, SHORT = 3 };

static _Alignas(64) char memory[FIXTURE_SIZE];

/* A further stack, of one address. */
static void short_stack_add(uint64_t address, uint64_t ended)
{
    struct record_stack *stack = &fixture_stacks(memory)[SHORT];
    *stack = (struct record_stack){.frames = FIXTURE_FRAMES - 1, .depth = 1, .hash = 17, .ended = ended};
    fixture_frames(memory)[FIXTURE_FRAMES - 1] = address;
}

static struct owners owners_of_memory(void)
{
    struct owners owners;
    struct record *record = record_open(fixture_file(memory, sizeof memory));
    assert_non_null(record);
    assert_true(owners_read(&owners, record, NULL));
    record_close(record);
    return owners;
}

static void two_own_what_the_samples_stand_for(void **state)
{
    (void)state;
    fixture_fill(memory);
    struct owners owners = owners_of_memory();
    assert_int_equal(owners.count, 2);
    assert_int_equal(owners.live, 80 * MIB);
    assert_int_equal(owners.owner[0].live, 40 * MIB);
    assert_int_equal(owners.owner[1].live, 40 * MIB);
    owners_free(&owners);
}

/* While a process is small, stacks are one address, and all blocks of that time may be gone. */
static void what_ended_counts_where_nothing_lives_by_the_same_stack(void **state)
{
    (void)state;
    fixture_fill(memory);
    uint64_t ended = fixture_stacks(memory)[LONG].ended;
    short_stack_add(fixture_frames(memory)[fixture_stacks(memory)[LONG].frames], 30 * MIB);
    struct owners owners = owners_of_memory();
    assert_int_equal(owners.count, 2);
    assert_int_equal(owners.live, 80 * MIB);
    unsigned found = 0;
    for (size_t i = 0; i < owners.count; i++)
        found += owners.owner[i].ended == ended + 30 * MIB;
    assert_int_equal(found, 1);
    owners_free(&owners);
}

static void who_has_nothing_left_is_no_owner(void **state)
{
    (void)state;
    fixture_fill(memory);
    short_stack_add(0x4242424242, 30 * MIB);
    struct owners owners = owners_of_memory();
    assert_int_equal(owners.count, 2);
    for (size_t i = 0; i < owners.count; i++)
        assert_true(owners.owner[i].ended < 30 * MIB);
    owners_free(&owners);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_own_what_the_samples_stand_for),
        cmocka_unit_test(what_ended_counts_where_nothing_lives_by_the_same_stack),
        cmocka_unit_test(who_has_nothing_left_is_no_owner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
