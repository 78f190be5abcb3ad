/* text_test.c - the composing of messages, against printf.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "system/text.h"

static struct text g_text;
static int g_file;
static char g_seen[16384];

static void begin(void)
{
    g_file = file_make();
    text_begin(&g_text, g_file);
}

static const char *written(void)
{
    text_end(&g_text);
    file_read(g_file, g_seen, sizeof g_seen);
    close(g_file);
    return g_seen;
}

static const uint64_t g_values[] = {0,     1,          9,           10,         99,          100,       1023,      1024,
                                    65535, 4294967295, 4294967296u, 1000000000, UINT64_MAX, INT64_MAX, UINT64_MAX - 1};

static void test_numbers(void **state)
{
    (void)state;
    char expected[64];
    for (size_t i = 0; i < COUNT_OF(g_values); i++) {
        begin();
        text_decimal(&g_text, g_values[i]);
        text_string(&g_text, " ");
        text_hex(&g_text, (uintptr_t)g_values[i]);
        snprintf(expected, sizeof expected, "%" PRIu64 " 0x%" PRIx64, g_values[i], g_values[i]);
        assert_string_equal(written(), expected);
    }
}

static void test_columns(void **state)
{
    (void)state;
    char expected[64];
    static const char *const words[] = {"", "a", "four", "exactly-ten", "longer than the column"};
    for (size_t i = 0; i < COUNT_OF(g_values); i++) {
        const char *word = words[i % COUNT_OF(words)];
        begin();
        text_left(&g_text, word, 11);
        text_right(&g_text, g_values[i], 12);
        snprintf(expected, sizeof expected, "%-11s%12" PRIu64, word, g_values[i]);
        assert_string_equal(written(), expected);
    }
}

static void test_bytes_in_units(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {
        {0, "     0.0 KiB"},
        {1024, "     1.0 KiB"},
        {1536, "     1.5 KiB"},
        {1023, "     0.9 KiB"},
        {1023 * 1024, "  1023.0 KiB"},
        {1024 * 1024, "     1.0 MiB"},
        {(uint64_t)5 << 29, "     2.5 GiB"},
        {(uint64_t)7 << 40, "     7.0 TiB"},
        {(uint64_t)5000 << 40, "  5000.0 TiB"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        begin();
        text_bytes(&g_text, cases[i].bytes);
        assert_string_equal(written(), cases[i].text);
    }
}

static void test_span_is_cut_at_its_length(void **state)
{
    (void)state;
    begin();
    text_span(&g_text, "not all of it", 7);
    text_span(&g_text, "nothing", 0);
    assert_string_equal(written(), "not all");
}

static void test_text_longer_than_the_buffer(void **state)
{
    (void)state;
    static char expected[10000];
    size_t length = 0;
    begin();
    for (unsigned i = 0; length < 8 * sizeof g_text.buffer; i++) {
        length += (size_t)snprintf(expected + length, sizeof expected - length, "line %u of many, ", i);
        text_string(&g_text, "line ");
        text_decimal(&g_text, i);
        text_string(&g_text, " of many, ");
    }
    assert_string_equal(written(), expected);
}

static const char *folded(unsigned indent, const char *words)
{
    begin();
    text_fold(&g_text, indent);
    text_string(&g_text, words);
    return written();
}

#define TEN "nine long "
#define EIGHTY TEN TEN TEN TEN TEN TEN TEN "and ten at"

static void test_lines_are_folded(void **state)
{
    (void)state;
    assert_string_equal(folded(4, EIGHTY "\n" EIGHTY), EIGHTY "\n" EIGHTY);
    assert_string_equal(folded(4, EIGHTY " last\nnew"), EIGHTY "\n    last\nnew");
    assert_string_equal(folded(4, EIGHTY "e"), TEN TEN TEN TEN TEN TEN TEN "and ten\n    ate");
    assert_string_equal(folded(0, EIGHTY " last"), EIGHTY " last");
    assert_string_equal(folded(2, TEN TEN TEN TEN TEN TEN TEN "and    12345.6 KiB"),
                        TEN TEN TEN TEN TEN TEN TEN "and\n  12345.6 KiB");
    assert_string_equal(folded(2, TEN TEN TEN TEN TEN TEN TEN "\xc3\xa4nd ten at"),
                        TEN TEN TEN TEN TEN TEN TEN "\xc3\xa4nd ten at");
}

/* A word that is longer than a line, or than the buffer, stays whole, and is not lost. */
static void test_long_words_stay_whole(void **state)
{
    (void)state;
    char word[1001], expected[1100];
    memset(word, 'x', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    assert_string_equal(folded(4, word), word);
    word[100] = '\0';
    snprintf(expected, sizeof expected, "alpha\n    %s\n    b\n", word);
    begin();
    text_fold(&g_text, 4);
    text_string(&g_text, "alpha ");
    text_string(&g_text, word);
    text_string(&g_text, " b\n");
    assert_string_equal(written(), expected);
}

/* Wherever the buffer ends: all words come out in their order, in lines that fit. */
static void test_folded_text_longer_than_the_buffer(void **state)
{
    (void)state;
    static char given[10000], seen[20000];
    size_t length = 0;
    for (unsigned i = 0; length < sizeof given - 20; i++)
        length += (size_t)snprintf(given + length, sizeof given - length, "%0*uword%s", (int)(i % 7) + 1, i,
                                   i % 50 == 49 ? "\n" : " ");
    snprintf(seen, sizeof seen, "%s", folded(30, given));
    char *rest_given, *rest_seen, *seen_word = strtok_r(seen, " \n", &rest_seen);
    for (const char *line = g_seen; *line; line += strcspn(line, "\n") + (strchr(line, '\n') != NULL))
        must(strcspn(line, "\n") <= 81, "a line of %zu", strcspn(line, "\n")); /* with a blank that nothing follows */
    for (char *word = strtok_r(given, " \n", &rest_given); word; word = strtok_r(NULL, " \n", &rest_given)) {
        assert_string_equal(seen_word ? seen_word : "nothing", word);
        seen_word = strtok_r(NULL, " \n", &rest_seen);
    }
    assert_null(seen_word);
}

static void test_closed_file_is_no_trouble(void **state)
{
    (void)state;
    errno = 4242;
    text_begin(&g_text, 987654);
    text_string(&g_text, "nobody reads this");
    text_end(&g_text);
    assert_int_equal(errno, 4242);
    assert_int_equal(g_text.length, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_columns),
        cmocka_unit_test(test_bytes_in_units),
        cmocka_unit_test(test_span_is_cut_at_its_length),
        cmocka_unit_test(test_text_longer_than_the_buffer),
        cmocka_unit_test(test_lines_are_folded),
        cmocka_unit_test(test_long_words_stay_whole),
        cmocka_unit_test(test_folded_text_longer_than_the_buffer),
        cmocka_unit_test(test_closed_file_is_no_trouble),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
