/* options_test.c - HAKMEM_* and HAKMEM_CONF as a user writes them, right and wrong: exactly the expected lines on
 * stderr, built from errors.def and options.def, never a crash, and the program's own output and status untouched.
 * SPDX-License-Identifier: MIT */
#include "support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { SECONDS = 20 };

enum warning {
#define X(id, what, advice)
#define W(id, what) WARNING_##id,
#include "system/errors.def"
#undef X
#undef W
};

static const char *const g_warnings[] = {
#define X(id, what, advice)
#define W(id, what) what,
#include "system/errors.def"
#undef X
#undef W
};

enum kind { FLAG, COUNT, SHARE, SIZE, PATH, LIST, DETAIL, LEARN, REPORT, HUGE };

static const struct option {
    const char *variable, *name;
    enum kind kind;
    unsigned long long min, max;
} g_options[] = {
#define X(id, name, kind, value, min, max, doc) {"HAKMEM_" #id, name, kind, min, max},
#include "system/options.def"
#undef X
};

/* Runs `echo word` with one or two variables set, and checks that it did its work. */
static void echo_run(const char *variable, const char *second, struct child_result *result)
{
    const char *const changes[] = {"LD_PRELOAD=" HAKMEM_LIBRARY, variable, second, NULL};
    char *const arguments[] = {(char *)"/bin/echo", (char *)"word", NULL};
    child_exec(arguments, environment_with(changes), SECONDS, result);
    must(result->status == 0 && strcmp(result->out, "word\n") == 0,
         "echo word with %.80s: saw %s, stdout '%s', stderr '%s'", variable, child_ending(result), result->out,
         result->err);
}

static size_t count_lines(const char *text)
{
    size_t lines = 0;
    for (; *text != 0; text++) {
        lines += *text == '\n';
    }
    return lines;
}

/* One warning, about `subject`, ending in `nearest`. */
static void must_warn(const char *variable, const char *subject, enum warning warning, const char *nearest)
{
    struct child_result result;
    char expected[512];
    echo_run(variable, NULL, &result);
    snprintf(expected, sizeof expected, "hakmem: warning: %s: %s%s\n", subject, g_warnings[warning], nearest);
    must(strcmp(result.err, expected) == 0, "%s: expected on stderr\n%ssaw\n%s", variable, expected, result.err);
}

static void must_be_silent(const char *variable, const char *second)
{
    struct child_result result;
    echo_run(variable, second, &result);
    must(result.err[0] == 0, "%s: expected nothing on stderr, saw\n%s", variable, result.err);
}

/* The statistics: a table, and no warning in it. */
static void must_print_table(const char *variable, const char *second)
{
    struct child_result result;
    echo_run(variable, second, &result);
    must(count_lines(result.err) > 5 && strstr(result.err, "hakmem") != NULL && strstr(result.err, "warning") == NULL,
         "%s: expected the table of statistics on stderr, saw\n%s", variable, result.err);
}

static void test_unknown_names(void **state)
{
    (void)state;
    must_warn("HAKMEM_STAT=1", "HAKMEM_STAT", WARNING_OPTION_UNKNOWN, "; did you mean HAKMEM_STATS?");
    must_warn("HAKMEM_CHEKC=1", "HAKMEM_CHEKC", WARNING_OPTION_UNKNOWN, "; did you mean HAKMEM_CHECK?");
    must_warn("HAKMEM_REALLOCZERO=1", "HAKMEM_REALLOCZERO", WARNING_OPTION_UNKNOWN,
              "; did you mean HAKMEM_REALLOC_ZERO?");
    must_warn("HAKMEM_FLY=1", "HAKMEM_FLY", WARNING_OPTION_UNKNOWN, "");
    must_warn("HAKMEM_CONF=stat:1", "HAKMEM_CONF: stat", WARNING_OPTION_UNKNOWN, "; did you mean stats?");
    must_warn("HAKMEM_CONF=statistics:1", "HAKMEM_CONF: statistics", WARNING_OPTION_UNKNOWN, "");
    must_warn("HAKMEM_CONF=check:0,realoc_zero:0", "HAKMEM_CONF: realoc_zero", WARNING_OPTION_UNKNOWN,
              "; did you mean realloc_zero?");
}

#define FLAGS "one of 0, no, false, off, 1, yes, true, on"

static void test_bad_values(void **state)
{
    (void)state;
    static const char *const details[] = {"HAKMEM_STATS=maybe", "HAKMEM_STATS=3", "HAKMEM_STATS=-1",
                                          "HAKMEM_STATS=all@"};
    for (size_t i = 0; i < COUNT_OF(details); i++)
        must_warn(details[i], details[i], WARNING_OPTION_VALUE, FLAGS ", 2, all");
    must_warn("HAKMEM_GUARD=-1", "HAKMEM_GUARD=-1", WARNING_OPTION_VALUE, "a whole number from 0 to 1000000000");
    must_warn("HAKMEM_LIMIT=1K", "HAKMEM_LIMIT=1K", WARNING_OPTION_VALUE,
              "0 or a size from 1M, such as 2G, or 1% to 100%");
    must_warn("HAKMEM_MID_DYN1=1041", "HAKMEM_MID_DYN1", WARNING_OPTION_VALUE,
              "a multiple of 16 between two size classes");
    must_warn("HAKMEM_CONF=mid_dyn1:1041", "HAKMEM_CONF: mid_dyn1", WARNING_OPTION_VALUE,
              "a multiple of 16 between two size classes");
    must_warn("HAKMEM_CONF=check:2", "HAKMEM_CONF: check:2", WARNING_OPTION_VALUE, FLAGS);
    must_warn("HAKMEM_CONF=check:", "HAKMEM_CONF: check:", WARNING_OPTION_VALUE, FLAGS);
    must_warn("HAKMEM_CONF=check:99999999999999999999999999", "HAKMEM_CONF: check:99999999999999999999999999",
              WARNING_OPTION_VALUE, FLAGS);
}

static void test_bad_syntax(void **state)
{
    (void)state;
    must_warn("HAKMEM_CONF=check", "HAKMEM_CONF: check", WARNING_OPTION_SYNTAX, "stats:1,check:0");
    must_warn("HAKMEM_CONF=check=1", "HAKMEM_CONF: check=1", WARNING_OPTION_SYNTAX, "stats:1,check:0");
    must_warn("HAKMEM_CONF=check:0,nonsense,realloc_zero:1", "HAKMEM_CONF: nonsense", WARNING_OPTION_SYNTAX,
              "stats:1,check:0");
}

static void test_what_is_right_is_silent(void **state)
{
    (void)state;
    must_be_silent("HAKMEM_CONF=", NULL);
    must_be_silent("HAKMEM_CONF=,,,", NULL);
    must_be_silent("HAKMEM_CONF=stats:0,", NULL);
    must_be_silent("HAKMEM_CONF=check:1,check:0,check:1,check:1", NULL);
    must_be_silent("HAKMEM=1", NULL);
    must_be_silent("HAKMEMSTATS=1", NULL);
    must_be_silent("HAKMEM_CONF=STATS:No,Check:OFF", NULL);
}

/* Every option of the table in every spelling of its values, as a variable and in the list. */
static void test_every_option(void **state)
{
    (void)state;
    static const char *const flags[] = {"0", "1", "no", "yes", "off", "on", "false", "true", "TRUE", "Off"};
    for (size_t i = 0; i < COUNT_OF(g_options); i++) {
        for (size_t k = 0; k < COUNT_OF(flags); k++) {
            char variable[128];
            char list[128];
            char number[32];
            snprintf(number, sizeof number, "%llu", k % 2 == 0 ? g_options[i].min : g_options[i].max);
            const char *value = number;
            if (g_options[i].kind == FLAG || g_options[i].kind == DETAIL || g_options[i].kind == LEARN ||
                g_options[i].kind == REPORT || g_options[i].kind == HUGE)
                value = flags[k];
            else if (g_options[i].kind == SHARE)
                value = g_options[i].max > 100 ? "1.25" : "0.5";
            else if (g_options[i].kind == SIZE)
                value = "512M";
            else if (g_options[i].kind == PATH)
                value = ""; /* what profiles do, policy_test.c tests */
            else if (strcmp(g_options[i].name, "mid_dyn1") == 0)
                value = "1040";
            snprintf(variable, sizeof variable, "%s=%s", g_options[i].variable, value);
            snprintf(list, sizeof list, "HAKMEM_CONF=%s:%s", g_options[i].name, value);
            struct child_result result;
            echo_run(variable, NULL, &result);
            must(strstr(result.err, "warning") == NULL, "%s: expected no warning, saw\n%s", variable, result.err);
            echo_run(list, NULL, &result);
            must(strstr(result.err, "warning") == NULL, "%s: expected no warning, saw\n%s", list, result.err);
        }
    }
}

/* One process of a pipeline of five, the one that was started; or all, on demand. */
static void test_children_are_silent(void **state)
{
    (void)state;
    static const struct {
        const char *variable, *second;
        size_t tables;
    } cases[] = {{"HAKMEM_STATS=1", NULL, 1}, {"HAKMEM_CONF=check:0,stats:1,sample:0", NULL, 1},
                 {"HAKMEM_STATS=1", "HAKMEM_STATS_CHILDREN=1", 4}, {"HAKMEM_CONF=stats:1", "HAKMEM_STATS=1@1", 0}};
    char *const arguments[] = {
        (char *)"/bin/bash", (char *)"-c",
        (char *)"/bin/ls / | /usr/bin/sort; (/bin/ls /; /bin/ls /) > /dev/null; exec /bin/echo word", NULL};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const char *const changes[] = {"LD_PRELOAD=" HAKMEM_LIBRARY, cases[i].variable, cases[i].second, NULL};
        struct child_result result;
        size_t tables = 0;
        child_exec(arguments, environment_with(changes), SECONDS, &result);
        for (const char *at = result.err; (at = strstr(at, " statistics of process ")) != NULL; at++) {
            tables++;
        }
        must(result.status == 0 && strstr(result.out, "word\n") != NULL, "%s: saw %s", cases[i].variable,
             child_ending(&result));
        must(cases[i].tables < 2 ? tables == cases[i].tables : tables >= cases[i].tables,
             "%s: %zu tables instead of %zu:\n%s", cases[i].variable, tables, cases[i].tables, result.err);
        must(tables != 1 || strstr(result.err, ", echo\n") != NULL, "the table is not of what was executed last:\n%s",
             result.err);
    }
}

/* The last of equals wins in a list; a variable of its own wins over the list. */
static void test_which_value_wins(void **state)
{
    (void)state;
    must_print_table("HAKMEM_STATS=1", NULL);
    must_print_table("HAKMEM_CONF=stats:1", NULL);
    must_print_table("HAKMEM_CONF=stats:0,stats:1", NULL);
    must_print_table("HAKMEM_CONF=stats:0", "HAKMEM_STATS=yes");
    must_be_silent("HAKMEM_CONF=stats:1,stats:0", NULL);
    must_be_silent("HAKMEM_CONF=stats:1", "HAKMEM_STATS=off");
}

/* The table is for stderr, which was duplicated for it. A program may close the duplicate, or use its number for a
 * file of its own, in which nothing is to appear. */
static void test_statistics_do_not_go_into_other_files(void **state)
{
    (void)state;
    static const char *const ways[] = {"close", "reuse"};
    const char *const changes[] = {"LD_PRELOAD=" HAKMEM_LIBRARY, "HAKMEM_STATS=1", NULL};
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        struct child_result result;
        char *const arguments[] = {(char *)DESCRIPTORS_PROGRAM, (char *)ways[i], NULL};
        child_exec(arguments, environment_with(changes), SECONDS, &result);
        must(result.status == 0 && strcmp(result.out, "word\n") == 0,
             "%s the descriptors: expected 'word' in the program's file, saw %s, '%s', stderr '%s'", ways[i],
             child_ending(&result), result.out, result.err);
        must(count_lines(result.err) > 5 && strstr(result.err, "hakmem") != NULL,
             "%s the descriptors: expected the table of statistics on stderr, saw\n%s", ways[i], result.err);
    }
}

/* Whatever stands there: one line each at most, short ones, and the program runs. */
static void test_nonsense_does_no_harm(void **state)
{
    (void)state;
    enum { LONG = 100000 };
    static char text[LONG + 64];
    static const char *const ways[] = {"HAKMEM_CONF=%s", "HAKMEM_CONF=%s:1", "HAKMEM_CONF=stats:%s", "HAKMEM_STATS=%s",
                                       "HAKMEM_%s=1"};
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        static char filler[LONG + 1];
        struct child_result result;
        memset(filler, 'x', LONG);
        snprintf(text, sizeof text, ways[i], filler);
        echo_run(text, NULL, &result);
        must(count_lines(result.err) == 1 && strlen(result.err) < 400 &&
                 strncmp(result.err, "hakmem: warning: ", 17) == 0,
             "%.20s with 100,000 letters: expected one warning of less than 400 letters, saw\n%s", ways[i], result.err);
    }
    static const char *const odd[] = {"HAKMEM_=1",           "HAKMEM_=",
                                      "HAKMEM_CONF=:",       "HAKMEM_CONF=:1",
                                      "HAKMEM_CONF=::::",    "HAKMEM_CONF=\xff\xfe:\x01",
                                      "HAKMEM_CONF=%s%n:%s", "HAKMEM_CONF=stats:1:1",
                                      "HAKMEM_STATS= 1"};
    for (size_t i = 0; i < COUNT_OF(odd); i++) {
        struct child_result result;
        echo_run(odd[i], NULL, &result);
        must(count_lines(result.err) <= 1, "%s: expected at most one line, saw\n%s", odd[i], result.err);
    }
}

/* Each wrong item of a list has its line. */
static void test_one_line_for_each_mistake(void **state)
{
    (void)state;
    struct child_result result;
    echo_run("HAKMEM_CONF=stat:1,chek:1,check:3,word,check:0", NULL, &result);
    must(count_lines(result.err) == 4, "a list with four mistakes: expected four lines, saw\n%s", result.err);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unknown_names),
        cmocka_unit_test(test_bad_values),
        cmocka_unit_test(test_bad_syntax),
        cmocka_unit_test(test_what_is_right_is_silent),
        cmocka_unit_test(test_every_option),
        cmocka_unit_test(test_which_value_wins),
        cmocka_unit_test(test_children_are_silent),
        cmocka_unit_test(test_statistics_do_not_go_into_other_files),
        cmocka_unit_test(test_nonsense_does_no_harm),
        cmocka_unit_test(test_one_line_for_each_mistake),
    };
    return RUN_TESTS(tests);
}
