/* verdict_test.c - each rule, on both sides of its threshold.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"
#include "memory/verdict.h"

#define MIB (UINT64_C(1) << 20)

static _Alignas(64) char memory[FIXTURE_SIZE];

static struct owner owner[2] = {{.name = (char *)"cache_fill",
                                 .module = (char *)"",
                                 .callers = (char *)"",
                                 .live = 60 * MIB,
                                 .free = 54 * MIB,
                                 .young = 1 * MIB,
                                 .ended = 600 * MIB},
                                {.name = (char *)"list_grow",
                                 .module = (char *)"",
                                 .callers = (char *)"",
                                 .live = 20 * MIB,
                                 .free = 6 * MIB,
                                 .young = 15 * MIB,
                                 .ended = 0}};
static struct owners owners = {owner, 2, 80 * MIB, 80 * MIB, 60 * MIB};

/* A process of an hour with these items, in MiB, whose live memory is steady. */
static struct facts facts_of(uint64_t live, uint64_t pages, uint64_t kept, uint64_t huge, uint64_t other)
{
    struct facts facts = {.name = "4711", .program = "server", .owners = &owners, .runs = true};
    struct bill *bill = &facts.bill;
    bill->item[BILL_LIVE] = live * MIB;
    bill->item[BILL_PAGES] = pages * MIB;
    bill->item[BILL_KEPT] = kept * MIB;
    bill->item[BILL_HUGE] = huge * MIB;
    bill->item[BILL_OTHER] = other * MIB;
    bill->total = (live + pages + kept + huge + other) * MIB;
    bill->is_from_kernel = true;
    facts.growth = (struct growth){.lasted = 3600000, .now = live * MIB, .steady = 3000000};
    return facts;
}

static void assert_rules(const struct facts *facts, const char *names)
{
    char text[128];
    verdict_names(facts, text, sizeof text);
    assert_string_equal(text, names);
}

/* Whether the first verdict, with what to do, says so. */
static void assert_says(const struct facts *facts, const char *part)
{
    struct verdict verdicts[VERDICTS_MOST];
    char text[1024] = "nothing";
    size_t count = verdicts_make(facts, verdicts);
    if (count > 0)
        snprintf(text, sizeof text, "%s %s", verdicts[0].what, verdicts[0].advice);
    verdicts_free(verdicts, count);
    if (!strstr(text, part))
        fail_msg("'%s' does not say '%s'", text, part);
}

static void small(void **state)
{
    (void)state;
    struct facts facts = facts_of(15, 0, 0, 0, 0);
    assert_rules(&facts, "small");
    assert_says(&facts, "The process is small");
    facts = facts_of(16, 0, 0, 0, 0);
    assert_rules(&facts, "steady");
}

static void elsewhere(void **state)
{
    (void)state;
    struct facts facts = facts_of(50, 0, 0, 0, 50);
    assert_rules(&facts, "elsewhere");
    assert_says(&facts, "50 % is not hakmem's");
    assert_says(&facts, "another allocator's");
    assert_says(&facts, "malloc never sees this memory");
    facts.program = "python3.11";
    assert_says(&facts, "PYTHONMALLOC=malloc");
    facts.bill.item[BILL_SHARED] = facts.bill.item[BILL_OTHER];
    facts.bill.item[BILL_OTHER] = 0;
    assert_says(&facts, "shared memory");
    facts = facts_of(52, 0, 0, 0, 48);
    assert_rules(&facts, "steady");
}

static void grown(struct facts *facts, struct owner *who)
{
    facts->growth.by_minute = 3 * MIB;
    owner[0].young = who == &owner[0] ? 30 * MIB : 1 * MIB;
    owner[1].young = 15 * MIB;
}

static void leak_or_cache(void **state)
{
    (void)state;
    struct facts facts = facts_of(80, 10, 10, 0, 10);
    grown(&facts, &owner[1]);
    assert_rules(&facts, "leak");
    assert_says(&facts, "3.0 MiB a minute");
    assert_says(&facts, "list_grow was ever freed");
    assert_says(&facts, "'hakmem leaks 4711' has the ways of which that is sure"); /* leaks has rules of its own */
    owner[1].ended = 2 * MIB; /* of 22: a tenth less than all lives */
    assert_rules(&facts, "leak");
    owner[1].ended = 3 * MIB;
    assert_rules(&facts, "growing");
    assert_says(&facts, "rather than a leak");
    owner[1].ended = 0;
    grown(&facts, &owner[0]);
    assert_rules(&facts, "growing");
    assert_says(&facts, "most by cache_fill");
    facts = facts_of(45, 51, 4, 0, 0);
    grown(&facts, &owner[1]);
    assert_rules(&facts, "fragmented");
}

static void a_leak_counts_also_where_most_is_elsewhere(void **state)
{
    (void)state;
    struct facts facts = facts_of(80, 10, 10, 0, 200);
    grown(&facts, &owner[1]);
    assert_rules(&facts, "elsewhere leak");
}

static void new_or_steady(void **state)
{
    (void)state;
    struct facts facts = facts_of(80, 10, 10, 0, 10);
    assert_rules(&facts, "steady");
    assert_says(&facts, "hardly changed for 50 min");
    facts.growth.steady = 1000;
    assert_says(&facts, "does not grow steadily");
    facts.growth.lasted = 9999;
    assert_rules(&facts, "new");
    assert_says(&facts, "before the process is 10 s old");
    facts.runs = false;
    assert_says(&facts, "It was live. Whether it grew cannot be told");
}

static void spare(void **state)
{
    (void)state;
    struct facts facts = facts_of(75, 25, 0, 0, 0);
    assert_rules(&facts, "steady fragmented");
    facts = facts_of(76, 24, 0, 0, 0);
    assert_rules(&facts, "steady");
    facts = facts_of(30, 15, 0, 0, 0);
    assert_rules(&facts, "steady");
    facts = facts_of(30, 60, 40, 0, 0);
    assert_rules(&facts, "fragmented kept");
    assert_says(&facts, "60.0 MiB is fragmentation");
    assert_says(&facts, "(90 % by those of cache_fill)");
    facts.idle = 120000;
    assert_says(&facts, "for 2 min; some of it may go back with its next calls");
    facts.idle = 0;
    owners.free = 29 * MIB; /* of 60: not known well enough */
    assert_says(&facts, "that live blocks keep. Let");
    owners.free = 60 * MIB;
    facts = facts_of(40, 0, 0, 60, 0);
    assert_rules(&facts, "huge");
    assert_says(&facts, "60.0 MiB was never used");
}

static void kept(void **state)
{
    (void)state;
    struct facts facts = facts_of(40, 0, 60, 0, 0);
    assert_rules(&facts, "kept");
    assert_says(&facts, "kept for reuse");
    facts.idle = 120000;
    assert_says(&facts, "asked for no memory for 2 min");
    facts.runs = false;
    assert_says(&facts, "kept for reuse");
}

static void mixed(void **state)
{
    (void)state;
    struct facts facts = facts_of(45, 20, 20, 0, 0);
    facts.bill.item[BILL_OWN] = 15 * MIB;
    facts.bill.total += 15 * MIB;
    assert_rules(&facts, "mixed");
}

/* ---- Growth ------------------------------------------------------------------------------------------------------ */

/* Live MiB over 100 s, in even steps. */
static struct growth growth_of(const uint64_t *live, uint32_t count)
{
    fixture_fill(memory);
    struct record_header *h = fixture_header(memory);
    memset(fixture_samples(memory), 0, FIXTURE_SAMPLES * sizeof(struct record_sample));
    h->began_monotonic = 1000000;
    h->taken_at = 1100000;
    fixture_set(memory, "bytes.live", live[count - 1] * MIB);
    h->history_count = count;
    for (uint32_t i = 0; i < count; i++) {
        h->history[i].at = 1000000 + 100000 * i / (count - 1);
        h->history[i].live = live[i] * MIB;
    }
    struct record *record = record_open(fixture_file(memory, sizeof memory));
    assert_non_null(record);
    struct growth growth = growth_read(record, live[count - 1] * MIB);
    record_close(record);
    return growth;
}

static void what_grows_to_the_end(void **state)
{
    (void)state;
    struct growth growth = growth_of((uint64_t[]){10, 20, 30, 40, 50}, 5);
    assert_int_equal(growth.lasted, 100000);
    assert_int_equal(growth.by_minute, 24 * MIB);
    assert_int_equal(growth.before, 30 * MIB);
    assert_int_equal(growth.before_ago, 50000);
    assert_int_equal(growth.steady, 0);
}

static void what_grew_and_stopped(void **state)
{
    (void)state;
    struct growth growth = growth_of((uint64_t[]){10, 20, 30, 49, 50}, 5);
    assert_int_equal(growth.by_minute, 24 * MIB); /* a fiftieth in the last quarter is growth still */
    growth = growth_of((uint64_t[]){10, 20, 30, 50, 50}, 5);
    assert_int_equal(growth.by_minute, 0);
    assert_int_equal(growth.steady, 25000);
    assert_int_equal(growth.before_ago, 50000);
}

static void what_goes_up_and_down(void **state)
{
    (void)state;
    struct growth growth = growth_of((uint64_t[]){50, 10, 50, 10, 50}, 5);
    assert_int_equal(growth.by_minute, 0);
    growth = growth_of((uint64_t[]){50, 50, 52, 48, 50}, 5);
    assert_int_equal(growth.steady, 100000);
    assert_int_equal(growth.before_ago, 0);
}

/* A snapshot of 90 s ago is the last word on what is live since. */
static void what_was_quiet_since(void **state)
{
    (void)state;
    fixture_fill(memory);
    struct record_header *h = fixture_header(memory);
    h->began_monotonic = 1000000;
    h->history_count = 1;
    h->history[0].at = 1000000;
    h->history[0].live = 10 * MIB;
    h->taken_at = 1010000;
    fixture_samples(memory)[9].born = 1100000; /* the last that is known of the process's time */
    fixture_samples(memory)[3].born = fixture_samples(memory)[5].born = 1000001;
    struct record *record = record_open(fixture_file(memory, sizeof memory));
    assert_non_null(record);
    struct growth growth = growth_read(record, 80 * MIB);
    assert_int_equal(growth.by_minute, 0);
    assert_int_equal(growth.steady, 90000);
    assert_int_equal(growth.before_ago, 100000);
    assert_int_equal(growth_last_minute(record, 83 * MIB), 2 * MIB);
    record_close(record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small),
        cmocka_unit_test(elsewhere),
        cmocka_unit_test(leak_or_cache),
        cmocka_unit_test(a_leak_counts_also_where_most_is_elsewhere),
        cmocka_unit_test(new_or_steady),
        cmocka_unit_test(spare),
        cmocka_unit_test(kept),
        cmocka_unit_test(mixed),
        cmocka_unit_test(what_grows_to_the_end),
        cmocka_unit_test(what_grew_and_stopped),
        cmocka_unit_test(what_goes_up_and_down),
        cmocka_unit_test(what_was_quiet_since),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
