/* kept_model.c - rows of call frames that are written while others read them; on the real kept.c, with a table of one
 * pair of entries (defects.py).
 * SPDX-License-Identifier: MIT */
#include "model.h"

#include "insight/kept.h"

void error_assert(const char *condition, const char *file, int line)
{
    (void)file, (void)line;
    model_fail(condition);
}

enum { PRINT = 7 };

/* Every part of a row says whose it is. */
static struct kept row_of(uintptr_t address)
{
    struct kept row = {.address = address, .print = PRINT, .cfa = (uint32_t)address};
    for (unsigned i = 0; i < KEPT_SAVED_MAX; i++)
        row.saved[i] = (int16_t)address;
    return row;
}

static void row_write(uintptr_t address)
{
    struct kept row = row_of(address);
    kept_write(&row);
}

/* Whether there is one; what there is must be whole. */
static bool row_read(uintptr_t address)
{
    struct kept row;
    if (!kept_find(address, PRINT, &row))
        return false;
    bool is_whole = row.cfa == address;
    for (unsigned i = 0; i < KEPT_SAVED_MAX; i++)
        is_whole = is_whole && row.saved[i] == (int16_t)address;
    model_check(is_whole, "a row is read as one writer wrote it");
    return true;
}

static void full(void)
{
    row_write(1);
    row_write(2);
    model_check(row_read(1) && row_read(2), "both of a pair are found");
}

static void write_3(void) { row_write(3); }
static void write_4(void) { row_write(4); }
static void write_5(void) { row_write(5); }
static void replace_1_twice(void)
{
    row_write(3);
    row_write(4);
    row_write(1);
}
static void read_1(void) { row_read(1); }
static void read_3(void) { row_read(3); }

static void quiet(void)
{
    unsigned found = 0;
    for (uintptr_t address = 1; address <= 5; address++)
        found += row_read(address);
    model_check(found == 2, "no entry stays closed");
}

static const struct model_scenario scenarios[] = {
    {"read_while_replaced", full, {write_3, read_1}, quiet, false, 0},
    {"read_while_written", full, {write_3, read_3}, quiet, false, 0},
    {"read_while_replaced_and_put_back", full, {replace_1_twice, read_1}, quiet, false, 0},
    {"two_writers", full, {write_3, write_4, read_3}, quiet, false, 2},
    {"three_writers", full, {write_3, write_4, write_5}, quiet, false, 3},
};

int main(int argc, char **argv) { return model_main(argc, argv, scenarios, sizeof scenarios / sizeof *scenarios); }
