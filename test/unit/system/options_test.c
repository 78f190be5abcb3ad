/* options_test.c - every option of options.def, both ways of giving it, and what is said of what is wrong.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "system/options.h"

enum option_kind { FLAG, COUNT, SHARE, SIZE, PATH, LIST, DETAIL, LEARN, REPORT, HUGE };

static const struct entry {
    const char *name;
    enum option_kind kind;
    uint64_t value, min, max;
} g_options[] = {
#define X(id, name, kind, value, min, max, doc) {name, kind, value, min, max},
#include "system/options.def"
#undef X
};

static const struct {
    const char *word;
    uint64_t value;
} g_flags[] = {{"0", 0}, {"no", 0}, {"off", 0}, {"false", 0}, {"1", 1}, {"yes", 1}, {"on", 1}, {"true", 1}};

static char g_warnings[4096];

/* Sets every option back to its default and reads an environment of up to three entries; what it says is in
 * g_warnings. */
static void read_options(const char *first, const char *second, const char *third)
{
    const char *environment[] = {first, second, third, NULL};
    for (size_t i = 0; i < OPTION_COUNT; i++)
        option_values[i] = g_options[i].value;
    memset(option_sources, 0, sizeof option_sources);
    stderr_capture();
    options_read((char **)(uintptr_t)environment);
    stderr_release(g_warnings, sizeof g_warnings);
}

static const char *variable(const char *name, const char *value)
{
    static char texts[4][256];
    static unsigned next;
    char *text = texts[next++ % 4];
    size_t length = (size_t)snprintf(text, sizeof texts[0], "HAKMEM_");
    for (; *name; name++)
        text[length++] = (char)toupper((unsigned char)*name);
    snprintf(text + length, sizeof texts[0] - length, "=%s", value);
    return text;
}

static const char *list_of(const char *name, const char *value)
{
    static char text[256];
    snprintf(text, sizeof text, "HAKMEM_CONF=%s:%s", name, value);
    return text;
}

/* The option has the value, all others their defaults, and nothing was said. */
static void must_be(size_t i, uint64_t value, const char *given)
{
    must(g_warnings[0] == 0, "%s: expected no warning, saw %s", given, g_warnings);
    for (size_t k = 0; k < OPTION_COUNT; k++) {
        uint64_t expected = k == i ? value : g_options[k].value;
        must(option((enum option_id)k) == expected, "%s: %s is %" PRIu64 ", expected %" PRIu64, given, g_options[k].name,
             option((enum option_id)k), expected);
    }
}

static void must_read(size_t i, const char *text, uint64_t value)
{
    const char *given = variable(g_options[i].name, text);
    read_options("PATH=/bin", given, NULL);
    must_be(i, value, given);
    given = list_of(g_options[i].name, text);
    read_options(given, NULL, NULL);
    must_be(i, value, given);
}

/* How a warning says what an option takes. */
static void what_it_takes(char *takes, size_t size, size_t i)
{
    static const char *const words[] = {
        [FLAG] = "", [DETAIL] = ", 2, all", [LEARN] = ", freeze, shadow", [REPORT] = ", json", [HUGE] = ", never, always, learn"};
    double min = (double)g_options[i].min, max = (double)g_options[i].max;
    switch (g_options[i].kind) {
    case COUNT: snprintf(takes, size, "a whole number from %.0f to %.0f", min, max); break;
    case SHARE: snprintf(takes, size, "a number from %.2f to %.2f, with up to two decimals", min / 100, max / 100); break;
    case LIST: snprintf(takes, size, "one to five whole numbers from %.0f to %.0f, such as 8/16/0/4", min, max); break;
    case SIZE:
        snprintf(takes, size, "0 or a size from %s", i == OPTION_LIMIT ? "1M, such as 2G, or 1% to 100%" : "1 to 1T, such as 64K");
        break;
    case PATH: snprintf(takes, size, "a name of 255 letters at most"); break;
    default: snprintf(takes, size, "one of 0, no, false, off, 1, yes, true, on%s", words[g_options[i].kind]);
    }
}

/* The text is refused: one line with what was written and what might have been, and the default stays. */
static void must_refuse(size_t i, const char *text)
{
    char expected[256], takes[128];
    const char *given = variable(g_options[i].name, text);
    read_options(given, NULL, NULL);
    what_it_takes(takes, sizeof takes, i);
    snprintf(expected, sizeof expected, "hakmem: warning: %s: not %s\n", given, takes);
    must(strcmp(g_warnings, expected) == 0, "%s: expected\n%ssaw\n%s", given, expected, g_warnings);
    g_warnings[0] = 0;
    must_be(i, g_options[i].value, given);
}

static void test_defaults(void **state)
{
    (void)state;
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        assert_int_equal(option((enum option_id)i), g_options[i].value);
        if (g_options[i].kind != SIZE || g_options[i].value != 0) /* 0 is none */
            assert_in_range(g_options[i].value, g_options[i].min, g_options[i].max);
    }
    read_options(NULL, NULL, NULL);
    must_be(0, g_options[0].value, "an empty environment");
    options_read(NULL);
}

static void test_every_word_of_every_flag(void **state)
{
    (void)state;
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (g_options[i].kind != FLAG)
            continue;
        for (size_t k = 0; k < COUNT_OF(g_flags); k++) {
            char capital[8], upper[8];
            snprintf(capital, sizeof capital, "%s", g_flags[k].word);
            capital[0] = (char)toupper((unsigned char)capital[0]);
            for (size_t c = 0; c < sizeof upper; c++)
                upper[c] = (char)toupper((unsigned char)g_flags[k].word[c < strlen(g_flags[k].word) ? c : strlen(g_flags[k].word)]);
            must_read(i, g_flags[k].word, g_flags[k].value);
            must_read(i, capital, g_flags[k].value);
            must_read(i, upper, g_flags[k].value);
        }
        static const char *const wrong[] = {"", "2", "-1", "y", "nope", "tru", "truee", "00", "1 ", " 1", "01"};
        for (size_t k = 0; k < COUNT_OF(wrong); k++)
            must_refuse(i, wrong[k]);
    }
}

static void test_bounds_of_every_count(void **state)
{
    (void)state;
    char text[32];
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (g_options[i].kind != COUNT)
            continue;
        const uint64_t good[] = {g_options[i].min, g_options[i].max, (g_options[i].min + g_options[i].max) / 2};
        for (size_t k = 0; k < COUNT_OF(good); k++) {
            snprintf(text, sizeof text, "%" PRIu64, good[k]);
            must_read(i, text, good[k]);
        }
        static const char *const wrong[] = {"", "-1", "1x", "x", "1.5", "0x10", "18446744073709551616", "99999999999999999999"};
        for (size_t k = 0; k < COUNT_OF(wrong); k++)
            must_refuse(i, wrong[k]);
        if (g_options[i].max < UINT64_MAX) {
            snprintf(text, sizeof text, "%" PRIu64, g_options[i].max + 1);
            must_refuse(i, text);
        }
        if (g_options[i].min > 0) {
            snprintf(text, sizeof text, "%" PRIu64, g_options[i].min - 1);
            must_refuse(i, text);
        }
    }
}

/* Every kind but FLAG and COUNT: what its options take, as what, and what they refuse. */
static void test_other_kinds(void **state)
{
    (void)state;
    static const struct {
        enum option_kind kind;
        const char *text;
        uint64_t value; /* UINT64_MAX: refused */
    } cases[] = {
        {DETAIL, "0", STATS_OFF}, {DETAIL, "on", STATS_ON}, {DETAIL, "1", STATS_ON}, {DETAIL, "2", STATS_ALL},
        {DETAIL, "All", STATS_ALL}, {DETAIL, "3", UINT64_MAX}, {DETAIL, "all@", UINT64_MAX}, {DETAIL, "@1", UINT64_MAX},
        {DETAIL, "all@x", UINT64_MAX}, {DETAIL, "1@1", STATS_OFF},
        {LEARN, "off", LEARN_OFF}, {LEARN, "0", LEARN_OFF}, {LEARN, "1", LEARN_ON}, {LEARN, "On", LEARN_ON},
        {LEARN, "freeze", LEARN_FREEZE}, {LEARN, "SHADOW", LEARN_SHADOW}, {LEARN, "json", UINT64_MAX}, {LEARN, "2", UINT64_MAX},
        {REPORT, "no", REPORT_OFF}, {REPORT, "yes", REPORT_ON}, {REPORT, "json", REPORT_JSON}, {REPORT, "shadow", UINT64_MAX},
        {HUGE, "never", HUGE_NEVER}, {HUGE, "off", HUGE_NEVER}, {HUGE, "Always", HUGE_ALWAYS}, {HUGE, "on", HUGE_ALWAYS},
        {HUGE, "LEARN", HUGE_LEARN}, {HUGE, "2", UINT64_MAX}, {HUGE, "madvise", UINT64_MAX}, {LEARN, "never", UINT64_MAX},
        {SIZE, "0", 0}, {SIZE, "1048576", 1u << 20}, {SIZE, "2048k", 2u << 20},
        {SIZE, "512M", 512u << 20}, {SIZE, "3G", 3ull << 30}, {SIZE, "1T", 1ull << 40},
        {SIZE, "0%", UINT64_MAX}, {SIZE, "101%", UINT64_MAX}, {SIZE, "%", UINT64_MAX}, {SIZE, "", UINT64_MAX},
        {SIZE, "G", UINT64_MAX}, {SIZE, "2GB", UINT64_MAX}, {SIZE, "-1", UINT64_MAX}, {SIZE, "1.5G", UINT64_MAX},
        {SIZE, "9223372036854775808", UINT64_MAX}, {SIZE, "8388608T", UINT64_MAX}, {SIZE, "2 G", UINT64_MAX},
        {SHARE, "", UINT64_MAX}, {SHARE, ".", UINT64_MAX}, {SHARE, "x", UINT64_MAX}, {SHARE, "0.123", UINT64_MAX},
        {SHARE, "1.", UINT64_MAX}, {SHARE, "-1", UINT64_MAX}, {SHARE, "2.01", UINT64_MAX},
        {SHARE, "99999999999999999999", UINT64_MAX}, {LIST, "", UINT64_MAX}, {LIST, "1/2/3/4/5/6", UINT64_MAX},
        {LIST, "1//2", UINT64_MAX}, {LIST, "4095", UINT64_MAX}, {LIST, "1/", UINT64_MAX}, {LIST, "4094", 4094},
        {LIST, "1/2/3/4/5", 1 | 2 << 12 | 3 << 24 | 4ull << 36 | 5ull << 48}, {LIST, "0/7", 7 << 12}, {PATH, "none", 4},
    };
    for (size_t i = 0; i < OPTION_COUNT; i++)
        for (size_t k = 0; k < COUNT_OF(cases); k++) {
            if (cases[k].kind != g_options[i].kind)
                continue;
            if (cases[k].value == UINT64_MAX)
                must_refuse(i, cases[k].text);
            else
                must_read(i, cases[k].text, cases[k].value);
        }
    static const char *const too_small[] = {"4096", "2", "1023K"};
    for (unsigned i = 0; i < COUNT_OF(too_small); i++)
        must_refuse(OPTION_LIMIT, too_small[i]);
    must_read(OPTION_LIMIT, "80%", OPTION_PERCENT | 80);
    must_read(OPTION_LIMIT, "100%", OPTION_PERCENT | 100);
    must_read(OPTION_SAMPLE, "1", 1);
    must_refuse(OPTION_SAMPLE, "80%");
    must_refuse(OPTION_SAMPLE, "1025G");
    read_options("HAKMEM_CAP_MID=8,16,0,4,2", NULL, NULL);
    static const uint64_t items[] = {8, 16, 0, 4, 2};
    for (unsigned i = 0; i < COUNT_OF(items); i++)
        assert_int_equal(option_item(OPTION_CAP_MID, i), items[i]);
    read_options("HAKMEM_PROFILE=/tmp/a,b:c", NULL, NULL);
    assert_string_equal(option_path(OPTION_PROFILE), "/tmp/a,b:c");
    read_options("HAKMEM_RECORD=/tmp/%e.%p", NULL, NULL);
    assert_string_equal(option_path(OPTION_RECORD), "/tmp/%e.%p");
    assert_string_equal(option_path(OPTION_PROFILE), "/tmp/a,b:c");
}

static void test_shares_are_hundredths(void **state)
{
    (void)state;
    must_read(OPTION_TARGET_HIT_MID, "0.65", 65);
    must_read(OPTION_TARGET_HIT_MID, ".5", 50);
    must_read(OPTION_TARGET_HIT_MID, "0", 0);
    must_read(OPTION_TARGET_HIT_LARGE, "0.07", 7);
    must_refuse(OPTION_TARGET_HIT_MID, "1");
    must_read(OPTION_WMAX_MID, "1.4", 140);
    must_read(OPTION_WMAX_LARGE, "2", 200);
    must_refuse(OPTION_WMAX_MID, "0.99");
}

static void test_variable_wins_over_list(void **state)
{
    (void)state;
    char list[64];
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (g_options[i].kind != FLAG)
            continue;
        snprintf(list, sizeof list, "HAKMEM_CONF=%s:1", g_options[i].name);
        const char *single = variable(g_options[i].name, "0");
        read_options(single, list, NULL);
        must_be(i, 0, "the variable before the list");
        read_options(list, single, NULL);
        must_be(i, 0, "the list before the variable");
    }
}

static void test_lists(void **state)
{
    (void)state;
    read_options("HAKMEM_CONF=stats:1,check:yes", NULL, NULL);
    assert_string_equal(g_warnings, "");
    assert_int_equal(option(OPTION_STATS), 1);
    assert_int_equal(option(OPTION_CHECK), 1);
    read_options("HAKMEM_CONF=stats:1,stats:0,check:0,check:1", NULL, NULL);
    assert_int_equal(option(OPTION_STATS), 0);
    assert_int_equal(option(OPTION_CHECK), 1);
    read_options("HAKMEM_CONF=,,stats:1,,", NULL, NULL);
    must_be(OPTION_STATS, 1, "empty items");
    read_options("HAKMEM_CONF=", NULL, NULL);
    must_be(OPTION_STATS, 0, "an empty list");
    read_options("HAKMEM_CONF=check", "HAKMEM_STATS=1", NULL);
    assert_string_equal(strstr(g_warnings, "HAKMEM_CONF: "), "HAKMEM_CONF: check: not of the form name:value; a list looks like stats:1,check:0\n");
    assert_int_equal(option(OPTION_STATS), 1);
    assert_int_equal(option(OPTION_CHECK), 0);
    read_options("HAKMEM_CONF=nonsense,check:1,more=nonsense", NULL, NULL);
    assert_int_equal(option(OPTION_CHECK), 1);
    assert_non_null(strstr(g_warnings, "nonsense: not of the form"));
    assert_non_null(strstr(g_warnings, "more=nonsense: not of the form"));
}

/* Reads the two variables, and checks what becomes of the first, with "@%d" for this process. */
static void must_become(const char *first, const char *second, const char *expected, enum stats_mode mode)
{
    const char *environment[] = {first, second, NULL};
    char text[128];
    snprintf(text, sizeof text, expected, (int)getpid());
    for (size_t i = 0; i < OPTION_COUNT; i++)
        option_values[i] = g_options[i].value;
    options_read((char **)(uintptr_t)environment);
    assert_string_equal(environment[0], text);
    assert_int_equal(option(OPTION_STATS), mode);
    assert_int_equal(options_want_stats(), mode != STATS_OFF);
}

/* The first process that reads `stats` puts its number behind the value, for its children. */
static void test_statistics_are_claimed(void **state)
{
    (void)state;
    char own[64];
    must_become("HAKMEM_STATS=1", NULL, "HAKMEM_STATS=1@%d", STATS_ON);
    must_become("HAKMEM_CONF=check:0,stats:all,learn:off", NULL, "HAKMEM_CONF=check:0,stats:all@%d,learn:off", STATS_ALL);
    must_become("HAKMEM_CONF=stats:all,stats:1", NULL, "HAKMEM_CONF=stats:all,stats:1@%d", STATS_ON);
    must_become("HAKMEM_STATS=all", "HAKMEM_CONF=stats:1", "HAKMEM_STATS=all@%d", STATS_ALL);
    must_become("HAKMEM_STATS=0", NULL, "HAKMEM_STATS=0", STATS_OFF);
    snprintf(own, sizeof own, "HAKMEM_STATS=1@%d", (int)getpid());
    must_become(own, NULL, "HAKMEM_STATS=1@%d", STATS_ON);
    must_become("HAKMEM_STATS=1@1", NULL, "HAKMEM_STATS=1@1", STATS_OFF);
    must_become("HAKMEM_STATS=1", "HAKMEM_STATS_CHILDREN=1", "HAKMEM_STATS=1", STATS_ON);
    must_become("HAKMEM_STATS=1@1", "HAKMEM_STATS_CHILDREN=1", "HAKMEM_STATS=1@1", STATS_ON);
}

/* The child of a fork has read nothing itself. */
static void test_children_of_forks_are_not_meant(void **state)
{
    (void)state;
    int status;
    read_options("HAKMEM_STATS=1", NULL, NULL);
    assert_true(options_want_stats());
    pid_t child = fork();
    if (child == 0)
        _exit(options_want_stats() ? 1 : 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void test_other_variables_are_not_ours(void **state)
{
    (void)state;
    read_options("HAKMEM", "XHAKMEM_STATS=1", "hakmem_stats=1");
    must_be(OPTION_STATS, 0, "variables without the prefix");
}

/* `given` is no option; the warning offers `meant`, as whoever wrote the one would write the other; NULL: nothing. */
static void must_offer(const char *given, const char *meant)
{
    char expected[320], offer[160] = "";
    const char *written = variable(given, "1");
    read_options(written, NULL, NULL);
    if (meant)
        snprintf(offer, sizeof offer, "; did you mean %.*s?", (int)strlen(variable(meant, "")) - 1, variable(meant, ""));
    snprintf(expected, sizeof expected, "hakmem: warning: %.*s: unknown option%s\n", (int)strcspn(written, "="), written, offer);
    assert_string_equal(g_warnings, expected);
    read_options(list_of(given, "1"), NULL, NULL);
    if (meant)
        snprintf(offer, sizeof offer, "; did you mean %s?", meant);
    snprintf(expected, sizeof expected, "hakmem: warning: HAKMEM_CONF: %s: unknown option%s\n", given, offer);
    assert_string_equal(g_warnings, expected);
}

/* Words that are one letter away from an option, in every way. */
static void test_unknown_names_give_what_was_meant(void **state)
{
    (void)state;
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const char *name = g_options[i].name;
        size_t length = strlen(name);
        char wrong[64];
        for (size_t at = 0; at < length; at++) {
            snprintf(wrong, sizeof wrong, "%.*s%s", (int)at, name, name + at + 1);
            must_offer(wrong, name);
            snprintf(wrong, sizeof wrong, "%s", name);
            wrong[at] = 'q';
            must_offer(wrong, name);
            snprintf(wrong, sizeof wrong, "%.*sq%s", (int)at, name, name + at);
            must_offer(wrong, name);
        }
    }
    must_offer("chekc", "check");
    static const char *const strangers[] = {"", "q", "statistics", "hu", "size", "config", "arena_max"};
    for (size_t i = 0; i < COUNT_OF(strangers); i++)
        must_offer(strangers[i], NULL);
    char endless[4000];
    memset(endless, 'q', sizeof endless);
    memcpy(endless, "HAKMEM_", 7);
    memcpy(endless + sizeof endless - 3, "=1", 3);
    read_options(endless, NULL, NULL);
    assert_non_null(strstr(g_warnings, ": unknown option\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_every_word_of_every_flag),
        cmocka_unit_test(test_bounds_of_every_count),
        cmocka_unit_test(test_other_kinds),
        cmocka_unit_test(test_shares_are_hundredths),
        cmocka_unit_test(test_variable_wins_over_list),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_statistics_are_claimed),
        cmocka_unit_test(test_children_of_forks_are_not_meant),
        cmocka_unit_test(test_other_variables_are_not_ours),
        cmocka_unit_test(test_unknown_names_give_what_was_meant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
