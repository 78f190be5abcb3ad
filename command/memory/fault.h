/* fault.h - what a record tells of an access to memory that nobody may touch: which guarded block lies there, and where
 * it was allocated, freed, and used.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TOOLS_FAULT_H
#define HAKMEM_TOOLS_FAULT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "read/record.h"

/* False, and nothing is written, when the address lies at no guarded block. */
bool fault_print(FILE *to, const struct record *record, uint64_t address);

#endif
