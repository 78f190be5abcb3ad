/* learn_test.c - the learner: each rule's reason, what it changes, how it is judged; and, over random windows, what
 * always holds.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "hakmem.h"
#include "policy/learn.h"
#include "system/options.h"

static struct learner g_learner;
static struct seen g_seen;

static int begin(void **state)
{
    (void)state;
    learner_begin(&g_learner, &policy_static, &policy_static, false);
    g_seen = (struct seen){.milliseconds = 100, .cpu_milliseconds = 100, .threads = 1, .active = 20};
    return 0;
}

static void windows(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        learner_step(&g_learner, &g_seen);
        assert_true(policy_is_valid(&g_learner.policy));
    }
}

static const struct decision *last(void) { return &g_learner.log[(g_learner.decisions - 1) % LEARN_LOG]; }

static void must_decide(enum learn_rule rule, unsigned c)
{
    must(g_learner.decisions > 0 && last()->rule == rule && last()->class_id == c,
         "expected rule %u for class %u, saw %u decisions, rule %u", (unsigned)rule, c, g_learner.decisions,
         (unsigned)last()->rule);
}

enum { STARTED = 4 }; /* windows in which judged rules do not decide */

static void bouncing(unsigned c, uint64_t blocks)
{
    g_seen.class[c] =
        (struct seen_class){.misses = blocks / 32, .fetched = blocks, .overflows = blocks / 64, .bounced = blocks};
}

static void test_nothing_to_learn(void **state)
{
    (void)state;
    windows(1000);
    assert_int_equal(g_learner.decisions, 0);
}

/* Seen twice, decided; no better, taken back; and then a rest that gets longer. */
static void test_widen_is_taken_back(void **state)
{
    (void)state;
    unsigned c = class_of(512);
    bouncing(c, 20000);
    windows(STARTED + 1);
    assert_int_equal(g_learner.decisions, 0);
    windows(1);
    must_decide(RULE_WIDEN, c);
    assert_int_equal(g_learner.policy.class[c].capacity, 1026);
    windows(3);
    assert_int_equal(last()->outcome, OUTCOME_TAKEN_BACK);
    assert_int_equal(g_learner.policy.class[c].capacity, 512);
    windows(15);
    assert_int_equal(g_learner.decisions, 1);
    windows(3);
    assert_int_equal(g_learner.decisions, 2);
    windows(3 + 31);
    assert_int_equal(g_learner.decisions, 2);
    windows(3);
    assert_int_equal(g_learner.decisions, 3);
}

/* Blocks smaller than a cache line: one thread may have more of them in its ring, but they are not handed over. */
static void test_smallest_blocks_are_not_handed_over(void **state)
{
    (void)state;
    unsigned c = class_of(48);
    g_seen.active = 25 * 2;
    bouncing(c, 20000);
    windows(50);
    assert_int_equal(g_learner.decisions, 0);
    begin(NULL);
    bouncing(c, 20000);
    windows(STARTED + 2);
    must_decide(RULE_WIDEN, c);
}

static void test_widen_is_kept(void **state)
{
    (void)state;
    unsigned c = class_of(512);
    bouncing(c, 20000);
    windows(STARTED + 2);
    bouncing(c, 5000);
    windows(3);
    assert_int_equal(g_learner.decisions, 1);
    assert_int_equal(last()->outcome, OUTCOME_KEPT);
    assert_int_equal(last()->before, 20000);
    assert_int_equal(last()->after, 5000);
    windows(2);
    must_decide(RULE_WIDEN, c); /* the next step */
    assert_int_equal(g_learner.policy.class[c].capacity, 2048);
}

/* Rings of several active threads add up. */
static void test_several_threads_are_not_widened(void **state)
{
    (void)state;
    g_seen.active = 25 * 2;
    bouncing(class_of(128), 20000);
    windows(50);
    assert_int_equal(g_learner.policy.class[class_of(128)].capacity, policy_static.class[class_of(128)].capacity);
}

static void test_a_single_window_is_no_reason(void **state)
{
    (void)state;
    unsigned c = class_of(64);
    for (unsigned i = 0; i < 50; i++) {
        bouncing(c, i % 2 ? 20000 : 100);
        windows(1);
    }
    assert_int_equal(g_learner.decisions, 0);
}

static void test_thrift_and_wake(void **state)
{
    (void)state;
    g_seen.threads = 200;
    g_seen.active = 25 * 4;
    g_seen.reach = 20 * MIB;
    windows(1);
    must_decide(RULE_THRIFT, 0);
    assert_true(g_learner.policy.thrift);
    windows(50);
    assert_int_equal(g_learner.decisions, 1);
    g_seen.active = 25 * 60; /* many at a time */
    windows(2);
    must_decide(RULE_WAKE, 0);
    assert_false(g_learner.policy.thrift);
    assert_int_equal(g_learner.policy.class[class_of(20000)].first, policy_static.class[class_of(20000)].first);
    g_seen.active = 25 * 4;
    windows(15);
    assert_int_equal(g_learner.decisions, 2); /* it was a mistake, and rests */
    windows(20);
    must_decide(RULE_THRIFT, 0);
}

static void test_few_threads_or_bytes_need_no_thrift(void **state)
{
    (void)state;
    g_seen.threads = 15;
    g_seen.reach = 20 * MIB;
    windows(20);
    g_seen.threads = 200;
    g_seen.reach = 7 * MIB;
    windows(20);
    g_seen.reach = 20 * MIB;
    g_seen.active = 25 * 26;
    windows(20);
    assert_int_equal(g_learner.decisions, 0);
}

/* The targets: below them, and only where the ring is what limits refills, a step at a time. */
static void test_targets_and_steps(void **state)
{
    (void)state;
    unsigned mid = class_of(8000), large = class_of(1000000);
    option_values[OPTION_TARGET_HIT_MID] = 99;
    option_values[OPTION_CAP_STEP_MID] = 7;
    option_values[OPTION_CAP_STEP_LARGE] = 3;
    g_seen.class[mid] = (struct seen_class){.misses = 300, .fetched = 300 * 32, .overflows = 100};
    g_seen.class[large] = (struct seen_class){.misses = 300, .fetched = 300, .overflows = 100};
    windows(STARTED + 2);
    assert_int_equal(g_learner.policy.class[mid].capacity, policy_static.class[mid].capacity + 7);
    assert_int_equal(g_learner.policy.class[large].capacity, policy_static.class[large].capacity + 3);
    option_values[OPTION_CAP_STEP_LARGE] = 1;
    option_values[OPTION_TARGET_HIT_MID] = 65;
    option_values[OPTION_TARGET_HIT_LARGE] = 0;
    option_values[OPTION_CAP_STEP_MID] = 4;
    begin(NULL);
    g_seen.class[mid] = (struct seen_class){.misses = 300, .fetched = 300 * 32, .overflows = 100};
    g_seen.class[large] = (struct seen_class){.misses = 300, .fetched = 300, .overflows = 100};
    windows(STARTED + 20);
    assert_int_equal(g_learner.decisions, 0);
    option_values[OPTION_TARGET_HIT_LARGE] = 55;
    g_seen.class[mid] = (struct seen_class){.misses = 300, .fetched = 300, .overflows = 100}; /* pages gave no more */
    g_seen.class[large] = (struct seen_class){.misses = 0};
    windows(20);
    assert_int_equal(g_learner.decisions, 0);
}

static void test_cap_max_bounds_what_is_learned(void **state)
{
    (void)state;
    unsigned mid = class_of(8000);
    option_values[OPTION_CAP_MAX_MID] = 64;
    bouncing(mid, 20000);
    windows(50);
    assert_int_equal(g_learner.policy.class[mid].capacity, 64);
    option_values[OPTION_CAP_MAX_MID] = 0;
}

static void test_batch(void **state)
{
    (void)state;
    unsigned c = class_of(100);
    g_seen.class[c] = (struct seen_class){.misses = 1000, .fetched = 16000};
    windows(STARTED + 2);
    must_decide(RULE_BATCH, c);
    assert_int_equal(g_learner.policy.class[c].batch, 4);
    g_seen.class[c] = (struct seen_class){0};
    windows(10); /* nothing to measure: the trial waits */
    assert_int_equal(last()->outcome, OUTCOME_TRIAL);
    g_seen.class[c] = (struct seen_class){.misses = 500, .fetched = 16000};
    windows(3);
    assert_int_equal(last()->outcome, OUTCOME_KEPT);
}

static void test_rest_room_and_depot(void **state)
{
    (void)state;
    unsigned c = class_of(20000);
    g_seen.class[c] =
        (struct seen_class){.misses = 900, .fetched = 900, .overflows = 900, .refused = 900, .bounced = 200};
    windows(STARTED + 2);
    must_decide(RULE_REST, 0);
    g_seen.class[c].refused = 30;
    windows(3 + 2);
    must_decide(RULE_ROOM, 0);
    assert_int_equal(g_learner.policy.thread_bytes_max, 16 * MIB);
    begin(NULL);
    g_seen.class[c] =
        (struct seen_class){.misses = 90, .fetched = 900, .overflows = 90, .batches_refused = 50, .batches_taken = 50};
    windows(STARTED + 2);
    must_decide(RULE_DEPOT, 0);
    assert_int_equal(g_learner.policy.depot_bytes, 64 * MIB);
    windows(3);
    assert_int_equal(last()->outcome, OUTCOME_TAKEN_BACK);
    assert_int_equal(g_learner.policy.depot_bytes, 32 * MIB);
    assert_int_equal(g_learner.policy.depot_slots, policy_static.depot_slots);
}

static void test_hand_over_substitute_and_fit(void **state)
{
    (void)state;
    unsigned c = class_of(20000), small = class_of(700);
    g_seen.class[c] = (struct seen_class){.misses = 90, .fetched = 900, .overflows = 90, .pages = 20, .neighbours = 20};
    windows(STARTED + 2);
    must_decide(RULE_WMAX, c);
    assert_int_equal(g_learner.policy.class[c].wmax, 25);
    begin(NULL);
    g_seen.active = 25 * 2;
    bouncing(small, 20000);
    g_learner.policy.class[small].capacity = policy_capacity_limit(small);
    windows(STARTED + 2);
    must_decide(RULE_HAND, small);
    assert_true(g_learner.policy.class[small].hands_over);
    begin(NULL);
    g_seen.asked = 4112;
    g_seen.asked_share = 74;
    windows(10);
    assert_int_equal(g_learner.decisions, 0);
    g_seen.asked_share = 75;
    windows(2);
    must_decide(RULE_FIT, 0);
    assert_int_equal(g_learner.policy.fitted, 4112);
    windows(20);
    assert_int_equal(g_learner.decisions, 1);
    assert_int_equal(last()->before, class_size(class_of(4112)));
    assert_int_equal(last()->after, 4112);
}

/* One look is enough, and there is nothing to judge. */
static void test_huge_pages(void **state)
{
    (void)state;
    unsigned c = class_of(64);
    g_seen.class[c] = (struct seen_class){.misses = 90, .fetched = 900, .pages = 20};
    windows(10);
    assert_int_equal(g_learner.decisions, 0);
    g_seen.class[c].dense = 1;
    windows(1);
    must_decide(RULE_HUGE, c);
    assert_true(g_learner.policy.class[c].huge);
    assert_int_equal(last()->outcome, OUTCOME_KEPT);
    assert_int_equal(last()->after, 1);
    windows(50);
    assert_int_equal(g_learner.decisions, 1);
}

/* ---- Call sites apart -------------------------------------------------------------------------------------------- */

static void holding(unsigned c, uint64_t live, uint64_t kept)
{
    g_seen.memory[c] = (struct seen_memory){.live = live, .kept = kept, .made = g_seen.memory[c].made, .differs = true};
}

/* A class that was full, and of which then one block in sixteen is left. */
static void sink(unsigned c)
{
    holding(c, 16 << 10, 16 << 10);
    windows(STARTED + 1);
    holding(c, 1 << 10, 15 << 10);
    windows(2);
}

static void test_apart_is_kept(void **state)
{
    (void)state;
    unsigned c = class_of(64);
    sink(c);
    must_decide(RULE_APART, c);
    assert_true(g_learner.policy.class[c].apart);
    assert_int_equal(last()->before, 14 << 10);
    windows(10); /* nothing of it can show yet */
    assert_int_equal(last()->outcome, OUTCOME_TRIAL);
    holding(c, 16 << 10, 17 << 10);
    windows(10);
    holding(c, 8 << 10, 16 << 10); /* blocks are going */
    windows(40);
    assert_int_equal(last()->outcome, OUTCOME_TRIAL);
    holding(c, 1 << 10, 2 << 10);
    windows(3);
    assert_int_equal(last()->outcome, OUTCOME_KEPT);
    assert_int_equal(last()->after, 1 << 10);
    windows(500);
    assert_true(g_learner.policy.class[c].apart);
}

/* As much is kept as before: it goes, and does not come again before sixteen times as long. */
static void test_apart_is_taken_back(void **state)
{
    (void)state;
    enum { FULL = 10, SHOWN = 32 };
    unsigned c = class_of(64);
    sink(c);
    holding(c, 16 << 10, 16 << 10);
    windows(FULL);
    holding(c, 1 << 10, 15 << 10);
    windows(SHOWN - 1);
    assert_int_equal(last()->outcome, OUTCOME_TRIAL);
    windows(1);
    assert_int_equal(last()->outcome, OUTCOME_TAKEN_BACK);
    assert_false(g_learner.policy.class[c].apart);
    holding(c, 16 << 10, 16 << 10);
    windows(1);
    holding(c, 1 << 10, 15 << 10);
    windows(100);
    assert_int_equal(g_learner.decisions, 1);
    for (unsigned i = 0; i < 16 * (FULL + SHOWN); i++) {
        holding(c, 16 << 10, 16 << 10);
        windows(1);
        holding(c, 1 << 10, 15 << 10);
        windows(2);
    }
    assert_true(g_learner.decisions > 1);
}

/* The program does something else: nothing shows, and nobody pays for it any longer. */
static void test_apart_has_its_time(void **state)
{
    (void)state;
    unsigned c = class_of(64);
    sink(c);
    windows(255);
    assert_int_equal(last()->outcome, OUTCOME_TRIAL);
    windows(1);
    assert_int_equal(last()->outcome, OUTCOME_TAKEN_BACK);
}

static void test_apart_needs_its_reasons(void **state)
{
    (void)state;
    unsigned c = class_of(64);
    holding(c, 1 << 10, 15 << 10); /* never known to be full */
    windows(100);
    assert_int_equal(g_learner.decisions, 0);
    holding(c, 16 << 10, 16 << 10);
    windows(1);
    begin(NULL);
    holding(c, 16 << 10, 16 << 10);
    windows(STARTED + 1);
    g_seen.memory[c] = (struct seen_memory){.live = 1 << 10, .kept = 15 << 10}; /* all sites' blocks live as long */
    windows(100);
    assert_int_equal(g_learner.decisions, 0);
    assert_true(g_learner.asks == (uint64_t)1 << c);
    holding(c, 1 << 10, 4 << 10); /* little is kept */
    windows(100);
    assert_int_equal(g_learner.decisions, 0);
}

/* ---- What always holds ------------------------------------------------------------------------------------------- */

static uint64_t g_random;
static uint64_t draw(uint64_t limit)
{
    g_random = g_random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (g_random >> 33) % limit;
}

static void seen_draw(struct seen *seen)
{
    *seen = (struct seen){.milliseconds = 100 + draw(100),
                          .cpu_milliseconds = draw(200),
                          .threads = draw(300),
                          .active = draw(2000),
                          .reach = draw(100) * MIB,
                          .asked = draw(3) * 4112,
                          .asked_share = draw(101)};
    for (unsigned i = 0; i < 10; i++) {
        struct seen_class *n = &seen->class[1 + draw(CLASS_FIXED_LAST)];
#define X(name) n->name = draw(2) * draw(30000);
        LEARN_COUNTS(X)
#undef X
    }
}

static size_t widened(const struct policy *policy)
{
    size_t bytes = 0;
    for (unsigned c = 1; c <= CLASS_FIXED_LAST; c++)
        if (policy->class[c].capacity > policy_static.class[c].capacity)
            bytes += (size_t)(policy->class[c].capacity - policy_static.class[c].capacity) * class_size(c);
    return bytes;
}

/* Two learners that see the same decide the same; bounds and budgets hold; decisions are few; one trial at a time
 * for each class. */
static void test_random_windows(void **state)
{
    (void)state;
    static struct learner twin;
    for (unsigned seed = 1; seed <= (UNDER_TSAN ? 5 : 40); seed++) {
        g_random = seed;
        begin(NULL);
        learner_begin(&twin, &policy_static, &policy_static, false);
        for (unsigned window = 0; window < 2000; window++) {
            uint32_t before = g_learner.decisions;
            struct trial trials[CLASS_SLOTS];
            memcpy(trials, g_learner.trial, sizeof trials);
            seen_draw(&g_seen);
            bool changed = learner_step(&g_learner, &g_seen);
            assert_true(learner_step(&twin, &g_seen) == changed);
            assert_true(policy_is_valid(&g_learner.policy));
            assert_in_range(g_learner.decisions - before, 0, 4);
            assert_true(widened(&g_learner.policy) <= 4 * MIB);
            for (uint32_t i = before; i < g_learner.decisions; i++) {
                const struct decision *d = &g_learner.log[i % LEARN_LOG];
                must(trials[d->class_id].windows == 0, "two changes of class %u on trial at once", d->class_id);
                must(d->from != d->to, "rule %u changed nothing", d->rule);
            }
        }
        assert_memory_equal(g_learner.log, twin.log, sizeof twin.log);
        assert_memory_equal(&g_learner.policy, &twin.policy, sizeof twin.policy);
        assert_true(g_learner.decisions > 10);
    }
}

/* In shadow each decision is logged as not done, and none is on trial. */
static void test_shadow(void **state)
{
    (void)state;
    g_random = 7;
    learner_begin(&g_learner, &policy_static, &policy_static, true);
    for (unsigned window = 0; window < 500; window++) {
        seen_draw(&g_seen);
        learner_step(&g_learner, &g_seen);
        for (unsigned c = 0; c < CLASS_SLOTS; c++)
            assert_int_equal(g_learner.trial[c].windows, 0);
    }
    assert_true(g_learner.decisions > 10);
    for (uint32_t i = 0; i < min_size(g_learner.decisions, LEARN_LOG); i++)
        assert_int_equal(g_learner.log[i].outcome, OUTCOME_SHADOW);
}

/* ---- In the process ---------------------------------------------------------------------------------------------- */

enum { THREADS = 8 };

/* Works for longer than a few windows, with sizes that make the learner decide. */
static void work(void *argument)
{
    static __thread void *blocks[3000];
    unsigned number = *(unsigned *)argument;
    for (unsigned round = 0; round < (UNDER_TSAN ? 60 : 400); round++) {
        for (size_t i = 0; i < COUNT_OF(blocks); i++)
            blocks[i] = hak_malloc(16 + (i * 7 + number * 64) % 3000);
        for (size_t i = 0; i < COUNT_OF(blocks); i++)
            hak_free(blocks[i]);
    }
}

/* Pages for blocks of 4112 B are most of what a class has: it is fitted only if the class has half of all pages. */
static void fit_leading_class(void)
{
    static struct learner copy;
    struct tally tally;
    unsigned fitted = class_of(4112), other = class_of(64);
    option_values[OPTION_LEARN_WINDOW_MS] = 1;
    option_values[OPTION_LEARN] = LEARN_SHADOW;
    learn_start();
    learn_join(&tally);
    for (unsigned i = 0; i < 100; i++)
        learn_note_size(fitted, 4100);
    for (unsigned i = 0; i < 100u * class_info[fitted].units + 1; i++)
        learn_note_size(other, 60);
    for (uint64_t now = 1; now <= 20; now++)
        learn_tick(&tally, now, 0);
    must(learn_copy(&copy) && copy.window > 10 && copy.decisions == 0,
         "a class with less than half of all pages was fitted");
    learn_note_size(fitted, 4100);
    for (uint64_t now = 21; now <= 25; now++)
        learn_tick(&tally, now, 0);
    must(learn_copy(&copy) && copy.decisions == 1 && copy.log[0].rule == RULE_FIT && copy.log[0].to == 4112,
         "%u decisions, the first by rule %u", copy.decisions, (unsigned)copy.log[0].rule);
}

static void test_only_the_leading_class_is_fitted(void **state)
{
    (void)state;
    pid_t child = child_fork(20); /* the learner of this process has not begun, and is not to be in shadow mode */
    if (child == 0) {
        fit_leading_class();
        _exit(0);
    }
    child_join(child, "fit_leading_class");
}

static void *work_in_thread(void *argument)
{
    work(argument);
    return NULL;
}

/* Under a sanitizer, the races would show. */
static void test_threads_learn_together(void **state)
{
    (void)state;
    static struct learner copy;
    pthread_t threads[THREADS];
    unsigned numbers[THREADS];
    option_values[OPTION_LEARN_WINDOW_MS] = 10;
    option_values[OPTION_LEARN] = LEARN_ON;
    learn_start();
    for (unsigned i = 0; i < THREADS; i++) {
        numbers[i] = i;
        must(pthread_create(&threads[i], NULL, work_in_thread, &numbers[i]) == 0, "pthread_create failed");
    }
    for (unsigned i = 0; i < 100; i++) {
        learn_copy(&copy);
        sleep_milliseconds(1);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_true(learn_copy(&copy) && copy.window > 0);
    assert_true(policy_is_valid(policy_now()));
    heap_must_be_valid("after threads learned together");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_nothing_to_learn, begin),
        cmocka_unit_test_setup(test_widen_is_taken_back, begin),
        cmocka_unit_test_setup(test_smallest_blocks_are_not_handed_over, begin),
        cmocka_unit_test_setup(test_widen_is_kept, begin),
        cmocka_unit_test_setup(test_several_threads_are_not_widened, begin),
        cmocka_unit_test_setup(test_a_single_window_is_no_reason, begin),
        cmocka_unit_test_setup(test_thrift_and_wake, begin),
        cmocka_unit_test_setup(test_few_threads_or_bytes_need_no_thrift, begin),
        cmocka_unit_test_setup(test_targets_and_steps, begin),
        cmocka_unit_test_setup(test_cap_max_bounds_what_is_learned, begin),
        cmocka_unit_test_setup(test_batch, begin),
        cmocka_unit_test_setup(test_rest_room_and_depot, begin),
        cmocka_unit_test_setup(test_hand_over_substitute_and_fit, begin),
        cmocka_unit_test_setup(test_huge_pages, begin),
        cmocka_unit_test_setup(test_apart_is_kept, begin),
        cmocka_unit_test_setup(test_apart_is_taken_back, begin),
        cmocka_unit_test_setup(test_apart_has_its_time, begin),
        cmocka_unit_test_setup(test_apart_needs_its_reasons, begin),
        cmocka_unit_test_setup(test_random_windows, begin),
        cmocka_unit_test_setup(test_shadow, begin),
        cmocka_unit_test(test_only_the_leading_class_is_fitted),
        cmocka_unit_test(test_threads_learn_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
