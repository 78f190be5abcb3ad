/* churn.h - a program in small: it allocates, resizes and frees at random with every function there is, and checks that
 * every block keeps what was written to it, that calloc is zero, and that a refusal is NULL with ENOMEM and nothing
 * else. One churn belongs to one thread at a time; it needs no memory of its own beyond the struct.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TEST_CHURN_H
#define HAKMEM_TEST_CHURN_H

#include "support.h"

enum { CHURN_SLOTS = 128 };

struct churn {
    uint64_t random;
    size_t limit;      /* the largest size asked for */
    bool may_fail;     /* memory may run out: NULL is then counted, not a failure */
    size_t failures;   /* how often it was refused */
    size_t operations; /* how often it was served */
    struct {
        void *block;
        size_t size;
    } slots[CHURN_SLOTS];
};

void churn_begin(struct churn *churn, uint64_t seed, size_t limit);
void churn_steps(struct churn *churn, size_t steps);
/* Checks every live block. */
void churn_check(const struct churn *churn);
/* Checks and frees every live block. */
void churn_end(struct churn *churn);

/* All of it at once. */
void churn_run(uint64_t seed, size_t limit, size_t steps);

#endif
