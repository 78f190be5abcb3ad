/* stats_test.c - what Prometheus gets of several processes.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"
#include "memory/stats.h"

static _Alignas(64) char memory[FIXTURE_SIZE];

static struct record *opened(void)
{
    struct record *record = record_open(fixture_file(memory, sizeof memory));
    assert_non_null(record);
    return record;
}

static char *metrics(const struct measured *measured, size_t count)
{
    char *text;
    size_t size;
    FILE *to = open_memstream(&text, &size);
    assert_non_null(to);
    metrics_print(to, measured, count);
    fclose(to);
    return text;
}

/* How often a process has the sample. */
static unsigned times(const char *text, const char *sample)
{
    unsigned found = 0;
    for (; (text = strstr(text, sample)); text++)
        found++;
    return found;
}

/* A process without statistics, or with some that nobody knows, takes nothing from the others, whichever is first. */
static void what_one_lacks_others_have(void **state)
{
    (void)state;
    fixture_fill(memory);
    fixture_header(memory)->process = 77;
    struct record *whole = opened();
    fixture_header(memory)->process = 78;
    fixture_header(memory)->value_count = 1;
    memcpy(fixture_header(memory)->names, "bytes.resident:bytes", sizeof "bytes.resident:bytes");
    struct record *strange = opened();
    for (int first = 0; first < 2; first++) {
        struct measured both[] = {{.record = first ? strange : whole}, {.record = first ? whole : strange}};
        char *text = metrics(both, 2);
        assert_int_equal(times(text, "hakmem_live_bytes{process=\"77\""), 1);
        assert_int_equal(times(text, "hakmem_live_bytes{process=\"78\""), 0);
        assert_int_equal(times(text, "# TYPE hakmem_resident_bytes "), 1);
        free(text);
    }
    record_close(whole);
    record_close(strange);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_one_lacks_others_have),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
