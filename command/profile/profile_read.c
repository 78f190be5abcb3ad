/* profile_read.c - reads a profile that profile_json.c wrote. Somebody else may have written it: all that is used as an
 * index is checked.
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "profile/profile.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "read/source.h"

/* ---- Fields: of another kind than expected is as if not there ---------------------------------------------------- */

/* It is cleaned where it lies, in memory of jansson's that is allocated. */
static const char *field_text(const json_t *object, const char *name)
{
    char *text = (char *)json_string_value(json_object_get(object, name));
    if (!text)
        return "";
    text_clean(text, strlen(text) + 1);
    return text;
}

static uint64_t field_number(const json_t *object, const char *name)
{
    json_int_t number = json_integer_value(json_object_get(object, name));
    return number > 0 ? (uint64_t)number : 0;
}

static uint64_t field_address(const json_t *object, const char *name)
{
    return strtoull(field_text(object, name), NULL, 16);
}

/* A zeroed array for the list of that name, and how long it is; NULL when memory is out. */
static void *list_room(const json_t *root, const char *name, size_t size, const json_t **list)
{
    *list = json_object_get(root, name);
    return calloc(json_array_size(*list) + 1, size);
}

/* ---- Parts: each is false when it makes no sense, or memory is out ----------------------------------------------- */

static bool head_read(struct profile *profile, const json_t *root)
{
    profile->program = strdup(field_text(root, "program"));
    profile->version = strdup(field_text(root, "library"));
    profile->process = (pid_t)field_number(root, "process");
    profile->when = field_number(root, "when");
    profile->duration = field_number(root, "duration");
    profile->interval = field_number(root, "interval");
    profile->samples = field_number(root, "samples");
    profile->counted = field_number(root, "counted");
    return profile->program && profile->version && strcmp(field_text(root, "hakmem"), "heap profile") == 0 &&
           field_number(root, "version") == 1;
}

static bool mappings_read(struct profile *profile, const json_t *root)
{
    const json_t *list;
    profile->mappings = list_room(root, "mappings", sizeof *profile->mappings, &list);
    for (size_t i = 0; profile->mappings && i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i);
        struct record_mapping *mapping = &profile->mappings[profile->mapping_count++];
        *mapping = (struct record_mapping){.start = field_address(entry, "start"),
                                           .end = field_address(entry, "end"),
                                           .offset = field_address(entry, "offset"),
                                           .path = field_text(entry, "path")};
        snprintf(mapping->build_id, sizeof mapping->build_id, "%s", field_text(entry, "build_id"));
    }
    return profile->mappings;
}

static bool frames_read(struct profile *profile, const json_t *root)
{
    const json_t *list;
    profile->frames = list_room(root, "frames", sizeof *profile->frames, &list);
    for (size_t i = 0; profile->frames && i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i), *mapping = json_object_get(entry, "mapping");
        bool has_mapping = json_is_integer(mapping) && json_integer_value(mapping) >= 0 &&
                           (size_t)json_integer_value(mapping) < profile->mapping_count;
        profile->frames[profile->frame_count++] =
            (struct profile_frame){.function = field_text(entry, "function"),
                                   .linkage = field_text(entry, "linkage"),
                                   .file = field_text(entry, "file"),
                                   .line = (unsigned)field_number(entry, "line"),
                                   .module = field_text(entry, "module"),
                                   .address = field_address(entry, "address"),
                                   .mapping = has_mapping ? (int)json_integer_value(mapping) : -1,
                                   .is_inlined = json_is_true(json_object_get(entry, "inlined")),
                                   .is_wrapper = json_is_true(json_object_get(entry, "wrapper"))};
    }
    return profile->frames;
}

static bool stack_read(const struct profile *profile, const json_t *list, struct profile_stack *stack)
{
    size_t depth = json_array_size(list);
    stack->frames = calloc(depth + 1, sizeof *stack->frames);
    for (; stack->frames && stack->depth < depth; stack->depth++) {
        json_int_t frame = json_integer_value(json_array_get(list, stack->depth));
        if (frame < 0 || (size_t)frame >= profile->frame_count)
            return false;
        stack->frames[stack->depth] = (uint32_t)frame;
    }
    return stack->frames && depth > 0;
}

static bool stacks_read(struct profile *profile, const json_t *root)
{
    const json_t *list;
    profile->stacks = list_room(root, "stacks", sizeof *profile->stacks, &list);
    for (size_t i = 0; profile->stacks && i < json_array_size(list); i++)
        if (!stack_read(profile, json_array_get(list, i), &profile->stacks[profile->stack_count++]))
            return false;
    return profile->stacks;
}

static bool rows_read(struct profile *profile, const json_t *root)
{
    const json_t *list;
    profile->rows = list_room(root, "rows", sizeof *profile->rows, &list);
    for (size_t i = 0; profile->rows && i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i);
        struct profile_row *row = &profile->rows[profile->row_count++];
        uint64_t stack = field_number(entry, "stack");
        *row = (struct profile_row){.stack = (uint32_t)stack, .thread = (uint32_t)field_number(entry, "thread")};
        row->oldest = field_number(entry, "oldest");
        for (size_t k = 0; k < PROFILE_VALUES; k++)
            row->value[k] = field_number(entry, profile_value_rows[k].name);
        if (stack >= profile->stack_count)
            return false;
    }
    return profile->rows;
}

static bool threads_read(struct profile *profile, const json_t *root)
{
    const json_t *list;
    profile->threads = list_room(root, "threads", sizeof *profile->threads, &list);
    for (size_t i = 0; profile->threads && i < json_array_size(list); i++) {
        struct profile_thread *thread = &profile->threads[profile->thread_count++];
        thread->id = (uint32_t)field_number(json_array_get(list, i), "id");
        snprintf(thread->name, sizeof thread->name, "%s", field_text(json_array_get(list, i), "name"));
        text_clean(thread->name, sizeof thread->name); /* it may be cut in the middle of a character */
    }
    return profile->threads;
}

/* ---- The whole --------------------------------------------------------------------------------------------------- */

static void root_free(void *root) { json_decref(root); }

static struct profile *root_read(json_t *root)
{
    struct profile *profile = calloc(1, sizeof *profile);
    if (!profile) {
        json_decref(root);
        return NULL;
    }
    profile->strings = root;
    profile->strings_free = root_free;
    if (head_read(profile, root) && mappings_read(profile, root) && frames_read(profile, root) &&
        stacks_read(profile, root) && rows_read(profile, root) && threads_read(profile, root))
        return profile;
    profile_free(profile);
    return NULL;
}

struct profile *profile_read(const char *path, char **reason)
{
    json_error_t error;
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    struct profile *profile = root ? root_read(root) : NULL;
    *reason = NULL;
    if (!root)
        text_clean(error.text, sizeof error.text); /* it quotes the file */
    if (!root && error.line > 0)
        *reason = text_make("'%s' is no profile: line %d: %s", path, error.line, error.text);
    else if (!root)
        *reason = text_make("'%s' cannot be read: %s", path, error.text);
    else if (!profile)
        *reason = text_make("'%s' is no heap profile that this hakmem has written, or it is damaged", path);
    return profile;
}
