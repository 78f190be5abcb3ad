/* profile.h - a heap profile: which ways through the program hold, held and hand back how much memory, with names.
 * It is made of a record or read from a file that an earlier profile was written to, and written as a table, folded
 * stacks, pprof's protobuf, JSON or a page.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TOOLS_PROFILE_H
#define HAKMEM_TOOLS_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "read/record.h"

/* What there is of each stack: values.def. */
enum profile_value {
#define X(id, name, unit, pprof, doc) VALUE_##id,
#include "memory/values.def"
#undef X
    PROFILE_VALUES
};

extern const struct profile_value_row {
    const char *name, *unit, *pprof, *doc;
} profile_value_rows[PROFILE_VALUES];

/* A function on a way. */
struct profile_frame {
    const char *function; /* or "module+0xoffset", or "0xaddress" */
    const char *linkage;  /* its name for the linker; "": not known */
    const char *file;     /* of the source; "": not known */
    unsigned line;        /* 0: not known */
    const char *module;   /* what stands behind the last slash of the file's name; "": none */
    uint64_t address;     /* that the call returns to; the same for what is inlined into each other */
    int mapping;          /* -1: none */
    bool is_inlined;      /* into the next of the stack */
    bool is_wrapper;      /* of an allocation: its caller is who wants the memory */
};

/* A way through the program to malloc. */
struct profile_stack {
    uint32_t number; /* in the record */
    size_t depth;
    uint32_t *frames; /* the innermost first */
};

/* What a thread holds by a way; what is known of a way as a whole has thread 0. */
struct profile_row {
    uint32_t stack, thread;
    uint64_t value[PROFILE_VALUES];
    uint64_t oldest; /* milliseconds since the oldest live block came; 0: none is live */
};

struct profile_thread {
    uint32_t id;
    char name[32];
};

struct profile {
    char *program;
    pid_t process;
    char *version;     /* of the library */
    uint64_t when;     /* milliseconds since 1970 */
    uint64_t duration; /* milliseconds since the record was begun */
    uint64_t interval; /* bytes between samples */
    uint64_t samples;  /* of live blocks */
    uint64_t counted;  /* milliseconds for which allocations were counted */
    struct record_mapping *mappings; /* `file` is NULL */
    size_t mapping_count;
    struct profile_frame *frames;
    size_t frame_count;
    struct profile_stack *stacks;
    size_t stack_count;
    struct profile_row *rows;
    size_t row_count;
    struct profile_thread *threads;
    size_t thread_count;
    void *strings; /* what the strings lie in, and how to free it */
    void (*strings_free)(void *strings);
};

/* What was allocated in total: since `earlier`, another record of the process, if that is not NULL. NULL when memory
 * is out. */
struct profile *profile_of_record(const struct record *record, const struct record *earlier);

/* From a file that profile_write_json wrote. NULL, with *reason allocated, when it is none; NULL without one when
 * memory is out. */
struct profile *profile_read(const char *path, char **reason);

/* The same for what a command was given: a profile's file where the name ends in ".json", else a record. NULL when it
 * cannot be had, which has been said. */
struct profile *profile_open(const char *what);

void profile_free(struct profile *profile);

uint64_t profile_total(const struct profile *profile, enum profile_value value);

/* The place in the stack of the function that wants the memory: the innermost that is no wrapper; of wrappers only, the
 * outermost. The stack is not empty. */
size_t profile_owner(const struct profile *profile, const struct profile_stack *stack);

/* Whether the frame has no name, but a place in its module. */
bool profile_is_unnamed(const struct profile_frame *frame);

/* What the profile is of: "process 4711 (server)", or "server" where the number is not known. */
struct profile_title {
    char text[160];
};
struct profile_title profile_title(const struct profile *profile);

/* The name of a thread of the profile; "" for 0 and where it has none. */
const char *profile_thread_name(const struct profile *profile, uint32_t thread);

/* ---- Writing: false when memory is out; errors of the stream stay with it ---------------------------------------- */

struct profile_wish {
    enum profile_value value; /* that is shown */
    bool by_thread;
    size_t most;  /* lines of the table; 0: all */
    size_t width; /* columns of the table */
};

bool profile_write_table(const struct profile *profile, const struct profile_wish *wish, FILE *to);
bool profile_write_folded(const struct profile *profile, const struct profile_wish *wish, FILE *to);
bool profile_write_pprof(const struct profile *profile, const struct profile_wish *wish, FILE *to);
bool profile_write_json(const struct profile *profile, const struct profile_wish *wish, FILE *to);
bool profile_write_page(const struct profile *profile, const struct profile_wish *wish, FILE *to);

extern const struct profile_format {
    const char *name, *suffix; /* of files that are written so */
    const char *media;         /* its type on the Web */
    bool (*write)(const struct profile *profile, const struct profile_wish *wish, FILE *to);
    bool is_binary;
} profile_formats[];

/* NULL: there is none. */
const struct profile_format *profile_format_named(const char *name);
const struct profile_format *profile_format_of_file(const char *path);

bool profile_value_named(const char *name, enum profile_value *value);
/* Whether there is one only of a process that has counted. */
bool profile_value_is_counted(enum profile_value value);

/* "function (file:line) < caller < caller", from the function that wants the memory on, as much as fits into `room`
 * columns, with at most `calls` callers. */
void profile_print_way(const struct profile *profile, const struct profile_stack *stack, size_t calls, size_t room,
                       FILE *to);

/* What grew from one profile to another, as a table. */
bool profile_write_growth(const struct profile *before, const struct profile *after, const struct profile_wish *wish,
                          FILE *to);

#endif
