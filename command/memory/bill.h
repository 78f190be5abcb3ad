/* bill.h - where the resident memory of a process is: items that add up to what the kernel reports.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TOOLS_BILL_H
#define HAKMEM_TOOLS_BILL_H

#include <stdbool.h>
#include <stdint.h>

#include "insight/bill_split.h"
#include "read/areas.h"
#include "memory/owners.h"
#include "read/record.h"

extern const char *const bill_names[BILL_ITEMS], *const bill_words[BILL_ITEMS], *const bill_says[BILL_SAYS_COUNT];

struct bill {
    uint64_t total; /* resident bytes of the process; the sum of all items */
    uint64_t item[BILL_ITEMS];
    uint64_t live;      /* bytes in the program's hands, resident or not */
    uint64_t peak;      /* the most of it at any time */
    uint64_t peak_total; /* the most that was resident; 0: not known */
    uint64_t shared;    /* of the total, with other processes */
    uint64_t swapped;   /* beside the total */
    char other[64];     /* the name of the largest area among BILL_OTHER, if it has one */
    bool is_from_kernel; /* by areas; else the total is the record's, and what is not hakmem's is a rest */
};

/* `areas` NULL: of a process that is gone. What is taken for hakmem's is no more in them afterwards. */
void bill_make(struct bill *bill, const struct record *record, struct areas *areas);

/* The bill of the record's process and, unless that is NULL, who owns what; false when they cannot be had, which has
 * been said. owners_free in any case. */
bool bill_read(struct bill *bill, struct owners *owners, const struct record *record);

/* Bytes in the program's hands. */
uint64_t bill_live(const struct record *record);

/* Bytes of the items that are hakmem's. */
uint64_t bill_own(const struct bill *bill);

#endif
