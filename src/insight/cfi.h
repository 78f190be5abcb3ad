/* cfi.h - call frame information (.eh_frame, DWARF 5 section 6.4): where a function's caller goes on, and where the
 * registers are that the caller had.
 *
 * For each address of a function's code there is a row of rules. All of them are about the *canonical frame address*
 * (CFA), which is FRAME_ABOVE_STACK bytes above what the stack pointer is after the return.
 *
 * Tables are not believed. Each of their bytes is looked for within the segment that they lie in, the programs in them
 * have so many steps at most (CFI_STEPS, EXPRESSION_STEPS) and so much memory; whatever else is found makes a function
 * here return false. Allocates nothing, keeps nothing. */
#ifndef HAK_CFI_H
#define HAK_CFI_H

#include "base/base.h"
#include "insight/registers.h"

/* .eh_frame_hdr, and the bytes of the segment in which that and .eh_frame lie. */
struct cfi_tables {
    const uint8_t *start, *end;
    const uint8_t *header;
};

/* A function's description (FDE). `common` is what it shares with others (CIE). */
struct cfi_description {
    uintptr_t code, code_end;
    const uint8_t *table;               /* the segment's first byte: what rules count from */
    const uint8_t *common, *common_end; /* programs: for all of these functions, and for this one */
    const uint8_t *own, *own_end;
    uint64_t code_step;
    int64_t data_step;
    uint8_t encoding;                   /* of addresses in the program */
    bool has_sizes;                     /* of what is between the fields that we know */
    bool is_signal;                     /* a signal's trampoline: the frame that it returns to made no call */
};

/* That of the function which the address is in; false when there is none. Of headers only what linkers write is known:
 * a sorted table of 32-bit numbers. */
bool cfi_find(const struct cfi_tables *tables, uintptr_t address, struct cfi_description *out);

/* That which begins at `at`. */
bool cfi_describe(const struct cfi_tables *tables, const uint8_t *at, struct cfi_description *out);

enum cfi_rule {
    CFI_SAME,           /* the register is as it was; the return address of x86-64 never is */
    CFI_UNDEFINED,      /* of the return address: this is the outermost frame */
    CFI_AT,             /* value: saved so many bytes from the CFA */
    CFI_IS,             /* value: it is the CFA and so many bytes */
    CFI_IN,             /* value: the register that it is in */
    CFI_AT_EXPRESSION,  /* value: where the expression is (its length, then itself), from the segment's first byte */
    CFI_IS_EXPRESSION
};

struct cfi_row {
    int32_t cfa_value;       /* bytes from the register, or where the expression is */
    uint8_t cfa_register;
    bool cfa_is_expression;
    bool is_signed;          /* aarch64: the return address carries a signature */
    uint8_t rule[CFI_REGISTERS]; /* enum cfi_rule */
    int32_t value[CFI_REGISTERS];
};

/* The rules at an address of the function. */
bool cfi_row_at(const struct cfi_description *description, uintptr_t address, struct cfi_row *row);

struct cfi_registers {
    uintptr_t value[CFI_REGISTERS];
};

/* What may be read of the stack. */
struct cfi_stack {
    uintptr_t low, high;
};

/* A word of the stack; false when it does not lie within these bounds, or not where words do. */
bool cfi_load(const struct cfi_stack *stack, uintptr_t address, uintptr_t *value);

/* The frame address by a row of these tables. */
bool cfi_frame_address(const struct cfi_tables *tables, const struct cfi_row *row,
                       const struct cfi_registers *registers, const struct cfi_stack *stack, uintptr_t *cfa);

/* The caller's registers, but for what has no rule: the stack pointer follows from the CFA then. `before` and `after`
 * are not the same. */
bool cfi_restore(const struct cfi_tables *tables, const struct cfi_row *row, uintptr_t cfa,
                 const struct cfi_stack *stack, const struct cfi_registers *before, struct cfi_registers *after);

#endif
