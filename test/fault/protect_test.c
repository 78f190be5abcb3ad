/* protect_test.c - a program takes rights away from a large block (mprotect), and frees it so. glibc unmaps such a block, and
 * so whoever gets memory next can write to it.
 * SPDX-License-Identifier: MIT */
#include "support.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { WRITTEN = 50 * MIB, TIMES_LEAST = 5, TIMES_MOST = 60 }; /* often enough that blocks of the size are kept at hand */
static const size_t sizes[] = {160 * KIB, MIB, 5 * MIB};
static const int rights[] = {PROT_READ, PROT_NONE, PROT_READ | PROT_EXEC, PROT_READ | PROT_WRITE | PROT_EXEC};

/* Runs the function in a child, which has to end well: memory that cannot be written to ends it. */
static void must_do(void (*function)(size_t size, int right), size_t size, int right)
{
    int status;
    pid_t child = fork();
    must(child >= 0, "no child can be had");
    if (child == 0) {
        function(size, right);
        _exit(0);
    }
    must(waitpid(child, &status, 0) == child && status == 0, "%zu KiB, rights %d: status %#x", size / KIB, right, (unsigned)status);
}

static size_t times(size_t size)
{
    size_t wanted = WRITTEN / size;
    return wanted < TIMES_LEAST ? TIMES_LEAST : wanted > TIMES_MOST ? TIMES_MOST : wanted;
}

static char *protected_block(size_t size, int right)
{
    char *block = memalign(4096, size);
    must(block != NULL, "no memory");
    memset(block, 1, size);
    must(mprotect(block, size, right) == 0, "mprotect failed");
    return block;
}

/* All that is free comes back, and is written to. */
static void all_written(size_t size)
{
    char *blocks[4];
    for (size_t i = 0; i < COUNT_OF(blocks); i++) {
        blocks[i] = i % 2 == 0 ? malloc(size) : calloc(1, size);
        must(blocks[i] != NULL, "no memory");
        must(i % 2 == 0 || (blocks[i][0] == 0 && blocks[i][size - 1] == 0), "calloc's block is not zero");
        memset(blocks[i], 2, size);
    }
    for (size_t i = 0; i < COUNT_OF(blocks); i++) {
        free(blocks[i]);
    }
}

static void free_it(size_t size, int right)
{
    for (size_t i = 0; i < times(size); i++) {
        free(protected_block(size, right));
        all_written(size);
    }
}

/* A page in the middle: a guard of a stack that is a block. */
static void free_with_a_guard(size_t size, int right)
{
    for (size_t i = 0; i < times(size); i++) {
        char *block = memalign(4096, size);
        must(block != NULL && mprotect(block + size / 2 / 4096 * 4096, 4096, right) == 0, "no guard");
        free(block);
        all_written(size);
    }
}

static void shorten_it(size_t size, int right)
{
    for (size_t i = 0; i < times(size); i++) {
        char *block = protected_block(size, right);
        char *shorter = realloc(block, size / 2);
        must(shorter != NULL, "realloc failed");
        all_written(size / 2);
        must(mprotect(shorter, size / 2, PROT_READ | PROT_WRITE) == 0, "mprotect failed");
        free(shorter);
    }
}

/* What the program has given its rights back. */
static void free_unprotected(size_t size, int right)
{
    for (size_t i = 0; i < times(size); i++) {
        char *block = protected_block(size, right);
        must(mprotect(block, size, PROT_READ | PROT_WRITE) == 0, "mprotect failed");
        memset(block, 3, size);
        free(block);
        all_written(size);
    }
}

static void each(void (*function)(size_t size, int right))
{
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        for (size_t j = 0; j < COUNT_OF(rights); j++) {
            must_do(function, sizes[i], rights[j]);
        }
    }
}

static void test_freed(void **state) { (void)state, each(free_it); }
static void test_freed_with_a_guard(void **state) { (void)state, each(free_with_a_guard); }
static void test_freed_with_rights(void **state) { (void)state, each(free_unprotected); }

/* What cannot be read can be moved by the system only, so it has to stay where it is; and a guard of hakmem's behind it takes
 * its end. */
static void test_shortened(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        must_do(shorten_it, sizes[i], PROT_READ);
    }
}

static void test_others_memory_is_as_asked(void **state)
{
    (void)state;
    char *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(memory != MAP_FAILED, "mmap failed");
    must(mprotect(memory, 4096, PROT_READ) == 0, "mprotect failed");
    must(mprotect(memory + 1, 1, PROT_READ) == -1, "an address within a page is allowed");
    must(munmap(memory, 4096) == 0 && mprotect(memory, 4096, PROT_READ) == -1, "what is not mapped can be protected");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_freed),
        cmocka_unit_test(test_freed_with_a_guard),
        cmocka_unit_test(test_freed_with_rights),
        cmocka_unit_test(test_shortened),
        cmocka_unit_test(test_others_memory_is_as_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
