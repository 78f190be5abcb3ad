/* harden_test.c - HAKMEM_HARDEN=1: where blocks lie, in which order they come, how long they are held back, and that
 * all of it has bounds. What is noticed is test/detect's. The program starts itself with the option, if it was
 * started without. SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache/hold.h"
#include "cache/ring.h"
#include "hakmem.h"
#include "heap/check.h"
#include "heap/guard.h"
#include "heap/large.h"
#include "heap/map.h"

enum { SIZE = 100, COUNT = 2000 };

static void test_option_is_on(void **state)
{
    (void)state;
    void *block = hak_malloc(SIZE);
    assert_int_equal(check_mode, CHECK_HARDENED);
    assert_non_null(cache_self->hold);
    assert_true(map_page(block)->checked);
    assert_int_equal(hak_usable_size(block), SIZE);
    hak_free(block);
}

static int compare(const void *a, const void *b)
{
    const char *x = *(char *const *)a, *y = *(char *const *)b;
    return (x > y) - (x < y);
}

static void allocate(void **blocks)
{
    for (size_t i = 0; i < COUNT; i++)
        blocks[i] = hak_malloc(SIZE);
}

static void give_back(void **blocks)
{
    for (size_t i = 0; i < COUNT; i++)
        hak_free(blocks[i]);
}

/* Neighbours in time are seldom neighbours in memory, and no block comes twice. */
static void test_order_is_random(void **state)
{
    (void)state;
    static void *blocks[COUNT];
    size_t near = 0, have = class_size(class_of(SIZE + CHECK_MARK));
    allocate(blocks);
    for (size_t i = 1; i < COUNT; i++) {
        size_t distance = (size_t)((char *)blocks[i] - (char *)blocks[i - 1]);
        near += distance == have || distance == -have;
    }
    must(near < COUNT / 4, "%zu of %d blocks lie beside the one before", near, COUNT);
    qsort(blocks, COUNT, sizeof blocks[0], compare);
    for (size_t i = 1; i < COUNT; i++)
        must(blocks[i] != blocks[i - 1], "block %p was handed out twice", blocks[i]);
    give_back(blocks);
}

/* The same heap in two processes: what one of them gets tells nothing about the other. */
static void test_order_differs_behind_fork(void **state)
{
    (void)state;
    static void *mine[COUNT], *others[COUNT];
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    allocate(mine);
    if (child == 0)
        _exit(write(ends[1], mine, sizeof mine) != (ssize_t)sizeof mine);
    close(ends[1]);
    size_t got = 0;
    for (ssize_t n; (n = read(ends[0], (char *)others + got, sizeof others - got)) > 0;)
        got += (size_t)n;
    assert_int_equal(got, sizeof others);
    child_join(child, "the child");
    close(ends[0]);
    size_t same = 0;
    for (size_t i = 0; i < COUNT; i++)
        same += mine[i] == others[i];
    must(same < COUNT / 4, "%zu of %d blocks are the same in parent and child", same, COUNT);
    give_back(mine);
}

/* So many frees of its class must pass before a block comes again. */
static void test_blocks_are_held_back(void **state)
{
    (void)state;
    for (size_t size = 1; size < CLASS_TABLE_MAX / 2; size = size * 3 + 1) {
        size_t have = class_size(class_of(size + CHECK_MARK));
        size_t most = min_size(HOLD_MOST, max_size(HOLD_BYTES / have, HOLD_LEAST));
        char *block = hak_malloc(size);
        memset(block, 0xEE, size);
        hak_free(block);
        for (size_t i = 0; i + 1 < most; i++) {
            char *other = hak_malloc(size);
            must(other != block, "a block of %zu came again after %zu frees of %zu", size, i, most);
            hak_free(other);
        }
    }
}

/* Of each size: what others have left never shows. */
static void test_small_blocks_are_zero(void **state)
{
    (void)state;
    for (size_t round = 0; round < 20000; round++) {
        size_t size = 1 + round * 7 % (CHECK_SMALL / 2);
        char *block = hak_malloc(size);
        must(bytes_check(block, size, 0) == size, "a block of %zu is not zero", size);
        memset(block, 0xEE, size);
        hak_free(block);
    }
}

static size_t mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    size_t lines = 0;
    for (int c; (c = getc(maps)) != EOF;)
        lines += c == '\n';
    fclose(maps);
    return lines;
}

/* More large blocks than there are guards for; each, with and without, can be used to its end and be resized. */
static void test_guards_have_a_bound(void **state)
{
    (void)state;
    enum { MANY = 20000, LARGE = 40000 };
    static char *blocks[MANY];
    size_t guarded = 0;
    for (size_t i = 0; i < MANY; i++) {
        blocks[i] = hak_malloc(LARGE);
        must(blocks[i] != NULL, "large block %zu of %d: out of memory", i, MANY);
        blocks[i][0] = 1;
        guarded += large_is_guarded(blocks[i]);
    }
    must(guarded > 1000 && guarded < MANY, "%zu of %d large blocks have guards", guarded, MANY);
    must(mappings() < 40000, "%zu mappings", mappings());
    for (size_t i = 0; i < MANY; i += 100) {
        size_t usable = hak_usable_size(blocks[i]);
        blocks[i][usable - 1] = 1;
        blocks[i] = hak_realloc(blocks[i], 3 * LARGE);
        must(blocks[i] && blocks[i][usable - 1] == 1, "realloc lost what was in a large block");
        memset(blocks[i], 1, hak_usable_size(blocks[i]));
    }
    for (size_t i = 0; i < MANY; i++)
        hak_free(blocks[i]);
    guard_let_go();
    must(mappings() < 2000, "%zu mappings when all is free", mappings());
    char *block = hak_malloc(LARGE);
    assert_true(large_is_guarded(block)); /* there is room for guards again */
    hak_free(block);
}

static size_t resident(void)
{
    size_t pages = 0, all = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    must(fscanf(statm, "%zu %zu", &all, &pages) == 2, "/proc/self/statm");
    fclose(statm);
    return pages * 4096;
}

/* Held back is little, whatever is freed. */
static void test_memory_is_bounded(void **state)
{
    (void)state;
    uint64_t random = 1;
    size_t before = 0;
    for (size_t round = 0; round < 60000; round++) {
        size_t size = random_size(&random, round % 50 ? CLASS_TABLE_MAX : 2 * MIB);
        char *block = hak_malloc(size);
        memset(block, 1, size);
        hak_free(block);
        if (round == 20000)
            before = resident();
    }
    must(UNDER_SHADOW || resident() < before + 24 * MIB, "%zu KiB resident, then %zu", before / KIB, resident() / KIB);
    hak_trim(0);
    heap_must_be_valid("after all was freed");
}

static void free_in_thread(void *blocks) { give_back(blocks); }

static void test_blocks_of_other_threads(void **state)
{
    (void)state;
    static void *blocks[COUNT];
    for (size_t round = 0; round < 10; round++) {
        allocate(blocks);
        in_next_thread(free_in_thread, blocks);
    }
    heap_must_be_valid("after threads freed each other's blocks");
}

int main(int count, char **arguments)
{
    (void)count;
    run_again_with("HAKMEM_HARDEN", arguments);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_option_is_on),
        cmocka_unit_test(test_order_is_random),
        cmocka_unit_test(test_order_differs_behind_fork),
        cmocka_unit_test(test_blocks_are_held_back),
        cmocka_unit_test(test_small_blocks_are_zero),
        cmocka_unit_test(test_guards_have_a_bound),
        cmocka_unit_test(test_memory_is_bounded),
        cmocka_unit_test(test_blocks_of_other_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
