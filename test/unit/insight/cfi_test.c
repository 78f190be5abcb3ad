/* cfi_test.c - call frame information: every rule by tables written here, expressions by their values, all functions of
 * this program and of libc against each byte of their descriptions being another one, and tables that end too early.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <dlfcn.h>
#include <stdlib.h>

#include "insight/cfi.h"
#include "system/image.h"

enum { BYTES_MAX = 512 };

/* Numbers of two, four and eight bytes, the lowest first here, as the machine has them. */
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define TWO(a, b) b, a
#define FOUR(a, b, c, d) d, c, b, a
#define EIGHT(a, b, c, d, e, f, g, h) h, g, f, e, d, c, b, a
#else
#define TWO(a, b) a, b
#define FOUR(a, b, c, d) a, b, c, d
#define EIGHT(a, b, c, d, e, f, g, h) a, b, c, d, e, f, g, h
#endif

/* The number of the return address in tables (register_place). */
#if defined(__powerpc64__)
enum { RA_NUMBER = 65 };
#else
enum { RA_NUMBER = CFI_RA };
#endif

/* ---- Tables that are written here -------------------------------------------------------------------------------- */

/* A header for one function, which begins where the table does, what functions share, and its description. */
struct table {
    uint8_t bytes[BYTES_MAX];
    size_t length;
};

static void put(struct table *table, uint64_t value, size_t size)
{
    must(table->length + size <= sizeof table->bytes, "the table has no room");
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value <<= 64 - 8 * size;
#endif
    memcpy(table->bytes + table->length, &value, size);
    table->length += size;
}

static void put_bytes(struct table *table, const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        put(table, bytes[i], 1);
}

/* A record begins with its length; returns where that is. */
static size_t record_begin(struct table *table)
{
    put(table, 0, 4);
    return table->length - 4;
}

static void record_end(struct table *table, size_t at)
{
    uint32_t length = (uint32_t)(table->length - at - 4);
    memcpy(table->bytes + at, &length, sizeof length);
}

enum { CODE_SIZE = 256, HEADER_SIZE = 20 };

/* `common` and `own`: programs. The code is taken to lie where the table does. */
static void table_make(struct table *table, const char *letters, const uint8_t *common, size_t common_count,
                       const uint8_t *own, size_t own_count)
{
    table->length = 0;
    put_bytes(table, (const uint8_t[]){1, 0x1B, 0x03, 0x3B}, 4);
    put(table, 0, 4);
    put(table, 1, 4);
    put(table, 0, 4);                                /* the code's distance from the header */
    put(table, 0, 4);                                /* the description's; below */
    size_t shared = record_begin(table);
    put(table, 0, 4);
    put(table, 1, 1);
    put_bytes(table, (const uint8_t *)letters, strlen(letters) + 1);
    put(table, 4, 1);                                /* code is counted by 4 bytes, */
    put(table, 0x78, 1);                             /* data by -8 */
    put(table, RA_NUMBER, 1);
    if (strchr(letters, 'z'))
        put(table, 1, 1);
    if (strchr(letters, 'R'))
        put(table, 0x1B, 1);
    put_bytes(table, common, common_count);
    record_end(table, shared);
    size_t description = record_begin(table);
    put(table, description + 4 - shared, 4);
    put(table, -table->length, 4);
    put(table, CODE_SIZE, 4);
    if (strchr(letters, 'z'))
        put(table, 0, 1);
    put_bytes(table, own, own_count);
    record_end(table, description);
    memcpy(table->bytes + 16, &(uint32_t){(uint32_t)description}, 4);
}

static struct cfi_tables tables_of(const uint8_t *bytes, size_t length)
{
    return (struct cfi_tables){bytes, bytes + length, bytes};
}

/* The row at an offset of the code; false when there is none. */
static bool row_find(const struct table *table, unsigned offset, struct cfi_row *row)
{
    struct cfi_tables tables = tables_of(table->bytes, table->length);
    struct cfi_description description;
    uintptr_t address = (uintptr_t)table->bytes + offset;
    return cfi_find(&tables, address, &description) && cfi_row_at(&description, address, row);
}

#define PROGRAM(...) ((const uint8_t[]){__VA_ARGS__}), sizeof((const uint8_t[]){__VA_ARGS__})
#define SHARED PROGRAM(0x0C, CFI_SP, 8, 0x80 | 3, 1) /* def_cfa sp 8; offset 3 1 */

/* The row at an offset, of a program behind a common one. */
static struct cfi_row row_of(unsigned offset, const uint8_t *own, size_t count)
{
    struct table table;
    struct cfi_row row;
    table_make(&table, "zR", SHARED, own, count);
    must(row_find(&table, offset, &row), "there is no row");
    return row;
}

static void must_be_rule(struct cfi_row row, unsigned number, enum cfi_rule rule, int value)
{
    must(row.rule[number] == rule && row.value[number] == value, "register %u has rule %u with %d, not %u with %d", number,
         row.rule[number], row.value[number], rule, value);
}

static void must_be_cfa(struct cfi_row row, unsigned number, int value)
{
    must(!row.cfa_is_expression && row.cfa_register == number && row.cfa_value == value, "the frame address is %u + %d, not %u + %d",
         row.cfa_register, row.cfa_value, number, value);
}

static void test_rules(void **state)
{
    (void)state;
    must_be_rule(row_of(0, PROGRAM(0x00)), 3, CFI_AT, -8);
    must_be_rule(row_of(0, PROGRAM(0x80 | 5, 2)), 5, CFI_AT, -16);
    must_be_rule(row_of(0, PROGRAM(0x05, 5, 2)), 5, CFI_AT, -16);
    must_be_rule(row_of(0, PROGRAM(0x11, 5, 0x7E)), 5, CFI_AT, 16);          /* offset_extended_sf -2 */
    must_be_rule(row_of(0, PROGRAM(0x2F, 5, 2)), 5, CFI_AT, 16);             /* GNU_negative_offset_extended */
    must_be_rule(row_of(0, PROGRAM(0x14, 5, 3)), 5, CFI_IS, -24);
    must_be_rule(row_of(0, PROGRAM(0x15, 5, 0x7D)), 5, CFI_IS, 24);
    must_be_rule(row_of(0, PROGRAM(0x09, 5, 6)), 5, CFI_IN, 6);
    must_be_rule(row_of(0, PROGRAM(0x07, RA_NUMBER)), CFI_RA, CFI_UNDEFINED, 0);
    must_be_rule(row_of(0, PROGRAM(0x08, 3)), 3, CFI_SAME, 0);
    must_be_rule(row_of(0, PROGRAM(0x80 | 3, 7, 0xC0 | 3)), 3, CFI_AT, -8);  /* restore: as in the common program */
    must_be_rule(row_of(0, PROGRAM(0x80 | 3, 7, 0x06, 3)), 3, CFI_AT, -8);
    must_be_rule(row_of(0, PROGRAM(0x2E, 16, 0x80 | 5, 2)), 5, CFI_AT, -16); /* GNU_args_size has no effect */
    /* Nor has a register we do not follow. */
    must_be_rule(row_of(0, PROGRAM(0x05, 77, 1, 0x80 | 5, 2)), 5, CFI_AT, -16);
    must_be_rule(row_of(0, PROGRAM(0x10, 5, 1, 0x30, 0x80 | 4, 2)), 4, CFI_AT, -16); /* expressions are skipped */
    assert_int_equal(row_of(0, PROGRAM(0x10, 5, 1, 0x30)).rule[5], CFI_AT_EXPRESSION);
    assert_int_equal(row_of(0, PROGRAM(0x16, 5, 1, 0x30)).rule[5], CFI_IS_EXPRESSION);
    assert_true(row_of(0, PROGRAM(0x2D)).is_signed);
}

static void test_frame_addresses(void **state)
{
    (void)state;
    must_be_cfa(row_of(0, PROGRAM(0x00)), CFI_SP, 8);
    must_be_cfa(row_of(0, PROGRAM(0x0C, 6, 16)), 6, 16);
    must_be_cfa(row_of(0, PROGRAM(0x0D, 6)), 6, 8);
    must_be_cfa(row_of(0, PROGRAM(0x0E, 0x90, 0x01)), CFI_SP, 144);
    must_be_cfa(row_of(0, PROGRAM(0x12, 6, 0x7E)), 6, 16);
    must_be_cfa(row_of(0, PROGRAM(0x13, 0x7D)), CFI_SP, 24);
    assert_true(row_of(0, PROGRAM(0x0F, 1, 0x30)).cfa_is_expression);
}

/* Which rules hold where: an address is that of an instruction, and a rule holds from its location on. */
static void test_locations(void **state)
{
    (void)state;
    const uint8_t own[] = {0x40 | 1, 0x0E, 16, 0x02, 1, 0x0E, 24, 0x03, TWO(1, 0), 0x0E, 32, 0x04, FOUR(1, 0, 0, 0), 0x0A, 0x0E, 8, 0x40 | 1, 0x0B};
    const struct {
        unsigned offset;
        int cfa;
    } rows[] = {{0, 8}, {3, 8}, {4, 16}, {7, 16}, {8, 24}, {12, 32}, {15, 32}, {16, 8}, {19, 8}, {20, 32}, {255, 32}};
    for (unsigned i = 0; i < COUNT_OF(rows); i++)
        must_be_cfa(row_of(rows[i].offset, own, sizeof own), CFI_SP, rows[i].cfa);
    struct table table;
    struct cfi_row row;
    table_make(&table, "zR", SHARED, own, sizeof own);
    assert_false(row_find(&table, CODE_SIZE, &row)); /* the function ends */
}

static void test_letters(void **state)
{
    (void)state;
    struct table table;
    struct cfi_description description;
    table_make(&table, "zRS", SHARED, PROGRAM(0x00));
    struct cfi_tables tables = tables_of(table.bytes, table.length);
    assert_true(cfi_find(&tables, (uintptr_t)table.bytes, &description));
    assert_true(description.is_signal);
    table_make(&table, "zR", SHARED, PROGRAM(0x00));
    assert_true(cfi_find(&tables, (uintptr_t)table.bytes, &description));
    assert_false(description.is_signal);
    table_make(&table, "eh", SHARED, PROGRAM(0x00)); /* of old compilers: sizes are not known */
    assert_false(cfi_find(&tables, (uintptr_t)table.bytes, &description));
}

static void test_bad_programs(void **state)
{
    (void)state;
    const struct {
        uint8_t bytes[12];
        unsigned count;
    } bad[] = {
        {{0x3F}, 1},                                           /* no such instruction */
        {{0x0E}, 1},                                           /* ends in the middle of one */
        {{0x80 | 5, 0xFF, 0xFF}, 3},                           /* or of a number */
        {{0x0B}, 1},                                           /* nothing was remembered */
        {{0x0A, 0x0A, 0x0A, 0x0A, 0x0A, 0x0A}, 6},             /* too much is */
        {{0x0E, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01}, 8}, /* a frame of terabytes */
        {{0x0D, 99}, 2},                                       /* from a register that there is not */
        {{0x0F, 9, 0x30}, 3},                                  /* an expression beyond the end */
    };
    for (unsigned i = 0; i < COUNT_OF(bad); i++) {
        struct table table;
        struct cfi_row row;
        table_make(&table, "zR", SHARED, bad[i].bytes, bad[i].count);
        must(!row_find(&table, 0, &row), "program %u is believed", i);
    }
}

/* ---- Values ------------------------------------------------------------------------------------------------------ */

/* The registers have 1000 and their number; the stack has ten words, at the address in CFI_SP. */
static uintptr_t g_words[10] = {10, 11, 12, 13, 14, 15, 16, 17, 18, 19};

struct machine {
    struct cfi_registers registers;
    struct cfi_stack stack;
};

static struct machine machine_make(void)
{
    struct machine machine;
    for (unsigned i = 0; i < CFI_REGISTERS; i++)
        machine.registers.value[i] = 1000 + i;
    machine.registers.value[CFI_SP] = (uintptr_t)g_words;
    machine.stack = (struct cfi_stack){(uintptr_t)g_words, (uintptr_t)(g_words + 10)};
    return machine;
}

/* The value that the expression gives the frame address. */
static bool expression_value(const uint8_t *bytes, size_t count, uintptr_t *value)
{
    struct table table;
    struct cfi_row row;
    uint8_t own[BYTES_MAX] = {0x0F, (uint8_t)count};
    memcpy(own + 2, bytes, count);
    table_make(&table, "zR", SHARED, own, count + 2);
    must(row_find(&table, 0, &row), "there is no row");
    struct cfi_tables tables = tables_of(table.bytes, table.length);
    struct machine machine = machine_make();
    return cfi_frame_address(&tables, &row, &machine.registers, &machine.stack, value);
}

static void test_expressions(void **state)
{
    (void)state;
    const struct {
        uint64_t value;
        uint8_t count, bytes[14];
    } good[] = {
        {5, 1, {0x35}}, {31, 1, {0x4F}}, {200, 2, {0x08, 200}}, {-2ull, 2, {0x09, 0xFE}}, {0x1234, 3, {0x0A, TWO(0x34, 0x12)}},
        {-2ull, 3, {0x0B, TWO(0xFE, 0xFF)}}, {0x12345678, 5, {0x0C, FOUR(0x78, 0x56, 0x34, 0x12)}}, {-2ull, 5, {0x0D, FOUR(0xFE, 0xFF, 0xFF, 0xFF)}},
        {0x0807060504030201, 9, {0x0E, EIGHT(1, 2, 3, 4, 5, 6, 7, 8)}}, {300, 3, {0x10, 0xAC, 0x02}}, {-2ull, 2, {0x11, 0x7E}},
        {1003, 1, {0x53}}, {1005, 2, {0x73, 2}}, {1003, 2, {0x90, 3}}, {1001, 3, {0x92, 3, 0x7E}},
        {12, 3, {0x70 + CFI_SP, 16, 0x06}},                    /* deref of a word of the stack */
        {6, 3, {0x33, 0x12, 0x22}}, {3, 3, {0x33, 0x34, 0x13}}, /* dup plus; drop */
        {12, 4, {0x33, 0x34, 0x14, 0x1E}}, {1, 3, {0x34, 0x33, 0x1C}}, {-1ull, 4, {0x34, 0x33, 0x16, 0x1C}},
        {1, 5, {0x31, 0x32, 0x33, 0x17, 0x13}},                 /* rot drop: 1 2 3, 3 1 2, 3 1 */
        {31, 4, {0x4F, 0x33, 0x15, 1}}, {2, 3, {0x09, 0xFE, 0x19}}, {-5ull, 2, {0x35, 0x1F}}, {-6ull, 2, {0x35, 0x20}},
        {8, 3, {0x35, 0x23, 3}}, {1, 3, {0x35, 0x33, 0x1A}}, {7, 3, {0x35, 0x33, 0x21}}, {6, 3, {0x35, 0x33, 0x27}},
        {40, 3, {0x35, 0x33, 0x24}}, {1, 3, {0x4F, 0x34, 0x25}}, {-1ull, 4, {0x09, 0xF8, 0x34, 0x26}}, {0, 4, {0x35, 0x08, 64, 0x24}},
        {1, 3, {0x35, 0x35, 0x29}}, {1, 3, {0x35, 0x34, 0x2A}}, {0, 3, {0x35, 0x35, 0x2B}}, {1, 3, {0x35, 0x35, 0x2C}},
        {1, 3, {0x34, 0x35, 0x2D}}, {1, 3, {0x34, 0x35, 0x2E}},
        {9, 6, {0x39, 0x31, 0x28, TWO(1, 0), 0x96}}, {9, 6, {0x39, 0x30, 0x28, TWO(1, 0), 0x96}}, {9, 5, {0x39, 0x2F, TWO(1, 0), 0xFF}},
    };
    for (unsigned i = 0; i < COUNT_OF(good); i++) {
        uintptr_t value = 99;
        must(expression_value(good[i].bytes, good[i].count, &value), "expression %u has no value", i);
        must(value == good[i].value, "expression %u is %ld, not %ld", i, (long)value, (long)good[i].value);
    }
}

static void test_bad_expressions(void **state)
{
    (void)state;
    const struct {
        uint8_t count, bytes[20];
    } bad[] = {
        {0, {0}}, {1, {0x13}}, {1, {0x22}}, {2, {0x31, 0x22}}, /* there are no values */
        {1, {0x08}}, {1, {0x01}}, {3, {0x36, 0x32, 0x1B}},     /* the operand is missing; no such operation; div */
        {2, {0x90, 99}}, {2, {0x36, 0x06}},                    /* no such register; what is no stack */
        {3, {0x70 + CFI_SP, 80, 0x06}}, {3, {0x70 + CFI_SP, 76, 0x06}}, {3, {0x70 + CFI_SP, 1, 0x06}},
        {3, {0x2F, TWO(0xFD, 0xFF)}},                               /* a circle */
        {4, {0x31, 0x2F, TWO(0xF0, 0xFF)}}, {4, {0x31, 0x2F, TWO(0x01, 0x00)}}, /* out of the expression */
        {17, {0x30, 0x30, 0x30, 0x30, 0x30, 0x30, 0x30, 0x30, 0x30, 0x30, 0x30, 0x30, 0x30, 0x30, 0x30, 0x30, 0x30}},
    };
    for (unsigned i = 0; i < COUNT_OF(bad); i++) {
        uintptr_t value;
        must(!expression_value(bad[i].bytes, bad[i].count, &value), "expression %u has a value", i);
    }
}

#if defined(__x86_64__)
/* What the linker writes about its stubs: the frame is larger by 8 in the last bytes of each 16. */
static void test_stub(void **state)
{
    (void)state;
    const uint8_t own[] = {0x0F, 11, 0x77, 8, 0x80, 0, 0x3F, 0x1A, 0x3B, 0x2A, 0x33, 0x24, 0x22};
    struct table table;
    struct cfi_row row;
    table_make(&table, "zR", SHARED, own, sizeof own);
    assert_true(row_find(&table, 0, &row));
    struct cfi_tables tables = tables_of(table.bytes, table.length);
    struct machine machine = machine_make();
    for (unsigned at = 0; at < 16; at++) {
        uintptr_t cfa;
        machine.registers.value[CFI_RA] = 0x4000 + at;
        assert_true(cfi_frame_address(&tables, &row, &machine.registers, &machine.stack, &cfa));
        assert_int_equal(cfa, (uintptr_t)g_words + (at >= 11 ? 16 : 8));
    }
}
#endif

static void test_restore(void **state)
{
    (void)state;
    const uint8_t own[] = {
        0x0E, 40, 0x80 | 9, 2,               /* the frame address is that of word 5; register 9 is word 3, */
        0x14, 10, 1, 0x09, 4, 5,             /* 10 is the address of word 4, 4 is what 5 was, */
        0x10, 6, 2, 0x23, 8, 0x16, 8, 2, 0x23, 9, /* 6 is the word behind, 8 the address and 9, */
        0x08, 3,                             /* 3 is as it was */
    };
    struct table table;
    struct cfi_row row;
    struct cfi_registers after;
    table_make(&table, "zR", SHARED, own, sizeof own);
    assert_true(row_find(&table, 0, &row));
    struct cfi_tables tables = tables_of(table.bytes, table.length);
    struct machine machine = machine_make();
    uintptr_t cfa;
    assert_true(cfi_frame_address(&tables, &row, &machine.registers, &machine.stack, &cfa));
    assert_true(cfi_restore(&tables, &row, cfa, &machine.stack, &machine.registers, &after));
    assert_int_equal(after.value[9], 13);
    assert_int_equal(after.value[10], (uintptr_t)(g_words + 4));
    assert_int_equal(after.value[3], 1003);
    assert_int_equal(after.value[4], 1005);
    assert_int_equal(after.value[6], 16);
    assert_int_equal(after.value[8], (uintptr_t)(g_words + 5) + 9);
    assert_int_equal(after.value[CFI_SP], cfa - FRAME_ABOVE_STACK);
    machine.stack.high = (uintptr_t)(g_words + 6); /* word 6 may not be read */
    assert_false(cfi_restore(&tables, &row, cfa, &machine.stack, &machine.registers, &after));
    machine.stack = (struct cfi_stack){(uintptr_t)(g_words + 4), (uintptr_t)(g_words + 10)}; /* nor may word 3 */
    assert_false(cfi_restore(&tables, &row, cfa, &machine.stack, &machine.registers, &after));
}

/* ---- Tables that are damaged ------------------------------------------------------------------------------------- */

static unsigned g_rows;

/* All that is done with a description, at some addresses of its function. */
static void description_use(const struct cfi_tables *tables, const struct cfi_description *description)
{
    struct machine machine = machine_make();
    uintptr_t size = description->code_end - description->code;
    for (unsigned i = 0; i < 4; i++) {
        struct cfi_row row;
        struct cfi_registers after;
        uintptr_t cfa, address = description->code + size / 4 * i + (i == 3 ? size / 4 : 0);
        if (cfi_row_at(description, address, &row) &&
            cfi_frame_address(tables, &row, &machine.registers, &machine.stack, &cfa))
            g_rows += cfi_restore(tables, &row, cfa, &machine.stack, &machine.registers, &after);
    }
}

static void record_use(const uint8_t *bytes, size_t length, size_t description_at)
{
    struct cfi_tables tables = tables_of(bytes, length);
    struct cfi_description description;
    if (cfi_describe(&tables, bytes + description_at, &description))
        description_use(&tables, &description);
}

static uint32_t word_of(const uint8_t *at)
{
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* A function's two records, alone, so that a sanitizer sees who reads beyond them: each of their bytes with each value,
 * and each beginning of them. */
static void function_damage(const uint8_t *description)
{
    const uint8_t *common = description + 4 - word_of(description + 4);
    size_t common_size = word_of(common) + 4, size = word_of(description) + 4, length = common_size + size;
    uint8_t *bytes = malloc(length);
    uint32_t distance = (uint32_t)common_size + 4;
    assert_non_null(bytes);
    memcpy(bytes, common, common_size);
    memcpy(bytes + common_size, description, size);
    memcpy(bytes + common_size + 4, &distance, sizeof distance);
    g_rows = 0;
    record_use(bytes, length, common_size);
    for (size_t i = 0; i < length; i++) {
        uint8_t right = bytes[i];
        for (unsigned flip = 1; flip < 256; flip++) {
            bytes[i] = right ^ (uint8_t)flip;
            record_use(bytes, length, common_size);
        }
        bytes[i] = right;
    }
    for (size_t end = 0; end < length; end++) {
        uint8_t *shorter = malloc(end + 1);
        assert_non_null(shorter);
        memcpy(shorter, bytes, end);
        record_use(shorter, end, end < common_size ? 0 : common_size);
        free(shorter);
    }
    free(bytes);
}

/* So many functions of the image that the address is in. */
static void image_damage(const void *inside, unsigned functions)
{
    Dl_info info;
    struct image_frames frames;
    assert_int_not_equal(dladdr(inside, &info), 0);
    assert_true(image_find_frames(info.dli_fbase, &frames));
    uint32_t count = word_of(frames.header + 8), step = count / functions + 1;
    unsigned rows = 0;
    for (uint32_t i = 0; i < count; i += step) {
        function_damage(frames.header + (int32_t)word_of(frames.header + 12 + 8 * i + 4));
        rows += g_rows;
    }
    assert_true(rows > 0); /* most changes are of no consequence */
}

static void test_damaged_functions(void **state)
{
    (void)state;
    image_damage((const void *)(uintptr_t)test_damaged_functions, 12);
    image_damage((const void *)(uintptr_t)qsort, 24);
}

static void test_damaged_header(void **state)
{
    (void)state;
    struct table table;
    table_make(&table, "zR", SHARED, PROGRAM(0x80 | 5, 2));
    uint8_t *bytes = malloc(table.length);
    assert_non_null(bytes);
    for (size_t i = 0; i < HEADER_SIZE; i++) {
        for (unsigned flip = 1; flip < 256; flip++) {
            struct cfi_tables tables = tables_of(bytes, table.length);
            struct cfi_description description;
            memcpy(bytes, table.bytes, table.length);
            bytes[i] ^= (uint8_t)flip;
            for (unsigned offset = 0; offset < CODE_SIZE; offset += CODE_SIZE / 2)
                if (cfi_find(&tables, (uintptr_t)bytes + offset, &description))
                    description_use(&tables, &description);
        }
    }
    free(bytes);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),           cmocka_unit_test(test_frame_addresses),
        cmocka_unit_test(test_locations),       cmocka_unit_test(test_letters),
        cmocka_unit_test(test_bad_programs),    cmocka_unit_test(test_expressions),
        cmocka_unit_test(test_bad_expressions), cmocka_unit_test(test_restore),
#if defined(__x86_64__)
        cmocka_unit_test(test_stub),
#endif
        cmocka_unit_test(test_damaged_functions), cmocka_unit_test(test_damaged_header),
    };
    return RUN_TESTS(tests);
}
