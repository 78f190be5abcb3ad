/* source.h - where a record is read from: the memory of a process, a core file, or a file that is one. Below record.c,
 * which checks what it reads; here is checked only what leads there.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TOOLS_SOURCE_H
#define HAKMEM_TOOLS_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "read/record.h"

enum source_kind { SOURCE_PROCESS, SOURCE_FILE, SOURCE_CORE };

struct segment; /* memory that a core file holds */

struct source {
    enum source_kind kind;
    int fd;
    pid_t process;       /* 0: none */
    bool is_refused;     /* why it could not be opened: we lack a right */
    uint64_t origin;     /* where the record begins: an address, in a file that is one 0 */
    uint64_t limit;      /* bytes of the file */
    struct record_mapping *mappings;
    size_t mapping_count;
    struct segment *segments;
    size_t segment_count;
    bool has_fault;      /* a core file that says which address was touched when SIGSEGV or SIGBUS came: */
    uint64_t fault;
};

/* Finds the record, and the mappings if they are wanted; else false, with the reason, allocated. */
bool source_open(struct source *source, const char *what, bool with_mappings, char **reason);
void source_close(struct source *source);

/* Copies `size` bytes that lie `offset` bytes behind the record's beginning; false when they are not all there. */
bool source_read(const struct source *source, uint64_t offset, void *to, size_t size);

/* The other way, into the memory of a process that is still the one that was opened, where its own rights let it write.
 * 0 or an errno value: ESRCH if it is gone. */
int source_write(const struct source *source, uint64_t offset, const void *from, size_t size);

/* The process's id as it sees it itself, in its innermost namespace; 0: not known. */
uint32_t process_own_id(pid_t process);

/* Allocated text; NULL when there is no memory. */
__attribute__((format(printf, 1, 2))) char *text_make(const char *format, ...);

/* Terminates a string in `size` bytes, and replaces what a terminal might obey, and what is not UTF-8. */
void text_clean(char *text, size_t size);

#endif
