/* report.c - tables of 80 columns at most, and the same rows as JSON.
 * SPDX-License-Identifier: MIT */
#include "scale.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LABEL_WIDTH = 28, COLUMN_WIDTH = 10, LINE_WIDTH = 80, CELL_SIZE = 32 };

/* All that was printed, for the end. */
static struct row {
    const struct measurement *measurement;
    struct record record;
} * rows;
static size_t row_count;

static const struct measurement *now; /* whose table is being printed */

/* ---- Numbers as text --------------------------------------------------------------------------------------------- */

/* Three digits and a unit, each of which is so many times the one before. */
static void scaled_print(char *text, size_t size, double value, double step, const char *const *units, size_t count)
{
    size_t unit = 0;
    while (unit + 1 < count && fabs(value) >= step * 0.9995) {
        value /= step;
        unit++;
    }
    double absolute = fabs(value);
    int digits = unit == 0 || absolute >= 99.95 ? 0 : absolute >= 9.995 ? 1 : 2;
    snprintf(text, size, "%.*f %s", digits, value, units[unit]);
}

static void bytes_print(char *text, size_t size, double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    scaled_print(text, size, bytes, 1024, units, sizeof units / sizeof *units);
}

const char *size_text(uint64_t bytes, char *text)
{
    bytes_print(text, SIZE_TEXT, (double)bytes);
    char *point = strchr(text, '.'), *unit = strchr(text, ' ');
    char *end = unit;
    while (point != NULL && (end[-1] == '0' || end[-1] == '.') && end > point)
        end--;
    memmove(end, unit, strlen(unit) + 1);
    return text;
}

static void cell_print(char *text, enum unit unit, double value)
{
    static const char *const times[] = {"ns", "us", "ms", "s"}, *const rates[] = {"/s", "k/s", "M/s", "G/s"};
    if (isnan(value))
        snprintf(text, CELL_SIZE, "-");
    else if (unit == UNIT_TIME)
        scaled_print(text, CELL_SIZE, value, 1000, times, sizeof times / sizeof *times);
    else if (unit == UNIT_BYTES)
        bytes_print(text, CELL_SIZE, value);
    else if (unit == UNIT_KB)
        snprintf(text, CELL_SIZE, "%.*f kB", fabs(value) < 10000 ? 1 : 0, value);
    else if (unit == UNIT_RATE)
        scaled_print(text, CELL_SIZE, value * 1e6, 1000, rates, sizeof rates / sizeof *rates);
    else
        snprintf(text, CELL_SIZE, "%.0f", value);
}

/* ---- Tables ------------------------------------------------------------------------------------------------------ */

static const char *allocator_name(void)
{
    Dl_info info;
    void *here = dlsym(RTLD_DEFAULT, "malloc");
    if (here == NULL || dladdr(here, &info) == 0 || info.dli_fname == NULL)
        return "unknown";
    const char *slash = strrchr(info.dli_fname, '/');
    return slash == NULL ? info.dli_fname : slash + 1;
}

static void progress_clear(void)
{
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
}

void progress_print(const char *what, const char *label)
{
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K%s: %s ...", what, label);
}

void table_begin(const struct measurement *measurement)
{
    now = measurement;
    printf("%s, on %s:\n%s\n", now->name, allocator_name(), now->about);
    printf("  %-*s", LABEL_WIDTH - 2, now->label);
    for (unsigned i = 0; i < COLUMNS && now->columns[i].heading != NULL; i++)
        printf(" %*s", COLUMN_WIDTH - 1, now->columns[i].heading);
    printf("\n");
    fflush(stdout);
}

static void cells_print(const double *values)
{
    for (unsigned i = 0; i < COLUMNS && now->columns[i].heading != NULL; i++) {
        char text[CELL_SIZE];
        cell_print(text, now->columns[i].unit, values[i]);
        printf(" %*s", COLUMN_WIDTH - 1, text);
    }
    printf("\n");
}

/* Words, beginning at a column, in lines that begin there. */
static void words_print(unsigned indent, const char *text)
{
    unsigned column = indent;
    while (*text != '\0') {
        int length = (int)strcspn(text, " ");
        if (column > indent && column + 1 + (unsigned)length > LINE_WIDTH) {
            printf("\n%*s", (int)indent, "");
            column = indent;
        }
        column += (unsigned)printf("%s%.*s", column > indent ? " " : "", length, text);
        text += length + (text[length] == ' ');
    }
    printf("\n");
}

static void row_print(const struct record *record)
{
    char text[TEXT_SIZE + 16];
    if (record->kind == RECORD_NOTE) {
        printf("  ");
        words_print(2, record->text);
        return;
    }
    printf("  %-*s", LABEL_WIDTH - 2, record->label);
    if (record->kind == RECORD_ROW) {
        cells_print(record->values);
        return;
    }
    snprintf(text, sizeof text, "  %s: %s", record->kind == RECORD_SKIP ? "skipped" : "failed", record->text);
    words_print(LABEL_WIDTH, text + 2);
}

void record_print(const struct record *record)
{
    if (record->kind == RECORD_NAME) {
        progress_print(now->name, record->label);
        return;
    }
    rows = realloc(rows, (row_count + 1) * sizeof *rows);
    if (rows == NULL) {
        perror("hakmem-scale");
        exit(1);
    }
    rows[row_count++] = (struct row){.measurement = now, .record = *record};
    progress_clear();
    row_print(record);
    fflush(stdout);
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static void string_print_json(const char *name, const char *text)
{
    printf("\"%s\": \"", name);
    for (; *text != '\0'; text++)
        if (*text == '"' || *text == '\\')
            printf("\\%c", *text);
        else
            putchar((unsigned char)*text < ' ' ? ' ' : *text);
    printf("\"");
}

static void row_print_json(const struct row *row)
{
    static const char *const kinds[] = {[RECORD_SKIP] = "skipped", [RECORD_FAILURE] = "failed", [RECORD_NOTE] = "note"};
    const struct record *record = &row->record;
    printf("{");
    string_print_json("measurement", row->measurement->name);
    printf(", ");
    string_print_json("allocator", allocator_name());
    printf(", ");
    string_print_json("row", record->label);
    if (record->kind != RECORD_ROW) {
        printf(", ");
        string_print_json(kinds[record->kind], record->text);
    }
    for (unsigned i = 0; record->kind == RECORD_ROW && i < COLUMNS && row->measurement->columns[i].key != NULL; i++)
        if (isnan(record->values[i]))
            printf(", \"%s\": null", row->measurement->columns[i].key);
        else
            printf(", \"%s\": %.10g", row->measurement->columns[i].key, record->values[i]);
    printf("}\n");
}

void rows_print_json(void)
{
    for (size_t i = 0; i < row_count; i++)
        row_print_json(&rows[i]);
}

bool rows_have_failed(void)
{
    for (size_t i = 0; i < row_count; i++)
        if (rows[i].record.kind == RECORD_FAILURE)
            return true;
    return false;
}
