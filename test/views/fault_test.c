/* fault_test.c - which guarded block an address belongs to, and what is told of it, by a record of the fixture's.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"
#include "memory/fault.h"

static _Alignas(8) char memory[FIXTURE_SIZE];
static char told[4096];

/* What is told of the address. */
static bool is_told(uint64_t address)
{
    fixture_fill(memory);
    struct record *record = record_open(fixture_file(memory, sizeof memory));
    FILE *to = fmemopen(told, sizeof told, "w");
    assert_true(record && to);
    bool is = fault_print(to, record, address);
    fclose(to);
    record_close(record);
    return is;
}

/* Of sentences, which are wrapped, the parts stand in one line. */
static void must_tell(uint64_t address, const char *part)
{
    told[0] = '\0';
    assert_true(is_told(address));
    if (!strstr(told, part))
        fail_msg("of %llx '%s' is not told: %s", (unsigned long long)address, part, told);
}

enum { STRIDE = 64 << 10 };
#define LIVE_END (FIXTURE_CELL + STRIDE)     /* of a block of 112 bytes */
#define FREED_END (FIXTURE_CELL + 2 * STRIDE) /* of one of 4 KiB */

static void the_nearest_block_is_told(void **state)
{
    (void)state;
    must_tell(LIVE_END, "Overflow: 0x7e0000010000 is right behind the end of a block of 112 bytes that");
    must_tell(LIVE_END + 9000, "9000 bytes behind the end of a block of 112");
    must_tell(LIVE_END - 113, "Underflow: 0x7e000000ff8f is 1 byte before the start of a block of 112");
    must_tell(LIVE_END - 112, "No fault: 0x7e000000ff90 is at the start of a block of 112 bytes");
    must_tell(FREED_END - 1, "Use after free: 0x7e000001ffff is 4095 bytes into a block of 4096");
    must_tell(FREED_END + 5, "Use after free: 0x7e0000020005 is 5 bytes behind the end of a block");
    must_tell(FREED_END - 4096 - 100, "is 100 bytes before the start of a block of");
}

static void stacks_are_told(void **state)
{
    (void)state;
    must_tell(LIVE_END, "Allocated by thread 7, 9 s before its end:\n  fixture+0x100\n  fixture+0x200\n");
    assert_null(strstr(told, "Freed"));
    assert_null(strstr(told, "Used"));
    must_tell(FREED_END, "Freed by thread 7, 2 s before its end:\n  fixture+0x110\n");
}

static void other_addresses_are_no_blocks(void **state)
{
    (void)state;
    assert_false(is_told(0));
    assert_false(is_told(FIXTURE_CELL - 1));
    assert_false(is_told(FREED_END + STRIDE));
    assert_false(is_told(UINT64_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nearest_block_is_told),
        cmocka_unit_test(stacks_are_told),
        cmocka_unit_test(other_addresses_are_no_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
