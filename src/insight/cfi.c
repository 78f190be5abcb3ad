#include "insight/cfi.h"

enum {
    CFI_STEPS = 16384,      /* of a function's program up to an address */
    CFI_REMEMBERED = 1,     /* rows that a program may put aside at once; compilers need one, and stacks may be small */
    EXPRESSION_STEPS = 128,
    EXPRESSION_DEPTH = 16
};

/* ---- Bytes ------------------------------------------------------------------------------------------------------- */

/* What is still to be read. What is beyond the end reads as zero, and `is_bad` remembers it. */
struct cfi_bytes {
    const uint8_t *at, *end;
    bool is_bad;
};

static uint64_t bytes_fixed(struct cfi_bytes *bytes, unsigned size)
{
    uint64_t value = 0;
    if ((size_t)(bytes->end - bytes->at) < size) {
        bytes->at = bytes->end;
        bytes->is_bad = true;
        return 0;
    }
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    __builtin_memcpy((char *)&value + sizeof value - size, bytes->at, size);
#else
    __builtin_memcpy(&value, bytes->at, size);
#endif
    bytes->at += size;
    return value;
}

static int64_t bytes_fixed_signed(struct cfi_bytes *bytes, unsigned size)
{
    unsigned rest = 64 - 8 * size;
    return (int64_t)(bytes_fixed(bytes, size) << rest) >> rest;
}

static uint64_t bytes_leb(struct cfi_bytes *bytes, bool is_signed)
{
    uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
        uint8_t byte = (uint8_t)bytes_fixed(bytes, 1);
        if (shift < 64)
            value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte & 0x80)
            continue;
        if (is_signed && (byte & 0x40) && shift + 7 < 64)
            value |= ~(uint64_t)0 << (shift + 7);
        return value;
    }
}

static uint64_t bytes_unsigned(struct cfi_bytes *bytes) { return bytes_leb(bytes, false); }
static int64_t bytes_signed(struct cfi_bytes *bytes) { return (int64_t)bytes_leb(bytes, true); }

static void bytes_skip(struct cfi_bytes *bytes, uint64_t size)
{
    if (size > (size_t)(bytes->end - bytes->at)) {
        bytes->is_bad = true;
        size = (size_t)(bytes->end - bytes->at);
    }
    bytes->at += size;
}

/* How a number is written: the low four bits of an encoding (DW_EH_PE_*). */
static uint64_t bytes_number(struct cfi_bytes *bytes, uint8_t encoding)
{
    switch (encoding & 0x0F) {
    case 0x00: return bytes_fixed(bytes, sizeof(uintptr_t));
    case 0x01: return bytes_unsigned(bytes);
    case 0x02: return bytes_fixed(bytes, 2);
    case 0x03: return bytes_fixed(bytes, 4);
    case 0x04: return bytes_fixed(bytes, 8);
    case 0x09: return (uint64_t)bytes_signed(bytes);
    case 0x0A: return (uint64_t)bytes_fixed_signed(bytes, 2);
    case 0x0B: return (uint64_t)bytes_fixed_signed(bytes, 4);
    case 0x0C: return bytes_fixed(bytes, 8);
    default: bytes->is_bad = true; return 0;
    }
}

/* An address, absolute or counted from where it is written; compilers use no other kind for code. */
static uintptr_t bytes_address(struct cfi_bytes *bytes, uint8_t encoding)
{
    enum { ABSOLUTE = 0x00, RELATIVE = 0x10 };
    uintptr_t here = (uintptr_t)bytes->at;
    uintptr_t value = bytes_number(bytes, encoding);
    if ((encoding & 0xF0) == ABSOLUTE)
        return value;
    bytes->is_bad = bytes->is_bad || (encoding & 0xF0) != RELATIVE;
    return here + value;
}

/* ---- The header -------------------------------------------------------------------------------------------------- */

/* Version 1; how addresses and numbers are written: the table has pairs of signed 32-bit distances from the header. */
static const uint8_t header_form[] = {1, 0x1B, 0x03, 0x3B};
enum { HEADER_COUNT = 8, HEADER_TABLE = 12, HEADER_PAIR = 8 };

static uint32_t table_word(const uint8_t *at)
{
    uint32_t word;
    __builtin_memcpy(&word, at, sizeof word);
    return word;
}

/* A number of an entry, in bytes from the header: where code begins, and where its description is. */
enum header_field { HEADER_CODE = 0, HEADER_DESCRIPTION = 4 };
static int32_t header_number(const uint8_t *header, uint32_t entry, enum header_field field)
{
    return (int32_t)table_word(header + HEADER_TABLE + (size_t)entry * HEADER_PAIR + field);
}

/* How many entries' code does not begin behind the address: the last of them may be its function's. */
static uint32_t header_search(const uint8_t *header, uint32_t count, uintptr_t address)
{
    int64_t code = (int64_t)(address - (uintptr_t)header);
    uint32_t first = 0, end = count;
    while (first < end) {
        uint32_t middle = first + (end - first) / 2;
        if (header_number(header, middle, HEADER_CODE) <= code)
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}

/* ---- Descriptions ------------------------------------------------------------------------------------------------ */

/* A record begins with its length; the larger form is for sections of 4 GiB, and nobody writes it here. */
static bool record_open(const uint8_t *start, const uint8_t *end, const uint8_t *at, struct cfi_bytes *record)
{
    if (at < start || at > end || end - at < 8)
        return false;
    uint32_t length = table_word(at);
    if (length < 4 || length > (size_t)(end - at - 4))
        return false;
    *record = (struct cfi_bytes){at + 4, at + 4 + length, false};
    return true;
}

/* The record that a description shares with others: so far before the field that says so, its first one. A common
 * record itself has 0 there. */
static bool common_open(const uint8_t *start, const uint8_t *end, const struct cfi_bytes *own, struct cfi_bytes *common)
{
    uint32_t distance = table_word(own->at);
    if (distance == 0 || distance > (size_t)(own->at - start))
        return false;
    return record_open(start, end, own->at - distance, common) && table_word(common->at) == 0;
}

/* The letters of a common record tell what is written in it, and in the descriptions, besides. */
static void letters_read(struct cfi_bytes letters, struct cfi_bytes *data, struct cfi_description *out)
{
    while (letters.at < letters.end) {
        uint8_t encoding;
        switch (bytes_fixed(&letters, 1)) {
        case 'L': bytes_fixed(data, 1); break;
        case 'P':
            encoding = (uint8_t)bytes_fixed(data, 1);
            bytes_number(data, encoding);
            break;
        case 'R': out->encoding = (uint8_t)bytes_fixed(data, 1); break;
        case 'S': out->is_signal = true; break;
        case 'B': break; /* aarch64: which key signs; stripping is the same */
        default: return; /* of no concern, and the size of all is known */
        }
    }
}

static bool common_read(struct cfi_bytes *record, struct cfi_description *out)
{
    bytes_skip(record, 4);
    uint64_t version = bytes_fixed(record, 1);
    struct cfi_bytes letters = {record->at, record->at, false};
    while (bytes_fixed(record, 1) != 0)
        letters.end = record->at;
    out->has_sizes = letters.at < letters.end && *letters.at == 'z';
    if ((version != 1 && version != 3) || (letters.at < letters.end && !out->has_sizes))
        return false;
    out->code_step = bytes_unsigned(record);
    out->data_step = bytes_signed(record);
    uint64_t column = version == 1 ? bytes_fixed(record, 1) : bytes_unsigned(record);
    if (out->has_sizes) {
        uint64_t size = bytes_unsigned(record);
        struct cfi_bytes data = *record;
        letters.at++;
        letters_read(letters, &data, out);
        record->is_bad = record->is_bad || data.is_bad;
        bytes_skip(record, size);
    }
    out->common = record->at;
    out->common_end = record->end;
    return !record->is_bad && register_place(column) == CFI_RA;
}

bool cfi_describe(const struct cfi_tables *tables, const uint8_t *at, struct cfi_description *out)
{
    struct cfi_bytes own, common;
    *out = (struct cfi_description){.table = tables->start};
    if (!record_open(tables->start, tables->end, at, &own) || !common_open(tables->start, tables->end, &own, &common) ||
        !common_read(&common, out))
        return false;
    bytes_skip(&own, 4);
    out->code = bytes_address(&own, out->encoding);
    out->code_end = out->code + bytes_number(&own, out->encoding);
    if (out->has_sizes)
        bytes_skip(&own, bytes_unsigned(&own));
    out->own = own.at;
    out->own_end = own.end;
    return !own.is_bad;
}

bool cfi_find(const struct cfi_tables *tables, uintptr_t address, struct cfi_description *out)
{
    const uint8_t *header = tables->header;
    if (header < tables->start || header > tables->end || tables->end - header < HEADER_TABLE ||
        __builtin_memcmp(header, header_form, sizeof header_form) != 0)
        return false;
    uint32_t count = table_word(header + HEADER_COUNT);
    if (count > (size_t)(tables->end - header - HEADER_TABLE) / HEADER_PAIR)
        return false;
    uint32_t entry = header_search(header, count, address);
    intptr_t at = entry ? header - tables->start + (intptr_t)header_number(header, entry - 1, HEADER_DESCRIPTION) : -1;
    return at >= 0 && at <= tables->end - tables->start && cfi_describe(tables, tables->start + at, out) &&
           address - out->code < out->code_end - out->code;
}

/* ---- Programs ---------------------------------------------------------------------------------------------------- */

struct program {
    const struct cfi_description *description;
    struct cfi_bytes code;
    uintptr_t location, target;
    struct cfi_row *row;
    const struct cfi_row *first;           /* rules that all of these functions begin with; NULL while they are made */
    struct cfi_row remembered[CFI_REMEMBERED];
    unsigned remembered_count, steps;
};

/* A rule for a register that we do not follow is read and dropped. Values are 32 bits: no frame is larger. */
static void rule_set(struct program *program, uint64_t number, enum cfi_rule rule, int64_t value)
{
    if (value != (int32_t)value)
        program->code.is_bad = true;
    unsigned place = register_place(number);
    if (place == CFI_REGISTERS)
        return;
    program->row->rule[place] = (uint8_t)rule;
    program->row->value[place] = (int32_t)value;
}

/* As the rules were at the beginning. */
static void rule_reset(struct program *program, uint64_t number)
{
    const struct cfi_row *first = program->first;
    unsigned place = register_place(number);
    if (!first)
        program->code.is_bad = true;
    else if (place < CFI_REGISTERS)
        rule_set(program, number, first->rule[place], first->value[place]);
}

/* Both numbers may be anything; what is no 32-bit number is refused where it is used. */
static int64_t steps_of(const struct program *program, uint64_t count)
{
    int64_t product;
    return __builtin_mul_overflow((int64_t)count, program->description->data_step, &product) ? INT64_MAX : product;
}

static void cfa_set(struct program *program, uint64_t number, int64_t offset)
{
    unsigned place = register_place(number);
    program->row->cfa_register = place < CFI_REGISTERS ? (uint8_t)place : 0;
    program->row->cfa_value = (int32_t)offset;
    program->row->cfa_is_expression = false;
    if (place == CFI_REGISTERS || offset != (int32_t)offset)
        program->code.is_bad = true;
}

/* Where an expression is, which is skipped. */
static int64_t expression_skip(struct program *program)
{
    int64_t at = program->code.at - program->description->table;
    bytes_skip(&program->code, bytes_unsigned(&program->code));
    return at;
}

static void row_remember(struct program *program)
{
    if (program->remembered_count < CFI_REMEMBERED)
        program->remembered[program->remembered_count++] = *program->row;
    else
        program->code.is_bad = true;
}

static void row_recall(struct program *program)
{
    if (program->remembered_count > 0)
        *program->row = program->remembered[--program->remembered_count];
    else
        program->code.is_bad = true;
}

/* The rest applies from a later address on. False when that is behind the one that is asked for. */
static bool location_advance(struct program *program, uint64_t count)
{
    program->location += count * program->description->code_step;
    return program->location <= program->target;
}

/* Instructions about the frame address (DW_CFA_def_cfa*); false for others. */
static bool cfa_run(struct program *program, unsigned code)
{
    struct cfi_bytes *bytes = &program->code;
    const struct cfi_row *row = program->row;
    uint64_t number;
    switch (code) {
    case 0x0C: number = bytes_unsigned(bytes); cfa_set(program, number, (int64_t)bytes_unsigned(bytes)); return true;
    case 0x0D: cfa_set(program, bytes_unsigned(bytes), row->cfa_value); return true;
    case 0x0E: cfa_set(program, row->cfa_register, (int64_t)bytes_unsigned(bytes)); return true;
    case 0x12:
        number = bytes_unsigned(bytes);
        cfa_set(program, number, steps_of(program, (uint64_t)bytes_signed(bytes)));
        return true;
    case 0x13: cfa_set(program, row->cfa_register, steps_of(program, (uint64_t)bytes_signed(bytes))); return true;
    case 0x0F:
        cfa_set(program, row->cfa_register, expression_skip(program));
        program->row->cfa_is_expression = true;
        return true;
    default: return false;
    }
}

/* Instructions that name a register, and those without effect on the rules; anything else is bad. */
static void rule_run(struct program *program, unsigned code)
{
    struct cfi_bytes *bytes = &program->code;
    uint64_t number = code == 0 || code == 0x0A || code == 0x0B || code == 0x2D ? 0 : bytes_unsigned(bytes);
    switch (code) {
    case 0x00: break;                                                                                /* nop */
    case 0x05: rule_set(program, number, CFI_AT, steps_of(program, bytes_unsigned(bytes))); break;   /* offset */
    case 0x06: rule_reset(program, number); break;                                                   /* restore */
    case 0x07: rule_set(program, number, CFI_UNDEFINED, 0); break;
    case 0x08: rule_set(program, number, CFI_SAME, 0); break;
    case 0x09: rule_set(program, number, CFI_IN, register_place(bytes_unsigned(bytes))); break;       /* register */
    case 0x0A: row_remember(program); break;
    case 0x0B: row_recall(program); break;
    case 0x10: rule_set(program, number, CFI_AT_EXPRESSION, expression_skip(program)); break;
    case 0x11: rule_set(program, number, CFI_AT, steps_of(program, (uint64_t)bytes_signed(bytes))); break;
    case 0x14: rule_set(program, number, CFI_IS, steps_of(program, bytes_unsigned(bytes))); break;   /* val_offset */
    case 0x15: rule_set(program, number, CFI_IS, steps_of(program, (uint64_t)bytes_signed(bytes))); break;
    case 0x16: rule_set(program, number, CFI_IS_EXPRESSION, expression_skip(program)); break;
    case 0x2D: program->row->is_signed = !program->row->is_signed; break; /* AARCH64_negate_ra_state */
    case 0x2E: break; /* GNU_args_size: what is pushed for a call matters to who goes on here, not to who asks whence */
    case 0x2F: rule_set(program, number, CFI_AT, -steps_of(program, bytes_unsigned(bytes) & INT32_MAX)); break;
    default: bytes->is_bad = true;
    }
}

/* One instruction; false when what follows is for later addresses. */
static bool program_step(struct program *program)
{
    struct cfi_bytes *bytes = &program->code;
    unsigned code = (unsigned)bytes_fixed(bytes, 1), low = code & 0x3F;
    switch (code) {
    case 0x01: /* set_loc */
        program->location = bytes_address(bytes, program->description->encoding);
        return program->location <= program->target;
    case 0x02: return location_advance(program, bytes_fixed(bytes, 1));
    case 0x03: return location_advance(program, bytes_fixed(bytes, 2));
    case 0x04: return location_advance(program, bytes_fixed(bytes, 4));
    }
    switch (code >> 6) {
    case 1: return location_advance(program, low);
    case 2: rule_set(program, low, CFI_AT, steps_of(program, bytes_unsigned(bytes))); return true;
    case 3: rule_reset(program, low); return true;
    }
    if (!cfa_run(program, code))
        rule_run(program, code);
    return true;
}

static bool program_run(struct program *program, const uint8_t *at, const uint8_t *end)
{
    program->code = (struct cfi_bytes){at, end, false};
    while (program->code.at < end && program->steps++ < CFI_STEPS && program_step(program) && !program->code.is_bad)
        ;
    return !program->code.is_bad && program->steps <= CFI_STEPS;
}

bool cfi_row_at(const struct cfi_description *description, uintptr_t address, struct cfi_row *row)
{
    struct program program;
    struct cfi_row first;
    *row = (struct cfi_row){.cfa_register = CFI_SP};
    program.description = description;
    program.location = description->code;
    program.target = address;
    program.row = row;
    program.first = NULL;
    program.remembered_count = program.steps = 0;
    if (!program_run(&program, description->common, description->common_end))
        return false;
    first = *row;
    program.first = &first;
    return program_run(&program, description->own, description->own_end);
}

/* ---- Values ------------------------------------------------------------------------------------------------------ */

/* The stack's redzones are no concern of who reads what the ABI puts there. */
__attribute__((no_sanitize_address))
bool cfi_load(const struct cfi_stack *stack, uintptr_t address, uintptr_t *value)
{
    if (address % sizeof *value != 0 || address < stack->low || address >= stack->high ||
        stack->high - address < sizeof *value)
        return false;
    *value = *(const uintptr_t *)address;
    return true;
}

struct expression {
    struct cfi_bytes code;
    const uint8_t *start;
    const struct cfi_registers *registers;
    const struct cfi_stack *stack;
    uint64_t value[EXPRESSION_DEPTH];
    unsigned depth;
};

static void value_push(struct expression *e, uint64_t value)
{
    if (e->depth < EXPRESSION_DEPTH)
        e->value[e->depth++] = value;
    else
        e->code.is_bad = true;
}

static uint64_t value_pop(struct expression *e)
{
    if (e->depth > 0)
        return e->value[--e->depth];
    e->code.is_bad = true;
    return 0;
}

/* A copy of the value so far below the top. */
static void value_pick(struct expression *e, uint64_t below)
{
    if (below < e->depth)
        value_push(e, e->value[e->depth - 1 - below]);
    else
        e->code.is_bad = true;
}

/* Moves the top below so many others. */
static void value_sink(struct expression *e, unsigned others)
{
    if (others >= e->depth) {
        e->code.is_bad = true;
        return;
    }
    uint64_t top = e->value[e->depth - 1];
    for (unsigned i = 0; i < others; i++)
        e->value[e->depth - 1 - i] = e->value[e->depth - 2 - i];
    e->value[e->depth - 1 - others] = top;
}

static uint64_t register_value(struct expression *e, uint64_t number)
{
    unsigned place = register_place(number);
    if (place < CFI_REGISTERS)
        return e->registers->value[place];
    e->code.is_bad = true;
    return 0;
}

static uint64_t stack_value(struct expression *e, uint64_t address)
{
    uintptr_t value = 0;
    if (!cfi_load(e->stack, address, &value))
        e->code.is_bad = true;
    return value;
}

/* DW_OP_bra and DW_OP_skip. Steps are counted, so that circles end. */
static void expression_jump(struct expression *e, bool taken)
{
    int64_t distance = bytes_fixed_signed(&e->code, 2);
    if (!taken)
        return;
    if (distance < e->start - e->code.at || distance > e->code.end - e->code.at)
        e->code.is_bad = true;
    else
        e->code.at += distance;
}

/* Constants and what moves values about; false for others. */
static bool value_run(struct expression *e, unsigned code)
{
    struct cfi_bytes *bytes = &e->code;
    switch (code) {
    case 0x03: case 0x0E: case 0x0F: value_push(e, bytes_fixed(bytes, 8)); return true;  /* addr, const8u, const8s */
    case 0x08: value_push(e, bytes_fixed(bytes, 1)); return true;
    case 0x09: value_push(e, (uint64_t)bytes_fixed_signed(bytes, 1)); return true;
    case 0x0A: value_push(e, bytes_fixed(bytes, 2)); return true;
    case 0x0B: value_push(e, (uint64_t)bytes_fixed_signed(bytes, 2)); return true;
    case 0x0C: value_push(e, bytes_fixed(bytes, 4)); return true;
    case 0x0D: value_push(e, (uint64_t)bytes_fixed_signed(bytes, 4)); return true;
    case 0x10: value_push(e, bytes_unsigned(bytes)); return true;
    case 0x11: value_push(e, (uint64_t)bytes_signed(bytes)); return true;
    case 0x12: value_pick(e, 0); return true;                                  /* dup */
    case 0x13: value_pop(e); return true;                                      /* drop */
    case 0x14: value_pick(e, 1); return true;                                  /* over */
    case 0x15: value_pick(e, bytes_fixed(bytes, 1)); return true;
    case 0x16: value_sink(e, 1); return true;                                  /* swap */
    case 0x17: value_sink(e, 2); return true;                                  /* rot */
    default: return false;
    }
}

/* Calculations with one value; false for others. */
static bool unary_run(struct expression *e, unsigned code)
{
    struct cfi_bytes *bytes = &e->code;
    uint64_t a;
    switch (code) {
    case 0x06: value_push(e, stack_value(e, value_pop(e))); return true;       /* deref */
    case 0x19: a = value_pop(e); value_push(e, (int64_t)a < 0 ? 0 - a : a); return true;
    case 0x1F: value_push(e, 0 - value_pop(e)); return true;
    case 0x20: value_push(e, ~value_pop(e)); return true;
    case 0x23: a = value_pop(e); value_push(e, a + bytes_unsigned(bytes)); return true; /* plus_uconst */
    case 0x28: expression_jump(e, value_pop(e) != 0); return true;             /* bra */
    case 0x2F: expression_jump(e, true); return true;                          /* skip */
    case 0x90: value_push(e, register_value(e, bytes_unsigned(bytes))); return true;
    case 0x92:
        a = register_value(e, bytes_unsigned(bytes));
        value_push(e, a + (uint64_t)bytes_signed(bytes));
        return true;
    case 0x96: return true;                                                    /* nop */
    default: return false;
    }
}

static uint64_t shifted_left(uint64_t a, uint64_t count) { return count > 63 ? 0 : a << count; }
static uint64_t shifted_right(uint64_t a, uint64_t count) { return count > 63 ? 0 : a >> count; }

/* Calculations with the two upper values; anything else is bad. Division, which no compiler emits here, is, too. */
static uint64_t binary_value(struct expression *e, unsigned code, uint64_t a, uint64_t b)
{
    int64_t x = (int64_t)a, y = (int64_t)b;
    switch (code) {
    case 0x1A: return a & b;
    case 0x1C: return a - b;
    case 0x1E: return a * b;
    case 0x21: return a | b;
    case 0x22: return a + b;
    case 0x24: return shifted_left(a, b);
    case 0x25: return shifted_right(a, b);
    case 0x26: return (uint64_t)(x >> (b > 63 ? 63 : b));
    case 0x27: return a ^ b;
    case 0x29: return x == y;
    case 0x2A: return x >= y;
    case 0x2B: return x > y;
    case 0x2C: return x <= y;
    case 0x2D: return x < y;
    case 0x2E: return x != y;
    default: e->code.is_bad = true; return 0;
    }
}

static void expression_step(struct expression *e)
{
    unsigned code = (unsigned)bytes_fixed(&e->code, 1);
    if (code >= 0x30 && code <= 0x4F) {        /* lit0 to lit31 */
        value_push(e, code - 0x30);
    } else if (code >= 0x50 && code <= 0x6F) { /* reg0 to reg31 */
        value_push(e, register_value(e, code - 0x50));
    } else if (code >= 0x70 && code <= 0x8F) { /* breg0 to breg31 */
        uint64_t value = register_value(e, code - 0x70);
        value_push(e, value + (uint64_t)bytes_signed(&e->code));
    } else if (!value_run(e, code) && !unary_run(e, code)) {
        uint64_t b = value_pop(e), a = value_pop(e);
        value_push(e, binary_value(e, code, a, b));
    }
}

/* The value of the expression at a place of the tables; `cfa` lies on its stack at the beginning if it is not NULL. Not
 * inlined, or rows without an expression would take its room on the thread's stack. */
static NOINLINE bool expression_run(const struct cfi_tables *tables, int32_t at, const struct cfi_registers *registers,
                                    const struct cfi_stack *stack, const uintptr_t *cfa, uintptr_t *value)
{
    struct expression e = {.registers = registers, .stack = stack};
    e.code = (struct cfi_bytes){tables->start + at, tables->end, false};
    uint64_t length = bytes_unsigned(&e.code);
    if (e.code.is_bad || length > (size_t)(e.code.end - e.code.at))
        return false;
    e.start = e.code.at;
    e.code.end = e.code.at + length;
    if (cfa)
        value_push(&e, *cfa);
    unsigned steps = 0;
    while (e.code.at < e.code.end && !e.code.is_bad && steps++ < EXPRESSION_STEPS)
        expression_step(&e);
    *value = value_pop(&e);
    return !e.code.is_bad && e.code.at == e.code.end;
}

bool cfi_frame_address(const struct cfi_tables *tables, const struct cfi_row *row,
                       const struct cfi_registers *registers, const struct cfi_stack *stack, uintptr_t *cfa)
{
    if (row->cfa_is_expression)
        return expression_run(tables, row->cfa_value, registers, stack, NULL, cfa);
    *cfa = registers->value[row->cfa_register] + (uintptr_t)(intptr_t)row->cfa_value;
    return true;
}

bool cfi_restore(const struct cfi_tables *tables, const struct cfi_row *row, uintptr_t cfa,
                 const struct cfi_stack *stack, const struct cfi_registers *before, struct cfi_registers *after)
{
    bool is_good = true;
    *after = *before;
    after->value[CFI_SP] = cfa - FRAME_ABOVE_STACK;
    for (unsigned i = 0; i < CFI_REGISTERS && is_good; i++) {
        int32_t value = row->value[i];
        uintptr_t address = cfa + (uintptr_t)(intptr_t)value, *out = &after->value[i];
        switch ((enum cfi_rule)row->rule[i]) {
        case CFI_SAME:
        case CFI_UNDEFINED: break;
        case CFI_AT: is_good = cfi_load(stack, address, out); break;
        case CFI_IS: *out = address; break;
        case CFI_IN: is_good = (uint32_t)value < CFI_REGISTERS; *out = before->value[is_good ? value : 0]; break;
        case CFI_AT_EXPRESSION:
            is_good = expression_run(tables, value, before, stack, &cfa, &address) && cfi_load(stack, address, out);
            break;
        case CFI_IS_EXPRESSION: is_good = expression_run(tables, value, before, stack, &cfa, out); break;
        }
    }
    return is_good;
}
