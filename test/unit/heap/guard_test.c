/* guard_test.c - HAKMEM_HARDEN=1: memory that nobody may touch, around large blocks of every kind, behind pages, and
 * where large blocks were. The program starts itself with the option, if it was started without.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include "filter.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hakmem.h"
#include "heap/guard.h"
#include "heap/large.h"
#include "heap/map.h"
#include "heap/meta.h"
#include "system/lock.h"
#include "system/options.h"
#include "system/os_map.h"

#define LEAST ((size_t)40000) /* of a large block */

static size_t in_pages(size_t size) { return align_up(size, os_page_size()); }

/* The block can be used to its end, which is where its last page of memory ends, and nothing around it can. */
static void must_be_guarded(char *block, size_t size, const char *what)
{
    must(block != NULL, "%s of %zu: out of memory", what, size);
    size_t usable = hak_usable_size(block);
    must(large_is_guarded(block), "%s of %zu has no guards", what, size);
    must(usable == in_pages(size), "%s of %zu has %zu usable bytes", what, size, usable);
    block[0] = block[usable - 1] = 1;
    must(byte_is_open(block) && byte_is_open(block + usable - 1), "%s of %zu cannot be used", what, size);
    must(!byte_is_open(block + usable), "what lies behind %s of %zu can be read", what, size);
    bool has_before = map_page(block)->slab && (uintptr_t)block % UNIT_SIZE == 0 && map_page(block)->ahead > 0;
    must(!has_before || !byte_is_open(block - 1), "what lies before %s of %zu can be read", what, size);
}

static const size_t g_sizes[] = {LEAST, UNIT_SIZE - 4096, UNIT_SIZE, UNIT_SIZE + 1, 300000, MIB - 1, MIB + 1, 2 * MIB,
                                 5 * MIB + 77, RUN_MAX_SIZE - 2 * UNIT_SIZE, RUN_MAX_SIZE - 1, RUN_MAX_SIZE,
                                 RUN_MAX_SIZE + 1, 40 * MIB};

static void test_blocks_have_guards(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(g_sizes); i++) {
        char *block = hak_malloc(g_sizes[i]);
        must_be_guarded(block, g_sizes[i], "a block");
        must(!map_page(block)->slab || map_page(block)->ahead == 1, "a run of %zu has no guard before it", g_sizes[i]);
        char *zeroed = hak_calloc(1, g_sizes[i]);
        must_be_guarded(zeroed, g_sizes[i], "a zeroed block");
        zeroed[0] = zeroed[hak_usable_size(zeroed) - 1] = 0;
        must(bytes_check(zeroed, g_sizes[i], 0) == g_sizes[i], "calloc(%zu) is not zero", g_sizes[i]);
        hak_free(block);
        hak_free(zeroed);
    }
    heap_must_be_valid("after blocks with guards");
}

static void test_aligned_blocks_have_guards(void **state)
{
    (void)state;
    for (size_t align = UNIT_SIZE / 2; align <= 2 * RUN_MAX_SIZE; align *= 2)
        for (size_t i = 0; i < COUNT_OF(g_sizes); i += 3) {
            char *block = hak_aligned_alloc(align, g_sizes[i]);
            must((uintptr_t)block % align == 0, "a block at a multiple of %zu lies at %p", align, (void *)block);
            must_be_guarded(block, g_sizes[i], "an aligned block");
            hak_free(block);
        }
    heap_must_be_valid("after aligned blocks");
}

/* In place or not: the guards move, and the contents stay. */
static void test_resized_blocks_have_guards(void **state)
{
    (void)state;
    enum { STEPS = 300 };
    uint64_t random = 1;
    size_t size = LEAST;
    char *block = hak_malloc(size);
    pattern_fill(block, size, 0);
    for (size_t step = 1; step <= STEPS; step++) {
        bool is_near = random_next(&random) % 2;
        size_t before = size;
        size = is_near ? size + random_next(&random) % 100000
                       : LEAST + random_size(&random, step % 20 ? 3 * MIB : 40 * MIB);
        block = hak_realloc(block, size);
        must(block != NULL, "realloc to %zu: out of memory", size);
        size_t kept = size < before ? size : before;
        must(pattern_check(block, kept, step - 1) == kept, "realloc from %zu to %zu lost something", before, size);
        must_be_guarded(block, size, "a resized block");
        memset(block, 1, hak_usable_size(block));
        pattern_fill(block, size, step);
    }
    hak_free(block);
    heap_must_be_valid("after blocks were resized");
}

/* ---- Where blocks were ------------------------------------------------------------------------------------------- */

static void test_freed_blocks_are_out_of_reach(void **state)
{
    (void)state;
    enum { OTHERS = 10 }; /* with fewer behind it none comes again */
    for (size_t size = LEAST; size < MIB; size *= 3) {
        char *block = hak_malloc(size);
        memset(block, 1, size);
        hak_free(block);
        for (size_t i = 0; i < OTHERS; i++) {
            must(!byte_is_open(block), "a freed block of %zu can be read when %zu others were freed", size, i);
            char *other = hak_malloc(size);
            must(other != block, "a block of %zu came again when %zu others were freed", size, i);
            hak_free(other);
        }
        hak_collect();
        must(byte_is_open(block), "a freed block of %zu is out of reach for ever", size);
    }
}

/* The same run comes again after a while, with other bounds, and with nothing in it that others have left. */
static void test_runs_come_again(void **state)
{
    (void)state;
    enum { BLOCKS = 300 };
    static char *seen[BLOCKS];
    size_t again = 0;
    for (size_t i = 0; i < BLOCKS; i++) {
        size_t size = 3 * UNIT_SIZE + 1 + i % 10 * 4096;
        char *block = hak_calloc(1, size);
        for (size_t j = 0; j < i; j++)
            if (seen[j] == block) {
                again++;
                break;
            }
        seen[i] = block;
        must(bytes_check(block, size, 0) == size, "calloc(%zu) is not zero", size);
        must_be_guarded(block, size, "a block");
        memset(block, 1, size);
        hak_free(block);
    }
    must(again > BLOCKS / 2, "%zu of %d blocks lay where others had lain", again, BLOCKS);
}

/* ---- Runs that are held back ------------------------------------------------------------------------------------- */

static struct run run_of(size_t units)
{
    struct run run;
    void *descriptor = span_obtain(&run, units, 1, false, sizeof(struct page));
    assert_non_null(descriptor);
    meta_free(META_PAGE, descriptor, sizeof(struct page));
    lock_release();
    span_settle(run, units);
    assert_true(guard_reserve_large());
    memset(run_start(run), 1, units << UNIT_SHIFT);
    return run;
}

static void test_held_back(void **state)
{
    (void)state;
    enum { RUNS = 40, UNITS = 3 };
    char *starts[RUNS];
    struct run run;
    bool is_clean;
    guard_let_go();
    assert_false(guard_take(UNITS, 0, UNIT_SIZE, &run, &is_clean));
    for (size_t i = 0; i < RUNS; i++) {
        run = run_of(UNITS);
        starts[i] = run_start(run);
        bool is_filled = i % 2;
        guard_hold(run, UNITS, starts[i] + UNIT_SIZE, UNIT_SIZE, is_filled);
        assert_false(byte_is_open(starts[i]) || byte_is_open(starts[i] + UNIT_SIZE) ||
                     byte_is_open(starts[i] + UNITS * UNIT_SIZE - 1));
    }
    assert_false(guard_take(UNITS + 1, UNIT_SIZE, UNIT_SIZE, &run, &is_clean)); /* no other size */
    size_t got = 0;
    for (; guard_take(UNITS, UNIT_SIZE, UNIT_SIZE, &run, &is_clean); got++) {
        char *start = run_start(run);
        must(start == starts[got], "run %zu to come again is %p, expected %p", got, (void *)start, (void *)starts[got]);
        must(is_clean == !(got % 2), "run %zu: clean is %d", got, is_clean);
        must(bytes_check(start + UNIT_SIZE, UNIT_SIZE, 0) == UNIT_SIZE, "run %zu is not zero", got);
        assert_false(byte_is_open(start + UNIT_SIZE - 1) || byte_is_open(start + 2 * UNIT_SIZE));
        guard_let_run_go(run, UNITS, is_clean);
        assert_true(byte_is_open(start) && byte_is_open(start + UNITS * UNIT_SIZE - 1));
    }
    must(got > 0 && got < RUNS, "%zu of %d runs came again, and some must be held back", got, RUNS);
    guard_let_go();
    for (size_t i = 0; i < RUNS; i++)
        assert_true(byte_is_open(starts[i]));
    heap_must_be_valid("after runs were held back");
}

/* ---- Pages ------------------------------------------------------------------------------------------------------- */

static void count_guarded(struct page *page, void *counts)
{
    char *end = page->start + class_info[page->class_id].units * UNIT_SIZE;
    if (!page->guarded)
        return;
    ++*(size_t *)counts;
    assert_false(byte_is_open(end) || byte_is_open(end + UNIT_SIZE - 1));
}

static void test_pages_have_guards(void **state)
{
    (void)state;
    enum { BLOCKS = 8000, PART = 4 }; /* pages that lie in huge pages have none */
    static void *blocks[BLOCKS];
    size_t few = guard_page_bytes(), guarded = 0;
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = hak_malloc(1000);
        memset(blocks[i], 1, 1000);
    }
    page_each(count_guarded, &guarded);
    assert_int_equal(guard_page_bytes(), guarded * UNIT_SIZE);
    must(guarded >= BLOCKS * 1000 / UNIT_SIZE / PART, "%zu pages have guards", guarded);
    for (size_t i = 0; i < BLOCKS; i++)
        hak_free(blocks[i]);
    hak_trim(0);
    must(guard_page_bytes() <= few + MIB, "%zu bytes of guards behind pages, before %zu", guard_page_bytes(), few);
    heap_must_be_valid("after pages with guards");
}

static void test_page_guards_have_a_bound(void **state)
{
    (void)state;
    enum { ASKED = 200000, FIRST = 3000, MOST = 8192 };
    size_t has = 0, first = 0;
    for (size_t i = 0; i < ASKED; i++) {
        bool one = guard_reserve_page();
        has += one;
        first += one && i < FIRST;
    }
    assert_int_equal(first, FIRST);
    must(has > FIRST && has <= MOST, "%zu of %d pages have guards", has, ASKED);
    for (size_t i = 0; i < has; i++)
        guard_release_page(true);
    assert_true(guard_reserve_page());
    guard_release_page(true);
}

/* ---- A system that refuses --------------------------------------------------------------------------------------- */

static void work_without_guards(void *error)
{
    const long number = SYS_mprotect;
    char *before = hak_malloc(LEAST), *held = hak_malloc(3 * UNIT_SIZE);
    hak_free(held);
    filter_these(FILTER_UNSEEN, SECCOMP_RET_ERRNO | (unsigned)*(int *)error, &number, 1);
    for (size_t i = 0; i < COUNT_OF(g_sizes); i++) {
        size_t size = g_sizes[i];
        char *block = hak_malloc(size);
        must(block != NULL, "malloc(%zu) without mprotect: out of memory", size);
        memset(block, 1, hak_usable_size(block));
        block = hak_realloc(block, size + 50000);
        must(block != NULL && bytes_check(block, size, 1) == size, "realloc from %zu without mprotect", size);
        memset(block, 2, hak_usable_size(block));
        hak_free(block);
    }
    memset(before, 1, LEAST);
    before = hak_realloc(before, 3 * LEAST);
    must(before != NULL && bytes_check(before, LEAST, 1) == LEAST, "realloc of a block with guards without mprotect");
    memset(before, 1, hak_usable_size(before));
    hak_free(before);
    for (size_t i = 0; i < 100; i++)
        hak_free(hak_malloc(3 * UNIT_SIZE));
    hak_trim(0);
    heap_must_be_valid("without mprotect");
}

static void test_refusals(void **state)
{
    (void)state;
    int errors[] = {ENOMEM, EPERM, ENOSYS};
    for (size_t i = 0; i < COUNT_OF(errors); i++) {
        struct child_result result;
        child_run(work_without_guards, &errors[i], 60, &result);
        must_end_well(&result, "a process without mprotect");
    }
}

int main(int count, char **arguments)
{
    (void)count;
    run_again_with("HAKMEM_HARDEN", arguments);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_have_guards),
        cmocka_unit_test(test_aligned_blocks_have_guards),
        cmocka_unit_test(test_resized_blocks_have_guards),
        cmocka_unit_test(test_freed_blocks_are_out_of_reach),
        cmocka_unit_test(test_runs_come_again),
        cmocka_unit_test(test_held_back),
        cmocka_unit_test(test_pages_have_guards),
        cmocka_unit_test(test_page_guards_have_a_bound),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
