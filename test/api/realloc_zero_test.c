/* realloc_zero_test.c - runs with HAKMEM_REALLOC_ZERO=1: realloc(p, 0) is then a block of size 0.
 * SPDX-License-Identifier: MIT */
#include "support.h"

#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_realloc_to_zero_gives_a_block(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 100, 5000, 50000, 500000, 5000000};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        void *block = realloc(malloc(sizes[i]), hidden_size(0));
        must(block != NULL, "HAKMEM_REALLOC_ZERO=1: realloc(malloc(%zu), 0): expected a block, saw NULL", sizes[i]);
        free(block);
        block = reallocarray(malloc(sizes[i]), 8, hidden_size(0));
        must(block != NULL, "HAKMEM_REALLOC_ZERO=1: reallocarray(malloc(%zu), 8, 0): expected a block, saw NULL",
             sizes[i]);
        free(block);
    }
}

static void test_large_block_is_given_back(void **state)
{
    (void)state;
    char *block = malloc(64 * MIB);
    memset(block, 1, 64 * MIB);
    size_t before = process_anonymous();
    void *small = realloc(block, hidden_size(0));
    malloc_trim(0);
    size_t after = process_anonymous();
    must(after + 60 * MIB <= before, "realloc(malloc(64 MiB), 0): expected RSS to fall by 60 MiB, from %zu to %zu KiB",
         before / KIB, after / KIB);
    free(small);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_realloc_to_zero_gives_a_block),
        cmocka_unit_test(test_large_block_is_given_back),
    };
    return RUN_TESTS(tests);
}
