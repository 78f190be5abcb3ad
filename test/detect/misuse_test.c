/* misuse_test.c - every misuse ends its program with SIGABRT and exactly one line, built here from errors.def; a
 * program without one is left alone and hears nothing.
 * SPDX-License-Identifier: MIT */
#include "misuse.h"
#include "support.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <cmocka.h>

enum { SECONDS = 20 };

static const struct {
    const char *what, *advice;
} g_errors[] = {
#define X(id, what, advice) {what, advice},
#define W(id, what)
#include "system/errors.def"
#undef X
#undef W
};

/* "hakmem: fatal: free(0x7f..): double free: the block is already free, size class 64 B; look for ...\n" */
static void expected_line(char *line, size_t capacity, const struct misuse *misuse, const char *announced)
{
    char address[32];
    size_t class_size;
    must(sscanf(announced, "%31s %zu", address, &class_size) == 2, "%s did not get as far as its misuse: '%s'",
         misuse->name, announced);
    char class_text[40] = "";
    if (class_size > 0) {
        snprintf(class_text, sizeof class_text, ", size class %zu B", class_size);
    }
    snprintf(line, capacity, "hakmem: fatal: %s(%s): %s%s; %s\n", misuse->call, address, g_errors[misuse->error].what,
             class_text, g_errors[misuse->error].advice);
}

/* A guard ends the program without a word. */
static bool faulted(const struct misuse *misuse, const struct child_result *result, const char *options)
{
    bool is_right = !result->timed_out && WIFSIGNALED(result->status) && WTERMSIG(result->status) == SIGSEGV;
    if (!is_right)
        print_error("%s%s: expected SIGSEGV, saw %s and\n  %s\n", misuse->name, options, child_ending(result),
                    result->err);
    return is_right;
}

/* True when the misuse ended as it must; otherwise says what was expected and seen. */
static bool detected(const struct misuse *misuse, char **environment, const char *options)
{
    char line[1024];
    struct child_result result;
    char *const arguments[] = {(char *)MISUSE_PROBE, (char *)misuse->name, NULL};
    child_exec(arguments, environment, SECONDS, &result);
    if (misuse->error == MISUSE_FAULT)
        return faulted(misuse, &result, options);
    expected_line(line, sizeof line, misuse, result.out);
    bool aborted = !result.timed_out && WIFSIGNALED(result.status) && WTERMSIG(result.status) == SIGABRT;
    bool told = is_fatal_line(result.err, line);
    if (!aborted || !told) {
        print_error("%s%s: expected SIGABRT and the line\n  %ssaw %s and\n  %s\n", misuse->name, options, line,
                    child_ending(&result), result.err[0] != 0 ? result.err : "(nothing)");
    }
    return aborted && told;
}

static void must_detect_all(const struct misuse *misuses, size_t count, const char *check)
{
    const char *const changes[] = {check, NULL};
    char **environment = environment_with(changes);
    size_t missed = 0;
    for (size_t i = 0; i < count; i++) {
        char options[64] = "";
        if (strcmp(check, "HAKMEM_SAMPLE=0") != 0) {
            snprintf(options, sizeof options, " with %s", check);
        }
        missed += !detected(&misuses[i], environment, options);
    }
    must(missed == 0, "%zu of %zu misuses did not end as they must", missed, count);
}

/* Without samples, of which a line may say less: it knows no size of a large block. */
static void test_misuses_by_default(void **state)
{
    (void)state;
    must_detect_all(misuses_always, misuses_always_count, "HAKMEM_SAMPLE=0");
}

static void test_misuses_with_check(void **state)
{
    (void)state;
    must_detect_all(misuses_checked, misuses_checked_count, "HAKMEM_CHECK=1");
}

static void test_misuses_at_exit_with_check(void **state)
{
    (void)state;
    must_detect_all(misuses_at_exit, misuses_at_exit_count, "HAKMEM_CHECK=1");
}

static void test_misuses_with_harden(void **state)
{
    (void)state;
    must_detect_all(misuses_hardened, misuses_hardened_count, "HAKMEM_HARDEN=1");
}

/* What is found by default must be found with the checks as well, and with HAKMEM_HARDEN=1 what HAKMEM_CHECK=1 finds;
 * the text may be another one then. */
static void must_not_lose(const struct misuse *misuses, size_t count, const char *check)
{
    const char *const changes[] = {check, NULL};
    char **environment = environment_with(changes);
    const char begin[] = "hakmem: fatal: ";
    for (size_t i = 0; i < count; i++) {
        struct child_result result;
        char *const arguments[] = {(char *)MISUSE_PROBE, (char *)misuses[i].name, NULL};
        child_exec(arguments, environment, SECONDS, &result);
        bool aborted = WIFSIGNALED(result.status) && WTERMSIG(result.status) == SIGABRT;
        must(aborted && strncmp(result.err, begin, strlen(begin)) == 0,
             "%s with %s: expected SIGABRT and '%s...', saw %s and '%s'", misuses[i].name, check, begin,
             child_ending(&result), result.err);
    }
}

static void test_misuses_are_not_lost(void **state)
{
    (void)state;
    must_not_lose(misuses_always, misuses_always_count, "HAKMEM_SAMPLE=1"); /* every block is one */
    must_not_lose(misuses_always, misuses_always_count, "HAKMEM_CHECK=1");
    must_not_lose(misuses_always, misuses_always_count, "HAKMEM_HARDEN=1");
    must_not_lose(misuses_checked, misuses_checked_count, "HAKMEM_HARDEN=1");
}

static void must_be_left_alone(const char *const changes[], const char *what)
{
    struct child_result result;
    char *const arguments[] = {(char *)GOOD_PROGRAM, NULL};
    child_exec(arguments, environment_with(changes), SECONDS, &result);
    must_end_well(&result, what);
}

static void test_good_program_hears_nothing(void **state)
{
    (void)state;
    const char *const plain[] = {"HAKMEM_CHECK", NULL};
    must_be_left_alone(plain, "a program without a misuse");
    const char *const checked[] = {"HAKMEM_CHECK=1", NULL};
    must_be_left_alone(checked, "a program without a misuse, with HAKMEM_CHECK=1");
    const char *const hardened[] = {"HAKMEM_HARDEN=1", NULL};
    must_be_left_alone(hardened, "a program without a misuse, with HAKMEM_HARDEN=1");
    const char *const watched[] = {"HAKMEM_HARDEN=1", "HAKMEM_SITES=1", "HAKMEM_SITES_FD=1", NULL};
    must_be_left_alone(watched, "a program without a misuse, with HAKMEM_HARDEN=1 and HAKMEM_SITES=1");
}

/* A program's own SIGABRT handler, ignoring it or blocking it changes nothing about the end. */
static void test_abort_cannot_be_ignored(void **state)
{
    (void)state;
    static const char *const ways[] = {"ignored", "blocked", "handled", "stderr_closed"};
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        struct child_result result;
        char *const arguments[] = {(char *)ABORT_PROGRAM, (char *)ways[i], NULL};
        child_exec(arguments, NULL, SECONDS, &result);
        must(!result.timed_out && WIFSIGNALED(result.status) && WTERMSIG(result.status) == SIGABRT,
             "double free with SIGABRT or stderr %s: expected the end by SIGABRT, saw %s, stderr: %s", ways[i],
             child_ending(&result), result.err);
        bool handler_ran = strcmp(result.out, "handler\n") == 0;
        must(handler_ran == (strcmp(ways[i], "handled") == 0), "SIGABRT %s: stdout was '%s'", ways[i], result.out);
    }
}

/* operator new without a C++ runtime has nothing to throw. */
static void test_new_without_runtime(void **state)
{
    (void)state;
    struct child_result result;
    char *const arguments[] = {(char *)NEW_PROGRAM, NULL};
    child_exec(arguments, NULL, SECONDS, &result);
    char begin[] = "hakmem: fatal: operator new(";
    must(WIFSIGNALED(result.status) && WTERMSIG(result.status) == SIGABRT &&
             strncmp(result.err, begin, strlen(begin)) == 0 &&
             strstr(result.err, g_errors[MISUSE_NEW_FAILED].what) != NULL &&
             strchr(result.err, '\n') == result.err + strlen(result.err) - 1,
         "failing operator new in a C program: expected SIGABRT and the one line '%s...%s...', saw %s and '%s'", begin,
         g_errors[MISUSE_NEW_FAILED].what, child_ending(&result), result.err);
}

/* The fast path jumps to where misuses are noticed, so the address to return to is the program's. A debug build calls:
 * there the caller is the library. */
static void must_name_caller(const char *call, const char *exported)
{
    struct child_result result;
    char expected[512];
    char *const arguments[] = {(char *)CALLER_PROGRAM, (char *)call, (char *)exported, NULL};
    child_exec(arguments, NULL, SECONDS, &result);
    const char *caller = strstr(result.err, "; noticed in a call by ");
    bool is_exported = exported[0] == '1';
    snprintf(expected, sizeof expected, "%s", IS_DEBUG ? "/libhakmem.so" : CALLER_PROGRAM "+0x");
    must(caller != NULL && strstr(caller, expected) != NULL, "%s: expected a caller in %s, saw %s and '%s'", call,
         expected, child_ending(&result), result.err);
    must(IS_DEBUG || (strstr(caller, " (exported_function+0x") != NULL) == is_exported,
         "%s: the caller %s exported, saw '%s'", call, is_exported ? "is" : "is not", result.err);
    must(IS_DEBUG || is_exported || strchr(caller, '(') == NULL, "%s: a caller that is not exported has a name: '%s'",
         call, result.err);
}

static void test_fatal_lines_name_the_caller(void **state)
{
    (void)state;
    static const char *const calls[] = {"free", "realloc", "malloc_usable_size", "cfree"};
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        must_name_caller(calls[i], "1");
        must_name_caller(calls[i], "0");
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_misuses_by_default),
        cmocka_unit_test(test_misuses_with_check),
        cmocka_unit_test(test_misuses_at_exit_with_check),
        cmocka_unit_test(test_misuses_with_harden),
        cmocka_unit_test(test_misuses_are_not_lost),
        cmocka_unit_test(test_good_program_hears_nothing),
        cmocka_unit_test(test_abort_cannot_be_ignored),
        cmocka_unit_test(test_new_without_runtime),
        cmocka_unit_test(test_fatal_lines_name_the_caller),
    };
    return RUN_TESTS(tests);
}
