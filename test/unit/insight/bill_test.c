/* bill_test.c - the bill at exit: twelve lines of 80 columns that add up, and put what is large where it belongs.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hakmem.h"
#include "insight/bill.h"
#include "system/os_sandbox.h"

#define MIB ((size_t)1 << 20)
enum { ROWS_MOST = 12, COLUMNS_MOST = 80 };

static const struct row {
    const char *id, *words;
} g_rows[] = {
#define X(id, name, words) {#id, words},
#include "insight/bill.def"
#undef X
};

static char g_text[4096];

static void bill_read(void)
{
    int file = file_make();
    bill_print(file, false);
    file_read(file, g_text, sizeof g_text);
    close(file);
}

/* The bytes at the beginning of a line such as "  12.3 MiB   45 %  words". */
static double line_bytes(const char *line)
{
    double amount;
    char unit;
    must(sscanf(line, "%lf %ciB", &amount, &unit) == 2, "no amount in %.80s", line);
    return amount * (unit == 'K' ? 1 << 10 : unit == 'M' ? 1 << 20 : 1 << 30);
}

/* The row with these words; NULL: it is not there. */
static const char *row_find(const char *words)
{
    const char *at = strstr(g_text, words);
    while (at && at > g_text && at[-1] != '\n')
        at--;
    return at;
}

static double row_bytes(const char *words)
{
    const char *row = row_find(words);
    return row ? line_bytes(row) : 0;
}

/* The last line is the sum of those between it and the first. */
static void must_add_up(void)
{
    double sum = 0, last = 0;
    size_t lines = 0;
    for (const char *line = g_text; *line; line = strchr(line, '\n') + 1, lines++) {
        must(strcspn(line, "\n") <= COLUMNS_MOST, "a line of more than %d columns in\n%s", COLUMNS_MOST, g_text);
        sum += last;
        last = lines > 0 ? line_bytes(line) : 0;
    }
    must(lines > 2 && lines <= ROWS_MOST - 1, "%zu lines, one more comes below:\n%s", lines, g_text);
    double error = sum - last, allowed = (double)(lines * MIB) / 10;
    must(error < allowed && -error < allowed, "the lines add up to %.0f bytes:\n%s", sum, g_text);
}

static void must_be_near(const char *words, double expected)
{
    double seen = row_bytes(words);
    must(seen > expected - (double)(4 * MIB) && seen < expected + (double)(4 * MIB), "%s: expected %.0f bytes in\n%s",
         words, expected, g_text);
}

static void skip_without_proc(void)
{
    if (!strstr(g_text, "as the kernel says"))
        skip();
}

enum { BLOCKS = 4000, BLOCK = 16000 };
static void *g_blocks[BLOCKS];

static void blocks_make(void)
{
    for (size_t i = 0; i < BLOCKS; i++)
        g_blocks[i] = memset(hak_malloc(BLOCK), 1, BLOCK);
}

static void test_live_blocks(void **state)
{
    (void)state;
    if (UNDER_SHADOW)
        skip();
    blocks_make();
    bill_read();
    skip_without_proc();
    must_add_up();
    must_be_near("live blocks", (double)BLOCKS * BLOCK * 1.02);
    for (size_t i = 0; i < BLOCKS; i++)
        hak_free(g_blocks[i]);
}

static void test_every_second_is_free(void **state)
{
    (void)state;
    if (UNDER_SHADOW)
        skip();
    blocks_make();
    for (size_t i = 0; i < BLOCKS; i += 2)
        hak_free(g_blocks[i]);
    bill_read();
    skip_without_proc();
    must_add_up();
    must_be_near("live blocks", (double)BLOCKS * BLOCK * 1.02 / 2);
    assert_non_null(row_find("; peak "));
    for (size_t i = 1; i < BLOCKS; i += 2)
        hak_free(g_blocks[i]);
}

static void test_other_mappings(void **state)
{
    (void)state;
    if (UNDER_SHADOW)
        skip();
    size_t size = 48 * MIB;
    char *other = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *shared = mmap(NULL, size / 2, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memset(other, 1, size);
    memset(shared, 1, size / 2);
    bill_read();
    munmap(other, size);
    munmap(shared, size / 2);
    skip_without_proc();
    must_add_up();
    must_be_near("other anonymous", (double)size);
    must_be_near("shared memory", (double)size / 2);
}

/* Every line at its widest: the largest number of columns that the words of the table take. */
static void test_words_fit(void **state)
{
    (void)state;
    enum { BEFORE = 21 };
    static const char peak[] = "; peak 1023.9 MiB";
    for (size_t i = 0; i < COUNT_OF(g_rows); i++)
        must(BEFORE + strlen(g_rows[i].words) + (i == 0 ? strlen(peak) : 0) <= COLUMNS_MOST, "%s: too long",
             g_rows[i].id);
    assert_true(1 + COUNT_OF(g_rows) + 1 + 1 <= ROWS_MOST); /* with title, sum, and what else there is */
}

static void test_without_proc(void **state)
{
    (void)state;
    uint8_t before = load_relaxed(&os_sandbox);
    blocks_make();
    os_sandbox_shut();
    bill_read();
    store_relaxed(&os_sandbox, before);
    assert_non_null(strstr(g_text, "in all, resident or not: /proc/self/smaps cannot be read\n"));
    must_add_up();
    must_be_near("live blocks", (double)BLOCKS * BLOCK * 1.02);
    for (size_t i = 0; i < BLOCKS; i++)
        hak_free(g_blocks[i]);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_live_blocks),    cmocka_unit_test(test_every_second_is_free),
        cmocka_unit_test(test_other_mappings), cmocka_unit_test(test_words_fit),
        cmocka_unit_test(test_without_proc),
    };
    os_sandbox_watch(); /* as in a program that the library is preloaded into */
    return RUN_TESTS(tests);
}
