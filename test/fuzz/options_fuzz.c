/* options_fuzz.c - whatever stands in the environment and in a configuration file, each option has a value that it may
 * have, and one that reads the same as it is written. The bytes are HAKMEM_CONF up to a zero, then the file.
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "system/options.h"
#include "system/report.h"
#include "system/text.h"

enum option_kind { FLAG, COUNT, SHARE, SIZE, PATH, LIST, DETAIL, LEARN, REPORT, HUGE };

static const struct row {
    enum option_kind kind;
    uint64_t value, min, max;
} rows[OPTION_COUNT] = {
#define X(id, name, kind, value, min, max, doc) {kind, value, min, max},
#include "system/options.def"
#undef X
};

static void options_reset(void)
{
    for (size_t i = 0; i < OPTION_COUNT; i++)
        option_values[i] = rows[i].value;
    memset(option_sources, 0, sizeof option_sources);
}

static bool value_may_be(const struct row *row, uint64_t value)
{
    switch (row->kind) {
    case SIZE: return value == 0 || (value >= row->min && value <= row->max);
    case LIST: return value >> 60 == 0;
    default: return value >= row->min && value <= row->max;
    }
}

/* A path may have blanks at its ends, which a file's line loses. */
static void value_must_come_back(enum option_id id)
{
    struct text value;
    char line[512];
    uint64_t before = option(id);
    text_begin(&value, -1);
    option_write(&value, id);
    int length = snprintf(line, sizeof line, "%s = %.*s", option_name(id), (int)value.length, value.buffer);
    options_reset();
    options_read_text(line, (size_t)length, "mariadbd");
    FUZZ_MUST(option(id) == before);
}

static void options_check(void)
{
    uint64_t values[OPTION_COUNT];
    memcpy(values, option_values, sizeof values);
    for (unsigned id = 0; id < OPTION_COUNT; id++) {
        FUZZ_MUST(value_may_be(&rows[id], values[id]));
        if (option_sources[id].origin == OPTION_BY_DEFAULT)
            FUZZ_MUST(values[id] == rows[id].value);
        else if (rows[id].kind == PATH)
            FUZZ_MUST(strlen(option_path(id)) <= values[id]);
    }
    for (unsigned id = 0; id < OPTION_COUNT; id++) {
        memcpy(option_values, values, sizeof values);
        if (rows[id].kind != PATH)
            value_must_come_back(id);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *zero = size > 0 ? memchr(data, 0, size) : NULL;
    size_t list = zero ? (size_t)(zero - data) : 0, file = size - list - (zero != NULL);
    char *variable = malloc(sizeof "HAKMEM_CONF=" + list), *text = malloc(file > 0 ? file : 1);
    char *environment[] = {variable, (char *)(uintptr_t)"HAKMEM_CONF_FILE=none", NULL};
    memcpy(variable, "HAKMEM_CONF=", sizeof "HAKMEM_CONF=");
    memcpy(variable + strlen(variable), data, list);
    variable[sizeof "HAKMEM_CONF=" - 1 + list] = 0;
    memcpy(text, data + size - file, file);
    report_stderr = (struct report){.fd = -1, .own = -1, .is_open = true}; /* what is wrong is not to be read */
    options_reset();
    options_read(environment);
    options_read_text(text, file, "/usr/sbin/mariadbd");
    options_check();
    free(variable);
    free(text);
    return 0;
}
