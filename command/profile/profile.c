/* profile.c - see profile.h: what all profiles have, and how one is made of a record.
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "profile/profile.h"

#include <inttypes.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "grow.h"
#include "names/names.h"
#include "read/source.h"
#include "names/symbols.h"
#include "tool.h"

const struct profile_value_row profile_value_rows[PROFILE_VALUES] = {
#define X(id, name, unit, pprof, doc) {name, unit, pprof, doc},
#include "memory/values.def"
#undef X
};

/* ---- Names that people give -------------------------------------------------------------------------------------- */

const struct profile_format profile_formats[] = {
    {"table", ".txt", "text/plain; charset=utf-8", profile_write_table, false},
    {"folded", ".folded", "text/plain; charset=utf-8", profile_write_folded, false},
    {"pprof", ".pb.gz", "application/octet-stream", profile_write_pprof, true},
    {"html", ".html", "text/html; charset=utf-8", profile_write_page, false},
    {"json", ".json", "application/json", profile_write_json, false},
    {0},
};

const struct profile_format *profile_format_named(const char *name)
{
    const struct profile_format *format = profile_formats;
    while (format->name && strcmp(format->name, name) != 0)
        format++;
    return format->name ? format : NULL;
}

static bool ends_in(const char *text, const char *end)
{
    return strlen(text) > strlen(end) && strcmp(text + strlen(text) - strlen(end), end) == 0;
}

const struct profile_format *profile_format_of_file(const char *path)
{
    const struct profile_format *format = profile_formats;
    while (format->name && !ends_in(path, format->suffix))
        format++;
    return format->name ? format : NULL;
}

bool profile_value_named(const char *name, enum profile_value *value)
{
    for (size_t i = 0; i < PROFILE_VALUES; i++) {
        *value = (enum profile_value)i;
        if (strcmp(profile_value_rows[i].name, name) == 0)
            return true;
    }
    return false;
}

bool profile_value_is_counted(enum profile_value value) { return value == VALUE_ALLOCATED || value == VALUE_ALLOCATIONS; }

/* ---- All profiles ------------------------------------------------------------------------------------------------ */

void profile_free(struct profile *profile)
{
    if (!profile)
        return;
    for (size_t i = 0; i < profile->stack_count; i++)
        free(profile->stacks[i].frames);
    if (profile->strings_free)
        profile->strings_free(profile->strings);
    free(profile->program);
    free(profile->version);
    free(profile->mappings);
    free(profile->frames);
    free(profile->stacks);
    free(profile->rows);
    free(profile->threads);
    free(profile);
}

uint64_t profile_total(const struct profile *profile, enum profile_value value)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < profile->row_count; i++)
        sum += profile->rows[i].value[value];
    return sum;
}

size_t profile_owner(const struct profile *profile, const struct profile_stack *stack)
{
    for (size_t i = 0; i < stack->depth; i++)
        if (!profile->frames[stack->frames[i]].is_wrapper)
            return i;
    return stack->depth - 1;
}

struct profile_title profile_title(const struct profile *profile)
{
    struct profile_title title;
    const char *program = path_base(profile->program);
    if (profile->process > 0)
        snprintf(title.text, sizeof title.text, "process %d (%.120s)", (int)profile->process, program);
    else
        snprintf(title.text, sizeof title.text, "%.120s", program);
    return title;
}

bool profile_is_unnamed(const struct profile_frame *frame)
{
    size_t length = strlen(frame->module);
    return length > 0 && strncmp(frame->function, frame->module, length) == 0 &&
           strncmp(frame->function + length, "+0x", 3) == 0;
}

const char *profile_thread_name(const struct profile *profile, uint32_t thread)
{
    for (size_t i = 0; i < profile->thread_count; i++)
        if (profile->threads[i].id == thread)
            return profile->threads[i].name;
    return "";
}

/* ---- Of a record: strings ---------------------------------------------------------------------------------------- */

/* What a profile of a record is made with, and what its strings lie in as long as it is there. */
struct making {
    struct profile *profile;
    struct symbols *symbols;
    void *places; /* a tree of known_place */
    char **texts;
    size_t text_count;
    bool is_out_of_memory;
};

/* Where the frames of a place begin. */
struct known_place {
    const struct symbols_place *place;
    uint32_t first;
};

static int known_compare(const void *a, const void *b)
{
    const struct known_place *one = a, *other = b;
    return one->place < other->place ? -1 : one->place > other->place;
}

static void making_free(void *memory)
{
    struct making *making = memory;
    tdestroy(making->places, free);
    for (size_t i = 0; i < making->text_count; i++)
        free(making->texts[i]);
    free(making->texts);
    if (making->symbols)
        symbols_free(making->symbols);
    free(making);
}

/* array_grow, and whether memory is out is kept. */
static void *making_grow(struct making *making, void *array, size_t count, size_t size)
{
    void *more = array_grow(array, count, size);
    making->is_out_of_memory |= !more;
    return more;
}

/* A copy that lives as long as the profile. */
static const char *text_keep(struct making *making, const char *text)
{
    char **texts = array_grow(making->texts, making->text_count, sizeof *texts);
    char *copy = texts ? strdup(text) : NULL;
    if (texts)
        making->texts = texts;
    if (copy)
        texts[making->text_count++] = copy;
    else
        making->is_out_of_memory = true;
    return copy ? copy : "";
}

/* ---- Frames ------------------------------------------------------------------------------------------------------ */

static bool is_of_hakmem(const char *module) { return strncmp(module, "libhakmem.so", 12) == 0; }

static int mapping_index(const struct making *making, const struct symbols_place *place)
{
    for (size_t i = 0; i < making->profile->mapping_count; i++)
        if (place->mapping && making->profile->mappings[i].start == place->mapping->start)
            return (int)i;
    return -1;
}

static void frame_fill(struct making *making, const struct symbols_place *place, const struct symbol *symbol,
                       uint64_t address, struct profile_frame *frame)
{
    char text[256];
    symbol_describe(text, sizeof text, place, symbol);
    *frame = (struct profile_frame){.function = symbol->function ? symbol->function : text_keep(making, text),
                                    .linkage = symbol->linkage ? symbol->linkage : "",
                                    .file = symbol->file ? symbol->file : "",
                                    .line = symbol->line,
                                    .module = place->mapping ? path_base(place->mapping->path) : "",
                                    .address = address,
                                    .mapping = mapping_index(making, place),
                                    .is_inlined = symbol->is_inlined};
    frame->is_wrapper = is_of_hakmem(frame->module) || symbol_is_wrapper(making->symbols, symbol);
}

static uint32_t frame_add(struct making *making, const struct profile_frame *frame)
{
    struct profile *profile = making->profile;
    struct profile_frame *frames = making_grow(making, profile->frames, profile->frame_count, sizeof *frames);
    if (!frames)
        return 0;
    profile->frames = frames;
    frames[profile->frame_count] = *frame;
    return (uint32_t)profile->frame_count++;
}

static void stack_push(struct making *making, struct profile_stack *stack, uint32_t frame)
{
    uint32_t *frames = making_grow(making, stack->frames, stack->depth, sizeof *frames);
    if (!frames)
        return;
    stack->frames = frames;
    frames[stack->depth++] = frame;
}

/* Puts the place's frames, which are made once, into the stack. */
static void place_push(struct making *making, struct profile_stack *stack, uint64_t address)
{
    const struct symbols_place *place = symbols_find(making->symbols, address);
    struct known_place question = {.place = place}, **known = tfind(&question, &making->places, known_compare);
    uint32_t first = known ? (*known)->first : (uint32_t)making->profile->frame_count;
    for (size_t i = 0; i < place->count; i++) {
        struct profile_frame frame;
        if (!known) {
            frame_fill(making, place, &place->symbol[i], address, &frame);
            frame_add(making, &frame);
        }
        stack_push(making, stack, first + (uint32_t)i);
    }
    struct known_place *entry = known ? NULL : malloc(sizeof *entry);
    if (entry) {
        *entry = (struct known_place){place, first};
        if (!tsearch(entry, &making->places, known_compare))
            free(entry);
    }
}

/* ---- Stacks and rows --------------------------------------------------------------------------------------------- */

/* What had no room in the table of stacks, or came by no way that could be followed. */
static void unknown_push(struct making *making, struct profile_stack *stack)
{
    struct profile_frame frame = {.function = "[no stack]", .linkage = "", .file = "", .module = "", .mapping = -1};
    stack_push(making, stack, frame_add(making, &frame));
}

/* Adds a stack, without frames yet; its index. 0, where there may be none, when memory is out. */
static uint32_t stack_begin(struct making *making, uint32_t number)
{
    struct profile *profile = making->profile;
    struct profile_stack *stacks = making_grow(making, profile->stacks, profile->stack_count, sizeof *stacks);
    if (!stacks)
        return 0;
    profile->stacks = stacks;
    stacks[profile->stack_count] = (struct profile_stack){.number = number};
    return (uint32_t)profile->stack_count++;
}

/* Adds the stack of the record; its index. */
static uint32_t stack_add(struct making *making, const struct record *record, uint32_t number)
{
    uint32_t index = stack_begin(making, number);
    if (making->is_out_of_memory)
        return 0;
    struct profile_stack *stack = &making->profile->stacks[index];
    uint64_t address[RECORD_DEPTH];
    unsigned depth = record_frames(record, number, address);
    for (unsigned i = 0; i < depth; i++)
        place_push(making, stack, address[i]);
    if (stack->depth == 0)
        unknown_push(making, stack);
    return index;
}

static void row_add(struct making *making, const struct profile_row *row)
{
    struct profile *profile = making->profile;
    struct profile_row *rows = making_grow(making, profile->rows, profile->row_count, sizeof *rows);
    if (!rows)
        return;
    profile->rows = rows;
    rows[profile->row_count++] = *row;
}

/* The stack's index is its number yet. */
static void samples_add(struct making *making, const struct record *record)
{
    const struct record_sample *samples;
    size_t count = record_samples(record, &samples);
    uint64_t now = record_now(record);
    for (size_t i = 0; i < count; i++) {
        const struct record_sample *sample = &samples[i];
        uint64_t bytes = sample->bytes > sample->size ? sample->bytes : sample->size;
        struct profile_row row = {.stack = sample->stack, .thread = sample->thread};
        row.value[VALUE_LIVE] = bytes;
        row.value[VALUE_COUNT] = bytes * RECORD_BLOCK_PARTS / sample->size;
        row.value[VALUE_PINNED] = sample->pinned > bytes ? sample->pinned : bytes;
        row.oldest = now > sample->born ? now - sample->born : 1;
        row_add(making, &row);
    }
    making->profile->samples = count;
}

/* What was allocated by the stack since the earlier record, into the row. */
static bool allocated_fill(const struct record *record, const struct record *earlier, struct profile_row *row)
{
    struct record_allocated now, before = {0};
    if (!record_allocated(record, row->stack, &now))
        return false;
    if (earlier)
        record_allocated(earlier, row->stack, &before);
    if (now.bytes <= before.bytes || now.block_parts < before.block_parts)
        return false;
    row->value[VALUE_ALLOCATED] = now.bytes - before.bytes;
    row->value[VALUE_ALLOCATIONS] = now.block_parts - before.block_parts;
    return true;
}

static void sums_add(struct making *making, const struct record *record, const struct record *earlier)
{
    for (uint32_t number = 0; number < record_stacks(record); number++) {
        const struct record_stack *stack = record_stack(record, number);
        struct profile_row row = {.stack = number};
        if (!stack)
            continue;
        bool has_allocated = allocated_fill(record, earlier, &row);
        if (stack->at_peak == 0 && stack->ended == 0 && !has_allocated)
            continue;
        row.value[VALUE_PEAK] = stack->at_peak;
        row.value[VALUE_ENDED] = stack->ended;
        row.value[VALUE_LIFE] = stack->life;
        row_add(making, &row);
    }
}

static int row_compare(const void *a, const void *b)
{
    const struct profile_row *one = a, *other = b;
    if (one->stack != other->stack)
        return one->stack < other->stack ? -1 : 1;
    return one->thread < other->thread ? -1 : one->thread > other->thread;
}

static void row_merge(struct profile_row *row, const struct profile_row *other)
{
    for (size_t i = 0; i < PROFILE_VALUES; i++)
        row->value[i] += other->value[i];
    if (other->oldest > row->oldest)
        row->oldest = other->oldest;
}

/* One row for each stack and thread, by stack. */
static void rows_merge(struct profile *profile)
{
    size_t kept = 0;
    if (profile->row_count > 0)
        qsort(profile->rows, profile->row_count, sizeof *profile->rows, row_compare);
    for (size_t i = 0; i < profile->row_count; i++) {
        if (kept > 0 && row_compare(&profile->rows[kept - 1], &profile->rows[i]) == 0)
            row_merge(&profile->rows[kept - 1], &profile->rows[i]);
        else
            profile->rows[kept++] = profile->rows[i];
    }
    profile->row_count = kept;
}

/* Blocks, of which parts were added until now. */
static void parts_round(struct profile *profile)
{
    for (size_t i = 0; i < profile->row_count; i++) {
        uint64_t *value = profile->rows[i].value;
        value[VALUE_COUNT] = (value[VALUE_COUNT] + RECORD_BLOCK_PARTS / 2) / RECORD_BLOCK_PARTS;
        value[VALUE_ALLOCATIONS] = (value[VALUE_ALLOCATIONS] + RECORD_BLOCK_PARTS / 2) / RECORD_BLOCK_PARTS;
    }
}

/* The stacks that rows have, and their indices in place of their numbers. */
static void stacks_add(struct making *making, const struct record *record)
{
    struct profile *profile = making->profile;
    uint32_t number = UINT32_MAX, index = 0;
    for (size_t i = 0; i < profile->row_count && !making->is_out_of_memory; i++) {
        if (profile->rows[i].stack != number) {
            number = profile->rows[i].stack;
            index = stack_add(making, record, number);
        }
        profile->rows[i].stack = index;
    }
}

/* Heaps by name: a way of one frame each, without samples. They are no thread's, and when their blocks came is not
 * known. */
static void heaps_add(struct making *making, const struct record *record)
{
    const struct record_heap *heaps;
    struct profile *profile = making->profile;
    size_t count = record_heaps(record, &heaps);
    for (size_t i = 0; i < count && !making->is_out_of_memory; i++) {
        char text[RECORD_HEAP_NAME + 8];
        if (heaps[i].live == 0)
            continue;
        snprintf(text, sizeof text, "heap \"%s\"", heaps[i].name);
        struct profile_frame frame = {
            .function = text_keep(making, text), .linkage = "", .file = "", .module = "", .mapping = -1};
        struct profile_row row = {.stack = stack_begin(making, record_stacks(record) + (uint32_t)i)};
        if (making->is_out_of_memory)
            return;
        stack_push(making, &profile->stacks[row.stack], frame_add(making, &frame));
        row.value[VALUE_LIVE] = heaps[i].live;
        row.value[VALUE_COUNT] = heaps[i].blocks;
        row.value[VALUE_PINNED] = heaps[i].held > heaps[i].live ? heaps[i].held : heaps[i].live;
        row_add(making, &row);
    }
}

/* ---- Threads ----------------------------------------------------------------------------------------------------- */

/* As the kernel has it; empty when the thread has ended. */
static void thread_name(pid_t process, struct profile_thread *thread)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task/%" PRIu32 "/comm", (int)process, thread->id);
    FILE *file = process > 0 ? fopen(path, "re") : NULL;
    if (file && fgets(thread->name, sizeof thread->name, file))
        thread->name[strcspn(thread->name, "\n")] = '\0';
    if (file)
        fclose(file);
    text_clean(thread->name, sizeof thread->name);
}

static bool thread_is_known(const struct profile *profile, uint32_t id)
{
    for (size_t i = 0; i < profile->thread_count; i++)
        if (profile->threads[i].id == id)
            return true;
    return id == 0;
}

static void threads_add(struct making *making)
{
    struct profile *profile = making->profile;
    for (size_t i = 0; i < profile->row_count; i++) {
        struct profile_thread thread = {.id = profile->rows[i].thread};
        if (thread_is_known(profile, thread.id))
            continue;
        struct profile_thread *threads = making_grow(making, profile->threads, profile->thread_count, sizeof *threads);
        if (!threads)
            return;
        thread_name(profile->process, &thread);
        profile->threads = threads;
        threads[profile->thread_count++] = thread;
    }
}

/* ---- The whole --------------------------------------------------------------------------------------------------- */

static void head_fill(struct making *making, const struct record *record)
{
    const struct record_header *header = record_header(record);
    struct profile *profile = making->profile;
    profile->program = strdup(header->program);
    profile->version = strdup(header->library);
    profile->process = record_process(record) > 0 ? record_process(record) : (pid_t)header->process;
    uint64_t now = record_now(record);
    profile->duration = now > header->began_monotonic ? now - header->began_monotonic : 0;
    profile->when = header->began_wall + profile->duration;
    profile->interval = header->interval;
    making->is_out_of_memory |= !profile->program || !profile->version;
}

static void mappings_add(struct making *making, const struct record *record)
{
    const struct record_mapping *mapping;
    struct profile *profile = making->profile;
    size_t count = record_mappings(record, &mapping);
    profile->mappings = calloc(count + 1, sizeof *profile->mappings);
    making->is_out_of_memory |= !profile->mappings;
    for (size_t i = 0; profile->mappings && i < count; i++, mapping++) {
        struct record_mapping *kept = &profile->mappings[profile->mapping_count++];
        *kept = *mapping;
        kept->path = text_keep(making, mapping->path);
        kept->file = NULL;
        symbols_map(making->symbols, mapping);
    }
}

static void profile_fill(struct making *making, const struct record *record, const struct record *earlier)
{
    head_fill(making, record);
    uint64_t counted = record_counted(record), before = earlier ? record_counted(earlier) : 0;
    making->profile->counted = counted > before ? counted - before : 0;
    mappings_add(making, record);
    samples_add(making, record);
    sums_add(making, record, earlier);
    rows_merge(making->profile);
    parts_round(making->profile);
    stacks_add(making, record);
    heaps_add(making, record);
    threads_add(making);
}

struct profile *profile_of_record(const struct record *record, const struct record *earlier)
{
    struct profile *profile = calloc(1, sizeof *profile);
    struct making *making = calloc(1, sizeof *making);
    const struct record_header *header = record_header(record);
    time_t until = (time_t)((header->began_wall + (record_now(record) - header->began_monotonic)) / 1000);
    bool runs = record_process(record) > 0;
    if (making)
        making->symbols = symbols_new(record_process(record), runs ? 0 : until);
    if (profile && making && making->symbols) {
        profile->strings = making;
        profile->strings_free = making_free;
        making->profile = profile;
        profile_fill(making, record, earlier);
        if (!making->is_out_of_memory)
            return profile;
    } else if (making) {
        making_free(making);
    }
    profile_free(profile);
    return NULL;
}

static struct profile *profile_open_record(const char *what)
{
    struct record *record = record_open(what);
    if (!record)
        return NULL;
    struct profile *profile = profile_of_record(record, NULL);
    record_close(record);
    if (!profile)
        complain(0, NULL, "no memory for the profile of '%s'", what);
    return profile;
}

struct profile *profile_open(const char *what)
{
    if (!ends_in(what, ".json"))
        return profile_open_record(what);
    char *reason;
    struct profile *profile = profile_read(what, &reason);
    if (!profile)
        complain(0, NULL, "%s", reason ? reason : "no memory");
    free(reason);
    return profile;
}
