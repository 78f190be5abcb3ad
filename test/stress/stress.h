/* stress.h - what the stress tests share: workers for a number of seconds, and blocks that threads hand to each other,
 * each filled with a pattern of its own, so that a block in two hands shows.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TEST_STRESS_H
#define HAKMEM_TEST_STRESS_H

#include "unit.h"

enum { STRESS_THREADS = 4 };

/* Reads [seconds [seed]], runs worker(id, random) in STRESS_THREADS threads and waits for them. The workers return when
 * stress_over says so. */
void stress_run(int count, char **arguments, void (*worker)(unsigned id, uint64_t *random));
bool stress_over(void);
/* All workers meet here between rounds: the last one to come calls verify, alone. False when it was the last round. */
bool stress_meet(void (*verify)(void));
unsigned stress_seconds(void);
uint64_t stress_seed(void);

/* ---- Blocks in hand ---------------------------------------------------------------------------------------------- */

struct item {
    char *block; /* NULL: none */
    size_t size;
    uint64_t seed;
};

/* Fills a block that the caller has just got: its first and last bytes. */
struct item item_make(void *block, size_t size, uint64_t *random);
/* Verifies it: nobody else may have written to it. */
void item_check(const struct item *item, const char *what);

/* Leaves an item at a random place and takes what another thread has left there, if anything. May give the item
 * back. */
struct item item_swap(struct item item, uint64_t *random);
/* Takes what is left, one by one, when only one thread is left; an item without a block in the end. */
struct item item_leftover(void);

#endif
