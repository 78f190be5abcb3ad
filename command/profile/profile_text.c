/* profile_text.c - a profile as text: folded stacks, and tables by the functions that want the memory.
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "profile/profile.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "grow.h"
#include "names/names.h"
#include "present.h"
#include "read/source.h"
#include "names/symbols.h"

/* ---- Folded stacks ----------------------------------------------------------------------------------------------- */

struct folded {
    char *text;
    uint64_t value;
};

static int folded_compare(const void *a, const void *b)
{
    const struct folded *one = a, *other = b;
    return strcmp(one->text, other->text);
}

/* A name for which ';' is a letter like others would end at it. */
static void folded_name(const char *name, FILE *to)
{
    for (; *name; name++)
        fputc(*name == ';' ? ',' : (unsigned char)*name < ' ' ? ' ' : *name, to);
}

/* "main;fill;grow_[i]", the outermost first; NULL when memory is out. */
static char *folded_text(const struct profile *profile, const struct profile_row *row, bool by_thread)
{
    char *text = NULL;
    size_t size;
    const struct profile_stack *stack = &profile->stacks[row->stack];
    FILE *to = open_memstream(&text, &size);
    if (!to)
        return NULL;
    if (by_thread && row->thread > 0)
        fprintf(to, "thread %" PRIu32 " ", row->thread);
    if (by_thread) {
        folded_name(row->thread > 0 ? profile_thread_name(profile, row->thread) : "all threads", to);
        fputc(';', to);
    }
    for (size_t i = stack->depth; i-- > 0;) {
        folded_name(profile->frames[stack->frames[i]].function, to);
        fputs(profile->frames[stack->frames[i]].is_inlined ? "_[i]" : "", to);
        fputs(i > 0 ? ";" : "", to);
    }
    return fclose(to) == 0 ? text : NULL;
}

static void folded_print(struct folded *lines, size_t count, FILE *to)
{
    if (count > 0)
        qsort(lines, count, sizeof *lines, folded_compare);
    for (size_t i = 0; i < count; i++) {
        uint64_t sum = lines[i].value;
        for (; i + 1 < count && strcmp(lines[i].text, lines[i + 1].text) == 0; i++)
            sum += lines[i + 1].value;
        fprintf(to, "%s %" PRIu64 "\n", lines[i].text, sum);
    }
}

bool profile_write_folded(const struct profile *profile, const struct profile_wish *wish, FILE *to)
{
    struct folded *lines = calloc(profile->row_count + 1, sizeof *lines);
    size_t count = 0;
    bool is_whole = lines;
    for (size_t i = 0; is_whole && i < profile->row_count; i++) {
        uint64_t value = profile->rows[i].value[wish->value];
        if (value == 0)
            continue;
        lines[count].value = value;
        lines[count].text = folded_text(profile, &profile->rows[i], wish->by_thread);
        is_whole = lines[count++].text;
    }
    if (is_whole)
        folded_print(lines, count, to);
    for (size_t i = 0; lines && i < count; i++)
        free(lines[i].text);
    free(lines);
    return is_whole;
}

/* ---- Groups: what one function wants ----------------------------------------------------------------------------- */

struct group {
    const struct profile_frame *owner;
    uint32_t thread;
    uint64_t value;
    uint64_t oldest;
    uint64_t before;               /* of an earlier profile */
    uint64_t heaviest;             /* value of the row below */
    const struct profile_row *row; /* that has most */
    const struct profile *profile; /* which the row is of */
    enum profile_value what;
    bool by_thread;
};

struct groups {
    struct group *list;
    size_t count;
};

static bool is_one_function(const struct profile_frame *one, const struct profile_frame *other)
{
    return strcmp(one->function, other->function) == 0 && strcmp(one->module, other->module) == 0;
}

static const struct profile_frame *row_owner(const struct profile *profile, const struct profile_row *row)
{
    const struct profile_stack *stack = &profile->stacks[row->stack];
    return &profile->frames[stack->frames[profile_owner(profile, stack)]];
}

/* The group of the row, made if need be; NULL when memory is out. */
static struct group *group_of(struct groups *groups, const struct profile *profile, const struct profile_row *row,
                              const struct profile_wish *wish)
{
    const struct profile_frame *owner = row_owner(profile, row);
    uint32_t thread = wish->by_thread ? row->thread : 0;
    for (size_t i = 0; i < groups->count; i++)
        if (groups->list[i].thread == thread && is_one_function(groups->list[i].owner, owner))
            return &groups->list[i];
    struct group *list = array_grow(groups->list, groups->count, sizeof *list);
    if (!list)
        return NULL;
    groups->list = list;
    list[groups->count] = (struct group){
        .owner = owner, .thread = thread, .profile = profile, .what = wish->value, .by_thread = wish->by_thread};
    return &list[groups->count++];
}

/* Adds a profile's rows to their groups; `is_before` to what was before. False when memory is out. */
static bool groups_add(struct groups *groups, const struct profile *profile, const struct profile_wish *wish,
                       bool is_before)
{
    for (size_t i = 0; i < profile->row_count; i++) {
        const struct profile_row *row = &profile->rows[i];
        uint64_t value = row->value[wish->value];
        struct group *group = value > 0 ? group_of(groups, profile, row, wish) : NULL;
        if (value > 0 && !group)
            return false;
        if (value == 0)
            continue;
        *(is_before ? &group->before : &group->value) += value;
        if (row->oldest > group->oldest)
            group->oldest = row->oldest;
        if (value > group->heaviest && group->profile == profile) {
            group->heaviest = value;
            group->row = row;
        }
    }
    return true;
}

static int group_compare(const void *a, const void *b)
{
    const struct group *one = a, *other = b;
    int64_t first = (int64_t)(one->value - one->before), second = (int64_t)(other->value - other->before);
    if (first != second)
        return first > second ? -1 : 1;
    return strcmp(one->owner->function, other->owner->function);
}

/* ---- The ways to a function -------------------------------------------------------------------------------------- */

static const struct profile_frame *frame_at(const struct profile *profile, const struct profile_stack *stack, size_t at)
{
    return &profile->frames[stack->frames[at]];
}

/* The place in the stack of the next caller; of callers without a name, which tell nothing, the last of a row of
 * them. The stack's depth: there is none. */
static size_t caller_next(const struct profile *profile, const struct profile_stack *stack, size_t at)
{
    at++;
    while (at + 1 < stack->depth && profile_is_unnamed(frame_at(profile, stack, at)) &&
           profile_is_unnamed(frame_at(profile, stack, at + 1)))
        at++;
    return at;
}

/* Of callers without a name nobody can tell whether they are the same: they are taken for that, so that a way goes
 * on to the next that has one. */
static bool is_one_caller(const struct profile_frame *one, const struct profile_frame *other)
{
    return (profile_is_unnamed(one) && profile_is_unnamed(other)) || is_one_function(one, other);
}

/* Whether both came by the same functions up to `calls` above the one that wants the memory. */
static bool is_same_way(const struct group *group, const struct profile_row *row, size_t calls)
{
    const struct profile *profile = group->profile;
    const struct profile_stack *one = &profile->stacks[group->row->stack], *other = &profile->stacks[row->stack];
    size_t first = profile_owner(profile, one), second = profile_owner(profile, other);
    if (!is_one_function(frame_at(profile, one, first), frame_at(profile, other, second)))
        return false;
    for (; calls > 0; calls--) {
        first = caller_next(profile, one, first);
        second = caller_next(profile, other, second);
        if (first >= one->depth || second >= other->depth ||
            !is_one_caller(frame_at(profile, one, first), frame_at(profile, other, second)))
            return false;
    }
    return true;
}

/* Whether nine tenths of what the group has came by the way of its heaviest row, up to `calls` above. */
static bool is_usual_way(const struct group *group, size_t calls)
{
    uint64_t sum = 0, all = 0;
    for (size_t i = 0; i < group->profile->row_count; i++) {
        const struct profile_row *row = &group->profile->rows[i];
        uint64_t value = row->value[group->what];
        if (value == 0 || (group->by_thread && row->thread != group->thread) || !is_same_way(group, row, 0))
            continue;
        all += value;
        sum += is_same_way(group, row, calls) ? value : 0;
    }
    return sum >= all - all / 10;
}

enum { NAME_LEAST = 10, NAME_MOST = 512 }; /* columns for which a caller's name is begun; and at most */

/* Puts a name into the rest of a line; how many columns it took. */
static size_t name_print(const char *before, const char *name, size_t room, FILE *to)
{
    char text[NAME_MOST];
    size_t taken = strlen(before), width = room - taken < NAME_MOST - 1 ? room - taken : NAME_MOST - 1;
    name_condense(text, width, name);
    fprintf(to, "%s%s", before, text);
    return taken + strlen(text);
}

void profile_print_way(const struct profile *profile, const struct profile_stack *stack, size_t calls, size_t room,
                       FILE *to)
{
    size_t at = profile_owner(profile, stack);
    const struct profile_frame *frame = &profile->frames[stack->frames[at]];
    char place[NAME_MOST] = "";
    size_t taken = name_print("", frame->function, room, to);
    if (frame->file[0] != '\0')
        snprintf(place, sizeof place, " (%.200s:%u)", path_base(frame->file), frame->line);
    text_clean(place, sizeof place);
    if (taken + strlen(place) <= room)
        taken += (size_t)fprintf(to, "%s", place);
    for (; (at = caller_next(profile, stack, at)) < stack->depth && calls > 0 && taken + NAME_LEAST + 3 <= room;
         calls--) {
        const struct profile_frame *caller = frame_at(profile, stack, at);
        taken += name_print(" < ", profile_is_unnamed(caller) ? ".." : caller->function, room - taken, to);
    }
    if (at < stack->depth && calls == 0 && taken + NAME_LEAST + 3 <= room)
        fputs(" < several", to);
    fputc('\n', to);
}

/* Callers are named only as far as most came the same way. */
static void group_way_print(const struct group *group, size_t room, FILE *to)
{
    const struct profile_stack *stack = &group->profile->stacks[group->row->stack];
    size_t calls = 0;
    while (calls < stack->depth && is_usual_way(group, calls + 1))
        calls++;
    profile_print_way(group->profile, stack, calls, room, to);
}

/* ---- Tables ------------------------------------------------------------------------------------------------------ */

/* Bytes, a count, or for lifetimes bytes times seconds. */
static struct amount figure(enum profile_value what, uint64_t value)
{
    struct amount amount = {""};
    if (what == VALUE_COUNT || what == VALUE_ALLOCATIONS) {
        snprintf(amount.text, sizeof amount.text, "%" PRIu64, value);
    } else if (what == VALUE_LIFE) {
        amount = bytes_text((uint64_t)((double)value * (1 << 20) / 1000));
        strncat(amount.text, " s", sizeof amount.text - strlen(amount.text) - 1);
    } else {
        amount = bytes_text(value);
    }
    return amount;
}

static void value_print(enum profile_value what, uint64_t value, FILE *to)
{
    fprintf(to, "%11s", figure(what, value).text);
}

/* Allocated; NULL: no memory. */
static char *title_make(const struct profile *profile, enum profile_value value)
{
    uint64_t total = profile_total(profile, value);
    if (!profile_value_is_counted(value))
        return text_make("heap of %s: %s %s, by %" PRIu64 " samples", profile_title(profile).text,
                         figure(value, total).text, profile_value_rows[value].doc, profile->samples);
    double seconds = (double)(profile->counted > 0 ? profile->counted : 1) / 1000;
    double rate = fmin((double)total / seconds, 1e18); /* a record may say anything */
    return text_make("heap of %s: %s%s allocated in %.1f s, %s a second", profile_title(profile).text,
                     figure(value, total).text, value == VALUE_ALLOCATED ? "" : " blocks", seconds,
                     figure(value, (uint64_t)rate).text);
}

static void table_head(const struct profile *profile, const struct profile_wish *wish, FILE *to)
{
    char *title = title_make(profile, wish->value);
    text_wrap(to, "", title ? title : "heap");
    free(title);
    fprintf(to, "\n%11s  %7s  %11s  %s\n", profile_value_rows[wish->value].name, "share", "oldest",
            wish->by_thread ? "thread: function < who called it" : "function < who called it");
}

static size_t thread_print(const struct group *group, FILE *to)
{
    const char *name = profile_thread_name(group->profile, group->thread);
    if (!group->by_thread)
        return 0;
    if (group->thread == 0)
        return (size_t)fprintf(to, "all: ");
    return (size_t)fprintf(to, "%" PRIu32 "%s%s: ", group->thread, name[0] != '\0' ? " " : "", name);
}

static void group_print(const struct group *group, uint64_t total, size_t width, FILE *to)
{
    enum { BEFORE = 35 }; /* columns */
    value_print(group->what, group->value, to);
    fprintf(to, "  %5.1f %%  %11s  ", total > 0 ? 100 * (double)group->value / (double)total : 0,
            group->oldest > 0 ? time_text(group->oldest).text : "-");
    size_t taken = BEFORE + thread_print(group, to);
    group_way_print(group, width > taken + NAME_LEAST ? width - taken : NAME_LEAST, to);
}

static void rest_print(const struct groups *groups, const struct profile_wish *wish, uint64_t total, FILE *to)
{
    uint64_t sum = 0;
    for (size_t i = wish->most; i < groups->count; i++)
        sum += groups->list[i].value;
    value_print(wish->value, sum, to);
    fprintf(to, "  %5.1f %%  %11s  %zu others (--top 0 shows all)\n", 100 * (double)sum / (double)total, "",
            groups->count - wish->most);
}

bool profile_write_table(const struct profile *profile, const struct profile_wish *wish, FILE *to)
{
    struct groups groups = {0};
    uint64_t total = profile_total(profile, wish->value);
    bool is_whole = groups_add(&groups, profile, wish, false);
    if (is_whole) {
        if (groups.count > 0)
            qsort(groups.list, groups.count, sizeof *groups.list, group_compare);
        table_head(profile, wish, to);
        for (size_t i = 0; i < groups.count && (wish->most == 0 || i < wish->most); i++)
            group_print(&groups.list[i], total, wish->width, to);
        if (wish->most > 0 && groups.count > wish->most)
            rest_print(&groups, wish, total, to);
    }
    free(groups.list);
    return is_whole;
}

/* ---- Growth ------------------------------------------------------------------------------------------------------ */

static void difference_print(enum profile_value what, uint64_t before, uint64_t after, FILE *to)
{
    char text[32];
    snprintf(text, sizeof text, "%c %s", after < before ? '-' : '+',
             figure(what, after < before ? before - after : after - before).text);
    fprintf(to, "%13s", text);
}

static void growth_head(const struct profile *before, const struct profile *after, const struct profile_wish *wish,
                        FILE *to)
{
    char *title =
        text_make("growth from %s to %s: %s to %s %s", profile_title(before).text, profile_title(after).text,
                  figure(wish->value, profile_total(before, wish->value)).text,
                  figure(wish->value, profile_total(after, wish->value)).text, profile_value_rows[wish->value].doc);
    text_wrap(to, "", title ? title : "growth");
    free(title);
    fprintf(to, "\n%13s  %11s  %11s  %s\n", "growth", "before", "after", "function < who called it");
}

static void growth_print(const struct group *group, const struct profile_wish *wish, FILE *to)
{
    enum { BEFORE = 41 }; /* columns */
    difference_print(wish->value, group->before, group->value, to);
    fputs("  ", to);
    value_print(wish->value, group->before, to);
    fputs("  ", to);
    value_print(wish->value, group->value, to);
    fputs("  ", to);
    size_t taken = BEFORE + thread_print(group, to);
    group_way_print(group, wish->width > taken + NAME_LEAST ? wish->width - taken : NAME_LEAST, to);
}

bool profile_write_growth(const struct profile *before, const struct profile *after, const struct profile_wish *wish,
                          FILE *to)
{
    struct groups groups = {0};
    bool is_whole = groups_add(&groups, after, wish, false) && groups_add(&groups, before, wish, true);
    size_t printed = 0;
    if (is_whole) {
        if (groups.count > 0)
            qsort(groups.list, groups.count, sizeof *groups.list, group_compare);
        growth_head(before, after, wish, to);
        for (size_t i = 0; i < groups.count && (wish->most == 0 || printed < wish->most); i++) {
            if (groups.list[i].value == groups.list[i].before)
                continue;
            growth_print(&groups.list[i], wish, to);
            printed++;
        }
        fputs(printed == 0 ? "Nothing has changed.\n" : "", to);
    }
    free(groups.list);
    return is_whole;
}
