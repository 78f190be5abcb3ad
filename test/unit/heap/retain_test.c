/* retain_test.c - the budget for dirty memory: it grows with regret, shrinks with what lies unused, and says when a
 * purge is due. Time is what the tests say it is, but for the moment of a purge.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include "hakmem.h"
#include "heap/limit.h"
#include "system/options.h"
#include "system/os_clock.h"
#include "system/os_map.h"
#include "system/os_process.h"
#include "heap/prefault.h"
#include "heap/retain.h"

enum { WINDOW = 500, LONGEST = 8000 }; /* milliseconds */

static uint64_t g_now;

/* As after a purge of everything. */
static void begin(void)
{
    g_now += 1000 * 1000;
    retain_loosen(-(ptrdiff_t)MIB); /* what an earlier test left unshared goes with it */
    retain_loosen(MIB);
    retain_runs(0, 0);
    retain_purged(0, 0);
    for (unsigned i = 0; i < 40; i++) { /* nothing dirty, no regret: the window gets short */
        g_now += 10 * 1000;
        retain_tick(g_now);
    }
    retain_runs(0, SIZE_MAX / 4); /* so much that lies unused that the budget shrinks to its least */
    for (unsigned i = 0; i < 3; i++) {
        g_now += 100 * 1000;
        retain_tick(g_now);
    }
    retain_runs(0, 0);
    g_now += WINDOW;
    retain_tick(g_now);
    (void)retain_excess();
    assert_false(load_relaxed(&retain_due));
}

/* So much was in hand lately, and is not any more. */
static void lately(size_t bytes)
{
    retain_runs(bytes, 0);
    retain_runs(0, 0);
}

/* In pieces too small to be large blocks. */
static void regret(size_t bytes)
{
    for (; bytes > 0; bytes -= KIB)
        retain_regret(KIB, retain_now());
}

static bool is_due(size_t used, size_t dirty)
{
    retain_runs(used, dirty);
    bool due = load_relaxed(&retain_due);
    (void)retain_excess();
    return due;
}

static void test_little_may_stay(void **state)
{
    (void)state;
    begin();
    assert_false(is_due(0, MIB));
    assert_true(is_due(0, 2 * MIB));
    retain_runs(0, 5 * MIB);
    size_t excess = retain_excess();
    must(excess >= 4 * MIB && excess <= 5 * MIB, "of 5 MiB dirty %zu are to go", excess);
    /* Where much is in use, a purge is due less often. */
    assert_false(is_due(1024 * MIB, 8 * MIB));
    assert_true(is_due(1024 * MIB, 12 * MIB));
}

static void test_regret_lets_more_stay(void **state)
{
    (void)state;
    begin();
    lately(300 * MIB);
    assert_true(is_due(100 * MIB, 100 * MIB));
    regret(99 * MIB);
    assert_false(is_due(100 * MIB, 100 * MIB));
    assert_true(is_due(100 * MIB, 103 * MIB));
}

/* For a large block that is missed several may stay, up to half of what is in use. */
static void test_regret_of_large_blocks(void **state)
{
    (void)state;
    begin();
    lately(700 * MIB);
    retain_runs(400 * MIB, 0);
    retain_regret(MIB - 1, retain_now());
    assert_true(is_due(400 * MIB, 8 * MIB));
    retain_regret(2 * MIB, retain_now());
    assert_false(is_due(400 * MIB, 18 * MIB));
    assert_true(is_due(400 * MIB, 24 * MIB));
    for (unsigned i = 0; i < 20; i++)
        retain_regret(2 * MIB, retain_now()); /* with those before, 45 MiB, and 294 for other large blocks */
    retain_runs(400 * MIB, 0);
    retain_purged(0, 0);
    assert_false(is_due(400 * MIB, 245 * MIB));
    assert_true(is_due(400 * MIB, 256 * MIB));
    retain_runs(10 * MIB, 0); /* and when these are freed, they go */
    retain_purged(0, 0);
    assert_true(is_due(10 * MIB, 60 * MIB));
}

/* What counts is what the program has in hand: of runs in use, free blocks in pages are the most. */
static void test_little_stays_when_most_is_freed(void **state)
{
    (void)state;
    begin();
    lately(600 * MIB);
    regret(200 * MIB);
    assert_false(is_due(300 * MIB, 190 * MIB));
    assert_true(is_due(100 * MIB, 190 * MIB));
    must(retain_excess() == 89 * MIB, "100 MiB in use, 190 dirty: %zu are to go", retain_excess());
    retain_vacate(95 * MIB);
    must(retain_excess() == 173 * MIB, "5 MiB in use, 190 dirty: %zu are to go", retain_excess());
    retain_vacate(-95 * (ptrdiff_t)MIB);
}

/* Where what goes then is needed again it stays, unless that costs next to nothing. What lay purged for a while is
 * missed only if it costs much. */
static void test_fast_cycles_keep_what_is_free(void **state)
{
    /* What is borne when it comes late would not be if it came early, at 0.25 to 10 us a page of memory. */
    enum { PAUSE = 500, BORNE = 32 * MIB, MUCH = 2 * BORNE };
    (void)state;
    begin();
    lately(300 * MIB);
    regret(200 * MIB);
    retain_purged(0, 0);
    uint32_t purged_at = retain_now();
    assert_true(is_due(0, 190 * MIB));
    size_t excess = retain_excess();
    retain_regret(MUCH, purged_at);
    must(retain_excess() == excess - MUCH, "needed again at once: %zu, then %zu are to go", excess, retain_excess());
    sleep_milliseconds(PAUSE);
    retain_regret(BORNE, purged_at);
    must(retain_excess() == excess - MUCH, "needed again later: %zu, then %zu are to go", excess, retain_excess());
    retain_regret(MUCH, retain_now());
    must(retain_excess() == excess - 2 * MUCH, "needed again at once: %zu, then %zu are to go", excess,
         retain_excess());
    for (unsigned i = 0; i < 1000; i++) /* 62 GiB in half a second */
        retain_regret(MUCH, purged_at);
    assert_false(is_due(0, 190 * MIB));
}

/* The system has it for the rest of the time; the program hardly feels it. */
static void test_what_lies_unused_goes(void **state)
{
    (void)state;
    begin();
    lately(300 * MIB);
    regret(100 * MIB);
    /* Used up once in each window: all of it stays. */
    for (unsigned i = 0; i < 20; i++) {
        retain_runs(200 * MIB, 0);
        bool due = is_due(100 * MIB, 100 * MIB);
        must(!due, "round %u: %zu are to go", i, retain_excess());
        g_now += WINDOW;
        retain_tick(g_now);
    }
    /* Not used: it goes when it has lain for one window, which the last tick began. */
    assert_true(load_relaxed(&retain_waits));
    assert_false(is_due(100 * MIB, 100 * MIB));
    g_now += LONGEST;
    retain_tick(g_now);
    assert_true(load_relaxed(&retain_due));
    size_t excess = retain_excess();
    must(excess >= 98 * MIB, "of 100 MiB that lay unused %zu are to go", excess);
    retain_runs(100 * MIB, 0);
    assert_false(load_relaxed(&retain_waits));
}

/* With what is in hand, no more stays than was in hand lately. */
static void test_no_more_than_lately_was_in_hand(void **state)
{
    (void)state;
    begin();
    lately(400 * MIB);
    regret(400 * MIB);
    assert_false(is_due(300 * MIB, 120 * MIB)); /* with a sixteenth, and one */
    retain_runs(300 * MIB, 200 * MIB);
    size_t excess = retain_excess();
    must(excess >= 73 * MIB && excess <= 75 * MIB, "300 of 400 MiB in hand, 200 dirty: %zu are to go", excess);
    for (unsigned i = 0; i < 3; i++) {
        g_now += LONGEST;
        retain_runs(300 * MIB, 0);
        retain_tick(g_now);
        retain_runs(300 * MIB, 200 * MIB);
    }
    must(retain_excess() > excess + 60 * MIB, "later %zu are to go", retain_excess());
    /* Unless that takes too long again and again. */
    size_t touched = 0, most = 4096 * MIB * (size_t)1024;
    for (; touched < most && retain_excess() > 0; touched += 64 * MIB)
        regret(64 * MIB);
    must(touched >= 64 * MIB && touched < most, "%zu bytes touched anew were enough", touched);
}

/* What is worth remembering for the next run: the largest budget that a window left. */
static void test_what_lasts_is_remembered(void **state)
{
    (void)state;
    begin();
    retain_begin(0);
    assert_true(is_due(100 * MIB, 40 * MIB));
    size_t before = retain_lasting(); /* earlier tests' */
    lately(before + 400 * MIB);
    regret(before + 100 * MIB);
    retain_runs(100 * MIB, 0); /* used up */
    g_now += LONGEST;
    retain_tick(g_now);
    assert_int_equal(retain_lasting(), before + 100 * MIB);
    retain_runs(100 * MIB, before + 102 * MIB);
    for (unsigned i = 0; i < 3; i++) { /* and then not */
        g_now += LONGEST;
        retain_tick(g_now);
    }
    assert_int_equal(retain_lasting(), before + 100 * MIB);
    lately(200 * MIB);
    retain_begin(50 * MIB);
    (void)retain_excess();
    assert_false(is_due(100 * MIB, 50 * MIB));
    retain_begin(SIZE_MAX); /* of a machine with more memory */
    assert_true(is_due(100 * MIB, os_memory_size() / 8 + 8 * MIB));
}

/* What costs twice the time to touch anew lies for twice the time. */
static void test_much_lies_longer_than_little(void **state)
{
    enum { MILLISECONDS = 4000 };
    (void)state;
    uint64_t known = prefault_touch_time(), touch = known ? known : 10000; /* nanoseconds */
    size_t bytes = MILLISECONDS / 2 * 1000 * 1000 / touch * os_page_size();
    begin();
    lately(3 * bytes);
    regret(bytes);
    assert_false(is_due(bytes, bytes));
    g_now += LONGEST;
    retain_tick(g_now);
    retain_runs(bytes, bytes);
    g_now += MILLISECONDS - WINDOW;
    retain_tick(g_now);
    assert_int_equal(retain_excess(), 0);
    g_now += 2 * WINDOW;
    retain_tick(g_now);
    must(retain_excess() > bytes / 2, "%zu bytes of %zu are to go after %d ms", retain_excess(), bytes, MILLISECONDS);
}

static void test_old_purges_are_not_regretted(void **state)
{
    (void)state;
    begin();
    lately(200 * MIB);
    regret(50 * MIB);
    assert_false(is_due(100 * MIB, 50 * MIB));
    begin();
    lately(200 * MIB);
    assert_true(is_due(100 * MIB, 50 * MIB));
}

static void loosen_in_thread(void *argument)
{
    for (unsigned i = 0; i < 100; i++)
        retain_loosen((ptrdiff_t)(*(size_t *)argument / 100));
}

static void test_loose_blocks_count(void **state)
{
    (void)state;
    size_t bytes = 20 * MIB;
    begin();
    in_thread(loosen_in_thread, &bytes);
    assert_true(load_relaxed(&retain_due));
    size_t excess = retain_excess();
    must(excess >= 16 * MIB && excess <= 20 * MIB, "of 20 MiB loose %zu are to go", excess);
    retain_purged(10 * MIB, LEFT_UNKNOWN);
    must(retain_excess() + 10 * MIB == excess, "10 MiB purged: excess from %zu to %zu", excess, retain_excess());
    retain_purged(1 * MIB, MIB);
    assert_int_equal(retain_excess(), 0);
    retain_purged(0, 5 * MIB);
    must(retain_excess() == 4 * MIB, "5 MiB are left: %zu are to go", retain_excess());
}

static void loosen_little(void *argument)
{
    hak_free(hak_malloc(100)); /* for a cache: where it ends, the thread is noticed to */
    retain_loosen((ptrdiff_t) * (size_t *)argument);
}

/* Threads that end before they have anything worth sharing: all of them together have. */
static void test_what_short_threads_count_is_shared(void **state)
{
    (void)state;
    enum { THREADS = 10 };
    size_t bytes = 100 * KIB, nothing = 0;
    in_thread(loosen_little, &nothing); /* makes the page: what nobody has had of it counts, too */
    begin();
    for (unsigned i = 0; i < THREADS; i++)
        in_thread(loosen_little, &bytes);
    /* Not yet due: then it would have been purged at the end of a thread, and there would be nothing to see. */
    assert_false(load_relaxed(&retain_due));
    retain_loosen(MIB);
    assert_true(load_relaxed(&retain_due));
    size_t excess = retain_excess();
    must(excess >= MIB * 9 / 10 && excess <= MIB * 5 / 4, "of 2 MiB loose %zu are to go", excess);
}

static void must_tell(enum retain_bound bound, size_t may, const char *when)
{
    struct retain_report told;
    retain_tell(&told);
    must(told.bound == bound && told.may == may, "%s: bound %d, may %zu KiB; expected %d, %zu", when, told.bound,
         told.may / KIB, bound, may / KIB);
}

/* The last, since its limit stays. */
static void test_what_is_told(void **state)
{
    (void)state;
    struct retain_report told;
    begin();
    lately(300 * MIB);
    regret(99 * MIB);
    retain_runs(100 * MIB, 50 * MIB);
    must_tell(RETAIN_BY_REGRET, 100 * MIB, "what was missed");
    retain_tell(&told);
    assert_int_equal(told.missed, 99 * MIB);
    assert_int_equal(told.peak, 300 * MIB);
    assert_int_equal(told.in_hand, 100 * MIB);
    assert_int_equal(told.dirty, 50 * MIB);
    assert_int_equal(told.counted, 150 * MIB);
    retain_runs(20 * MIB, 50 * MIB);
    must_tell(RETAIN_BY_HAND, 21 * MIB, "little in hand");
    retain_runs(300 * MIB, 50 * MIB);
    must_tell(RETAIN_BY_PEAK, MIB + 300 * MIB / 16, "as much in hand as ever");
    size_t purged = told.purged;
    retain_note_purged(MIB);
    retain_tell(&told);
    assert_int_equal(told.purged, purged + MIB);
    /* Through a window nobody needs 50 MiB: that goes at its end. */
    retain_runs(100 * MIB, 50 * MIB);
    g_now = os_milliseconds() + 1000 * 1000 * 1000; /* tells of time by the system's clock */
    retain_tick(g_now);
    retain_tell(&told);
    must(told.spare == 49 * MIB && told.milliseconds > 0, "%zu KiB are spare, for %llu ms", told.spare / KIB,
         (unsigned long long)told.milliseconds);
    option_values[OPTION_LIMIT] = 140 * MIB;
    limit_start();
    regret(99 * MIB);
    must_tell(RETAIN_BY_LIMIT, 40 * MIB, "a limit");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_little_may_stay),
        cmocka_unit_test(test_regret_lets_more_stay),
        cmocka_unit_test(test_regret_of_large_blocks),
        cmocka_unit_test(test_little_stays_when_most_is_freed),
        cmocka_unit_test(test_fast_cycles_keep_what_is_free),
        cmocka_unit_test(test_what_lies_unused_goes),
        cmocka_unit_test(test_no_more_than_lately_was_in_hand),
        cmocka_unit_test(test_much_lies_longer_than_little),
        cmocka_unit_test(test_what_lasts_is_remembered),
        cmocka_unit_test(test_old_purges_are_not_regretted),
        cmocka_unit_test(test_loose_blocks_count),
        cmocka_unit_test(test_what_short_threads_count_is_shared),
        cmocka_unit_test(test_what_is_told),
    };
    return RUN_TESTS(tests);
}
