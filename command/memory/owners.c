/* owners.c - see owners.h.
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "memory/owners.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "names/names.h"
#include "names/symbols.h"
#include "read/source.h"

enum {
    LOOKS = 1 << 16, /* samples of which it is looked at how much is resident: each takes a system call */
    NAMED = 256, /* ways that get names, of those that hold most and of those that held it: debug information may have to
                    be searched for each */
    CALLERS = 3, /* that are named */
    NAME_MOST = 512,
    CALLER_MOST = 40, /* characters of a caller's name */
    CALLERS_MOST = CALLERS * (CALLER_MOST + 3)
};

/* What a way through the program holds. */
struct way {
    uint32_t stack;
    uint64_t live, resident, free, young, ended;
};

static int descending(uint64_t left, uint64_t right) { return left > right ? -1 : left < right; }

/* Those of which nothing is live come last. */
static int way_compare(const void *a, const void *b)
{
    const struct way *left = a, *right = b;
    int order = descending(left->resident, right->resident);
    order = order ? order : descending(left->live, right->live);
    return order ? order : descending(left->ended, right->ended);
}

static int owner_compare(const void *a, const void *b)
{
    const struct owner *left = a, *right = b;
    return descending(left->resident, right->resident);
}

/* How much of what the sample stands for is resident: as much as of itself. */
static uint64_t sample_resident(const struct record_sample *sample, struct areas *areas)
{
    if (!areas)
        return sample->bytes;
    double share = (double)areas_resident(areas, sample->block, sample->size) / (double)sample->size;
    return (uint64_t)((double)sample->bytes * share);
}

/* One for each stack that has blocks, or had some, those that hold most first; *count of them. NULL when there is no
 * memory. */
static struct way *ways_make(const struct record *record, struct areas *areas, size_t *count)
{
    const struct record_sample *samples;
    size_t sample_count = record_samples(record, &samples), stacks = record_stacks(record), kept = 0;
    uint64_t middle = record_now(record) - record_lasted(record) / 2;
    struct way *ways = calloc(stacks + 1, sizeof *ways);
    for (size_t i = 0; ways && i < sample_count; i++) {
        struct way *way = &ways[samples[i].stack];
        way->live += samples[i].bytes;
        way->resident += sample_resident(&samples[i], sample_count <= LOOKS ? areas : NULL);
        way->free += samples[i].pinned > samples[i].bytes ? samples[i].pinned - samples[i].bytes : 0;
        way->young += samples[i].born >= middle ? samples[i].bytes : 0;
    }
    for (size_t i = 0; ways && i < stacks; i++) {
        const struct record_stack *stack = record_stack(record, (uint32_t)i);
        ways[i].stack = (uint32_t)i;
        ways[i].ended = stack ? stack->ended : 0;
        if (ways[i].live > 0 || ways[i].ended > 0)
            ways[kept++] = ways[i];
    }
    if (ways)
        qsort(ways, kept, sizeof *ways, way_compare);
    *count = kept;
    return ways;
}

/* ---- Names ------------------------------------------------------------------------------------------------------- */

struct symbols *owners_symbols(const struct record *record)
{
    const struct record_header *header = record_header(record);
    const struct record_mapping *mappings;
    struct symbols *symbols =
        symbols_new(record_process(record), (time_t)((header->began_wall + record_lasted(record)) / 1000));
    size_t count = record_mappings(record, &mappings);
    for (size_t i = 0; symbols && i < count; i++)
        symbols_map(symbols, &mappings[i]);
    return symbols;
}

/* What is known of a way while it is gone from the inside out. */
struct naming {
    char name[NAME_MOST], module[NAME_MOST], last[NAME_MOST], callers[CALLERS_MOST];
    unsigned caller_count;
    bool is_found; /* the owner; before, `name` is that of a wrapper */
};

static void caller_add(struct naming *naming, const char *name)
{
    size_t length = strlen(naming->callers);
    char condensed[CALLER_MOST + 1];
    if (naming->caller_count >= CALLERS)
        return;
    naming->caller_count++;
    name_condense(condensed, CALLER_MOST, name);
    snprintf(naming->callers + length, CALLERS_MOST - length, "%s%s", length > 0 ? " < " : "", condensed);
}

static void naming_step(struct naming *naming, const struct symbols *symbols, const struct symbols_place *place,
                        const struct symbol *symbol)
{
    char text[NAME_MOST];
    symbol_describe(text, sizeof text, place, symbol);
    bool is_same = strcmp(text, naming->last) == 0; /* recursion, or a part of a function that was split */
    memcpy(naming->last, text, sizeof text);
    if (naming->is_found && !is_same)
        caller_add(naming, text);
    if (naming->is_found)
        return;
    naming->is_found = !symbol_is_wrapper(symbols, symbol);
    memcpy(naming->name, text, sizeof text);
    snprintf(naming->module, sizeof naming->module, "%s", place->mapping ? path_base(place->mapping->path) : "");
}

/* Fills the name, the module and the callers of a way's owner. Of wrappers only, the outermost is it. */
static void way_name(struct owner *owner, const struct record *record, struct symbols *symbols, uint32_t stack)
{
    uint64_t frames[RECORD_DEPTH];
    unsigned depth = record_frames(record, stack, frames);
    struct naming naming = {.name = "(ways that had no room in the record)"};
    for (unsigned i = 0; i < depth && naming.caller_count < CALLERS; i++) {
        const struct symbols_place *place = symbols_find(symbols, frames[i]);
        for (size_t j = 0; place && j < place->count; j++)
            naming_step(&naming, symbols, place, &place->symbol[j]);
    }
    owner->name = strdup(naming.name);
    owner->module = strdup(naming.module);
    owner->callers = strdup(naming.callers);
}

/* ---- Owners ------------------------------------------------------------------------------------------------------ */

static void owner_clear(struct owner *owner)
{
    free(owner->name);
    free(owner->module);
    free(owner->callers);
}

static void owner_add(struct owner *owner, const struct way *way)
{
    owner->live += way->live;
    owner->resident += way->resident;
    owner->free += way->free;
    owner->young += way->young;
    owner->ended += way->ended;
}

static struct owner *owner_find(struct owners *owners, const struct owner *named)
{
    for (size_t i = 0; i < owners->count; i++) {
        struct owner *owner = &owners->owner[i];
        if (strcmp(owner->name, named->name) == 0 && strcmp(owner->module, named->module) == 0)
            return owner;
    }
    return NULL;
}

/* Adds the way to its owner, who may be there already. Ways come by what they hold, so an owner's first is its
 * largest; one of which nothing is live makes no owner. */
static bool way_add(struct owners *owners, struct owner *named, const struct way *way)
{
    if (!named->name || !named->module || !named->callers) {
        owner_clear(named);
        return false;
    }
    struct owner *owner = owner_find(owners, named);
    if (owner)
        owner_add(owner, way);
    if (owner || way->live == 0) {
        owner_clear(named);
        return true;
    }
    owner_add(named, way);
    owners->owner[owners->count++] = *named;
    return true;
}

static bool ways_add(struct owners *owners, const struct record *record, struct symbols *symbols,
                     const struct way *ways, size_t count)
{
    size_t left[] = {NAMED, NAMED}; /* names, for ways that hold memory and for those that held some */
    bool is_added = true;
    for (size_t i = 0; i < count && is_added; i++) {
        struct owner named = {0};
        size_t *names = &left[ways[i].live == 0];
        owners->live += ways[i].live;
        owners->resident += ways[i].resident;
        owners->free += ways[i].free;
        if (*names == 0)
            continue;
        --*names;
        way_name(&named, record, symbols, ways[i].stack);
        is_added = way_add(owners, &named, &ways[i]);
    }
    return is_added;
}

/* Heaps by name, whose blocks are no samples: what they hold counts as resident, for it is not known where it lies. */
static bool heaps_add(struct owners *owners, const struct record *record)
{
    const struct record_heap *heaps;
    size_t count = record_heaps(record, &heaps);
    bool is_added = true;
    for (size_t i = 0; i < count && is_added; i++) {
        struct way way = {.live = heaps[i].live, .resident = heaps[i].live};
        struct owner named = {
            .name = text_make("heap \"%s\"", heaps[i].name), .module = strdup(""), .callers = strdup("")};
        owners->live += way.live;
        owners->resident += way.resident;
        is_added = way_add(owners, &named, &way);
    }
    return is_added;
}

bool owners_read(struct owners *owners, const struct record *record, struct areas *areas)
{
    size_t count;
    struct way *ways = ways_make(record, areas, &count);
    struct symbols *symbols = owners_symbols(record);
    const struct record_heap *heaps;
    *owners = (struct owners){.owner = calloc(NAMED + record_heaps(record, &heaps), sizeof *owners->owner)};
    bool is_read = ways && symbols && owners->owner && ways_add(owners, record, symbols, ways, count) &&
                   heaps_add(owners, record);
    if (is_read)
        qsort(owners->owner, owners->count, sizeof *owners->owner, owner_compare);
    free(ways);
    if (symbols)
        symbols_free(symbols);
    return is_read;
}

void owners_free(struct owners *owners)
{
    for (size_t i = 0; i < owners->count; i++)
        owner_clear(&owners->owner[i]);
    free(owners->owner);
    *owners = (struct owners){0};
}

const struct owner *owners_pinner(const struct owners *owners, uint64_t free_in_pages, unsigned *share)
{
    const struct owner *most = NULL;
    if (owners->free < free_in_pages / 2)
        return NULL;
    for (size_t i = 0; i < owners->count; i++)
        if (owners->owner[i].free > (most ? most->free : 0))
            most = &owners->owner[i];
    *share = most ? (unsigned)(100 * (double)most->free / (double)owners->free) : 0;
    return most;
}
