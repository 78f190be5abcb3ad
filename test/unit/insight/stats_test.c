/* stats_test.c - the statistics: what they say of a quiet process is exact, and memory by state adds up.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "heap/class.h"
#include "hakmem.h"
#include "system/options.h"
#include "cache/ring.h"
#include "heap/span.h"
#include "heap/map.h"
#include "heap/page.h"
#include "insight/stats.h"

static struct stats gathered(void)
{
    struct stats stats;
    stats_gather(&stats);
    return stats;
}

/* The equation of stats.def. */
static void must_add_up(const char *when)
{
    struct stats s = gathered();
    uint64_t sum = s.live + s.ring + s.depot + s.page_free + s.page_rest + s.large + s.free_dirty + s.free_clean;
    must(s.mapped == sum,
         "%s: mapped %" PRIu64 ", but live %" PRIu64 " ring %" PRIu64 " depot %" PRIu64 " page_free %" PRIu64
         " page_rest %" PRIu64 " large %" PRIu64 " free_dirty %" PRIu64 " free_clean %" PRIu64 " are %" PRIu64,
         when, s.mapped, s.live, s.ring, s.depot, s.page_free, s.page_rest, s.large, s.free_dirty, s.free_clean, sum);
}

/* ---- A model: what the program has ------------------------------------------------------------------------------- */

enum { SLOTS = 3000 };
static struct {
    void *block;
    size_t size;
} g_slots[SLOTS];
static uint64_t g_live, g_large, g_large_blocks;

static void account(size_t i, bool plus)
{
    uint64_t usable = hak_usable_size(g_slots[i].block), one = 1;
    bool large = map_page(g_slots[i].block)->class_id == 0;
    *(large ? &g_large : &g_live) += plus ? usable : -usable;
    if (large)
        g_large_blocks += plus ? one : -one;
}

static void toggle(size_t i, size_t size)
{
    if (g_slots[i].block) {
        account(i, false);
        hak_free(g_slots[i].block);
        g_slots[i].block = NULL;
        return;
    }
    g_slots[i].block = hak_malloc(size);
    must(g_slots[i].block != NULL, "malloc(%zu) refused", size);
    account(i, true);
}

static void must_agree(const char *when)
{
    struct stats s = gathered();
    must(s.live == g_live, "%s: live %" PRIu64 ", expected %" PRIu64, when, s.live, g_live);
    must(s.large == g_large, "%s: large %" PRIu64 ", expected %" PRIu64, when, s.large, g_large);
    must(s.large_blocks == g_large_blocks, "%s: %" PRIu64 " large blocks, expected %" PRIu64, when, s.large_blocks,
         g_large_blocks);
    must_add_up(when);
}

static void random_steps(uint64_t seed)
{
    uint64_t random = seed;
    for (size_t step = 0; step < 30000; step++) {
        toggle(random_next(&random) % SLOTS, random_size(&random, step % 100 ? 20000 : 40 * MIB));
        if (step % 500 == 0)
            must_agree("in one thread");
    }
}

static void free_everything(void)
{
    for (size_t i = 0; i < SLOTS; i++)
        if (g_slots[i].block)
            toggle(i, 0);
}

static void test_one_thread(void **state)
{
    (void)state;
    random_steps(8);
    hak_collect();
    must_agree("after hak_collect");
    hak_trim(0);
    must_agree("after hak_trim");
    assert_int_equal(gathered().free_dirty, 0);
    free_everything();
    must_agree("after all was freed");
    assert_int_equal(gathered().live, 0);
}

/* Blocks of every class through rings and depot; the thread's end returns all that is its own. */
static void thread_work(void *unused)
{
    (void)unused;
    random_steps(9);
    free_everything();
}

static void test_after_threads(void **state)
{
    (void)state;
    hak_collect(); /* what another thread's rings hold is known as of its last slow path only */
    for (unsigned round = 0; round < 3; round++) {
        in_thread(thread_work, NULL);
        must_agree("after a thread's end");
        assert_int_equal(gathered().live, 0);
    }
}

/* Batches that are not full are counted as what they are. */
static void test_depot_is_exact(void **state)
{
    (void)state;
    static void *blocks[2000];
    size_t in_depot = 0;
    for (size_t size = 1024; size <= CLASS_MAX_SIZE; size = size * 5 / 4) {
        size_t count = min_size(COUNT_OF(blocks), 16 * MIB / size);
        for (size_t i = 0; i < count; i++)
            blocks[i] = hak_malloc(size);
        for (size_t i = 0; i < count; i++)
            hak_free(blocks[i]);
        in_depot += gathered().depot;
        must_agree("with batches in the depot");
        assert_int_equal(gathered().live, 0);
    }
    assert_true(in_depot > 0);
}

/* ---- What goes with it ------------------------------------------------------------------------------------------- */

static void test_calls_of_slow_paths(void **state)
{
    (void)state;
    struct stats before = gathered();
    void *blocks[20];
    for (size_t i = 0; i < COUNT_OF(blocks); i++)
        blocks[i] = hak_malloc(2 * MIB + i);
    struct stats middle = gathered();
    for (size_t i = 0; i < COUNT_OF(blocks); i++)
        hak_free(blocks[i]);
    struct stats after = gathered();
    assert_int_equal(middle.malloc_large - before.malloc_large, COUNT_OF(blocks));
    assert_int_equal(after.free_large - middle.free_large, COUNT_OF(blocks));
    assert_int_equal(after.free_large - before.free_large, COUNT_OF(blocks));
    assert_true(after.metadata > 0);
    assert_int_equal(after.threads, 1);
}

static void threads_seen(void *seen)
{
    hak_free(hak_malloc(1));
    *(uint64_t *)seen = gathered().threads;
}

static void test_threads(void **state)
{
    (void)state;
    uint64_t seen = 0;
    in_thread(threads_seen, &seen);
    assert_int_equal(seen, 2);
    assert_int_equal(gathered().threads, 1);
}

static void test_public_list(void **state)
{
    (void)state;
    static const struct {
        const char *name, *unit;
    } table[] = {
#define X(field, name, unit, doc) {name, unit},
#include "insight/stats.def"
#undef X
    };
    hak_stat_t all[COUNT_OF(table) + 1];
    assert_int_equal(hak_stats(NULL, 0), COUNT_OF(table));
    all[3].name = "untouched";
    assert_int_equal(hak_stats(all, 3), COUNT_OF(table));
    assert_string_equal(all[3].name, "untouched");
    all[COUNT_OF(table)].name = "untouched";
    assert_int_equal(hak_stats(all, COUNT_OF(all)), COUNT_OF(table));
    assert_string_equal(all[COUNT_OF(table)].name, "untouched");
    struct stats s = gathered();
    const uint64_t values[] = {
#define X(field, name, unit, doc) s.field,
#include "insight/stats.def"
#undef X
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        assert_string_equal(all[i].name, table[i].name);
        assert_string_equal(all[i].unit, table[i].unit);
        assert_int_equal(all[i].value, values[i]);
        assert_true(strcmp(all[i].unit, "bytes") == 0 || strcmp(all[i].unit, "count") == 0);
    }
}

/* Whether the words are there, in lines that go on indented. */
static bool has_words(const char *text, const char *words)
{
    for (const char *begin = text; *begin; begin++) {
        const char *at = begin, *word = words;
        for (; *word && (*at == *word || (*word == ' ' && *at == '\n')); word++)
            at += *at == '\n' ? 1 + strspn(at + 1, " ") : 1;
        if (!*word)
            return true;
    }
    return false;
}

static void test_printed_table(void **state)
{
    (void)state;
    static char text[32768];
    void *block = hak_malloc(5000);
    int file = file_make();
    hak_stats_print(file);
    file_read(file, text, sizeof text);
    close(file);
    char first[64];
    snprintf(first, sizeof first, "hakmem %s statistics of process %d, ", hak_version(), (int)getpid());
    assert_memory_equal(text, first, strlen(first));
    static const char *const docs[] = {
#define X(field, name, unit, doc) doc,
#include "insight/stats.def"
#undef X
    };
    for (size_t i = 0; i < COUNT_OF(docs); i++)
        must(has_words(text, docs[i]), "expected '%s'", docs[i]);
    unsigned long pages = 0, live = 0;
    const char *row = strstr(text, "\n        5120");
    must(row && sscanf(row, "%*u%lu%lu", &pages, &live) == 2 && pages > 0 && live == 1,
         "the size class of 5000 bytes: expected one live block in\n%.3000s", row ? row : text);
    hak_free(block);
}

/* ---- Counted calls, in a process that was started with HAKMEM_STATS=all ------------------------------------------ */

enum { CALLS = 12345 };

static void count_calls(void)
{
    static void *blocks[CALLS];
    struct stats before = gathered();
    for (size_t i = 0; i < CALLS; i++)
        blocks[i] = hak_malloc(i % 3000);
    for (size_t i = 0; i < CALLS; i++)
        hak_free(blocks[i]);
    struct stats after = gathered();
    uint64_t mallocs = after.malloc_ring + after.malloc_depot + after.malloc_page + after.malloc_zeroed -
                       (before.malloc_ring + before.malloc_depot + before.malloc_page + before.malloc_zeroed);
    must(mallocs == CALLS, "%" PRIu64 " allocations counted of %d", mallocs, CALLS);
    must(after.free_ring - before.free_ring == CALLS, "%" PRIu64 " frees counted of %d",
         after.free_ring - before.free_ring, CALLS);
    must_add_up("while calls are counted");
}

static void test_counted_calls(void **state)
{
    (void)state;
    static struct child_result result;
    static const char *const changes[] = {"HAKMEM_STATS=all", NULL};
    char path[] = "/proc/self/exe", argument[] = "counted";
    char *arguments[] = {path, argument, NULL};
    static char **volatile environment; /* reachable, for a leak checker, and in memory */
    environment = environment_with(changes);
    child_exec(arguments, environment, 60, &result);
    must(result.status == 0 && !result.timed_out, "%s\n%s", child_ending(&result), result.err);
    assert_non_null(strstr(result.err, " statistics of process "));
    assert_string_equal(result.out, "");
}

int main(int count, char **arguments)
{
    if (count > 1 && strcmp(arguments[1], "counted") == 0) {
        count_calls();
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_thread),
        cmocka_unit_test(test_after_threads),
        cmocka_unit_test(test_depot_is_exact),
        cmocka_unit_test(test_calls_of_slow_paths),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_public_list),
        cmocka_unit_test(test_printed_table),
        cmocka_unit_test(test_counted_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
