/* fault.c - see fault.h.
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "memory/fault.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "memory/owners.h"
#include "names/debuginfo.h"
#include "names/names.h"
#include "names/symbols.h"
#include "present.h"
#include "read/source.h"

enum { NAME_MOST = 512, NAME_WIDTH = 48, PLACE_WIDTH = PRESENT_WIDTH - NAME_WIDTH - 5 };

/* ---- Which block ------------------------------------------------------------------------------------------------- */

static uint64_t distance_to(const struct record_guard *guard, uint64_t address)
{
    uint64_t end = guard->block + guard->size;
    return address < guard->block ? guard->block - address : address < end ? 0 : address - end + 1;
}

/* Cells overlap where nobody may touch anything: the nearest block is the one. */
static const struct record_guard *guard_find(const struct record *record, uint64_t address)
{
    const struct record_guard *guards, *best = NULL;
    size_t count = record_guards(record, &guards);
    for (size_t i = 0; i < count; i++)
        if (address >= guards[i].start && address < guards[i].end &&
            (!best || distance_to(&guards[i], address) < distance_to(best, address)))
            best = &guards[i];
    return best;
}

/* "right behind the end of", "3 bytes into", ... */
static void where_write(char *out, size_t size, const struct record_guard *guard, uint64_t address)
{
    uint64_t end = guard->block + guard->size, count = address - guard->block;
    const char *direct = "at the start of", *far = "into";
    if (address < guard->block) {
        count = guard->block - address;
        far = "before the start of";
    } else if (address >= end) {
        count = address - end;
        direct = "right behind the end of", far = "behind the end of";
    }
    if (count == 0)
        snprintf(out, size, "%s", direct);
    else
        snprintf(out, size, "%" PRIu64 " byte%s %s", count, count == 1 ? "" : "s", far);
}

/* Allocated; NULL: no memory. */
static char *what_happened(const struct record_guard *guard, uint64_t address)
{
    char where[64];
    bool is_inside = address >= guard->block && address - guard->block < guard->size;
    const char *beside = address < guard->block ? "Underflow" : "Overflow";
    const char *kind = guard->ended ? "Use after free" : is_inside ? "No fault" : beside;
    where_write(where, sizeof where, guard, address);
    return text_make("%s: 0x%" PRIx64 " is %s a block of %" PRIu64 " bytes that %s.", kind, address, where,
                     (uint64_t)guard->size, guard->ended ? "had been freed" : "was live");
}

/* ---- Stacks ------------------------------------------------------------------------------------------------------ */

static void frame_print(FILE *to, const struct symbols_place *place, const struct symbol *symbol)
{
    char name[NAME_MOST], condensed[NAME_WIDTH + 1], where[NAME_MOST] = "";
    symbol_describe(name, sizeof name, place, symbol);
    name_condense(condensed, NAME_WIDTH, name);
    if (symbol->file)
        snprintf(where, sizeof where, "%s:%u", path_base(symbol->file), symbol->line);
    else if (symbol->function && place->mapping)
        snprintf(where, sizeof where, "%s", path_base(place->mapping->path));
    fprintf(to, "  %s%s%.*s\n", condensed, *where ? "  " : "", (int)PLACE_WIDTH, where);
}

static void frames_print(FILE *to, struct symbols *symbols, const uint64_t *frames, size_t depth)
{
    for (size_t i = 0; i < depth; i++) {
        const struct symbols_place *place = symbols_find(symbols, frames[i]);
        for (size_t j = 0; place && j < place->count; j++)
            frame_print(to, place, &place->symbol[j]);
    }
    if (depth == 0)
        fputs("  (not known)\n", to);
}

static void stack_print(FILE *to, const struct record *record, struct symbols *symbols, const char *what, uint64_t at,
                        uint32_t thread, uint32_t stack)
{
    uint64_t frames[RECORD_DEPTH], now = record_now(record);
    unsigned depth = record_frames(record, stack, frames);
    fprintf(to, "%s by thread %" PRIu32 ", %s %s:\n", what, thread, time_text(now > at ? now - at : 0).text,
            record_process(record) ? "ago" : "before its end");
    frames_print(to, symbols, frames, depth);
}

bool fault_print(FILE *to, const struct record *record, uint64_t address)
{
    uint64_t used[RECORD_DEPTH];
    const struct record_guard *guard = guard_find(record, address);
    struct symbols *symbols = guard ? owners_symbols(record) : NULL;
    char *text = symbols ? what_happened(guard, address) : NULL;
    if (text) {
        text_wrap(to, "", text);
        size_t depth = debuginfo_core_stack(record_name(record), used, RECORD_DEPTH);
        if (depth > 0)
            fputs("Used:\n", to);
        if (depth > 0)
            frames_print(to, symbols, used, depth);
        stack_print(to, record, symbols, "Allocated", guard->born, guard->born_thread, guard->born_stack);
        if (guard->ended)
            stack_print(to, record, symbols, "Freed", guard->ended, guard->ended_thread, guard->ended_stack);
    }
    free(text);
    if (symbols)
        symbols_free(symbols);
    return guard;
}
