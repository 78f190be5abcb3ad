/* bill_test.c - the bill adds up, whatever the record and the kernel say, and puts each byte where it belongs.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "memory/bill.h"
#include "fixture.h"

#define MIB (UINT64_C(1) << 20)

static _Alignas(64) char memory[FIXTURE_SIZE];

static uint64_t sum(const struct bill *bill)
{
    uint64_t all = 0;
    for (int i = 0; i < BILL_ITEMS; i++)
        all += bill->item[i];
    return all;
}

/* In MiB: what is resident, what the record says, and what the first four items should be. */
static const struct split {
    uint64_t heap, huge, large, live;
    double touched;
    uint64_t kept, pages;
    uint64_t items[4];
} splits[] = {
    {100, 0, 0, 60, 1, 10, 30, {60, 30, 10, 0}},   /* all is resident */
    {100, 0, 50, 60, 1, 10, 30, {110, 30, 10, 0}}, /* with large blocks */
    {80, 0, 0, 60, 1, 10, 30, {60, 10, 10, 0}},    /* free blocks in pages are cut first */
    {65, 0, 0, 60, 1, 10, 30, {60, 0, 5, 0}},      /* then what is kept */
    {50, 0, 0, 60, 1, 10, 30, {50, 0, 0, 0}},      /* at last what is live */
    {70, 0, 0, 60, 0.5, 10, 30, {30, 30, 10, 0}},  /* half of what is live was never touched */
    {100, 64, 0, 60, 1, 5, 5, {60, 5, 5, 30}},     /* beyond everything known: huge pages' */
    {100, 8, 0, 60, 1, 5, 5, {60, 5, 27, 8}},      /* as far as there are some */
    {90, 0, 0, 100, 0.5, 10, 20, {60, 20, 10, 0}}, /* samples may be wrong: more was touched */
    {0, 0, 0, 60, 1, 10, 30, {0, 0, 0, 0}},
};

static void the_heap_is_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof splits / sizeof splits[0]; i++) {
        const struct split *s = &splits[i];
        struct bill bill = {0};
        uint64_t touched = (uint64_t)((double)(s->live * MIB) * s->touched);
        bill_split(bill.item, &(struct bill_input){s->heap * MIB, s->huge * MIB, s->large * MIB, s->live * MIB, touched,
                                                   s->kept * MIB, s->pages * MIB});
        for (int item = 0; item < 4; item++)
            if (bill.item[item] != s->items[item] * MIB)
                fail_msg("case %zu: %s is %llu MiB", i, bill_names[item], (unsigned long long)(bill.item[item] / MIB));
        assert_int_equal(sum(&bill), (s->heap + s->large) * MIB);
    }
}

static void add(struct areas *areas, uint64_t start, uint64_t end, uint64_t resident, enum area_kind kind,
                const char *name)
{
    struct area *area = &areas->area[areas->count++];
    *area = (struct area){.start = start, .end = end, .resident = resident * MIB, .kind = kind};
    snprintf(area->name, sizeof area->name, "%s", name);
    areas->resident += area->resident;
}

static struct bill bill_of(struct areas *areas)
{
    struct bill bill;
    struct record *record = record_open(fixture_file(memory, sizeof memory));
    assert_non_null(record);
    bill_make(&bill, record, areas);
    record_close(record);
    return bill;
}

static void areas_go_to_their_items(void **state)
{
    struct area area[12];
    struct areas areas = {.area = area, .pagemap = -1};
    (void)state;
    fixture_fill(memory);
    fixture_header(memory)->range[1].start = 0x5000000000;
    fixture_header(memory)->range[1].size = 64 * MIB;
    add(&areas, 0x400000, 0x500000, 3, AREA_FILE, "program");
    add(&areas, 0x600000, 0x700000, 2, AREA_BREAK, "[heap]");
    add(&areas, 0x1000000000, 0x1000000000 + 128 * MIB, 90, AREA_ANONYMOUS, "");
    add(&areas, 0x5000000000, 0x5000000000 + MIB, 1, AREA_ANONYMOUS, "");
    add(&areas, 0x6000000000, 0x6000100000, 4, AREA_FILE, "libhakmem.so.0.1.0");
    add(&areas, 0x7000000000, 0x7000800000, 5, AREA_STACK, "");
    add(&areas, 0x7100000000, 0x7200000000, 30, AREA_SHARED, "zero (deleted)");
    add(&areas, 0x7300000000, 0x7400000000, 40, AREA_ANONYMOUS, "[anon:v8]");
    struct bill bill = bill_of(&areas);
    assert_int_equal(bill.item[BILL_FILES], 3 * MIB);
    assert_int_equal(bill.item[BILL_OWN], 5 * MIB);
    assert_int_equal(bill.item[BILL_STACKS], 5 * MIB);
    assert_int_equal(bill.item[BILL_SHARED], 30 * MIB);
    assert_int_equal(bill.item[BILL_OTHER], 42 * MIB);
    assert_string_equal(bill.other, "[anon:v8]");
    assert_int_equal(bill.total, areas.resident);
    assert_int_equal(sum(&bill), areas.resident);
}

/* The system has joined a block of 64 MiB with somebody else's mapping. */
static void large_blocks_are_told_from_their_neighbours(void **state)
{
    struct area area[4];
    struct areas areas = {.area = area, .pagemap = -1};
    (void)state;
    fixture_fill(memory);
    fixture_samples(memory)[3].block = 0x7000000000;
    fixture_samples(memory)[3].size = 64 * MIB;
    fixture_samples(memory)[3].bytes = 64 * MIB;
    fixture_set(memory, "bytes.live", 40 * MIB);
    fixture_set(memory, "bytes.large", 64 * MIB);
    add(&areas, 0x1000000000, 0x1000000000 + 128 * MIB, 40, AREA_ANONYMOUS, "");
    add(&areas, 0x7000000000, 0x7000000000 + 256 * MIB, 128, AREA_ANONYMOUS, "");
    struct bill bill = bill_of(&areas);
    assert_int_equal(bill.live, 104 * MIB);
    assert_int_equal(bill.item[BILL_OTHER], 96 * MIB);
    assert_int_equal(sum(&bill), 168 * MIB);
    /* Of the heap, a third was touched of what is live there; what is free comes next. */
    assert_in_range(bill.item[BILL_LIVE], 40 * MIB, 66 * MIB);
}

static void what_was_freed_since_the_snapshot_is_known_by_samples(void **state)
{
    struct area area[1];
    struct areas areas = {.area = area, .pagemap = -1};
    (void)state;
    fixture_fill(memory);
    add(&areas, 0x1000000000, 0x1000000000 + 128 * MIB, 92, AREA_ANONYMOUS, "");
    fixture_set(memory, "bytes.live", 84 * MIB); /* samples say 80, surely: up to 4.5 may have none */
    assert_int_equal(bill_of(&areas).live, 84 * MIB);
    fixture_set(memory, "bytes.live", 85 * MIB);
    struct bill bill = bill_of(&areas);
    assert_int_equal(bill.live, 80 * MIB);
    assert_int_equal(sum(&bill), 92 * MIB);
    /* Each of these has a standard error of a MiB: together, 3.2; and was drawn when one came in a MiB: 9 may have
     * none. */
    for (int i = 0; i < 10; i++)
        fixture_samples(memory)[20 + i] =
            (struct record_sample){.block = 0x1000400000 + 64 * (uint64_t)i, .size = 64, .bytes = MIB, .stack = 1};
    fixture_set(memory, "bytes.live", 108 * MIB);
    assert_int_equal(bill_of(&areas).live, 108 * MIB);
    fixture_set(memory, "bytes.live", 109 * MIB);
    assert_int_equal(bill_of(&areas).live, 90 * MIB);
    fixture_header(memory)->interval = 0; /* no samples are taken */
    assert_int_equal(bill_of(&areas).live, 109 * MIB);
}

static void of_the_dead_the_record_alone_tells(void **state)
{
    (void)state;
    fixture_fill(memory);
    struct bill bill = bill_of(NULL);
    assert_false(bill.is_from_kernel);
    assert_int_equal(bill.total, 100 * MIB);
    assert_int_equal(bill.item[BILL_LIVE], 80 * MIB);
    assert_int_equal(bill.item[BILL_PAGES], 8 * MIB);
    assert_int_equal(bill.item[BILL_KEPT], 4 * MIB);
    assert_int_equal(bill.item[BILL_OTHER], 8 * MIB);
    assert_int_equal(bill.peak, 90 * MIB);
    fixture_header(memory)->resident = 50 * MIB;
    bill = bill_of(NULL);
    assert_int_equal(bill.item[BILL_LIVE], 50 * MIB);
    assert_int_equal(sum(&bill), 50 * MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_heap_is_split),
        cmocka_unit_test(areas_go_to_their_items),
        cmocka_unit_test(large_blocks_are_told_from_their_neighbours),
        cmocka_unit_test(what_was_freed_since_the_snapshot_is_known_by_samples),
        cmocka_unit_test(of_the_dead_the_record_alone_tells),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
