/* present_test.c - amounts, times and lines as people read them.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "present.h"

#define MIB (UINT64_C(1) << 20)

static void amounts(void **state)
{
    (void)state;
    assert_string_equal(bytes_text(0).text, "0.0 KiB");
    assert_string_equal(bytes_text(512).text, "0.5 KiB");
    assert_string_equal(bytes_text(MIB - 1).text, "1.0 MiB");
    assert_string_equal(bytes_text(MIB).text, "1.0 MiB");
    assert_string_equal(bytes_text(1023 * MIB + 900 * 1024).text, "1023.9 MiB");
    assert_string_equal(bytes_text(UINT64_C(1) << 60).text, "1048576.0 TiB");
}

static void times(void **state)
{
    (void)state;
    assert_string_equal(time_text(999).text, "0 s");
    assert_string_equal(time_text(59999).text, "59 s");
    assert_string_equal(time_text(60000).text, "1 min");
    assert_string_equal(time_text(61000).text, "1 min 1 s");
    assert_string_equal(time_text(3 * 3600000 + 12 * 60000).text, "3 h 12 min");
    assert_string_equal(time_text(UINT64_C(2) * 86400000 + 3600000).text, "2 d 1 h");
}

/* What is written to `to` until it is asked for. */
static char *written;
static size_t written_size;

static void lines_end_before_the_last_column(void **state)
{
    (void)state;
    char text[400] = "";
    for (int i = 0; i < 30; i++)
        strcat(text, "ten-chars. ");
    FILE *to = open_memstream(&written, &written_size);
    text_wrap(to, "Head: ", text);
    fclose(to);
    unsigned lines = 0;
    for (char *line = strtok(written, "\n"); line; line = strtok(NULL, "\n"), lines++) {
        assert_in_range(strlen(line), 1, 80);
        assert_int_equal(strncmp(line, lines == 0 ? "Head: ten" : "      ten", 9), 0);
    }
    assert_int_equal(lines, 5); /* six words of ten and a blank in 74 */
    free(written);
}

static void numbers_stay_with_their_units(void **state)
{
    (void)state;
    FILE *to = open_memstream(&written, &written_size);
    text_wrap(to, "", "It is so that the end of this line is where the number of bytes would be: 12.5 MiB.");
    fclose(to);
    assert_non_null(strstr(written, "be:\n12.5 MiB.\n"));
    free(written);
}

static struct owner owner[] = {{.name = (char *)"first",
                                .module = (char *)"",
                                .callers = (char *)"second < a_caller_with_a_name_that_is_too_long_for_it",
                                .live = 60 * MIB,
                                .resident = 60 * MIB}};

static void a_bill_has_a_line_for_each_item(void **state)
{
    (void)state;
    const struct owners owners = {owner, 1, 60 * MIB, 60 * MIB, 0};
    struct bill bill = {.total = 100 * MIB, .live = 70 * MIB, .is_from_kernel = true};
    bill.item[BILL_LIVE] = 60 * MIB;
    bill.item[BILL_KEPT] = 39 * MIB + MIB / 2;
    bill.item[BILL_OWN] = MIB / 2;
    FILE *to = open_memstream(&written, &written_size);
    bill_print(to, &bill, &owners);
    fclose(to);
    assert_string_equal(written, "   60.0 MiB   60 %  live blocks (70.0 MiB with untouched)\n"
                                 "                       60.0 MiB  first < second\n"
                                 "   39.5 MiB   40 %  free, kept for reuse\n"
                                 "  512.0 KiB    0 %  all else, each below 1 %\n"
                                 "  100.0 MiB  100 %  resident, as the kernel says\n");
    free(written);
    to = open_memstream(&written, &written_size);
    bill.peak = 1023 * MIB;
    bill.peak_total = 2000 * MIB;
    bill_print(to, &bill, NULL);
    fclose(to);
    assert_non_null(strstr(written, " live blocks (70.0 MiB with untouched); peak 1023.0 MiB\n"));
    assert_non_null(strstr(written, " resident, as the kernel says; peak 2.0 GiB\n"));
    assert_non_null(strstr(written, "  512.0 KiB    0 %  hakmem itself: its tables, record and code\n"));
    free(written);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(amounts),
        cmocka_unit_test(times),
        cmocka_unit_test(lines_end_before_the_last_column),
        cmocka_unit_test(numbers_stay_with_their_units),
        cmocka_unit_test(a_bill_has_a_line_for_each_item),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
