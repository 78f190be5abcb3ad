/* cross_test.c - two allocators in one process, in every way that programs have: each block must go back to where it
 * came from. Each case is a program of its own, run from here; where libc's behaviour is the measure, without hakmem,
 * too.
 * SPDX-License-Identifier: MIT */
#include "support.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <cmocka.h>

enum { SECONDS = 120 };

#define PRELOADED "LD_PRELOAD=" HAKMEM_LIBRARY

/* Options under which the same must hold: they change which path a call takes. */
static const char *const g_options[] = {"HAKMEM_CHECK=0", "HAKMEM_CHECK=1", "HAKMEM_SITES=1", "HAKMEM_STATS=all"};

static void program_run(const char *path, const char *argument, const char *preload, const char *option,
                        struct child_result *result)
{
    char *const arguments[] = {(char *)path, (char *)argument, NULL};
    const char *const changes[] = {preload, "HAKMEM_SITES_FD=1", option, NULL};
    child_exec(arguments, environment_with(changes), SECONDS, result);
}

/* Its stderr may have the table of statistics, and nothing else. */
static void must_run_well(const char *path, const char *argument, const char *preload, const char *option)
{
    struct child_result result;
    char what[512];
    program_run(path, argument, preload, option, &result);
    snprintf(what, sizeof what, "%s %s (%s, %s)", path, argument ? argument : "", preload,
             option ? option : "no option");
    if (option != NULL && strcmp(option, "HAKMEM_STATS=all") == 0 && result.status == 0)
        must(strstr(result.err, "hakmem") != NULL, "%s: expected statistics", what);
    else
        must_end_well(&result, what);
}

static void must_run_well_with_all_options(const char *path, const char *argument, const char *preload)
{
    for (size_t i = 0; i < COUNT_OF(g_options); i++)
        must_run_well(path, argument, preload, g_options[i]);
}

/* ---- Objects that are opened ------------------------------------------------------------------------------------- */

static void test_deepbind(void **state)
{
    (void)state;
    must_run_well_with_all_options(DEEPBIND_PROGRAM, "open", PRELOADED);
    must_run_well_with_all_options(DEEPBIND_PROGRAM, "mopen", PRELOADED);
}

static void test_deepbind_can_be_kept(void **state)
{
    (void)state;
    must_run_well(DEEPBIND_PROGRAM, "keep", PRELOADED, "HAKMEM_DEEPBIND=1");
}

static void test_dlopen_sees_who_calls(void **state)
{
    (void)state;
    must_run_well(DEEPBIND_PROGRAM, "find", "LD_PRELOAD", NULL); /* shows that the test can be passed */
    must_run_well(DEEPBIND_PROGRAM, "find", PRELOADED, NULL);
    must_run_well(DEEPBIND_PROGRAM, "find", PRELOADED, "HAKMEM_DEEPBIND=1");
    must_run_well(DEEPBIND_PROGRAM, "space", PRELOADED, NULL);
}

static void must_print_the_same(const char *path, const char *argument, const char *preload,
                                const struct child_result *wanted)
{
    struct child_result seen;
    program_run(path, argument, preload, NULL, &seen);
    must_end_well(&seen, path);
    must(strcmp(seen.out, wanted->out) == 0, "%s (%s): expected\n%s\nsaw\n%s", path, preload, wanted->out, seen.out);
}

static void test_dlopen_errors(void **state)
{
    (void)state;
    struct child_result wanted;
    program_run(DEEPBIND_PROGRAM, "errors", "LD_PRELOAD", NULL, &wanted);
    must_end_well(&wanted, "dlopen's errors, on libc");
    must_print_the_same(DEEPBIND_PROGRAM, "errors", PRELOADED, &wanted);
}

/* ---- Programs with a malloc of their own ------------------------------------------------------------------------- */

static const char *const g_own_programs[] = {OWN_PROGRAMS};

static void test_own_malloc(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(g_own_programs); i++)
        must_run_well_with_all_options(g_own_programs[i], NULL, PRELOADED);
}

static void must_die_with(const char *path, const char *argument, const char *preload, const char *text)
{
    struct child_result result;
    program_run(path, argument, preload, NULL, &result);
    must(WIFSIGNALED(result.status) && WTERMSIG(result.status) == SIGABRT && strstr(result.err, text) != NULL,
         "%s %s: expected SIGABRT and '%s', saw %s, '%s'", path, argument, text, child_ending(&result), result.err);
}

/* Passed on from the program's free to hakmem's, which gives it back once, and then says what it is. */
static void test_wild_pointers(void **state)
{
    (void)state;
    must_die_with(OWN_PASSES_ON_PROGRAM, "wild", PRELOADED, "not memory of this allocator");
    must_die_with(TRACED_PROGRAM, "wild", "LD_PRELOAD=" TRACER " " HAKMEM_LIBRARY, "not memory of this allocator");
}

static void test_libc_names(void **state)
{
    (void)state;
    must_run_well_with_all_options(LIBC_NAMES_PROGRAM, NULL, PRELOADED);
}

static void test_stubs(void **state)
{
    (void)state;
    must_run_well_with_all_options(STUB_PROGRAM, NULL, PRELOADED);
}

/* ---- Others that are preloaded ----------------------------------------------------------------------------------- */

static void test_tracer(void **state)
{
    (void)state;
    must_run_well_with_all_options(TRACED_PROGRAM, "all", "LD_PRELOAD=" TRACER " " HAKMEM_LIBRARY);
    must_run_well_with_all_options(TRACED_PROGRAM, "unaligned", "LD_PRELOAD=" TRACER_HEADER " " HAKMEM_LIBRARY);
}

/* Behind hakmem nobody calls it. */
static void test_tracer_behind(void **state)
{
    (void)state;
    must_run_well_with_all_options(TRACED_PROGRAM, "all", PRELOADED " " TRACER);
    must_run_well_with_all_options(TRACED_PROGRAM, "all", PRELOADED " " TRACER_HEADER);
}

/* ---- C++ --------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *plain, *archive, *whole; /* to be preloaded; linked with the archive; the same, static */
} g_operator_programs[] = {OPERATOR_PROGRAMS};

static void test_replaced_operators(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(g_operator_programs); i++) {
        struct child_result wanted;
        program_run(g_operator_programs[i].plain, NULL, "LD_PRELOAD", NULL, &wanted);
        must_end_well(&wanted, "on libc");
        must(wanted.out[0] != 0, "%s printed nothing: nothing was compared", g_operator_programs[i].plain);
        must_print_the_same(g_operator_programs[i].plain, NULL, PRELOADED, &wanted);
        must_print_the_same(g_operator_programs[i].archive, NULL, "LD_PRELOAD", &wanted);
        must_print_the_same(g_operator_programs[i].whole, NULL, "LD_PRELOAD", &wanted);
        must_run_well_with_all_options(g_operator_programs[i].plain, NULL, PRELOADED);
    }
}

static const char *const g_nothrow_programs[] = {NOTHROW_PROGRAMS};
static const char *const g_nothrow_preloaded[] = {NOTHROW_PRELOADED};

static void test_nothrow(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(g_nothrow_preloaded); i++)
        must_run_well_with_all_options(g_nothrow_preloaded[i], NULL, PRELOADED);
    for (size_t i = 0; i < COUNT_OF(g_nothrow_programs); i++)
        must_run_well(g_nothrow_programs[i], NULL, "LD_PRELOAD", NULL);
}

/* The runtime comes with the object. */
static void test_nothrow_in_a_plugin(void **state)
{
    (void)state;
    must_run_well_with_all_options(NOTHROW_HOST, NOTHROW_OBJECT, PRELOADED);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deepbind),
        cmocka_unit_test(test_deepbind_can_be_kept),
        cmocka_unit_test(test_dlopen_sees_who_calls),
        cmocka_unit_test(test_dlopen_errors),
        cmocka_unit_test(test_own_malloc),
        cmocka_unit_test(test_wild_pointers),
        cmocka_unit_test(test_libc_names),
        cmocka_unit_test(test_stubs),
        cmocka_unit_test(test_tracer),
        cmocka_unit_test(test_tracer_behind),
        cmocka_unit_test(test_replaced_operators),
        cmocka_unit_test(test_nothrow),
        cmocka_unit_test(test_nothrow_in_a_plugin),
    };
    return RUN_TESTS(tests);
}
