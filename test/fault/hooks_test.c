/* hooks_test.c - libraries that stand before functions of libc, or write over them, and a system whose moves of memory
 * destroy their target: each in a program of its own.
 * SPDX-License-Identifier: MIT */
#include "support.h"

#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { SECONDS = 60 };

/* The library to test is the one that this program itself has preloaded. */
static const char *library(void) { return getenv("LD_PRELOAD"); }

/* Runs a program with hakmem and another library preloaded, in both orders. */
static void run_with(const char *other, const char *const more[3], char *const arguments[])
{
    for (unsigned order = 0; order < 2; order++) {
        char preload[1024];
        struct child_result result;
        snprintf(preload, sizeof preload, "LD_PRELOAD=%s:%s", order == 0 ? library() : other,
                 order == 0 ? other : library());
        const char *const changes[] = {preload, "HAKMEM_LEARN_WINDOW_MS=10", more[0], more[1], more[2], NULL};
        child_exec(arguments, environment_with(changes), SECONDS, &result);
        must_end_well(&result, preload);
    }
}

static char *const g_work[] = {(char *)SANDBOXED_PROGRAM, (char *)"none", (char *)"", (char *)"", NULL};

static void test_functions_that_allocate(void **state)
{
    static const char *const options[][3] = {
        {"HAKMEM_LEARN=on"}, {"HAKMEM_CHECK=1"}, {"HAKMEM_SITES=1", "HAKMEM_SITES_FD=1"}};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(options); i++) {
        run_with(INTERPOSER, options[i], g_work);
    }
}

static void test_fake_clock(void **state)
{
    glob_t found;
    char file[] = "/tmp/hakmem-faketime-XXXXXX";
    (void)state;
    if (glob("/usr/lib/*/faketime/libfaketimeMT.so.1", 0, NULL, &found) != 0) {
        skip_because("libfaketime is not here (Debian: faketime)");
        skip();
    }
    int fd = mkstemp(file);
    must(fd >= 0, "no file");
    dprintf(fd, "+1d\n");
    char path[64];
    snprintf(path, sizeof path, "FAKETIME_TIMESTAMP_FILE=%s", file);
    const char *const more[3] = {path, "FAKETIME_NO_CACHE=1", NULL};
    run_with(found.gl_pathv[0], more, g_work);
    globfree(&found);
    remove(file);
}

static void must_run(const char *program, const char *argument)
{
    struct child_result result;
    char *const arguments[] = {(char *)program, (char *)argument, NULL};
    child_exec(arguments, NULL, SECONDS, &result);
    must_end_well(&result, argument);
}

static void test_registered_memory(void **state)
{
    (void)state;
    must_run(WATCH_PROGRAM, "code");
    must_run(WATCH_PROGRAM, "references");
}

static void test_moves_that_destroy_their_target(void **state)
{
    (void)state;
    must_run(MOVE_PROGRAM, "one");
    must_run(MOVE_PROGRAM, "two");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_functions_that_allocate),
        cmocka_unit_test(test_fake_clock),
        cmocka_unit_test(test_registered_memory),
        cmocka_unit_test(test_moves_that_destroy_their_target),
    };
    return RUN_TESTS(tests);
}
