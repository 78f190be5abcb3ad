/* fixture.h - a record as a library would write it, for tests of those that read it.
 * SPDX-License-Identifier: MIT */
#ifndef FIXTURE_H
#define FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "insight/record.h"

enum {
    FIXTURE_SIZE = 1 << 15,
    FIXTURE_SAMPLES = 256,
    FIXTURE_STACKS = 16,
    FIXTURE_FRAMES = 64,
    FIXTURE_MODULES = 2,
    FIXTURE_HEAPS = 3,
    FIXTURE_GUARDS = 4
};

/* Fills FIXTURE_SIZE bytes, aligned to 8: a process of 100 MiB with three samples by two stacks, and of two cells,
 * at FIXTURE_CELL and behind it, the last blocks: a live one and one that was freed. */
#define FIXTURE_CELL UINT64_C(0x7e0000000000)
void fixture_fill(void *memory);

/* Where things are in it. */
struct record_header *fixture_header(void *memory);
struct record_sample *fixture_samples(void *memory);
struct record_stack *fixture_stacks(void *memory);
struct record_allocated *fixture_allocated(void *memory); /* all zero */
uint64_t *fixture_frames(void *memory);
struct record_module *fixture_modules(void *memory);
struct record_heap *fixture_heaps(void *memory); /* none of these is in use */
struct record_guard *fixture_guards(void *memory);

/* Sets a statistic; the test fails when there is none of the name. */
void fixture_set(void *memory, const char *name, uint64_t value);

/* A core file of a process that has the record, and a file mapped whose note leads there; its bytes, FIXTURE_CORE at
 * most. */
enum { FIXTURE_CORE = FIXTURE_SIZE + 3 * 4096 };
size_t fixture_core(void *core, const void *memory);

/* A file that holds these bytes, by a path that can be opened until the next call. */
const char *fixture_file(const void *memory, size_t size);

#endif
