/* verdict.h - what a process's memory comes to, in sentences: what holds it, whether that grows, and what to do.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TOOLS_VERDICT_H
#define HAKMEM_TOOLS_VERDICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memory/bill.h"
#include "read/growth.h"
#include "memory/owners.h"

/* What verdicts are made from. */
struct facts {
    const char *name;    /* of the record, for commands that are advised */
    const char *program; /* its name, without folders */
    struct bill bill;
    const struct owners *owners;
    struct growth growth;
    uint64_t idle; /* milliseconds since the library last ran a slow path; 0 for a process that is gone */
    bool runs;
};

struct verdict {
    char *what, *advice; /* allocated sentences */
};

enum { VERDICTS_MOST = 4 };

/* Fills verdicts, that of most bytes first; how many. */
size_t verdicts_make(const struct facts *facts, struct verdict out[VERDICTS_MOST]);
void verdicts_free(struct verdict *verdicts, size_t count);

/* The names of the rules that apply, in their order, separated by blanks: for tests. */
void verdict_names(const struct facts *facts, char *text, size_t size);

#endif
