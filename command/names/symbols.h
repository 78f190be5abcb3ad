/* symbols.h - what stands in the source where a process was, from outside: functions, files, lines, inlined calls.
 * Files are read where the process sees them, and only if they are still what it runs. Of an address that lies in no
 * function the place in its file is all that is told, never the nearest name.
 *
 * Names need libdw (elfutils); where the command was built without, there are places in files only.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TOOLS_SYMBOLS_H
#define HAKMEM_TOOLS_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "read/record.h"

/* A function that was on the way. */
struct symbol {
    const char *function; /* without parameters; NULL: no function is known there */
    const char *linkage;  /* its name for the linker, or as `function` */
    const char *file;     /* of the source; NULL: not known */
    unsigned line;        /* 0: not known */
    bool is_inlined;      /* into the next one */
    bool is_made;         /* by the process, as a just-in-time compiler does: perfmap.h */
};

/* What is known of an address. */
struct symbols_place {
    const struct record_mapping *mapping; /* NULL: no file is mapped there */
    uint64_t offset;                       /* in the file, as its own tables count; or the address */
    size_t count; /* of symbols, at least 1; more where calls were inlined: the innermost first */
    const struct symbol *symbol;
};

struct symbols;

/* For a process that runs (else 0). With `until`, a file that has no build id and was changed later is not believed.
 * NULL when memory is out. */
struct symbols *symbols_new(pid_t process, time_t until);
void symbols_free(struct symbols *symbols);

/* Adds a mapping, which is copied. All come before the first address is asked for. */
void symbols_map(struct symbols *symbols, const struct record_mapping *mapping);

/* What called and was to go on at `address`: looked up is the call, just before. Valid until symbols_free. */
const struct symbols_place *symbols_find(struct symbols *symbols, uint64_t address);

/* The same for the byte at `offset` of a file. */
const struct symbols_place *symbols_find_in_file(struct symbols *symbols, const char *path, uint64_t offset);

/* The first, second, ... mapping; NULL behind the last. */
const struct record_mapping *symbols_mapping(const struct symbols *symbols, size_t index);

/* Whether the function only passes on what malloc gives it (wrappers.def). */
bool symbol_is_wrapper(const struct symbols *symbols, const struct symbol *symbol);

/* Fills `text` with the symbol of the place: "function", or "module+0xoffset". */
void symbol_describe(char *text, size_t size, const struct symbols_place *place, const struct symbol *symbol);

/* What stands behind the last slash. */
const char *path_base(const char *path);

#endif
