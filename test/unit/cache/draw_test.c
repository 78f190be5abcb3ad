/* draw_test.c - the numbers behind samples: distances are as long as they should be on average, what a sample stands
 * for makes up for the chance to be one, and the interval follows the rate.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include "cache/draw.h"
#include "system/os_clock.h"

enum { INTERVAL = 64 << 10, DRAWS = 200000 };

static struct draw draw_make(uint64_t seed)
{
    struct draw draw = {.random = seed, .interval = INTERVAL, .times = 1};
    draw_next(&draw);
    return draw;
}

static void must_be_about(double value, double expected, double part, const char *what)
{
    must(value >= expected * (1 - part) && value <= expected * (1 + part), "%s: expected about %f, saw %f", what,
         expected, value);
}

static void test_distances(void **state)
{
    (void)state;
    struct draw draw = draw_make(1);
    double sum = 0;
    unsigned beyond = 0; /* the interval: 1 / e of all */
    for (unsigned i = 0; i < DRAWS; i++) {
        draw_next(&draw);
        assert_true(draw.left > 0);
        sum += (double)draw.left;
        beyond += draw.left > INTERVAL;
    }
    must_be_about(sum / DRAWS, INTERVAL, 0.01, "the mean distance");
    must_be_about((double)beyond / DRAWS, 0.36788, 0.02, "the share of distances beyond the mean");
}

/* Of each size as many bytes are found as there are, and what is left until the next sample never is 0. */
static void test_sizes(void **state)
{
    (void)state;
    static const size_t sizes[] = {16, 1000, 60000, INTERVAL, 500000, 10 * MIB};
    for (unsigned i = 0; i < COUNT_OF(sizes); i++) {
        struct draw draw = draw_make(i + 2);
        double bytes = 0, all = 0;
        for (unsigned k = 0; k < 20 * DRAWS && (k < DRAWS || sizes[i] < 1000); k++) {
            bytes += draw_falls(&draw, sizes[i]) ? (double)draw_bytes(sizes[i], INTERVAL) : 0;
            all += (double)sizes[i];
            must(draw.left > 0, "%lld bytes are left", (long long)draw.left);
        }
        must_be_about(bytes / all, 1, 0.05, "bytes that samples stand for");
    }
    assert_int_equal(draw_bytes(1 * GIB, INTERVAL), 1 * GIB);
    assert_int_equal(draw_bytes(100, 0), 100);
}

static void test_without_interval(void **state)
{
    (void)state;
    struct draw draw = {.random = 1};
    draw_next(&draw);
    for (unsigned i = 0; i < 1000; i++)
        assert_false(draw_falls(&draw, 1 * GIB));
}

/* A sample that was drawn with a smaller interval stands for less, and its mark is kept as often as a block is one
 * now. */
static void test_kept_marks(void **state)
{
    (void)state;
    struct draw draw = draw_make(3);
    uint64_t before = draw_bytes(1000, INTERVAL / 4);
    unsigned kept = 0;
    for (unsigned i = 0; i < DRAWS; i++)
        kept += draw_keeps(&draw, &state, 1000, before);
    must_be_about((double)kept / DRAWS, (double)before / (double)draw_bytes(1000, INTERVAL), 0.03,
                  "the share of marks kept");
    assert_true(draw_keeps(&draw, &state, 1000, draw_bytes(1000, 2 * INTERVAL)));
}

/* The same sample again and again: its mark is dropped at last, and that of the next is not, whatever block it is. */
static void test_marks_that_stay_on_top(void **state)
{
    (void)state;
    struct draw draw = draw_make(4);
    uint64_t bytes = draw_bytes(1000, INTERVAL);
    unsigned kept = 0;
    do
        draw_note_block(&draw, &kept);
    while (draw_keeps(&draw, &kept, 1000, bytes) && ++kept <= DRAW_RETURNS);
    assert_int_equal(kept, DRAW_RETURNS);
    draw_note_block(&draw, &kept);
    assert_true(draw_keeps(&draw, &kept, 1000, bytes));
    draw_note_block(&draw, &bytes);
    assert_true(draw_keeps(&draw, &bytes, 1000, bytes));
}

/* ---- How many ---------------------------------------------------------------------------------------------------- */

static void work(unsigned milliseconds)
{
    for (uint64_t end = os_cpu_milliseconds() + milliseconds; os_cpu_milliseconds() < end;)
        continue;
}

/* How many times as long the interval is after a window in which the process worked so long, with so many samples. */
static double grown(unsigned milliseconds, unsigned samples)
{
    static uint64_t now = 1000;
    draw_note(now += 1000, true); /* the window before ends */
    uint64_t before = atomic_load(&draw_interval);
    work(milliseconds);
    for (unsigned i = 1; i < samples; i++)
        draw_note(now, true);
    draw_note(now += 1000, true);
    return (double)atomic_load(&draw_interval) / (double)before;
}

/* Samples are a share of the time that the process works: two hundred in 300 ms are not too many, nor too few; in hardly
 * any time they are three times as many as are no burden. */
static void test_the_interval_follows_the_work(void **state)
{
    (void)state;
    draw_start();
    must(grown(300, 200) == 1, "200 samples in 300 ms of work change the interval");
    must(grown(0, 200) == 4, "200 samples in no time do not widen the interval at once");
    must(grown(300, 10) == 0.5, "10 samples in 300 ms of work do not narrow the interval");
    must(grown(0, 60) == 1, "60 samples in no time change the interval");
    must(grown(300, 520) == 2, "520 samples in 300 ms of work do not widen the interval");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distances),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_without_interval),
        cmocka_unit_test(test_kept_marks),
        cmocka_unit_test(test_marks_that_stay_on_top),
        cmocka_unit_test(test_the_interval_follows_the_work),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
