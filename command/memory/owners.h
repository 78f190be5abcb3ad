/* owners.h - who holds a process's memory: the functions that want it, past those that only pass on what malloc gives
 * them.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TOOLS_OWNERS_H
#define HAKMEM_TOOLS_OWNERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "read/areas.h"
#include "read/record.h"

struct owner {
    char *name;   /* "function", or "module+0xoffset" */
    char *module; /* of the function, without folders; empty: not known */
    char *callers; /* of it, in the way that holds most: "a < b < c", the innermost first; empty: none is known */
    uint64_t live;  /* bytes that its samples stand for */
    uint64_t resident; /* of these; as many as live where the system does not tell */
    uint64_t free;  /* bytes that are free, but resident because its blocks lie between them */
    uint64_t young; /* of `live`, what came in the later half of the record's time */
    uint64_t ended; /* bytes that it wanted, too, and that were freed */
};

struct owners {
    struct owner *owner; /* those that hold most resident memory first */
    size_t count;
    uint64_t live, resident, free; /* sums */
};

/* `areas` may be NULL: of a process that is gone. False when there is no memory. */
bool owners_read(struct owners *owners, const struct record *record, struct areas *areas);
void owners_free(struct owners *owners);

/* Who keeps most of the free memory that lies in pages, and how many percent of that. NULL when it is not known for at
 * least half of it: the library looks at each sample now and then only. */
const struct owner *owners_pinner(const struct owners *owners, uint64_t free_in_pages, unsigned *share);

/* What finds names in the process that the record is of; to be freed. NULL when there is no memory. */
struct symbols *owners_symbols(const struct record *record);

#endif
