#include "insight/unwind.h"

#include "insight/cfi.h"
#include "insight/kept.h"
#include "system/image.h"
#include "system/os_stack.h"

enum {
    OWN_FRAMES = 24,             /* among which the program's call has to be */
    FIRST_PAGE = 4096,           /* no code lies below */
    POINTER_FRAME = 32 << 10,    /* of code without tables */
    STRANGE_FRAME = 1 << 20,     /* on a stack whose end is not known */
};

/* A range of code, and the one in which its object's tables lie: the whole object, or of one that the loader has mapped
 * in pieces, a piece each. */
struct object {
    uintptr_t start, end;
    const uint8_t *header; /* .eh_frame_hdr; NULL: it has none */
    const uint8_t *piece, *piece_end;
    uint64_t print;        /* of what the piece begins with */
};

enum { WALK_OBJECTS = 2 }; /* more would take more of the stack, which may be small */

struct walk {
    uintptr_t pc;
    bool is_exact;   /* pc is what runs next, not the address that a call returns to */
    bool is_guessed; /* a frame pointer was followed */
    bool is_known;   /* the end of the stack is */
    struct cfi_stack stack;
    struct cfi_registers registers;
    struct object objects[WALK_OBJECTS]; /* those that were looked at last */
    unsigned objects_seen;
};

/* ---- Objects ----------------------------------------------------------------------------------------------------- */

/* dlfcn.h's struct dl_find_object, which older libcs do not declare; the last fields differ from machine to machine. */
struct found {
    unsigned long long flags;
    const void *start, *end;
    const void *link_map;
    const void *eh_frame;
    unsigned long long others[8];
};
extern int loader_find(void *address, struct found *found) __asm__("_dl_find_object")
    __attribute__((weak, visibility("default")));

/* The beginning of the object that hakmem itself is in; the linker knows. */
extern const char own_image __asm__("__ehdr_start") __attribute__((weak, visibility("hidden")));

static bool object_is_own(struct object *object, uintptr_t address)
{
    struct image_frames frames;
    if (!image_find_frames(&own_image, &frames) || address < frames.start || address >= frames.end)
        return false;
    *object = (struct object){frames.start, frames.end, frames.header, frames.segment, frames.segment_end, 0};
    return true;
}

static bool object_ask(struct object *object, uintptr_t address)
{
    struct found code, table;
    if (loader_find((void *)address, &code) != 0 || !code.eh_frame)
        return false;
    table = code;
    if ((code.eh_frame < code.start || code.eh_frame >= code.end) && loader_find((void *)code.eh_frame, &table) != 0)
        return false;
    *object = (struct object){(uintptr_t)code.start, (uintptr_t)code.end, code.eh_frame, table.start, table.end, 0};
    return true;
}

/* Tells objects apart that were loaded to the same place one after the other. Of a file the first KiB has the places
 * and sizes of all segments and, as linkers arrange it, the build ID. Two sums, for a processor multiplies faster than
 * it has the product. */
static uint64_t object_print(const struct object *object)
{
    enum { BYTES = 1024 };
    uint64_t even = (uintptr_t)object->header, odd = 1, words[2];
    const uint8_t *end = object->piece_end - object->piece < BYTES ? object->piece : object->piece + BYTES;
    for (const uint8_t *at = object->piece; at < end; at += sizeof words) {
        __builtin_memcpy(words, at, sizeof words);
        even = even * 0x9E3779B97F4A7C15u + words[0];
        odd = odd * 0xD6E8FEB86659FD93u + words[1];
    }
    return even ^ odd;
}

/* The object with tables that has this code; NULL when there is none. */
static const struct object *object_find(struct walk *walk, uintptr_t address)
{
    struct object *object = walk->objects;
    for (; object < walk->objects + WALK_OBJECTS; object++)
        if (address - object->start < object->end - object->start)
            return object;
    object = &walk->objects[walk->objects_seen % WALK_OBJECTS];
    if (!(loader_find ? object_ask(object, address) : object_is_own(object, address)))
        return NULL;
    object->print = object_print(object);
    walk->objects_seen++;
    return object;
}

/* Between the segments of an object may be memory that cannot be read, so its headers are asked, which are at its
 * beginning. */
static struct cfi_tables object_tables(const struct object *object)
{
    struct image_frames frames;
    if (image_find_frames(object->piece, &frames) && frames.header == object->header)
        return (struct cfi_tables){frames.segment, frames.segment_end, frames.header};
    return (struct cfi_tables){object->piece, object->piece_end, object->header};
}

/* ---- The stack --------------------------------------------------------------------------------------------------- */

/* Sets what may be read from this frame on. False when it may not be believed that the stack is there. */
static bool stack_enter(struct walk *walk)
{
    uintptr_t sp = walk->registers.value[CFI_SP], end = os_stack_end(sp);
    walk->is_known = end != 0;
    walk->stack = (struct cfi_stack){sp - RED_ZONE, end};
    if (!walk->is_known && __builtin_add_overflow(sp, STRANGE_FRAME, &walk->stack.high))
        return false;
    return walk->is_known || !walk->is_guessed;
}

/* The next frame of the same stack. */
static void stack_rise(struct walk *walk)
{
    uintptr_t sp = walk->registers.value[CFI_SP];
    walk->stack.low = sp - RED_ZONE;
    if (!walk->is_known && __builtin_add_overflow(sp, STRANGE_FRAME, &walk->stack.high))
        walk->stack.high = sp;
}

static bool frame_is_plausible(const struct walk *walk, uintptr_t cfa)
{
    uintptr_t align = walk->is_known ? sizeof(void *) : FRAME_ALIGN, sp = walk->registers.value[CFI_SP];
    return cfa % align == 0 && cfa <= walk->stack.high && cfa >= sp + FRAME_LEAST;
}

/* The address without the signature that aarch64's processors may put into its upper bits. */
static uintptr_t address_plain(uintptr_t address)
{
#if defined(__aarch64__)
    register uintptr_t x30 __asm__("x30") = address;
    __asm__("hint 7" : "+r"(x30)); /* xpaclri */
    return x30;
#else
    return address;
#endif
}

/* ---- Rows that are kept ------------------------------------------------------------------------------------------ */

static const uint8_t kept_registers[] = {KEPT_NUMBERS};
enum { KEPT_REGISTERS = sizeof kept_registers };
_Static_assert(sizeof kept_registers <= KEPT_SAVED_MAX, "a row to be kept has room for all of them");

/* Puts a rule about a saved register into a row to be kept; false when there is no room for such a rule. */
static bool kept_set(struct kept *kept, unsigned number, enum cfi_rule rule, int32_t value)
{
    unsigned i = 0;
    while (i < KEPT_REGISTERS && kept_registers[i] != number)
        i++;
    if (rule == CFI_SAME)
        return true;
    if (rule == CFI_UNDEFINED) {
        kept->cfa |= number == CFI_RA ? KEPT_LAST : 0;
        return true;
    }
    int32_t words = value / (int32_t)sizeof(void *);
    if (rule != CFI_AT || i == KEPT_REGISTERS || value >= FRAME_ABOVE || words < INT16_MIN ||
        value % (int32_t)sizeof(void *) != 0)
        return false;
    kept->which |= (uint16_t)(1u << i);
    kept->saved[i] = (int16_t)words;
    kept->lowest = words < kept->lowest ? (int16_t)words : kept->lowest;
    return true;
}

static void kept_make(const struct object *object, uintptr_t address, const struct cfi_row *row)
{
    struct kept kept = {.address = address, .print = object->print};
    kept.cfa = (uint32_t)row->cfa_value << KEPT_SHIFT | row->cfa_register | (row->is_signed ? KEPT_SIGNED : 0);
    if (row->cfa_is_expression || (int32_t)kept.cfa >> KEPT_SHIFT != row->cfa_value || row->rule[CFI_RA] == CFI_SAME)
        return;
    for (unsigned i = 0; i < CFI_REGISTERS; i++)
        if (!kept_set(&kept, i, (enum cfi_rule)row->rule[i], row->value[i]))
            return;
    kept_write(&kept);
}

/* ---- Leaving a frame --------------------------------------------------------------------------------------------- */

enum leave {
    LEAVE_DONE,
    LEAVE_END,    /* it is the last, or what is known of it cannot be right */
    LEAVE_UNKNOWN /* nothing is known of it */
};

/* The walk goes on at the return address that is in the registers. */
static enum leave leave_to(struct walk *walk, bool is_signed)
{
    uintptr_t pc = walk->registers.value[CFI_RA];
    walk->pc = is_signed ? address_plain(pc) : pc;
    walk->is_exact = false;
    return walk->pc >= FIRST_PAGE ? LEAVE_DONE : LEAVE_END;
}

/* All that it saved is between the lowest of it and the frame address, and what it may write to above that. */
static enum leave kept_leave(struct walk *walk, const struct kept *kept)
{
    uintptr_t *value = walk->registers.value;
    uintptr_t cfa = value[kept->cfa & KEPT_REGISTER] + (uintptr_t)((int32_t)kept->cfa >> KEPT_SHIFT);
    const uintptr_t *saved = (const uintptr_t *)cfa;
    if ((kept->cfa & KEPT_LAST) || !frame_is_plausible(walk, cfa) ||
        (uintptr_t)(saved + kept->lowest) < walk->stack.low || cfa + FRAME_ABOVE > walk->stack.high)
        return LEAVE_END;
    for (unsigned which = kept->which; which; which &= which - 1)
        value[kept_registers[lowest_bit(which)]] = saved[kept->saved[lowest_bit(which)]];
    value[CFI_SP] = cfa - FRAME_ABOVE_STACK;
    stack_rise(walk);
    return leave_to(walk, kept->cfa & KEPT_SIGNED);
}

/* By any row, a signal's trampoline's included: that leads to another stack, perhaps, and to code that made no call.
 * Code that has made a call has saved where it returns to itself; some trampolines' rules say otherwise, and would lead
 * to themselves. Not inlined: stacks may be small, and finding the row needs more of them. */
static NOINLINE enum leave row_leave(struct walk *walk, const struct cfi_tables *tables, const struct cfi_row *row,
                                     bool is_signal)
{
    struct cfi_registers before = walk->registers;
    uintptr_t cfa;
    bool is_last = row->rule[CFI_RA] == CFI_UNDEFINED || (row->rule[CFI_RA] == CFI_SAME && !walk->is_exact);
    if (is_last || !cfi_frame_address(tables, row, &before, &walk->stack, &cfa) ||
        (!is_signal && !frame_is_plausible(walk, cfa)) ||
        !cfi_restore(tables, row, cfa, &walk->stack, &before, &walk->registers))
        return LEAVE_END;
    if (is_signal && !stack_enter(walk))
        return LEAVE_END;
    stack_rise(walk);
    enum leave left = leave_to(walk, row->is_signed);
    walk->is_exact = is_signal;
    return left;
}

static enum leave table_leave(struct walk *walk, uintptr_t address)
{
    struct kept kept;
    struct cfi_description description;
    struct cfi_row row;
    const struct object *object = object_find(walk, address);
    if (!object)
        return LEAVE_UNKNOWN;
    if (kept_find(address, object->print, &kept))
        return kept_leave(walk, &kept);
    struct cfi_tables tables = object_tables(object);
    if (!cfi_find(&tables, address, &description))
        return LEAVE_UNKNOWN;
    if (!cfi_row_at(&description, address, &row))
        return LEAVE_END;
    if (!description.is_signal)
        kept_make(object, address, &row);
    return row_leave(walk, &tables, &row, description.is_signal);
}

/* Most machines' trampolines have no rules, or none that are right. Above the stack pointer lies what the kernel has
 * saved, with all registers. */
static enum leave signal_leave(struct walk *walk)
{
    uintptr_t at = walk->registers.value[CFI_SP] + SIGNAL_REGISTERS, pc, ra;
    if (!SIGNAL_REGISTERS || walk->pc != os_signal_return || !os_signal_return)
        return LEAVE_UNKNOWN;
    if (!cfi_load(&walk->stack, at + (uintptr_t)(intptr_t)SIGNAL_PC * sizeof(void *), &pc) ||
        !cfi_load(&walk->stack, at + SIGNAL_RA * sizeof(void *), &ra))
        return LEAVE_END;
    for (unsigned i = 0; i < CFI_REGISTERS; i++)
        if (!cfi_load(&walk->stack, at + i * sizeof(void *), &walk->registers.value[i]))
            return LEAVE_END;
    walk->registers.value[CFI_RA] = ra;
    walk->pc = pc;
    walk->is_exact = true;
    return stack_enter(walk) && pc >= FIRST_PAGE ? LEAVE_DONE : LEAVE_END;
}

/* Whether it may be a frame pointer: it leads to two words of a stack whose end is known. */
static bool pointer_is_plausible(const struct walk *walk, uintptr_t pointer, uintptr_t above)
{
    uintptr_t lowest = pointer - POINTER_BELOW;
    return walk->is_known && pointer % sizeof(void *) == 0 && lowest >= above && lowest - above <= POINTER_FRAME &&
           lowest < walk->stack.high && walk->stack.high - lowest >= 2 * sizeof(void *);
}

static enum leave pointer_leave(struct walk *walk)
{
    uintptr_t *value = walk->registers.value, pointer = value[CFI_FP], next, pc;
    uintptr_t at = pointer - POINTER_BELOW;
    if (!HAS_POINTERS || !pointer_is_plausible(walk, pointer, value[CFI_SP]) || !cfi_load(&walk->stack, at, &next) ||
        !cfi_load(&walk->stack, at + sizeof(void *), &pc))
        return LEAVE_END;
    pc = address_plain(pc);
    uintptr_t above = at + 2 * sizeof(void *);
    if (!pointer_is_plausible(walk, next, above) && !object_find(walk, pc - 1))
        return LEAVE_END;
    value[CFI_FP] = next;
    value[CFI_SP] = above;
    value[CFI_RA] = pc;
    walk->is_guessed = true;
    stack_rise(walk);
    return leave_to(walk, false);
}

static bool frame_leave(struct walk *walk)
{
    enum leave left = signal_leave(walk);
    if (left == LEAVE_UNKNOWN)
        left = table_leave(walk, walk->pc - !walk->is_exact);
    if (left == LEAVE_UNKNOWN)
        left = pointer_leave(walk);
    return left == LEAVE_DONE;
}

/* ---- The walk ---------------------------------------------------------------------------------------------------- */

NOINLINE unsigned unwind_stack(uintptr_t from, uintptr_t out[static UNWIND_DEPTH])
{
    struct walk walk = {.is_exact = true};
    walk.pc = registers_read(walk.registers.value);
    out[0] = from;
    if (!stack_enter(&walk))
        return 1;
    for (unsigned own = 0; own < OWN_FRAMES && walk.pc != from; own++)
        if (!frame_leave(&walk))
            return 1;
    if (walk.pc != from)
        return 1;
    unsigned count = 1;
    while (count < UNWIND_DEPTH && frame_leave(&walk))
        out[count++] = walk.pc;
    return count;
}

#if defined(__x86_64__) || defined(__aarch64__)

COLD unsigned unwind_signal(const void *context, uintptr_t out[static UNWIND_DEPTH])
{
    struct walk walk = {.is_exact = true};
    uintptr_t *value = walk.registers.value;
#if defined(__x86_64__)
    enum { REGISTERS_AT = 40, SAVED = 16 }; /* bytes; words before that of the pc, and their numbers in tables */
    static const uint8_t number[SAVED] = {8, 9, 10, 11, 12, 13, 14, 15, 5, 4, 6, 3, 1, 0, 2, 7};
#else
    enum { REGISTERS_AT = 176 + 8, SAVED = CFI_REGISTERS };
    uint8_t number[SAVED];
    for (uint8_t i = 0; i < SAVED; i++)
        number[i] = i;
#endif
    const uintptr_t *saved = (const uintptr_t *)((const char *)context + REGISTERS_AT);
    for (unsigned i = 0; i < SAVED; i++)
        value[number[i]] = saved[i];
    walk.pc = out[0] = saved[SAVED];
    unsigned count = 1;
    if (!stack_enter(&walk))
        return 1;
    while (count < UNWIND_DEPTH && frame_leave(&walk))
        out[count++] = walk.pc;
    return count;
}

#else

COLD unsigned unwind_signal(const void *context, uintptr_t out[static UNWIND_DEPTH])
{
    (void)context, (void)out; /* not known for this machine */
    return 0;
}

#endif
