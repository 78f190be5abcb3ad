/* guarded_test.c - samples in cells of their own are to the program blocks as any: all functions, threads, children,
 * sums; they stay few, and what is wrong with their use is noticed. The environment makes each sample one, while there
 * is room.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdlib.h>
#include <unistd.h>

#include "cache/draw.h"
#include "front/slow.h"
#include "hakmem.h"
#include "heap/class.h"
#include "heap/limit.h"
#include "insight/guarded.h"
#include "insight/ledger.h"
#include "insight/recorder.h"
#include "insight/stats.h"
#include "system/os_map.h"
#include "system/os_thread.h"

enum { TRIES = 100000 };

static void *g_kept[TRIES];
static size_t g_kept_count;

static void kept_free(void)
{
    while (g_kept_count > 0)
        hak_free(g_kept[--g_kept_count]);
}

/* A block that `make` makes in a cell; others are kept until the end. */
static void *guarded_get(void *(*make)(size_t), size_t size)
{
    while (g_kept_count < TRIES) {
        void *block = make(size);
        if (cell_has(block))
            return block;
        g_kept[g_kept_count++] = block;
    }
    fail_msg("of %d blocks of %zu bytes none lies in a cell", TRIES, size);
    return NULL;
}

static void *zeroed_make(size_t size) { return hak_calloc(1, size); }
static void *aligned_make(size_t size) { return hak_aligned_alloc(1024, size); }

static const size_t g_sizes[] = {1, 17, 100, 1000, 5000, 20000, 32768};

static void test_they_are_blocks_as_any(void **state)
{
    (void)state;
    for (unsigned i = 0; i < COUNT_OF(g_sizes); i++) {
        size_t size = g_sizes[i];
        char *block = guarded_get(hak_malloc, size);
        size_t usable = hak_usable_size(block);
        assert_int_equal(usable, hak_good_size(size));
        assert_int_equal((uintptr_t)block % BLOCK_ALIGN, 0);
        pattern_fill(block, usable, i); /* all of it may be used */
        assert_ptr_equal(hak_realloc(block, usable), block);
        char *other = hak_realloc(block, 3 * size);
        assert_int_equal(pattern_check(other, usable, i), usable);
        assert_int_equal(other == block, 3 * size <= usable);
        assert_int_equal(ledger_find(block) != NULL, other == block);
        hak_free(other);
        kept_free();
    }
    heap_must_be_valid("after guarded samples of all sizes");
}

static void test_they_shrink(void **state)
{
    (void)state;
    char *block = guarded_get(hak_malloc, 5000), *other;
    pattern_fill(block, 5000, 1);
    other = hak_realloc(block, 100);
    assert_ptr_not_equal(other, block);
    assert_int_equal(pattern_check(other, 100, 1), 100);
    hak_free(other);
    assert_null(hak_realloc(guarded_get(hak_malloc, 64), 0));
    kept_free();
}

static void test_they_are_zeroed_and_aligned(void **state)
{
    (void)state;
    for (unsigned i = 0; i < COUNT_OF(g_sizes); i++) {
        char *block = guarded_get(zeroed_make, g_sizes[i]);
        assert_int_equal(bytes_check(block, hak_usable_size(block), 0), hak_usable_size(block));
        memset(block, 1, hak_usable_size(block));
        hak_free(block);
        if (g_sizes[i] <= 20000) {
            block = guarded_get(aligned_make, g_sizes[i]);
            assert_int_equal((uintptr_t)block % 1024, 0);
            memset(block, 1, hak_usable_size(block));
            hak_free(block);
        }
        kept_free();
    }
}

/* What is live is a sample, stands for its share, and is counted as resident and as used. */
static void test_they_are_counted(void **state)
{
    (void)state;
    struct stats during;
    size_t mapped = limit_mapped();
    char *block = guarded_get(hak_malloc, 1000);
    stats_gather(&during);
    assert_int_equal(cell_bytes(), os_page_size());
    assert_int_equal(limit_mapped(), mapped + os_page_size());
    assert_int_equal(during.mapped, during.live + during.ring + during.depot + during.page_free + during.page_rest +
                                        during.large + during.free_dirty + during.free_clean);
    struct record_sample *sample = ledger_find(block);
    assert_non_null(sample);
    assert_int_equal(atomic_load(&sample->size), hak_good_size(1000));
    assert_int_equal(atomic_load(&sample->bytes), draw_bytes(hak_good_size(1000), 8 << 10));
    hak_free(block);
    assert_int_equal(cell_bytes(), 0);
    assert_int_equal(limit_mapped(), mapped);
    kept_free();
}

/* The record has who made and who freed it. */
static void test_the_record_knows_them(void **state)
{
    (void)state;
    const struct record_guard *guards = recorder_piece(RECORD_GUARDS, 0);
    uintptr_t frames[RECORD_DEPTH];
    char *block = guarded_get(hak_malloc, 200);
    const struct record_guard *guard = &guards[cell_look(block).number];
    assert_int_equal(atomic_load(&guard->block), (uintptr_t)block);
    assert_int_equal(atomic_load(&guard->ended), 0);
    assert_int_equal(atomic_load(&guard->born_thread), os_thread_id());
    assert_true(ledger_frames(atomic_load(&guard->born_stack), frames) >= 3);
    assert_true((char *)guard->start < block && (char *)guard->end > block + 200);
    hak_free(block);
    assert_true(atomic_load(&guard->ended) >= atomic_load(&guard->born));
    assert_true(ledger_frames(atomic_load(&guard->ended_stack), frames) >= 3);
    kept_free();
}

static void free_it(void *block) { hak_free(block); }

static void test_any_thread_may_free_them(void **state)
{
    (void)state;
    char *block = guarded_get(hak_malloc, 300);
    in_thread(free_it, block);
    assert_int_equal(cell_count(), 0);
    kept_free();
}

/* A child has its parent's, may free them, and makes its own, which the parent does not notice. */
static void test_children(void **state)
{
    (void)state;
    char *block = guarded_get(hak_malloc, 400);
    pattern_fill(block, 400, 1);
    pid_t child = child_fork(20);
    if (child == 0) {
        must(pattern_check(block, 400, 1) == 400 && hak_usable_size(block) == hak_good_size(400),
             "a child has another block");
        char *other = guarded_get(hak_malloc, 400);
        must(cell_count() == 2, "%u blocks in a child", cell_count());
        hak_free(block);
        hak_free(other);
        must(cell_count() == 0, "%u blocks are left in a child", cell_count());
        _exit(0);
    }
    child_join(child, "a child with a guarded sample");
    assert_int_equal(pattern_check(block, 400, 1), 400);
    hak_free(block);
    kept_free();
}

/* Of 8 (1 + 2 + ... + 32) samples that live for ever, six eighths of the cells' blocks: about 48, of which 8 among the
 * later half. */
static void test_they_stay_few(void **state)
{
    enum { SAMPLES = CELLS_LIVE / 8 * 63 };
    (void)state;
    unsigned guarded = 0, late = 0;
    for (unsigned samples = 0; samples < SAMPLES && g_kept_count < TRIES;) {
        void *block = g_kept[g_kept_count++] = hak_malloc(1000);
        samples += ledger_find(block) != NULL;
        guarded += cell_has(block);
        late += cell_has(block) && samples > SAMPLES / 2;
    }
    must(guarded > 32 && guarded < 60 && late > 0 && late < 20, "%u guarded samples, %u of them late", guarded, late);
    kept_free();
    assert_int_equal(cell_count(), 0);
}

/* How often in a row a call that takes a sample and gives it back gets a guarded one. */
static unsigned guarded_in_a_row(void)
{
    unsigned guarded = 0;
    for (void *block = guarded_get(hak_malloc, 500); guarded < 3 * DRAW_RETURNS && cell_has(block); guarded++) {
        hak_free(block);
        block = hak_malloc(500);
        if (!cell_has(block))
            hak_free(block);
    }
    kept_free();
    return guarded;
}

/* Such a loop is not slow for ever. What a single one does is chance: of 500 bytes one in 17 is a sample anew when the one
 * before was dropped, and where samples become rarer meanwhile it is fast after a few. */
static void test_a_loop_gets_fast(void **state)
{
    enum { LOOPS = 9 };
    unsigned fast = 0, most = 0;
    (void)state;
    for (unsigned i = 0; i < LOOPS; i++) {
        unsigned guarded = guarded_in_a_row();
        fast += guarded < 2 * DRAW_RETURNS;
        most = guarded > most ? guarded : most;
    }
    must(fast > LOOPS / 2 && most > 10, "%u of %d loops got fast, after %u guarded blocks at most", fast, LOOPS, most);
}

/* ---- Misuse ------------------------------------------------------------------------------------------------------ */

/* What a child says on stderr, that `body` makes. */
static void must_tell(void (*body)(void *), const char *line, const char *below)
{
    struct child_result result;
    child_run(body, NULL, 20, &result);
    must(strstr(result.err, line) != NULL && strstr(result.err, below) != NULL,
         "expected '%s' and '%s', saw %s and '%s'", line, below, child_ending(&result), result.err);
}

static void free_twice(void *unused)
{
    (void)unused;
    char *block = guarded_get(hak_malloc, 100);
    hak_free(block);
    hak_free(block);
}

static void use_size_of_freed(void *unused)
{
    (void)unused;
    char *block = guarded_get(hak_malloc, 100);
    hak_free(block);
    hak_usable_size(block);
}

static void realloc_freed(void *unused)
{
    (void)unused;
    char *block = guarded_get(hak_malloc, 100);
    hak_free(block);
    block = hak_realloc(block, 200);
    must(false, "realloc of what was freed gave %p", (void *)block);
}

static void free_inside(void *unused)
{
    (void)unused;
    char *block = guarded_get(hak_malloc, 100);
    hak_free(block + 16);
}

static void free_behind(void *unused)
{
    (void)unused;
    char *block = guarded_get(hak_malloc, 100);
    hak_free(block + 4096 + 128);
}

/* Where the block lies at the other end of its pages the write is noticed when it ends. */
static void write_behind(void *unused)
{
    (void)unused;
    char *block;
    do
        block = guarded_get(hak_malloc, 100);
    while ((uintptr_t)block % os_page_size() != 0);
    block[hak_usable_size(block)] = 1;
    hak_free(block);
}

static void write_before(void *unused)
{
    (void)unused;
    char *block;
    do
        block = guarded_get(hak_malloc, 100);
    while ((uintptr_t)block % os_page_size() == 0);
    block[-1] = 1;
    hak_free(block);
}

static void test_misuse_is_noticed(void **state)
{
    (void)state;
    must_tell(free_twice, "double free", "  freed");
    must_tell(use_size_of_freed, "double free", "  freed");
    must_tell(realloc_freed, "double free", "  freed");
    must_tell(free_inside, "inside a block", "  allocated");
    must_tell(free_behind, "no block is live", "  allocated");
    must_tell(write_behind, "bytes past the end", "  allocated");
    must_tell(write_before, "bytes before the start", "  allocated");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_they_are_blocks_as_any), cmocka_unit_test(test_they_shrink),
        cmocka_unit_test(test_they_are_zeroed_and_aligned), cmocka_unit_test(test_they_are_counted),
        cmocka_unit_test(test_the_record_knows_them), cmocka_unit_test(test_any_thread_may_free_them),
        cmocka_unit_test(test_children), cmocka_unit_test(test_they_stay_few),
        cmocka_unit_test(test_a_loop_gets_fast),
        cmocka_unit_test(test_misuse_is_noticed),
    };
    return RUN_TESTS(tests);
}
