/* native_test.c - include/hakmem.h, function by function.
 * SPDX-License-Identifier: MIT */
#include "borders.h"

#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static void test_version(void **state)
{
    (void)state;
    char expected[64];
    snprintf(expected, sizeof expected, "%d.%d.%d", HAKMEM_VERSION_MAJOR, HAKMEM_VERSION_MINOR, HAKMEM_VERSION_PATCH);
    must(strcmp(hak_version(), expected) == 0, "hak_version(): expected %s, saw %s", expected, hak_version());
}

/* Larger blocks may have more, if they are runs of their own. */
enum { EXACT_MAX = 32 << 10 };

static void good_size_one(size_t size)
{
    size_t good = hak_good_size(size);
    must(good >= size, "hak_good_size(%zu): expected at least that, saw %zu", size, good);
    must(hak_good_size(good) == good, "hak_good_size(%zu) is %zu, of that %zu: expected the same", size, good,
         hak_good_size(good));
    void *block = malloc(size);
    size_t usable = hak_usable_size(block);
    must(size <= EXACT_MAX ? usable == good : usable >= good,
         "malloc(%zu): hak_usable_size says %zu, hak_good_size %zu", size, usable, good);
    must(malloc_usable_size(block) == usable, "malloc(%zu): malloc_usable_size and hak_usable_size differ", size);
    free(block);
    size_t told = 0;
    block = hak_malloc_usable(size, &told);
    must(block != NULL && (size <= EXACT_MAX ? told == good : told >= good),
         "hak_malloc_usable(%zu): told %zu, expected %zu", size, told, good);
    memset(block, 1, told);
    free(block);
}

static void test_good_size_is_the_usable_size(void **state)
{
    (void)state;
    for (size_t size = 0; size <= 70000; size++) {
        good_size_one(size);
    }
    FOR_EACH_BORDER(border, 64 * MIB)
    {
        good_size_one(border);
        good_size_one(border + 1);
    }
}

/* Blocks must not waste more than a quarter of what was asked for, from the first sizes on. */
static void test_good_size_wastes_little(void **state)
{
    (void)state;
    size_t last = 0;
    for (size_t size = 1; size <= 2 * MIB; size += size < 70000 ? 1 : 997) {
        size_t good = hak_good_size(size);
        must(good >= last, "hak_good_size falls from %zu to %zu at %zu", last, good, size);
        must(size < 64 || good - size <= size / 4 + 16, "hak_good_size(%zu) is %zu: more than a quarter is wasted",
             size, good);
        last = good;
    }
}

static void test_impossible_sizes(void **state)
{
    (void)state;
    size_t told = 77;
    must(hak_good_size(SIZE_MAX) == 0, "hak_good_size(SIZE_MAX): expected 0, saw %zu", hak_good_size(SIZE_MAX));
    must(hak_good_size((size_t)PTRDIFF_MAX + 1) == 0, "hak_good_size(PTRDIFF_MAX + 1): expected 0");
    errno = 0;
    void *block = hak_malloc_usable(hidden_size(SIZE_MAX), &told);
    must(block == NULL && told == 0 && errno == ENOMEM, "hak_malloc_usable(SIZE_MAX): saw %p, usable %zu, errno %d",
         block, told, errno);
    errno = 0;
    block = hak_malloc_at(hidden_size(SIZE_MAX), 1);
    must(block == NULL && errno == ENOMEM, "hak_malloc_at(SIZE_MAX): saw %p, errno %d", block, errno);
    must(hak_usable_size(NULL) == 0, "hak_usable_size(NULL): expected 0");
    must(hak_expand(NULL, 8) == NULL, "hak_expand(NULL, 8): expected NULL");
}

/* The two families are one: a block of either may be freed or resized by the other. */
static void test_families_mix(void **state)
{
    (void)state;
    for (size_t size = 0; size <= 3 * MIB; size = size * 2 + 1) {
        free(hak_malloc(size));
        hak_free(malloc(size));
        free(hak_realloc(malloc(size), size + 100));
        hak_free(realloc(hak_malloc(size), size + 100));
        free(hak_calloc(1, size));
        free(hak_aligned_alloc(64, size));
        free(hak_reallocarray(NULL, size, 2));
        hak_free_at(malloc(size), size, 0);
        free(hak_malloc_at(size, (hak_site_t)test_families_mix));
        hak_free_at(hak_malloc_at(size, 1), 0, 0);
        hak_free_at(hak_malloc_at(size, 1), size, 1);
    }
    hak_free(NULL);
    hak_free_at(NULL, 0, 0);
    errno = 0;
    void *block = hak_aligned_alloc(24, 8);
    must(block == NULL && errno == EINVAL, "hak_aligned_alloc(24, 8): saw %p, errno %d, expected NULL and EINVAL",
         block, errno);
}

static void test_expand_stays_in_place(void **state)
{
    (void)state;
    for (size_t size = 1; size <= 32 * MIB; size = size * 3 + 1) {
        char *block = malloc(size);
        size_t usable = hak_usable_size(block);
        pattern_fill(block, usable, size);
        errno = 4242;
        must(hak_expand(block, size) == block, "hak_expand of a block to its own size %zu: expected the block", size);
        must(hak_expand(block, 1) == block, "hak_expand to less than the size of %zu: expected the block", size);
        must(hak_usable_size(block) == usable, "hak_expand to 1 shrank %zu to %zu", usable, hak_usable_size(block));
        must(hak_expand(block, usable) == block, "hak_expand of malloc(%zu) to its usable size %zu: expected the block",
             size, usable);
        size_t wanted = usable + usable / 2 + 1;
        void *grown = hak_expand(block, wanted);
        must(grown == NULL || grown == block, "hak_expand moved %p to %p", (void *)block, grown);
        must(errno == 4242, "hak_expand changed errno to %d", errno);
        must(pattern_check(block, usable, size) == usable, "hak_expand of %zu bytes changed the contents", size);
        size_t now = hak_usable_size(block);
        must(grown == NULL ? now == usable : now >= wanted,
             "hak_expand(%zu to %zu) said %s: usable size was %zu, is %zu", size, wanted, grown == NULL ? "no" : "yes",
             usable, now);
        memset(block, 7, now);
        must(hak_expand(block, SIZE_MAX) == NULL, "hak_expand to SIZE_MAX: expected NULL");
        free(block);
    }
}

/* The statistic of that name, or a failure. */
static uint64_t stat_read(const char *name)
{
    static hak_stat_t stats[512];
    size_t count = hak_stats(stats, COUNT_OF(stats));
    must(count <= COUNT_OF(stats), "hak_stats: %zu entries, more than this test foresees", count);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(stats[i].name, name) == 0) {
            return stats[i].value;
        }
    }
    must(false, "hak_stats has no entry %s", name);
    return 0;
}

static void test_stats_are_named_and_complete(void **state)
{
    (void)state;
    hak_stat_t few[3];
    static hak_stat_t all[512];
    memset(few, 0, sizeof few);
    size_t count = hak_stats(NULL, 0);
    must(count > 0 && count <= COUNT_OF(all), "hak_stats(NULL, 0): expected a count, saw %zu", count);
    must(hak_stats(few, 2) == count, "hak_stats(out, 2): expected the full count %zu", count);
    must(few[2].name == NULL, "hak_stats(out, 2) wrote a third entry");
    hak_stats(all, COUNT_OF(all));
    for (size_t i = 0; i < count; i++) {
        must(all[i].name != NULL && all[i].name[0] != 0, "entry %zu has no name", i);
        must(strcmp(all[i].unit, "bytes") == 0 || strcmp(all[i].unit, "count") == 0, "%s: unit %s", all[i].name,
             all[i].unit);
        for (size_t k = 0; k < i; k++) {
            must(strcmp(all[i].name, all[k].name) != 0, "two entries are named %s", all[i].name);
        }
    }
}

/* What the program holds; blocks that are runs of their own are counted apart. */
static uint64_t live_bytes(void) { return stat_read("bytes.live") + stat_read("bytes.large"); }

static void stats_follow(size_t count, size_t size)
{
    static void *blocks[10000];
    hak_collect();
    uint64_t before = live_bytes();
    for (size_t i = 0; i < count; i++) {
        blocks[i] = malloc(size);
    }
    uint64_t full = live_bytes();
    for (size_t i = 0; i < count; i++) {
        free(blocks[i]);
    }
    hak_collect();
    uint64_t after = live_bytes();
    uint64_t expected = (uint64_t)count * hak_good_size(size);
    must(full >= before + expected && full <= before + expected + expected / 10 + MIB,
         "bytes.live + bytes.large after %zu x malloc(%zu): expected to grow by %zu, went from %zu to %zu", count, size,
         (size_t)expected, (size_t)before, (size_t)full);
    must(after <= before + expected / 50 + 64 * KIB,
         "bytes.live + bytes.large after freeing %zu x %zu: was %zu before, is %zu", count, size, (size_t)before,
         (size_t)after);
}

static void test_stats_follow_what_is_live(void **state)
{
    (void)state;
    stats_follow(10000, 64);
    stats_follow(10000, 1000);
    stats_follow(1000, 20000);
    stats_follow(100, 200000);
    stats_follow(10, 20 * MIB);
}

/* The memory by state adds up to what is mapped (src/insight/stats.def says so), with live blocks of every kind
 * about. */
static void test_stats_add_up(void **state)
{
    (void)state;
    static const char *const states[] = {"bytes.live",      "bytes.ring",  "bytes.depot",      "bytes.page_free",
                                         "bytes.page_rest", "bytes.large", "bytes.free_dirty", "bytes.free_clean"};
    static void *blocks[300];
    for (size_t round = 0; round < 3; round++) {
        uint64_t random = round + 1;
        for (size_t i = 0; i < COUNT_OF(blocks); i++) {
            free(blocks[i]);
            blocks[i] = malloc(random_size(&random, i % 50 == 0 ? 50 * MIB : 100000));
        }
        uint64_t sum = 0;
        for (size_t i = 0; i < COUNT_OF(states); i++) {
            sum += stat_read(states[i]);
        }
        uint64_t mapped = stat_read("bytes.mapped");
        must(sum == mapped, "the memory by state adds up to %zu, bytes.mapped is %zu", (size_t)sum, (size_t)mapped);
    }
    for (size_t i = 0; i < COUNT_OF(blocks); i++) {
        free(blocks[i]);
    }
}

static void print_body(void *argument)
{
    (void)argument;
    hak_stats_print(STDOUT_FILENO);
}

static void test_stats_print(void **state)
{
    (void)state;
    struct child_result result;
    child_run(print_body, NULL, 10, &result);
    must_end_well(&result, "hak_stats_print");
    must(strstr(result.out, "hakmem") != NULL, "hak_stats_print: expected a table that names hakmem, saw:\n%s",
         result.out);
}

static void test_trim_and_collect(void **state)
{
    (void)state;
    static void *blocks[50000];
    size_t before = process_anonymous();
    for (size_t i = 0; i < COUNT_OF(blocks); i++) {
        blocks[i] = malloc(2000);
        memset(blocks[i], 1, 2000);
    }
    for (size_t i = 0; i < COUNT_OF(blocks); i++) {
        free(blocks[i]);
    }
    hak_collect();
    hak_trim(0);
    size_t after = process_anonymous();
    must(after <= before + 4 * MIB,
         "100 MB freed, hak_collect, hak_trim(0): expected RSS at %zu KiB + 4 MiB, saw %zu KiB", before / KIB,
         after / KIB);
    for (size_t i = 0; i < COUNT_OF(blocks); i++) {
        blocks[i] = malloc(2000);
        memset(blocks[i], 1, 2000);
    }
    for (size_t i = 0; i < COUNT_OF(blocks); i++) {
        free(blocks[i]);
    }
    hak_trim(1024 * MIB);
    int rest = hak_trim(0);
    must(rest == 0 || rest == 1, "hak_trim(0): expected 0 or 1, saw %d", rest);
}

/* The learner fits a class to a size that is asked for again and again, unless more was promised for it. */
static void test_good_size_is_a_promise(void **state)
{
    (void)state;
    enum { ASKED = 1030, LEADING = 1040, BLOCKS = 100000, SECONDS = 3 };
    static void *blocks[BLOCKS];
    size_t good = hak_good_size(ASKED);
    for (time_t end = time(NULL) + SECONDS; time(NULL) < end;) {
        for (size_t i = 0; i < BLOCKS; i++) {
            blocks[i] = malloc(LEADING);
            *(volatile char *)blocks[i] = 1;
        }
        for (size_t i = 0; i < BLOCKS; i++) {
            free(blocks[i]);
        }
    }
    void *block = malloc(ASKED);
    must(hak_usable_size(block) >= good, "hak_good_size(%d) was %zu, and then a block has %zu", ASKED, good,
         hak_usable_size(block));
    must(hak_good_size(ASKED) >= good, "hak_good_size(%d) was %zu and is %zu", ASKED, good, hak_good_size(ASKED));
    free(block);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_good_size_is_the_usable_size),
        cmocka_unit_test(test_good_size_wastes_little),
        cmocka_unit_test(test_impossible_sizes),
        cmocka_unit_test(test_families_mix),
        cmocka_unit_test(test_expand_stays_in_place),
        cmocka_unit_test(test_stats_are_named_and_complete),
        cmocka_unit_test(test_stats_follow_what_is_live),
        cmocka_unit_test(test_stats_add_up),
        cmocka_unit_test(test_stats_print),
        cmocka_unit_test(test_trim_and_collect),
        cmocka_unit_test(test_good_size_is_a_promise),
    };
    return RUN_TESTS(tests);
}
