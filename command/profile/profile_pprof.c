/* profile_pprof.c - a profile as pprof has them: protocol buffers, by profile.proto of github.com/google/pprof,
 * packed with gzip. The numbers of fields below are that file's.
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "profile/profile.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "grow.h"
#include "profile/pack.h"

/* ---- Protocol buffers -------------------------------------------------------------------------------------------- */

struct message {
    char *bytes;
    size_t size;
    FILE *stream; /* that fills them */
};

/* False when memory is out. */
static bool message_begin(struct message *message)
{
    *message = (struct message){0};
    message->stream = open_memstream(&message->bytes, &message->size);
    return message->stream;
}

static void number_put(FILE *to, uint64_t number)
{
    for (; number >= 0x80; number >>= 7)
        fputc((int)(0x80 | (number & 0x7F)), to);
    fputc((int)number, to);
}

enum { WIRE_NUMBER = 0, WIRE_BYTES = 2 };

static void field_number(FILE *to, unsigned field, uint64_t number)
{
    if (number == 0)
        return; /* which is what a field is that is not there */
    number_put(to, field << 3 | WIRE_NUMBER);
    number_put(to, number);
}

static void field_bytes(FILE *to, unsigned field, const char *bytes, size_t size)
{
    number_put(to, field << 3 | WIRE_BYTES);
    number_put(to, size);
    fwrite(bytes, 1, size, to);
}

/* Ends the message and puts it into another; false when memory is out. */
static bool field_message(FILE *to, unsigned field, struct message *message)
{
    bool is_whole = fclose(message->stream) == 0;
    if (is_whole)
        field_bytes(to, field, message->bytes, message->size);
    free(message->bytes);
    return is_whole;
}

/* ---- Strings and functions have numbers -------------------------------------------------------------------------- */

struct word {
    char *text;
    size_t size; /* bytes, which may have NULs among them */
    uint64_t number;
};

struct words {
    void *tree;
    struct word **list; /* by number */
    size_t count;
};

static int word_compare(const void *a, const void *b)
{
    const struct word *one = a, *other = b;
    if (one->size != other->size)
        return one->size < other->size ? -1 : 1;
    return memcmp(one->text, other->text, one->size);
}

static void word_nothing(void *word) { (void)word; }

static void words_free(struct words *words)
{
    tdestroy(words->tree, word_nothing);
    for (size_t i = 0; i < words->count; i++) {
        free(words->list[i]->text);
        free(words->list[i]);
    }
    free(words->list);
}

static struct word *word_new(const char *text, size_t size, uint64_t number)
{
    struct word *word = malloc(sizeof *word);
    char *copy = malloc(size + 1);
    if (!word || !copy) {
        free(word);
        free(copy);
        return NULL;
    }
    memcpy(copy, text, size);
    *word = (struct word){copy, size, number};
    return word;
}

/* The word's number, from 0 on in the order of first use; *is_new says whether this is it. 0 when memory is out. */
static uint64_t word_number(struct words *words, const char *text, size_t size, bool *is_new)
{
    struct word question = {(char *)(uintptr_t)text, size, 0}, **known = tfind(&question, &words->tree, word_compare);
    *is_new = !known;
    if (known)
        return (*known)->number;
    struct word **list = array_grow(words->list, words->count, sizeof *list);
    struct word *word = list ? word_new(text, size, words->count) : NULL;
    if (list)
        words->list = list;
    if (!word)
        return 0;
    if (!tsearch(word, &words->tree, word_compare)) {
        free(word->text);
        free(word);
        return 0;
    }
    list[words->count++] = word;
    return word->number;
}

/* What is written, and what was numbered for it. */
struct writing {
    const struct profile *profile;
    bool by_thread;
    FILE *to;
    struct words strings, functions;
    bool is_out_of_memory;
};

static uint64_t string_number(struct writing *writing, const char *text)
{
    bool is_new;
    return word_number(&writing->strings, text, strlen(text), &is_new);
}

static void message_put(struct writing *writing, unsigned field, struct message *message)
{
    writing->is_out_of_memory |= !field_message(writing->to, field, message);
}

static bool message_start(struct writing *writing, struct message *message)
{
    bool has_begun = message_begin(message);
    writing->is_out_of_memory |= !has_begun;
    return has_begun;
}

/* ---- What a profile consists of ---------------------------------------------------------------------------------- */

/* Fields of Profile. */
enum {
    SAMPLE_TYPE = 1,
    SAMPLE = 2,
    MAPPING = 3,
    LOCATION = 4,
    FUNCTION = 5,
    STRING_TABLE = 6,
    TIME_NANOS = 9,
    DURATION_NANOS = 10,
    PERIOD_TYPE = 11,
    PERIOD = 12,
    COMMENT = 13,
    DEFAULT_SAMPLE_TYPE = 14
};

static void type_write(struct writing *writing, unsigned field, const char *type, const char *unit)
{
    struct message message;
    if (!message_start(writing, &message))
        return;
    field_number(message.stream, 1, string_number(writing, type));
    field_number(message.stream, 2, string_number(writing, unit));
    message_put(writing, field, &message);
}

/* The number of the frame's function, which is written when it is the first of it. */
static uint64_t function_write(struct writing *writing, const struct profile_frame *frame)
{
    char key[4096];
    bool is_new;
    int length = snprintf(key, sizeof key, "%s%c%s%c%s", frame->function, 0, frame->linkage, 0, frame->file);
    size_t size = (size_t)length < sizeof key ? (size_t)length : sizeof key - 1;
    uint64_t number = word_number(&writing->functions, key, size, &is_new) + 1;
    struct message message;
    if (!is_new || !message_start(writing, &message))
        return number;
    field_number(message.stream, 1, number);
    field_number(message.stream, 2, string_number(writing, frame->function));
    field_number(message.stream, 3, string_number(writing, frame->linkage));
    field_number(message.stream, 4, string_number(writing, frame->file));
    message_put(writing, FUNCTION, &message);
    return number;
}

/* Whether a place begins with this frame: those of calls inlined into each other stand side by side. */
static bool is_place(const struct profile *profile, size_t frame)
{
    return frame == 0 || !profile->frames[frame - 1].is_inlined;
}

/* The place that begins with the frame: its number is the frame's, from 1 on. An address is that of the call. */
static void place_write(struct writing *writing, size_t first)
{
    const struct profile *profile = writing->profile;
    const struct profile_frame *frame = &profile->frames[first], *end = profile->frames + profile->frame_count;
    struct message message, line;
    if (!message_start(writing, &message))
        return;
    field_number(message.stream, 1, first + 1);
    field_number(message.stream, 2, (uint64_t)(frame->mapping + 1));
    field_number(message.stream, 3, frame->address > 0 ? frame->address - 1 : 0);
    for (bool is_more = true; is_more && frame < end; frame++) {
        is_more = frame->is_inlined;
        if (profile_is_unnamed(frame) || !message_start(writing, &line))
            continue;
        field_number(line.stream, 1, function_write(writing, frame));
        field_number(line.stream, 2, frame->line);
        writing->is_out_of_memory |= !field_message(message.stream, 4, &line);
    }
    message_put(writing, LOCATION, &message);
}

/* What is known of the functions in a mapping, so that pprof does not look for more. */
struct knowledge {
    bool functions, files, lines, inlined;
};

static struct knowledge mapping_knowledge(const struct profile *profile, size_t mapping)
{
    struct knowledge known = {0};
    for (size_t i = 0; i < profile->frame_count; i++) {
        const struct profile_frame *frame = &profile->frames[i];
        if (frame->mapping != (int)mapping)
            continue;
        known.functions |= !profile_is_unnamed(frame);
        known.files |= frame->file[0] != '\0';
        known.lines |= frame->line > 0;
        known.inlined |= frame->is_inlined;
    }
    return known;
}

static void mapping_write(struct writing *writing, size_t index)
{
    const struct record_mapping *mapping = &writing->profile->mappings[index];
    struct knowledge known = mapping_knowledge(writing->profile, index);
    struct message message;
    if (!message_start(writing, &message))
        return;
    field_number(message.stream, 1, index + 1);
    field_number(message.stream, 2, mapping->start);
    field_number(message.stream, 3, mapping->end);
    field_number(message.stream, 4, mapping->offset);
    field_number(message.stream, 5, string_number(writing, mapping->path));
    field_number(message.stream, 6, string_number(writing, mapping->build_id));
    field_number(message.stream, 7, known.functions);
    field_number(message.stream, 8, known.files);
    field_number(message.stream, 9, known.lines);
    field_number(message.stream, 10, known.inlined);
    message_put(writing, MAPPING, &message);
}

/* ---- Samples ----------------------------------------------------------------------------------------------------- */

static void label_write(struct writing *writing, FILE *to, const char *key, const char *text, uint64_t number)
{
    struct message message;
    if (!message_start(writing, &message))
        return;
    field_number(message.stream, 1, string_number(writing, key));
    field_number(message.stream, 2, text ? string_number(writing, text) : 0);
    field_number(message.stream, 3, number);
    writing->is_out_of_memory |= !field_message(to, 3, &message);
}

static void places_put(struct writing *writing, const struct profile_stack *stack, FILE *to)
{
    struct message list;
    if (!message_start(writing, &list))
        return;
    for (size_t i = 0; i < stack->depth; i++)
        if (is_place(writing->profile, stack->frames[i]))
            number_put(list.stream, stack->frames[i] + 1);
    writing->is_out_of_memory |= !field_message(to, 1, &list);
}

static void values_put(struct writing *writing, const uint64_t value[static PROFILE_VALUES], FILE *to)
{
    struct message list;
    if (!message_start(writing, &list))
        return;
    for (size_t i = 0; i < PROFILE_VALUES; i++)
        number_put(list.stream, value[i]);
    writing->is_out_of_memory |= !field_message(to, 2, &list);
}

static void sample_write(struct writing *writing, const struct profile_row *row)
{
    struct message message;
    if (!message_start(writing, &message))
        return;
    places_put(writing, &writing->profile->stacks[row->stack], message.stream);
    values_put(writing, row->value, message.stream);
    if (writing->by_thread && row->thread > 0) {
        const char *name = profile_thread_name(writing->profile, row->thread);
        label_write(writing, message.stream, "thread_id", NULL, row->thread);
        if (name[0] != '\0')
            label_write(writing, message.stream, "thread", name, 0);
    }
    message_put(writing, SAMPLE, &message);
}

/* Rows of a stack follow each other; without threads they are one sample. */
static void samples_write(struct writing *writing)
{
    const struct profile *profile = writing->profile;
    for (size_t i = 0; i < profile->row_count; i++) {
        struct profile_row row = profile->rows[i];
        for (; !writing->by_thread && i + 1 < profile->row_count && profile->rows[i + 1].stack == row.stack; i++)
            for (size_t k = 0; k < PROFILE_VALUES; k++)
                row.value[k] += profile->rows[i + 1].value[k];
        sample_write(writing, &row);
    }
}

/* ---- The whole --------------------------------------------------------------------------------------------------- */

static void head_write(struct writing *writing, enum profile_value value)
{
    const struct profile *profile = writing->profile;
    string_number(writing, ""); /* has to be the first */
    for (size_t i = 0; i < PROFILE_VALUES; i++)
        type_write(writing, SAMPLE_TYPE, profile_value_rows[i].pprof, profile_value_rows[i].unit);
    type_write(writing, PERIOD_TYPE, "space", "bytes");
    field_number(writing->to, PERIOD, profile->interval);
    field_number(writing->to, TIME_NANOS, profile->when * 1000000);
    uint64_t duration = profile_value_is_counted(value) ? profile->counted : profile->duration;
    field_number(writing->to, DURATION_NANOS, duration * 1000000);
    field_number(writing->to, DEFAULT_SAMPLE_TYPE, string_number(writing, profile_value_rows[value].pprof));
    char comment[512];
    snprintf(comment, sizeof comment, "hakmem heap: %s", profile_title(profile).text);
    field_number(writing->to, COMMENT, string_number(writing, comment));
}

static void profile_put(struct writing *writing, enum profile_value value)
{
    const struct profile *profile = writing->profile;
    head_write(writing, value);
    samples_write(writing);
    for (size_t i = 0; i < profile->mapping_count; i++)
        mapping_write(writing, i);
    for (size_t i = 0; i < profile->frame_count; i++)
        if (is_place(profile, i))
            place_write(writing, i);
    for (size_t i = 0; i < writing->strings.count; i++)
        field_bytes(writing->to, STRING_TABLE, writing->strings.list[i]->text, writing->strings.list[i]->size);
}

bool profile_write_pprof(const struct profile *profile, const struct profile_wish *wish, FILE *to)
{
    struct message whole;
    if (!message_begin(&whole))
        return false;
    struct writing writing = {.profile = profile, .by_thread = wish->by_thread, .to = whole.stream};
    profile_put(&writing, wish->value);
    bool is_whole = fclose(whole.stream) == 0 && !writing.is_out_of_memory;
    is_whole = is_whole && pack_write(whole.bytes, whole.size, to);
    free(whole.bytes);
    words_free(&writing.strings);
    words_free(&writing.functions);
    return is_whole;
}
