/* sample_test.c - samples against exact counts: what they say of each place that allocates is right on average,
 * whatever the program does, of what is live and of what was allocated in total; and what happens to a sample: it is
 * freed, resized, freed by another thread, forked, has too many others beside it.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cache/count.h"
#include "cache/draw.h"
#include "cache/ring.h"
#include "front/slow.h"
#include "hakmem.h"
#include "heap/large.h"
#include "heap/map.h"
#include "heap/page.h"
#include "insight/ledger.h"
#include "insight/recorder.h"
#include "insight/sample.h"
#include "system/os_clock.h"
#include "system/os_thread.h"

/* ---- Places, and what each holds --------------------------------------------------------------------------------- */

enum { PLACES = 4, RUNS = UNDER_TSAN ? 20 : 200, BLOCKS = 4000, PLACE_FIRST = 0x9001 };

static double g_estimated[PLACES];
static _Atomic(size_t) g_exact[PLACES], g_allocated[PLACES]; /* live; ever */

static void *place_malloc(unsigned place, size_t size)
{
    void *block = malloc_at(size, PLACE_FIRST + place);
    assert_non_null(block);
    atomic_fetch_add(&g_exact[place], hak_usable_size(block));
    atomic_fetch_add(&g_allocated[place], hak_usable_size(block));
    return block;
}

static void place_free(unsigned place, void *block)
{
    atomic_fetch_sub(&g_exact[place], hak_usable_size(block));
    hak_free(block);
}

static void add_sample(const struct record_sample *sample)
{
    uint64_t place = atomic_load(&sample->site) - PLACE_FIRST;
    if (place < PLACES)
        g_estimated[place] += (double)atomic_load(&sample->bytes);
}

/* What was counted by the place, since the process began. */
static double counted(unsigned place)
{
    double sum = 0;
    const struct record_stack *stacks;
    for (uint32_t level = 0; (stacks = recorder_piece(RECORD_STACKS, level)); level++) {
        const struct record_allocated *allocated = recorder_piece(RECORD_ALLOCATED, level);
        for (uint32_t i = 0; allocated && i < 64u << level; i++)
            if (atomic_load(&stacks[i].hash) > 1 && ledger_frame(atomic_load(&stacks[i].frames)) == PLACE_FIRST + place)
                sum += (double)atomic_load(&allocated[i].bytes);
    }
    return sum;
}

/* ---- Programs: each leaves some blocks live ---------------------------------------------------------------------- */

struct live {
    void *block;
    unsigned place;
};
static struct live g_live[4 * BLOCKS];
static size_t g_live_count;

static size_t size_of(unsigned place, uint64_t *random)
{
    static const size_t sizes[PLACES - 1] = {32, 200, 3000};
    return place == PLACES - 1 ? UNIT_SIZE << random_next(random) % 2
                               : sizes[place] + random_next(random) % sizes[place];
}

static void keep(unsigned place, void *block) { g_live[g_live_count++] = (struct live){block, place}; }

static void drop(size_t i)
{
    place_free(g_live[i].place, g_live[i].block);
    g_live[i] = g_live[--g_live_count];
}

static void grow(uint64_t *random)
{
    for (unsigned i = 0; i < BLOCKS; i++) {
        unsigned place = (unsigned)(random_next(random) % PLACES);
        keep(place, place_malloc(place, size_of(place, random)));
    }
}

static void shrink(uint64_t *random)
{
    grow(random);
    for (unsigned i = 0; i < BLOCKS * 3 / 4; i++)
        drop(random_next(random) % g_live_count);
}

/* A block that stays was another place's so many times before. */
static void churn_times(uint64_t *random, unsigned blocks, unsigned count)
{
    for (unsigned i = 0; i < blocks; i++) {
        size_t size = size_of(0, random);
        for (unsigned times = 0; times < count; times++)
            place_free(1, place_malloc(1, size));
        keep(0, place_malloc(0, size));
    }
}

static void churn(uint64_t *random) { churn_times(random, BLOCKS / 4, 100); }
static void churn_long(uint64_t *random) { churn_times(random, BLOCKS / 4, 3 * DRAW_RETURNS); }
static void churn_long_few(uint64_t *random) { churn_times(random, BLOCKS / 64, 3 * DRAW_RETURNS); }

/* Blocks are replaced, by other places', within rings. */
static void replace(uint64_t *random)
{
    grow(random);
    for (unsigned i = 0; i < 4 * BLOCKS; i++) {
        drop(random_next(random) % g_live_count);
        unsigned place = (unsigned)(random_next(random) % PLACES);
        keep(place, place_malloc(place, size_of(place, random)));
    }
}

/* One place's blocks give way to another's. */
static void change_phase(uint64_t *random)
{
    for (unsigned phase = 0; phase < 3; phase++) {
        unsigned place = phase % PLACES, first = (unsigned)g_live_count;
        for (unsigned i = 0; i < BLOCKS; i++)
            keep(place, place_malloc(place, 500 + random_next(random) % 500));
        for (unsigned i = 0; i < BLOCKS * 9 / 10; i++)
            drop(first + random_next(random) % (g_live_count - first));
    }
}

/* Blocks are zeroed, aligned, and grow. */
static void mix_calls(uint64_t *random)
{
    for (unsigned i = 0; i < BLOCKS / 2; i++) {
        size_t size = size_of(2, random);
        void *block = i % 3 == 0 ? hak_calloc(1, size) : i % 3 == 1 ? hak_aligned_alloc(256, size) : malloc_at(size, 1);
        hak_free(block);
        keep(2, place_malloc(2, size));
        if (i % 5 == 0)
            keep(3, place_malloc(3, 2 * MIB));
        if (i % 5 == 4)
            drop(g_live_count - 1 - random_next(random) % 4);
    }
}

struct worker {
    uint64_t random;
    struct live *live; /* BLOCKS / 2 of them */
};

static void *work(void *argument)
{
    struct worker *worker = argument;
    for (unsigned i = 0; i < BLOCKS; i++) {
        struct live *live = &worker->live[random_next(&worker->random) % (BLOCKS / 2)];
        if (live->block)
            place_free(live->place, live->block);
        live->place = (unsigned)(random_next(&worker->random) % PLACES);
        live->block = place_malloc(live->place, size_of(live->place, &worker->random));
    }
    return NULL;
}

/* Threads come, and what they leave is freed by others. */
static void many_threads(uint64_t *random)
{
    enum { THREADS = 4, ROUNDS = 3 };
    static struct live live[THREADS][BLOCKS / 2];
    memset(live, 0, sizeof live);
    for (unsigned round = 0; round < ROUNDS; round++) {
        pthread_t threads[THREADS];
        struct worker workers[THREADS];
        for (unsigned i = 0; i < THREADS; i++) {
            workers[i] = (struct worker){random_next(random), live[(i + round) % THREADS]};
            assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
        }
        for (unsigned i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
    }
    for (unsigned i = 0; i < THREADS; i++)
        for (unsigned k = 0; k < BLOCKS / 2; k++)
            if (live[i][k].block)
                keep(live[i][k].place, live[i][k].block);
}

/* ---- Trials ------------------------------------------------------------------------------------------------------ */

/* Sum and sum of squares of how far a place's estimate was off. */
struct error {
    double sum, squares, exact;
};

static void error_add(struct error *error, double estimated, double exact)
{
    double off = estimated - exact;
    error->sum += off;
    error->squares += off * off;
    error->exact += exact;
}

static void live_note(struct error errors[PLACES])
{
    memset(g_estimated, 0, sizeof g_estimated);
    ledger_each(add_sample);
    for (unsigned place = 0; place < PLACES; place++)
        error_add(&errors[place], g_estimated[place], (double)atomic_load(&g_exact[place]));
}

static void allocated_note(struct error errors[PLACES])
{
    static double counted_before[PLACES];
    for (unsigned place = 0; place < PLACES; place++) {
        double now = counted(place);
        error_add(&errors[place], now - counted_before[place], (double)atomic_exchange(&g_allocated[place], 0));
        counted_before[place] = now;
    }
}

static void trial(void (*program)(uint64_t *), uint64_t *random, struct error errors[PLACES], bool of_all)
{
    g_live_count = 0;
    program(random);
    (of_all ? allocated_note : live_note)(errors);
    while (g_live_count > 0)
        drop(g_live_count - 1);
    hak_collect(); /* trials are independent: marks do not stay in rings */
}

/* Whether the estimate of each place is right on average, within three standard errors (and what rounding does); the
 * first that is not is said in `what`. */
static bool is_unbiased(void (*program)(uint64_t *), uint64_t *random, bool of_all, char what[static 160])
{
    struct error errors[PLACES] = {{0, 0, 0}};
    for (unsigned run = 0; run < RUNS; run++)
        trial(program, random, errors, of_all);
    for (unsigned place = 0; place < PLACES; place++) {
        double mean = errors[place].sum / RUNS, exact = errors[place].exact / RUNS;
        double variance = (errors[place].squares / RUNS - mean * mean) / RUNS,
               beyond = (mean < 0 ? -mean : mean) - exact / 5000;
        snprintf(what, 160, "place %u: of %.0f bytes %+.0f on average; the square of the standard error is %.0f", place,
                 exact, mean, variance);
        if (beyond > 0 && beyond * beyond > 9 * variance)
            return false;
    }
    return true;
}

/* Of so many estimates one may be farther off once in a while, but not twice. */
static void must_be_unbiased(const char *name, void (*program)(uint64_t *), bool of_all)
{
    uint64_t random = 1;
    char what[160];
    bool is = is_unbiased(program, &random, of_all, what) || is_unbiased(program, &random, of_all, what);
    must(is, "%s, %s", name, what);
}

static void test_estimates_are_unbiased(void **state)
{
    (void)state;
    must_be_unbiased("growing", grow, false);
    must_be_unbiased("shrinking", shrink, false);
    must_be_unbiased("churning", churn, false);
    must_be_unbiased("replacing", replace, false);
    must_be_unbiased("changing phases", change_phase, false);
    must_be_unbiased("calls of all kinds", mix_calls, false);
    must_be_unbiased("threads", many_threads, false);
}

/* Where marks are dropped because they make too many calls slow, the estimates are too low, and the trials notice. */
static void test_trials_notice_a_bias(void **state)
{
    (void)state;
    uint64_t random = 1;
    char what[160];
    assert_false(is_unbiased(churn_long, &random, false, what));
}

/* A place that churns too long loses its marks, but not those that come after, of which the first is the same block. */
static void test_a_dropped_mark_is_forgotten(void **state)
{
    (void)state;
    uint64_t random = 1;
    struct error errors[PLACES] = {{0, 0, 0}};
    trial(churn_long, &random, errors, false);
    must_be_unbiased("churning after too long churning", churn, false);
}

/* ---- All that is allocated --------------------------------------------------------------------------------------- */

/* As when somebody has asked for it, but at once. */
static void counting_ask(bool counts)
{
    ledger_stack(1); /* there is a record then */
    struct record_requests *requests = recorder_piece(RECORD_REQUESTS, 0);
    assert_non_null(requests);
    atomic_store(&requests->count_until, counts ? UINT64_MAX : 0);
    atomic_store(&count_mode, counts ? COUNT_SHORT : COUNT_OFF);
}

static void counting_begin(void)
{
    struct error errors[PLACES] = {{0, 0, 0}};
    counting_ask(true);
    hak_collect(); /* its rings stay hidden after that */
    allocated_note(errors); /* begins at 0 */
}

static void counting_end(void) { counting_ask(false); }

static void test_what_is_allocated_is_counted_without_bias(void **state)
{
    (void)state;
    counting_begin();
    must_be_unbiased("allocated, growing", grow, true);
    must_be_unbiased("allocated, churning long", churn_long_few, true);
    must_be_unbiased("allocated, replacing", replace, true);
    must_be_unbiased("allocated, changing phases", change_phase, true);
    must_be_unbiased("allocated, calls of all kinds", mix_calls, true);
    must_be_unbiased("allocated, threads", many_threads, true);
    counting_end();
}

/* Nothing is counted then, which the trials notice. */
static void test_trials_notice_what_is_not_counted(void **state)
{
    (void)state;
    uint64_t random = 1;
    char what[160];
    assert_false(is_unbiased(grow, &random, true, what));
}

/* The ring of 100 bytes, after a while, since the clock may be a reason to hide it. */
static void must_show_ring(void)
{
    unsigned c = class_of(100);
    for (uint64_t end = os_milliseconds() + 20000; os_milliseconds() < end && cache_self->top[c] == ARRAY_CLOSED;)
        hak_free(hak_malloc(100));
    assert_true(cache_self->top[c] != ARRAY_CLOSED);
}

/* While calls are counted they take a slow path each, and no longer. */
static void test_rings_hide_while_calls_are_counted(void **state)
{
    (void)state;
    counting_begin();
    hak_free(hak_malloc(100));
    hak_free(hak_malloc(100));
    assert_true(ring_is_hidden(cache_self, class_of(100)));
    counting_end();
    must_show_ring();
}

/* Also for a thread that has no other reason to look at the clock. */
static void test_counting_ends_in_a_loop_that_rings_serve(void **state)
{
    (void)state;
    counting_begin();
    struct record_requests *requests = recorder_piece(RECORD_REQUESTS, 0);
    atomic_store(&requests->count_until, os_milliseconds() + 300);
    for (uint64_t end = os_milliseconds() + 20000; os_milliseconds() < end && count_is_on();)
        for (unsigned i = 0; i < 1000; i++)
            hak_free(hak_malloc(100));
    assert_false(count_is_on());
    must_show_ring();
}

static void counted_free_twice(void *unused)
{
    (void)unused;
    counting_begin();
    for (unsigned i = 0; i < 2 * RING_PROBATION; i++)
        hak_free(hak_malloc(128));
    void *block = hak_malloc(128), *other = hak_malloc(128);
    hak_free(block);
    hak_free(other);
    hak_free(block);
}

static void test_a_second_free_is_noticed_while_counted(void **state)
{
    (void)state;
    must_die_of(ERROR_DOUBLE_FREE, "free", class_size(class_of(128)), counted_free_twice, NULL);
}

static void counted_free_beside(void *unused)
{
    (void)unused;
    counting_begin();
    for (unsigned i = 0; i < 2 * RING_PROBATION; i++)
        hak_free(hak_malloc(128));
    char *block = hak_malloc(128);
    hak_free(block + 8);
}

/* The fast path leaves addresses that no block can have to the slow ones. */
static void test_a_free_beside_a_block_is_noticed_while_counted(void **state)
{
    (void)state;
    must_die_of(ERROR_INTERIOR, "free", class_size(class_of(128)), counted_free_beside, NULL);
}

/* Its memory may have been something else's. */
static void test_a_new_cache_has_counted_nothing(void **state)
{
    (void)state;
    static struct cache cache;
    cache.count = (struct count){.left = INT64_MAX, .interval = UINT64_MAX, .taken = 7};
    cache.ticks = CACHE_TICKS;
    cache_open(&cache, 4000);
    assert_true(cache.count.left == 0 && cache.count.interval == 0 && cache.count.taken == 0);
    assert_int_equal(cache.ticks, 0);
}

/* Its parent was asked to count, it was not. */
static void test_a_child_was_not_asked(void **state)
{
    (void)state;
    counting_begin();
    pid_t child = child_fork(20);
    if (child == 0) {
        void *block = malloc_at(5 * MIB, 1); /* a slow path, in which it notices what it is */
        const struct record_requests *requests = recorder_piece(RECORD_REQUESTS, 0);
        must(block && atomic_load(&requests->count_until) == 0, "a child is asked to count until %llu",
             (unsigned long long)atomic_load(&requests->count_until));
        _exit(0);
    }
    child_join(child, "a child of one that counts");
    counting_end();
}

/* Blocks of a size that is not small against the distance are not counted for one each. */
static void test_blocks_are_counted_in_parts(void **state)
{
    enum { COUNT = 20000, SIZE = 6000 };
    (void)state;
    uint64_t parts = 0;
    counting_begin();
    const struct record_allocated *allocated = recorder_piece(RECORD_ALLOCATED, 0);
    for (unsigned i = 0; allocated && i < 64; i++)
        parts -= atomic_load(&allocated[i].block_parts);
    for (unsigned i = 0; i < COUNT; i++)
        hak_free(malloc_at(SIZE, PLACE_FIRST));
    allocated = recorder_piece(RECORD_ALLOCATED, 0);
    for (unsigned i = 0; i < 64; i++)
        parts += atomic_load(&allocated[i].block_parts);
    counting_end();
    double blocks = (double)parts / RECORD_BLOCK_PARTS;
    must(blocks > 0.9 * COUNT && blocks < 1.1 * COUNT, "%d blocks were counted as %.0f", COUNT, blocks);
}

/* ---- Single samples ---------------------------------------------------------------------------------------------- */

/* A block of the size that is a sample, of place 0; its entry. */
static void *sample_make(size_t size, struct record_sample **entry)
{
    for (unsigned i = 0; i < 100000; i++) {
        void *block = malloc_at(size, PLACE_FIRST);
        *entry = ledger_find(block);
        if (*entry)
            return block;
        keep(0, block);
    }
    fail_msg("of 100,000 blocks of %zu bytes none is a sample", size);
    return NULL;
}

static void kept_free(void)
{
    while (g_live_count > 0)
        hak_free(g_live[--g_live_count].block);
}

/* A sample's block lies among larger ones, but is to the program as any of its size. */
static void test_a_sample_is_a_block_as_any(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 17, 100, 1000, 5000, 20000, 33000, 300000, 2 * MIB};
    for (unsigned i = 0; i < COUNT_OF(sizes); i++) {
        struct record_sample *entry;
        char *block = sample_make(sizes[i], &entry);
        size_t usable = hak_usable_size(block);
        pattern_fill(block, sizes[i], i);
        assert_int_equal(atomic_load(&entry->size), usable);
        if (sizes[i] <= CLASS_TABLE_MAX)
            assert_int_equal(usable, hak_good_size(sizes[i]));
        char *other = hak_realloc(block, 3 * sizes[i]);
        assert_int_equal(pattern_check(other, sizes[i], i), sizes[i]);
        assert_true(other == block || !ledger_find(block));
        hak_free(other);
        assert_null(ledger_find(other));
        kept_free();
    }
    heap_must_be_valid("after samples of all sizes");
}

static void sample_free_twice(void *unused)
{
    (void)unused;
    struct record_sample *entry;
    void *block = sample_make(100, &entry);
    sample_make(100, &entry); /* or the page were gone */
    hak_free(block);
    hak_free(block);
}

static void test_a_second_free_is_noticed(void **state)
{
    (void)state;
    must_die_of(ERROR_DOUBLE_FREE, "free", class_size(class_of(128)), sample_free_twice, NULL);
    kept_free();
}

static void test_lives_and_stacks_are_counted(void **state)
{
    (void)state;
    struct record_sample *entry;
    void *block = sample_make(1000, &entry);
    uint64_t bytes = atomic_load(&entry->bytes);
    assert_int_equal(bytes, draw_bytes(hak_good_size(1000), 8 << 10));
    assert_int_equal(atomic_load(&entry->thread), os_thread_id());
    assert_int_equal(atomic_load(&entry->block), (uintptr_t)block);
    sleep_milliseconds(100);
    assert_true(ledger_end(ledger_find(block)) >= 90);
    assert_null(ledger_find(block));
    kept_free(); /* the block itself is lost: it is no sample any more */
}

/* Most samples live shortly, and one comes when the one before is gone: they share a page, which is not made each
 * time. */
static void test_samples_in_turn_share_a_page(void **state)
{
    (void)state;
    struct record_sample *entry;
    unsigned c = class_of(128); /* whose pages samples of 100 bytes lie in, and nothing else here */
    hak_free(sample_make(100, &entry));
    size_t before = page_count_kept(c).made;
    for (unsigned i = 0; i < 50; i++)
        hak_free(sample_make(100, &entry));
    must(page_count_kept(c).made == before, "50 samples made %zu bytes of pages", page_count_kept(c).made - before);
    kept_free();
}

/* Runs of 128 KiB that come of growing never were in the ring that serves blocks of that size, and leave no marks in
 * it. */
static void test_runs_leave_no_marks(void **state)
{
    (void)state;
    unsigned c = class_of(2 * UNIT_SIZE);
    for (unsigned i = 0; i < 100; i++)
        hak_free(malloc_at(2 * UNIT_SIZE, 1));
    assert_non_null(cache_self->ring[c].array.slot);
    hak_collect();
    for (unsigned i = 0; i < 20; i++) {
        void *run = hak_realloc(malloc_at(40 << 10, 1), 100 << 10);
        assert_int_equal(hak_usable_size(run), 2 * UNIT_SIZE);
        hak_free(run);
    }
    assert_int_equal(cache_self->ring[c].array.marks, 0);
}

static double g_all;
static void add_all(const struct record_sample *sample) { g_all += (double)atomic_load(&sample->bytes); }

/* A child has the samples that its parent had, and goes on from there. */
static void test_a_child_inherits(void **state)
{
    (void)state;
    uint64_t random = 1;
    g_live_count = 0;
    grow(&random);
    g_all = 0;
    ledger_each(add_all);
    double before = g_all;
    pid_t child = child_fork(20);
    if (child == 0) {
        g_all = 0;
        ledger_each(add_all);
        must(g_all >= before * 0.99 && g_all <= before * 1.01, "samples for %.0f bytes became %.0f in a child", before,
             g_all);
        while (g_live_count > 0)
            drop(g_live_count - 1);
        g_all = 0;
        ledger_each(add_all);
        must(g_all < before / 100, "of samples for %.0f bytes %.0f are left in a child that freed all", before, g_all);
        _exit(0);
    }
    child_join(child, "a child with its parent's samples");
    while (g_live_count > 0)
        drop(g_live_count - 1);
    heap_must_be_valid("after a child");
}

/* More live blocks than there is room for samples, each many times as large as the distance between two. */
static void test_more_than_there_is_room_for(void **state)
{
    enum { MANY = 30000, SIZE_MAX_HERE = 2000 };
    static void *blocks[MANY];
    (void)state;
    for (unsigned i = 0; i < MANY; i++) {
        blocks[i] = hak_malloc(1 + i % SIZE_MAX_HERE);
        assert_non_null(blocks[i]);
    }
    for (unsigned i = 0; i < MANY; i++)
        hak_free(blocks[i]);
    heap_must_be_valid("after more samples than there is room for");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_estimates_are_unbiased),
        cmocka_unit_test(test_trials_notice_a_bias),
        cmocka_unit_test(test_a_dropped_mark_is_forgotten),
        cmocka_unit_test(test_what_is_allocated_is_counted_without_bias),
        cmocka_unit_test(test_trials_notice_what_is_not_counted),
        cmocka_unit_test(test_rings_hide_while_calls_are_counted),
        cmocka_unit_test(test_counting_ends_in_a_loop_that_rings_serve),
        cmocka_unit_test(test_a_second_free_is_noticed_while_counted),
        cmocka_unit_test(test_a_free_beside_a_block_is_noticed_while_counted),
        cmocka_unit_test(test_a_new_cache_has_counted_nothing),
        cmocka_unit_test(test_a_child_was_not_asked),
        cmocka_unit_test(test_blocks_are_counted_in_parts),
        cmocka_unit_test(test_a_sample_is_a_block_as_any),
        cmocka_unit_test(test_a_second_free_is_noticed),
        cmocka_unit_test(test_lives_and_stacks_are_counted),
        cmocka_unit_test(test_samples_in_turn_share_a_page),
        cmocka_unit_test(test_runs_leave_no_marks),
        cmocka_unit_test(test_a_child_inherits),
        cmocka_unit_test(test_more_than_there_is_room_for),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
