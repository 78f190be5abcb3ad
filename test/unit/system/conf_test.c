/* conf_test.c - the text of a configuration file: which lines are whose, in whatever way they are written, and what its
 * options come to.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "system/conf.h"
#include "system/options.h"
#include "system/text.h"

static const uint64_t g_defaults[OPTION_COUNT] = {
#define X(id, name, kind, value, min, max, doc) value,
#include "system/options.def"
#undef X
};

static char g_warnings[4096];

/* "line:name=value " of each option, "line! " of each mistake, for all programs or for one. The text is in memory of
 * exactly its size. */
static const char *entries_of(const char *text, const char *program, bool for_all)
{
    static char out[1024];
    const size_t length = strlen(text), room = sizeof out;
    size_t used = 0;
    char *exact = malloc(length > 0 ? length : 1);
    struct conf conf;
    struct conf_entry entry;
    memcpy(exact, text, length);
    conf_begin(&conf, (struct piece){exact, length}, program, for_all);
    out[0] = 0;
    while (conf_next(&conf, &entry))
        used += (size_t)(entry.kind == CONF_OPTION
                             ? snprintf(out + used, room - used, "%u:%.*s=%.*s ", entry.line, (int)entry.name.length,
                                        entry.name.start, (int)entry.value.length, entry.value.start)
                             : snprintf(out + used, room - used, "%u! ", entry.line));
    free(exact);
    return out;
}

static void test_lines(void **state)
{
    (void)state;
    static const struct {
        const char *text, *entries;
    } cases[] = {
        {"", ""}, {"\n", ""}, {"\n\n\n", ""}, {" \t\r\n", ""}, {"# a = 1", ""}, {"; a = 1\n", ""}, {"  # a\n  ; b\n", ""},
        {"a=1", "1:a=1 "}, {"a = 1\n", "1:a=1 "}, {"\t a\t =\t 1 \r\n", "1:a=1 "}, {"\n\na=1\n", "3:a=1 "},
        {"a = 1 # note\n", "1:a=1 "}, {"a = /x#y\n", "1:a=/x#y "}, {"a = x;y\n", "1:a=x;y "}, {"a = b = c", "1:a=b = c "},
        {"a =", "1:a= "}, {"a = #", "1:a= "}, {"a", "1! "}, {"=", "1! "}, {" = 1", "1! "}, {"a 1\nb=2", "1! 2:b=2 "},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        must(strcmp(entries_of(cases[i].text, "p", true), cases[i].entries) == 0, "\"%s\": expected \"%s\", saw \"%s\"",
             cases[i].text, cases[i].entries, entries_of(cases[i].text, "p", true));
}

static void test_sections(void **state)
{
    (void)state;
    static const char text[] = "a=1\n[p]\nb=2\n[other]\nc=3\nnonsense\n[*]\nd=4\n[ p* ]\ne=5\n[p\nf=6\n[]\ng=7\n"
                               "[p]\nh=8\n[/bin/p]\ni=9";
    assert_string_equal(entries_of(text, "p", true), "1:a=1 8:d=4 11! 13! 17! ");
    assert_string_equal(entries_of(text, "p", false), "3:b=2 10:e=5 16:h=8 ");
    assert_string_equal(entries_of(text, "/usr/bin/p", false), "3:b=2 10:e=5 16:h=8 ");
    assert_string_equal(entries_of(text, "pq", false), "10:e=5 ");
    assert_string_equal(entries_of(text, "other", false), "5:c=3 6! ");
    static const char *const strangers[] = {"", "P", "oth", "others", "*", "/"};
    for (size_t i = 0; i < COUNT_OF(strangers); i++)
        must(strcmp(entries_of(text, strangers[i], false), "") == 0, "%s: expected nothing, saw %s", strangers[i],
             entries_of(text, strangers[i], false));
}

/* Reads an environment and a file for the program p. */
static void read_both(const char *variable, const char *text)
{
    const char *environment[] = {"HAKMEM_CONF_FILE=none", variable, NULL};
    memcpy(option_values, g_defaults, sizeof option_values);
    memset(option_sources, 0, sizeof option_sources);
    stderr_capture();
    options_read((char **)(uintptr_t)environment);
    options_read_text(text, strlen(text), "p");
    stderr_release(g_warnings, sizeof g_warnings);
}

static void test_what_wins(void **state)
{
    (void)state;
    read_both(NULL, "limit = 1G\nlimit = 2G");
    assert_int_equal(option(OPTION_LIMIT), 2ull << 30);
    assert_int_equal(option_sources[OPTION_LIMIT].origin, OPTION_BY_FILE);
    assert_int_equal(option_sources[OPTION_LIMIT].line, 2);
    read_both(NULL, "[p]\nlimit = 80%\n[*]\nlimit = 2G\n[q]\nlimit = 3G");
    assert_int_equal(option(OPTION_LIMIT), OPTION_PERCENT | 80);
    assert_int_equal(option_sources[OPTION_LIMIT].line, 2);
    read_both("HAKMEM_LIMIT=5M", "[p]\nlimit = 80%\nlearn = off");
    assert_int_equal(option(OPTION_LIMIT), 5 << 20);
    assert_int_equal(option_sources[OPTION_LIMIT].origin, OPTION_BY_ENVIRONMENT);
    assert_int_equal(option(OPTION_LEARN), LEARN_OFF);
    read_both("HAKMEM_CONF=limit:5M", "limit = 80%");
    assert_int_equal(option(OPTION_LIMIT), 5 << 20);
    assert_int_equal(option_sources[OPTION_STATS].origin, OPTION_BY_DEFAULT);
    assert_string_equal(g_warnings, "");
}

/* Each mistake has its line, and the rest counts. */
static void test_mistakes(void **state)
{
    (void)state;
    read_both("HAKMEM_STATS=0", "limti = 1G\nlimit=lots\nstats\n[q\nstats = maybe\n[p]\ncheck = 7\nhuge = never");
    assert_string_equal(g_warnings,
                        "hakmem: warning: none:1: limti: unknown option; did you mean limit?\n"
                        "hakmem: warning: none:2: limit=lots: not 0 or a size from 1M, such as 2G, or 1% to 100%\n"
                        "hakmem: warning: none:3: stats: not of the form name = value; a line looks like limit = 80%\n"
                        "hakmem: warning: none:4: [q: not a program's name in brackets, so that the lines behind it do not count; "
                        "a section looks like [mariadbd]\n"
                        "hakmem: warning: none:7: check = 7: not one of 0, no, false, off, 1, yes, true, on\n");
    assert_int_equal(option(OPTION_HUGE), HUGE_NEVER);
    assert_int_equal(option(OPTION_LIMIT), 0);
    read_both(NULL, "conf_file = /x");
    assert_string_equal(g_warnings, "hakmem: warning: none:1: conf_file: does not count in a file, only as HAKMEM_CONF_FILE\n");
    assert_string_equal(options_file(), "none");
}

/* What is written of an option is what makes it so. */
static void test_values_are_written_as_they_are_read(void **state)
{
    (void)state;
    static const struct {
        enum option_id id;
        const char *line, *written;
    } cases[] = {
        {OPTION_STATS, "stats=yes", "on"}, {OPTION_STATS, "stats=0", "off"}, {OPTION_LEARN, "learn=1", "on"},
        {OPTION_LEARN, "learn=Shadow", "shadow"}, {OPTION_EXPLAIN, "explain=json", "json"}, {OPTION_HUGE, "huge=0", "never"},
        {OPTION_LIMIT, "limit=80%", "80%"}, {OPTION_LIMIT, "limit=2048K", "2M"}, {OPTION_LIMIT, "limit=3T", "3T"},
        {OPTION_LIMIT, "limit=1048577", "1048577"}, {OPTION_LIMIT, "limit=0", "0"}, {OPTION_SITES_FD, "sites_fd=7", "7"},
        {OPTION_TARGET_HIT_MID, "target_hit_mid=.07", "0.07"}, {OPTION_WMAX_MID, "wmax_mid=1.4", "1.40"},
        {OPTION_CAP_MID, "cap_mid=1,2", "1/2/0/0/0"}, {OPTION_PROFILE, "profile=/tmp/a b", "/tmp/a b"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct text text;
        read_both(NULL, cases[i].line);
        text_begin(&text, -1);
        option_write(&text, cases[i].id);
        must(text.length == strlen(cases[i].written) && memcmp(text.buffer, cases[i].written, text.length) == 0,
             "%s: expected %s, saw %.*s", cases[i].line, cases[i].written, (int)text.length, text.buffer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_sections),
        cmocka_unit_test(test_what_wins),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_values_are_written_as_they_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
