/* guarded_test.c - misuses of guarded samples end their programs, and with HAKMEM_GUARD_TELL it is told where the block
 * was allocated, freed and used; without the option nothing is said, without guards nothing is noticed, and a program
 * that uses what it may hears nothing.
 * SPDX-License-Identifier: MIT */
#include "support.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <cmocka.h>

enum { SECONDS = 60 };

static void program_run(const char *misuse, const char *guard, const char *tell, struct child_result *result)
{
    char *const arguments[] = {(char *)GUARDED_PROGRAM, (char *)misuse, NULL};
    const char *const changes[] = {"HAKMEM_SAMPLE=1K", guard, tell, NULL};
    child_exec(arguments, environment_with(changes), SECONDS, result);
}

static void must_end_by(const struct child_result *result, int number, const char *what)
{
    must(!result->timed_out && WIFSIGNALED(result->status) && WTERMSIG(result->status) == number,
         "%s: expected the end by signal %d, saw %s; stdout: %s; stderr: %s", what, number, child_ending(result),
         result->out, result->err);
}

/* The texts stand on stderr, one behind the other. */
static void must_tell(const struct child_result *result, const char *what, const char *const texts[])
{
    const char *at = result->err;
    for (size_t i = 0; texts[i] != NULL; i++) {
        const char *found = strstr(at, texts[i]);
        must(found != NULL, "%s: '%s' is not told, or not there: %s", what, texts[i], result->err);
        at = found + strlen(texts[i]);
    }
}

#define USED "\nhakmem:   used by thread "
#define ALLOCATED "\nhakmem:   allocated "
#define FREED "\nhakmem:   freed "
#define NOTICED "\nhakmem:   noticed by thread "

static void test_three_stacks_are_told(void **state)
{
    static const struct {
        const char *misuse;
        int number;
        const char *texts[8];
    } cases[] = {
        {"overflow", SIGSEGV,
         {"hakmem: fatal: access(0x", "behind the end of a block", USED, "(block_use+", ALLOCATED, "(block_make+",
          NULL}},
        {"underflow", SIGSEGV,
         {"hakmem: fatal: access(0x", "before the start of a block", USED, "(block_use+", ALLOCATED, "(block_make+",
          NULL}},
        {"use_after_free", SIGSEGV,
         {"used after it was freed", USED, "(block_use+", ALLOCATED, "(block_make+", FREED, "(block_drop+", NULL}},
        {"use_after_others_free", SIGSEGV,
         {"used after it was freed", USED, "(block_use+", ALLOCATED, "(block_make+", FREED, "(block_drop+", NULL}},
        {"double_free", SIGABRT,
         {"hakmem: fatal: free(0x", NOTICED, "(block_drop+", ALLOCATED, "(block_make+", FREED, "(block_drop+", NULL}},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct child_result result;
        program_run(cases[i].misuse, "HAKMEM_GUARD=1", "HAKMEM_GUARD_TELL=1", &result);
        must_end_by(&result, cases[i].number, cases[i].misuse);
        if (!IS_DEBUG) /* there the frames of the library, which are left out, are more */
            must_tell(&result, cases[i].misuse, cases[i].texts);
        must(strstr(result.err, "hakmem: fatal: ") == result.err, "%s: something else comes first: %s", cases[i].misuse,
             result.err);
    }
}

/* Without the handler the signal ends the program, and the record has the rest; calls tell in any case. */
static void test_nothing_is_told_unasked(void **state)
{
    (void)state;
    struct child_result result;
    program_run("use_after_free", "HAKMEM_GUARD=1", "HAKMEM_GUARD_TELL=0", &result);
    must_end_by(&result, SIGSEGV, "a use after free");
    must(result.err[0] == '\0', "without being asked hakmem said: %s", result.err);
    program_run("double_free", "HAKMEM_GUARD=1", "HAKMEM_GUARD_TELL=0", &result);
    must_end_by(&result, SIGABRT, "a double free");
    must(strstr(result.err, FREED) != NULL, "a double free does not tell of the first: %s", result.err);
}

/* The control: the program does not find a block that is guarded, and says so. */
static void test_without_guards(void **state)
{
    (void)state;
    struct child_result result;
    program_run("use_after_free", "HAKMEM_GUARD=0", "HAKMEM_GUARD_TELL=1", &result);
    must(WIFEXITED(result.status) && strstr(result.err, "no block is guarded") != NULL,
         "HAKMEM_GUARD=0: saw %s and '%s'", child_ending(&result), result.err);
}

static void test_children_are_told_of(void **state)
{
    (void)state;
    struct child_result result;
    program_run("use_in_child", "HAKMEM_GUARD=1", "HAKMEM_GUARD_TELL=1", &result);
    must(strstr(result.err, "behind the end of a block") != NULL, "nothing is told of a child: %s", result.err);
}

/* Other faults, and programs that handle the signal, are as without hakmem. */
static void test_other_faults_take_their_course(void **state)
{
    (void)state;
    struct child_result result;
    program_run("handled", "HAKMEM_GUARD=1", "HAKMEM_GUARD_TELL=1", &result);
    must(WIFEXITED(result.status) && WEXITSTATUS(result.status) == 3 &&
             strstr(result.out, "the program's own") != NULL && result.err[0] == '\0',
         "a handler of the program: saw %s, '%s' and '%s'", child_ending(&result), result.out, result.err);
    static const char *const others[] = {"sent", "elsewhere"};
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        program_run(others[i], "HAKMEM_GUARD=1", "HAKMEM_GUARD_TELL=1", &result);
        must_end_by(&result, SIGSEGV, others[i]);
        must(result.err[0] == '\0', "%s: hakmem said: %s", others[i], result.err);
    }
}

static void test_all_that_is_usable_may_be_used(void **state)
{
    (void)state;
    struct child_result result;
    program_run("good", "HAKMEM_GUARD=1", "HAKMEM_GUARD_TELL=1", &result);
    must_end_well(&result, "a program without a misuse");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_three_stacks_are_told),         cmocka_unit_test(test_nothing_is_told_unasked),
        cmocka_unit_test(test_without_guards),                cmocka_unit_test(test_children_are_told_of),
        cmocka_unit_test(test_other_faults_take_their_course), cmocka_unit_test(test_all_that_is_usable_may_be_used),
    };
    return RUN_TESTS(tests);
}
