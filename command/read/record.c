/* record.c - see record.h. A record is read in one go: the header, by the protocol of its snapshot; the samples; then,
 * with a newer list of pieces, the stacks and the frames, so that what a sample refers to is there.
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "read/record.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "hakmem.h"
#include "read/source.h"
#include "tool.h"

enum {
    TRIES = 20,      /* for a snapshot that is being written, one each millisecond: it takes a fraction of one */
    PIECES_TRIES = 3 /* for pieces that seem damaged: the process may have been adding one */
};

/* Bytes of all pieces (the library makes some 10 MiB at most; what is far more would only fill our memory), of a
 * sample, and of any sum. */
#define BYTES_MOST (UINT64_C(64) << 20)
#define SAMPLE_MOST (UINT64_C(1) << 48)
#define AMOUNT_MOST (UINT64_C(1) << 60)

struct record {
    char *name;
    struct source source;
    struct record_header header;
    bool is_torn;
    uint64_t read_at; /* milliseconds on the monotonic clock */
    struct record_statistic statistics[RECORD_VALUES];
    size_t statistic_count;
    struct record_sample *samples;
    size_t sample_count;
    struct record_stack *stacks;
    uint32_t stack_count;
    struct record_allocated *allocated; /* by the stack's number; of some of the stacks */
    uint64_t allocated_count;
    uint64_t counted; /* milliseconds */
    uint64_t *frames;
    uint64_t frame_count;
    struct record_guard *guards;
    size_t guard_count;
    struct record_module *modules;
    size_t module_count;
    struct record_heap *heaps;
    size_t heap_count;
    struct record_mapping *mappings; /* made of modules */
};

/* ---- The header -------------------------------------------------------------------------------------------------- */

static bool sequence_read(const struct record *r, uint32_t *sequence)
{
    return source_read(&r->source, offsetof(struct record_header, sequence), sequence, sizeof *sequence);
}

static void pause_ms(long ms)
{
    struct timespec time = {.tv_nsec = ms * 1000000};
    nanosleep(&time, NULL);
}

/* A copy of the header in which the snapshot is whole: its number is even, and the same before, after and in the
 * middle. In what does not run any more it is as it is. */
static bool header_copy(struct record *r)
{
    for (int tries = r->source.kind == SOURCE_PROCESS ? TRIES : 1; tries > 0; tries--) {
        uint32_t before, after;
        if (!sequence_read(r, &before) || !source_read(&r->source, 0, &r->header, sizeof r->header) ||
            !sequence_read(r, &after))
            return false;
        r->is_torn = (before & 1) != 0 || before != after || r->header.sequence != before;
        if (!r->is_torn)
            break;
        if (tries > 1)
            pause_ms(1);
    }
    return true;
}

/* "name:unit", each terminated; nothing but these is in the names that it returns true for. */
static bool names_parse(struct record *r)
{
    char *place = r->header.names, *end = place + sizeof r->header.names;
    r->statistic_count = 0;
    for (uint32_t i = 0; i < r->header.value_count; i++) {
        size_t length = strnlen(place, (size_t)(end - place));
        size_t name = strspn(place, "abcdefghijklmnopqrstuvwxyz0123456789._");
        if (place + length == end || name == 0 || name >= length || place[name] != ':')
            return false;
        place[name] = '\0';
        r->statistics[r->statistic_count++] =
            (struct record_statistic){place, strcmp(place + name + 1, "bytes") == 0, r->header.value[i]};
        place += length + 1;
    }
    return true;
}

static uint64_t amount_cut(uint64_t amount) { return amount < AMOUNT_MOST ? amount : AMOUNT_MOST - 1; }

static void amounts_cut(struct record_header *h)
{
    for (unsigned i = 0; i < RECORD_VALUES; i++)
        h->value[i] = amount_cut(h->value[i]);
    for (unsigned i = 0; i < RECORD_HISTORY; i++) {
        h->history[i].live = amount_cut(h->history[i].live);
        h->history[i].kept = amount_cut(h->history[i].kept);
    }
    h->resident = amount_cut(h->resident);
    h->peak = amount_cut(h->peak);
}

/* What is wrong with the header, allocated; NULL: nothing. */
static char *header_check(struct record *r)
{
    const struct record_header *h = &r->header;
    if (h->magic != RECORD_MAGIC)
        return text_make("the record of '%s' is damaged: it does not begin as one", r->name);
    if (h->version != RECORD_VERSION || h->header_size != sizeof *h)
        return text_make("the record of '%s' is of another version (%u) than this command's (%d): use the hakmem that "
                         "came with its library",
                         r->name, h->version, RECORD_VERSION);
    if (h->size < sizeof *h || (h->state != RECORD_RUNS && h->state != RECORD_ENDED))
        return text_make("the record of '%s' is damaged: its header makes no sense", r->name);
    if (h->value_count > RECORD_VALUES || h->history_count > RECORD_HISTORY)
        return text_make("the record of '%s' is damaged: it counts more than there is room for", r->name);
    amounts_cut(&r->header);
    text_clean(r->header.library, sizeof r->header.library);
    text_clean(r->header.program, sizeof r->header.program);
    return names_parse(r) ? NULL : text_make("the record of '%s' is damaged: its names make no sense", r->name);
}

static char *header_read(struct record *r)
{
    if (!header_copy(r))
        return text_make("the record of '%s' is cut short, or cannot be read", r->name);
    return header_check(r);
}

/* ---- Pieces ------------------------------------------------------------------------------------------------------ */

static const size_t entry_sizes[] = {[RECORD_SAMPLES] = sizeof(struct record_sample),
                                     [RECORD_STACKS] = sizeof(struct record_stack),
                                     [RECORD_FRAMES] = sizeof(uint64_t),
                                     [RECORD_MODULES] = sizeof(struct record_module),
                                     [RECORD_HEAPS] = sizeof(struct record_heap),
                                     [RECORD_GUARDS] = sizeof(struct record_guard),
                                     [RECORD_REQUESTS] = sizeof(struct record_requests),
                                     [RECORD_ALLOCATED] = sizeof(struct record_allocated)};
enum { KINDS = sizeof entry_sizes / sizeof entry_sizes[0] };

/* 0 for a kind that this version does not know, which it leaves alone. */
static uint64_t piece_size(const struct record_piece *piece)
{
    return piece->kind < KINDS ? piece->count * (uint64_t)entry_sizes[piece->kind] : 0;
}

static bool piece_overlaps(const struct record_piece *a, const struct record_piece *b)
{
    return a->offset < b->offset + piece_size(b) && b->offset < a->offset + piece_size(a);
}

/* Whether all pieces lie inside the record, aligned, beside each other. */
static bool pieces_check(const struct record_header *h)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < RECORD_PIECES; i++) {
        const struct record_piece *piece = &h->piece[i];
        uint64_t size = piece_size(piece);
        if (size == 0)
            continue;
        sum += size;
        if (piece->offset < sizeof *h || piece->offset % 8 != 0 || piece->offset > h->size ||
            size > h->size - piece->offset || sum > BYTES_MOST)
            return false;
        for (unsigned j = 0; j < i; j++)
            if (piece_size(&h->piece[j]) > 0 && piece_overlaps(piece, &h->piece[j]))
                return false;
    }
    return true;
}

static uint64_t pieces_count(const struct record_header *h, uint32_t kind)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < RECORD_PIECES; i++)
        count += h->piece[i].kind == kind ? h->piece[i].count : 0;
    return count;
}

/* All entries of a kind, one piece after the other, allocated. NULL when they cannot be had. */
static void *pieces_read(const struct record *r, uint32_t kind, uint64_t *count)
{
    size_t size = entry_sizes[kind];
    *count = pieces_count(&r->header, kind);
    char *entries = calloc(*count + 1, size), *place = entries;
    for (unsigned i = 0; entries && i < RECORD_PIECES; i++) {
        const struct record_piece *piece = &r->header.piece[i];
        if (piece->kind != kind || piece->count == 0)
            continue;
        if (!source_read(&r->source, piece->offset, place, piece->count * size)) {
            free(entries);
            return NULL;
        }
        place += piece->count * size;
    }
    return entries;
}

/* Where the requests lie, from the record's beginning; 0: nowhere. */
static uint64_t requests_place(const struct record *r)
{
    for (unsigned i = 0; i < RECORD_PIECES; i++)
        if (r->header.piece[i].kind == RECORD_REQUESTS && r->header.piece[i].count > 0)
            return r->header.piece[i].offset;
    return 0;
}

/* Milliseconds that allocations have been counted. */
static uint64_t counted_read(const struct record *r)
{
    struct record_requests requests;
    uint64_t place = requests_place(r), now = record_now(r);
    if (place == 0 || !source_read(&r->source, place, &requests, sizeof requests))
        return 0;
    bool counts = requests.counted_since > 0 && requests.counted_since < now;
    return amount_cut(requests.counted) + (counts ? now - requests.counted_since : 0);
}

/* The list of pieces, as it is by now. */
static bool pieces_refresh(struct record *r)
{
    struct record_piece piece[RECORD_PIECES];
    size_t place = offsetof(struct record_header, piece);
    if (!source_read(&r->source, place, piece, sizeof piece) ||
        !source_read(&r->source, offsetof(struct record_header, size), &r->header.size, sizeof r->header.size))
        return false;
    memcpy(r->header.piece, piece, sizeof piece);
    return pieces_check(&r->header);
}

/* ---- Entries: those that make no sense are left out, since a record that is written to has some ------------------ */

static int sample_compare(const void *a, const void *b)
{
    const struct record_sample *left = a, *right = b;
    return left->block < right->block ? -1 : left->block > right->block;
}

static bool sample_is_good(const struct record *r, const struct record_sample *sample)
{
    return sample->block > 1 && sample->size > 0 && sample->size < SAMPLE_MOST && sample->bytes < SAMPLE_MOST &&
           sample->stack < r->stack_count;
}

/* Drops empty entries, and of two with one address, which cannot both live, the second. */
static void samples_sift(struct record *r, uint64_t count)
{
    size_t kept = 0;
    for (uint64_t i = 0; i < count; i++)
        if (sample_is_good(r, &r->samples[i]))
            memmove(&r->samples[kept++], &r->samples[i], sizeof r->samples[0]);
    qsort(r->samples, kept, sizeof r->samples[0], sample_compare);
    r->sample_count = 0;
    for (size_t i = 0; i < kept; i++)
        if (i == 0 || r->samples[i].block != r->samples[i - 1].block)
            memmove(&r->samples[r->sample_count++], &r->samples[i], sizeof r->samples[0]);
}

static bool guard_is_good(const struct record_guard *guard)
{
    return guard->size > 0 && guard->size < SAMPLE_MOST && guard->start < guard->block && guard->block < guard->end &&
           guard->size <= guard->end - guard->block;
}

static void guards_sift(struct record *r, uint64_t count)
{
    r->guard_count = 0;
    for (uint64_t i = 0; i < count; i++)
        if (guard_is_good(&r->guards[i]))
            memmove(&r->guards[r->guard_count++], &r->guards[i], sizeof r->guards[0]);
}

static bool stack_is_good(const struct record *r, uint32_t number)
{
    const struct record_stack *stack = &r->stacks[number];
    if (number == 0)
        return true;
    return stack->hash > 1 && stack->depth <= RECORD_DEPTH && stack->frames <= r->frame_count &&
           stack->depth <= r->frame_count - stack->frames;
}

static void heap_clean(struct record_heap *heap)
{
    text_clean(heap->name, sizeof heap->name);
    heap->live = amount_cut(heap->live);
    heap->peak = amount_cut(heap->peak);
    heap->held = amount_cut(heap->held);
    for (unsigned i = 0; i < RECORD_HEAP_MAPPINGS; i++)
        if (heap->mapped[i].size >= SAMPLE_MOST)
            heap->mapped[i].size = 0;
}

/* Drops those that are none, and more than there can be. */
static void heaps_sift(struct record *r, uint64_t count)
{
    r->heap_count = 0;
    for (uint64_t i = 0; i < count && r->heap_count < HAK_HEAPS_MAX; i++) {
        heap_clean(&r->heaps[i]);
        if (r->heaps[i].name[0])
            memmove(&r->heaps[r->heap_count++], &r->heaps[i], sizeof r->heaps[i]);
    }
}

static bool entries_read(struct record *r)
{
    uint64_t samples, stacks, modules, heaps, guards;
    if (!pieces_check(&r->header) || !(r->samples = pieces_read(r, RECORD_SAMPLES, &samples)) || !pieces_refresh(r) ||
        !(r->stacks = pieces_read(r, RECORD_STACKS, &stacks)) ||
        !(r->frames = pieces_read(r, RECORD_FRAMES, &r->frame_count)) ||
        !(r->modules = pieces_read(r, RECORD_MODULES, &modules)) ||
        !(r->heaps = pieces_read(r, RECORD_HEAPS, &heaps)) || !(r->guards = pieces_read(r, RECORD_GUARDS, &guards)) ||
        !(r->allocated = pieces_read(r, RECORD_ALLOCATED, &r->allocated_count)))
        return false;
    r->stack_count = (uint32_t)stacks;
    r->module_count = (size_t)modules;
    if (r->stack_count > 0)
        r->stacks[0].depth = 0;
    samples_sift(r, samples);
    heaps_sift(r, heaps);
    guards_sift(r, guards);
    r->counted = counted_read(r);
    return true;
}

static void entries_free(struct record *r)
{
    free(r->samples);
    free(r->stacks);
    free(r->frames);
    free(r->modules);
    free(r->heaps);
    free(r->guards);
    free(r->allocated);
    free(r->mappings);
    r->samples = NULL;
    r->stacks = NULL;
    r->frames = NULL;
    r->modules = NULL;
    r->heaps = NULL;
    r->guards = NULL;
    r->allocated = NULL;
    r->mappings = NULL;
    r->sample_count = r->stack_count = 0;
    r->heap_count = 0;
}

/* ---- Modules ----------------------------------------------------------------------------------------------------- */

static void module_clean(struct record_module *module)
{
    text_clean(module->path, sizeof module->path);
    module->build_id[sizeof module->build_id - 1] = '\0';
    module->build_id[strspn(module->build_id, "0123456789abcdef")] = '\0';
}

static int mapping_compare(const void *a, const void *b)
{
    const struct record_mapping *left = a, *right = b;
    return left->start < right->start ? -1 : left->start > right->start;
}

/* The modules of a file as mappings; false when there is no memory for them. */
static bool modules_map(struct record *r)
{
    size_t kept = 0;
    r->mappings = calloc(r->module_count + 1, sizeof *r->mappings);
    for (size_t i = 0; r->mappings && i < r->module_count; i++) {
        struct record_module *module = &r->modules[i];
        if (module->start >= module->end)
            continue;
        module_clean(module);
        struct record_mapping *mapping = &r->mappings[kept++];
        *mapping = (struct record_mapping){module->start, module->end, module->offset, module->path, module->path, ""};
        memcpy(mapping->build_id, module->build_id, sizeof mapping->build_id);
    }
    r->module_count = kept;
    if (r->mappings)
        qsort(r->mappings, kept, sizeof *r->mappings, mapping_compare);
    return r->mappings;
}

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

uint64_t record_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Reads all of it; NULL, or what is wrong with it. */
static char *record_read(struct record *r)
{
    for (int tries = r->source.kind == SOURCE_PROCESS ? PIECES_TRIES : 1; tries > 0; tries--) {
        char *reason = header_read(r);
        if (reason)
            return reason;
        r->read_at = record_clock();
        if (entries_read(r))
            return modules_map(r) ? NULL : text_make("no memory");
        entries_free(r);
    }
    return text_make("the record of '%s' is damaged or cut short: its pieces are not where it says", r->name);
}

/* A record of which nothing is known yet; NULL: no memory. */
static struct record *record_new(const char *what)
{
    struct record *r = calloc(1, sizeof *r);
    char *name = strdup(what);
    if (!r || !name) {
        free(r);
        free(name);
        return NULL;
    }
    r->name = name;
    r->source.fd = -1;
    return r;
}

struct record *record_try(const char *what, char **reason)
{
    struct record *r = record_new(what);
    *reason = r ? NULL : text_make("no memory");
    if (r && source_open(&r->source, what, true, reason))
        *reason = record_read(r);
    if (!*reason)
        return r;
    record_close(r);
    return NULL;
}

struct record *record_glance(pid_t process, bool *is_refused)
{
    char what[16], *reason = NULL;
    snprintf(what, sizeof what, "%d", (int)process);
    struct record *r = record_new(what);
    *is_refused = false;
    if (r && source_open(&r->source, what, false, &reason))
        reason = record_read(r);
    if (!reason)
        return r;
    free(reason);
    *is_refused = r->source.is_refused;
    record_close(r);
    return NULL;
}

struct record *record_open(const char *what)
{
    char *reason;
    struct record *record = record_try(what, &reason);
    if (!record)
        complain(0, NULL, "%s", reason ? reason : "no memory");
    free(reason);
    return record;
}

void record_close(struct record *r)
{
    if (!r)
        return;
    entries_free(r);
    source_close(&r->source);
    free(r->name);
    free(r);
}

bool record_is_same(const struct record *a, const struct record *b)
{
    return a->header.began_wall == b->header.began_wall && a->header.process == b->header.process;
}

/* A process may have other libraries by now, and its id may be another's: it is looked for again. */
int record_refresh(struct record *r)
{
    struct record *newer = record_open(r->name);
    if (!newer)
        return -1;
    if (!record_is_same(r, newer)) {
        complain(0, NULL, "'%s' is another process than it was", r->name);
        record_close(newer);
        return -1;
    }
    struct record older = *r;
    *r = *newer;
    *newer = older;
    for (size_t i = 0; i < r->statistic_count; i++) /* names lie in the header, which has moved */
        r->statistics[i].name = r->header.names + (r->statistics[i].name - newer->header.names);
    record_close(newer);
    return 0;
}

/* ---- Looking ----------------------------------------------------------------------------------------------------- */

const struct record_header *record_header(const struct record *r) { return &r->header; }
pid_t record_process(const struct record *r) { return r->source.process; }
const char *record_name(const struct record *r) { return r->name; }
bool record_is_torn(const struct record *r) { return r->is_torn; }
uint32_t record_stacks(const struct record *r) { return r->stack_count; }

static uint64_t greater(uint64_t a, uint64_t b) { return a > b ? a : b; }

uint64_t record_now(const struct record *r)
{
    if (r->source.kind == SOURCE_PROCESS)
        return r->read_at;
    uint64_t last = greater(r->header.began_monotonic, r->header.taken_at);
    for (uint32_t i = 0; i < r->header.history_count; i++)
        last = greater(last, r->header.history[i].at);
    for (size_t i = 0; i < r->sample_count; i++)
        last = greater(last, r->samples[i].born);
    return last;
}

uint64_t record_lasted(const struct record *r)
{
    uint64_t now = record_now(r), began = r->header.began_monotonic;
    return now > began ? now - began : 0;
}

size_t record_statistics(const struct record *r, const struct record_statistic **out)
{
    *out = r->statistics;
    return r->statistic_count;
}

const struct record_statistic *record_statistic(const struct record *r, const char *name)
{
    for (size_t i = 0; i < r->statistic_count; i++)
        if (strcmp(r->statistics[i].name, name) == 0)
            return &r->statistics[i];
    return NULL;
}

uint64_t record_value(const struct record *r, const char *name)
{
    const struct record_statistic *statistic = record_statistic(r, name);
    return statistic ? statistic->value : 0;
}

size_t record_samples(const struct record *r, const struct record_sample **out)
{
    *out = r->samples;
    return r->sample_count;
}

size_t record_heaps(const struct record *r, const struct record_heap **out)
{
    *out = r->heaps;
    return r->heap_count;
}

uint64_t record_heaps_live(const struct record *r)
{
    uint64_t live = 0;
    for (size_t i = 0; i < r->heap_count; i++)
        live = amount_cut(live + r->heaps[i].live);
    return live;
}

size_t record_guards(const struct record *r, const struct record_guard **out)
{
    *out = r->guards;
    return r->guard_count;
}

bool record_fault(const struct record *r, uint64_t *address)
{
    *address = r->source.fault;
    return r->source.has_fault;
}

bool record_requests(const struct record *r, struct record_requests *out)
{
    uint64_t place = r->source.kind == SOURCE_PROCESS ? requests_place(r) : 0;
    return place != 0 && source_read(&r->source, place, out, sizeof *out);
}

bool record_can_ask(const struct record *r, const char *act)
{
    struct record_requests requests;
    if (record_process(r) == 0)
        complain(0, NULL, "'%s' is what a process has left: only one that runs can %s", r->name, act);
    else if (!record_requests(r, &requests))
        complain(0, "it is of another version than this command",
                 "process %s runs on hakmem %s, which takes no requests", r->name, r->header.library);
    else
        return true;
    return false;
}

int record_ask_refuse(const struct record *r, int error)
{
    int process = (int)record_process(r);
    if (error == ESRCH)
        return complain(STATUS_NO, NULL, "process %d has ended, or has become another program", process);
    return complain(STATUS_NO, "who may trace a process may write to its memory, unless the kernel forbids that to all",
                    "process %d cannot be asked: %s", process, strerror(error));
}

int record_ask_trim(const struct record *r, uint64_t *number)
{
    struct record_requests requests;
    if (!record_requests(r, &requests))
        return ESRCH;
    *number = requests.trim + 1;
    return source_write(&r->source, requests_place(r) + offsetof(struct record_requests, trim), number, sizeof *number);
}

int record_ask_count(const struct record *r, uint64_t until)
{
    struct record_requests requests;
    if (!record_requests(r, &requests))
        return ESRCH;
    uint64_t place = requests_place(r) + offsetof(struct record_requests, count_until);
    return source_write(&r->source, place, &until, sizeof until);
}

bool record_allocated(const struct record *r, uint32_t stack, struct record_allocated *out)
{
    bool is_counted = stack < r->allocated_count && r->allocated[stack].bytes > 0;
    memset(out, 0, sizeof *out);
    if (is_counted) {
        out->bytes = amount_cut(r->allocated[stack].bytes);
        out->block_parts = amount_cut(r->allocated[stack].block_parts);
    }
    return is_counted;
}

uint64_t record_counted(const struct record *r) { return r->counted; }

const struct record_stack *record_stack(const struct record *r, uint32_t number)
{
    return number < r->stack_count && stack_is_good(r, number) ? &r->stacks[number] : NULL;
}

unsigned record_frames(const struct record *r, uint32_t stack, uint64_t out[RECORD_DEPTH])
{
    const struct record_stack *found = record_stack(r, stack);
    unsigned depth = found ? found->depth : 0;
    if (depth > 0)
        memcpy(out, r->frames + found->frames, depth * sizeof out[0]);
    return depth;
}

size_t record_mappings(const struct record *r, const struct record_mapping **out)
{
    *out = r->source.kind == SOURCE_FILE ? r->mappings : r->source.mappings;
    return r->source.kind == SOURCE_FILE ? r->module_count : r->source.mapping_count;
}

const struct record_mapping *record_mapping_at(const struct record *r, uint64_t address)
{
    const struct record_mapping *mappings;
    size_t count = record_mappings(r, &mappings);
    for (size_t i = 0; i < count; i++)
        if (address >= mappings[i].start && address < mappings[i].end)
            return &mappings[i];
    return NULL;
}

bool record_place(const struct record *r, uint64_t *start, uint64_t *size)
{
    *start = r->source.origin;
    *size = r->header.size;
    return r->source.kind != SOURCE_FILE;
}
