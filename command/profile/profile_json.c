/* profile_json.c - a profile as JSON: a file of its own, and what the page has inside. Of each list it has one entry
 * a line.
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "profile/profile.h"

#include <inttypes.h>

#include "profile/json.h"

static void separate(FILE *to, size_t index) { fputs(index > 0 ? ",\n" : "\n", to); }

static void head_write(const struct profile *profile, FILE *to)
{
    fputs("{\"hakmem\":\"heap profile\",\"version\":1,\n\"program\":", to);
    json_write_text(profile->program, to);
    fputs(",\"library\":", to);
    json_write_text(profile->version, to);
    fprintf(to,
            ",\"process\":%d,\n\"when\":%" PRIu64 ",\"duration\":%" PRIu64 ",\"interval\":%" PRIu64
            ",\"samples\":%" PRIu64 ",\"counted\":%" PRIu64,
            (int)profile->process, profile->when, profile->duration, profile->interval, profile->samples,
            profile->counted);
}

static void values_write(FILE *to)
{
    fputs(",\n\"values\":[", to);
    for (size_t i = 0; i < PROFILE_VALUES; i++) {
        separate(to, i);
        fprintf(to, "{\"name\":\"%s\",\"unit\":\"%s\",\"doc\":", profile_value_rows[i].name,
                profile_value_rows[i].unit);
        json_write_text(profile_value_rows[i].doc, to);
        fputc('}', to);
    }
    fputc(']', to);
}

static void threads_write(const struct profile *profile, FILE *to)
{
    fputs(",\n\"threads\":[", to);
    for (size_t i = 0; i < profile->thread_count; i++) {
        separate(to, i);
        fprintf(to, "{\"id\":%" PRIu32 ",\"name\":", profile->threads[i].id);
        json_write_text(profile->threads[i].name, to);
        fputc('}', to);
    }
    fputc(']', to);
}

/* Addresses are text, since not everybody's numbers have 64 bits. */
static void mappings_write(const struct profile *profile, FILE *to)
{
    fputs(",\n\"mappings\":[", to);
    for (size_t i = 0; i < profile->mapping_count; i++) {
        const struct record_mapping *mapping = &profile->mappings[i];
        separate(to, i);
        fprintf(to, "{\"start\":\"0x%" PRIx64 "\",\"end\":\"0x%" PRIx64 "\",\"offset\":\"0x%" PRIx64 "\",\"build_id\":",
                mapping->start, mapping->end, mapping->offset);
        json_write_text(mapping->build_id, to);
        fputs(",\"path\":", to);
        json_write_text(mapping->path, to);
        fputc('}', to);
    }
    fputc(']', to);
}

static void frame_write(const struct profile_frame *frame, FILE *to)
{
    fputs("{\"function\":", to);
    json_write_text(frame->function, to);
    if (frame->linkage[0] != '\0') {
        fputs(",\"linkage\":", to);
        json_write_text(frame->linkage, to);
    }
    if (frame->file[0] != '\0') {
        fputs(",\"file\":", to);
        json_write_text(frame->file, to);
        fprintf(to, ",\"line\":%u", frame->line);
    }
    if (frame->module[0] != '\0') {
        fputs(",\"module\":", to);
        json_write_text(frame->module, to);
    }
    fprintf(to, ",\"address\":\"0x%" PRIx64 "\"", frame->address);
    if (frame->mapping >= 0)
        fprintf(to, ",\"mapping\":%d", frame->mapping);
    fputs(frame->is_inlined ? ",\"inlined\":true" : "", to);
    fputs(frame->is_wrapper ? ",\"wrapper\":true}" : "}", to);
}

static void frames_write(const struct profile *profile, FILE *to)
{
    fputs(",\n\"frames\":[", to);
    for (size_t i = 0; i < profile->frame_count; i++) {
        separate(to, i);
        frame_write(&profile->frames[i], to);
    }
    fputc(']', to);
}

static void stacks_write(const struct profile *profile, FILE *to)
{
    fputs(",\n\"stacks\":[", to);
    for (size_t i = 0; i < profile->stack_count; i++) {
        separate(to, i);
        for (size_t k = 0; k < profile->stacks[i].depth; k++)
            fprintf(to, "%c%" PRIu32, k > 0 ? ',' : '[', profile->stacks[i].frames[k]);
        fputc(']', to);
    }
    fputc(']', to);
}

static void rows_write(const struct profile *profile, FILE *to)
{
    fputs(",\n\"rows\":[", to);
    for (size_t i = 0; i < profile->row_count; i++) {
        const struct profile_row *row = &profile->rows[i];
        separate(to, i);
        fprintf(to, "{\"stack\":%" PRIu32 ",\"thread\":%" PRIu32, row->stack, row->thread);
        for (size_t k = 0; k < PROFILE_VALUES; k++)
            if (row->value[k] > 0)
                fprintf(to, ",\"%s\":%" PRIu64, profile_value_rows[k].name, row->value[k]);
        if (row->oldest > 0)
            fprintf(to, ",\"oldest\":%" PRIu64, row->oldest);
        fputc('}', to);
    }
    fputc(']', to);
}

bool profile_write_json(const struct profile *profile, const struct profile_wish *wish, FILE *to)
{
    (void)wish; /* all of it is there */
    head_write(profile, to);
    values_write(to);
    threads_write(profile, to);
    mappings_write(profile, to);
    frames_write(profile, to);
    stacks_write(profile, to);
    rows_write(profile, to);
    fputs("}\n", to);
    return true;
}
