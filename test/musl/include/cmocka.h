/* cmocka.h - as much of cmocka as these tests use, for musl, for which Debian has none: tests run one after the other,
 * and the first that fails ends the program.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TEST_MUSL_CMOCKA_H
#define HAKMEM_TEST_MUSL_CMOCKA_H

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

struct CMUnitTest {
    const char *name;
    void (*run)(void **state);
};
#define cmocka_unit_test(function) {#function, function}

static jmp_buf cmocka_skipped;
static const char *cmocka_filter;

static inline void cmocka_set_test_filter(const char *filter) { cmocka_filter = filter; }

__attribute__((noreturn)) static inline void skip(void) { longjmp(cmocka_skipped, 1); }

#define cmocka_run_group_tests(tests, setup, teardown) cmocka_run(tests, sizeof(tests) / sizeof((tests)[0]))

static inline int cmocka_run(const struct CMUnitTest *tests, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        void *state = NULL;
        if (cmocka_filter != NULL && strcmp(cmocka_filter, tests[i].name) != 0) {
            continue;
        }
        printf("%s\n", tests[i].name);
        fflush(stdout);
        if (setjmp(cmocka_skipped) == 0) {
            tests[i].run(&state);
        }
    }
    printf("%zu tests\n", count);
    return 0;
}

#endif
