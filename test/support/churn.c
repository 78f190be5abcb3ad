/* churn.c - see churn.h.
 * SPDX-License-Identifier: MIT */
#include "churn.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

/* An errno that no allocation function sets. */
enum { UNTOUCHED = 4242 };

void churn_begin(struct churn *churn, uint64_t seed, size_t limit)
{
    memset(churn, 0, sizeof *churn);
    churn->random = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    churn->limit = limit;
}

static uint64_t slot_seed(size_t slot, size_t size) { return slot * 1000003 + size; }

static void slot_check(const struct churn *churn, size_t i)
{
    const void *block = churn->slots[i].block;
    size_t size = churn->slots[i].size;
    if (block != NULL) {
        size_t good = pattern_check(block, size, slot_seed(i, size));
        must(good == size, "a live block of %zu bytes at %p: byte %zu was changed", size, block, good);
    }
}

static void slot_free(struct churn *churn, size_t i)
{
    errno = UNTOUCHED;
    free(churn->slots[i].block);
    must(errno == UNTOUCHED, "free of a block of %zu bytes changed errno to %d", churn->slots[i].size, errno);
    churn->slots[i].block = NULL;
    churn->slots[i].size = 0;
}

/* Counts a refusal when it is a proper one; true when there is a block. */
static bool was_served(struct churn *churn, const void *block, size_t size, const char *call)
{
    if (block != NULL) {
        must((uintptr_t)block % 16 == 0, "%s(%zu): expected alignment to 16, saw %p", call, size, block);
        churn->operations++;
        return true;
    }
    must(churn->may_fail, "%s(%zu): expected a block, saw NULL with errno %d (%s)", call, size, errno, strerror(errno));
    must(errno == ENOMEM, "%s(%zu): NULL with errno %d (%s), expected ENOMEM", call, size, errno, strerror(errno));
    churn->failures++;
    return false;
}

static void slot_put(struct churn *churn, size_t i, void *block, size_t size)
{
    churn->slots[i].block = block;
    churn->slots[i].size = size;
    pattern_fill(block, size, slot_seed(i, size));
}

static void slot_resize(struct churn *churn, size_t i, size_t size)
{
    size_t old_size = churn->slots[i].size;
    size_t kept = old_size < size ? old_size : size;
    void *block = realloc(churn->slots[i].block, size);
    if (!was_served(churn, block, size, "realloc")) {
        slot_check(churn, i);
        return;
    }
    size_t good = pattern_check(block, kept, slot_seed(i, old_size));
    must(good == kept, "realloc from %zu to %zu lost byte %zu", old_size, size, good);
    slot_put(churn, i, block, size);
}

static void slot_fill(struct churn *churn, size_t i, size_t size)
{
    unsigned way = random_next(&churn->random) % 4;
    size_t alignment = (size_t)16 << random_next(&churn->random) % 10;
    void *block;
    if (way == 0) {
        block = calloc(1, size);
        size_t good = block != NULL ? bytes_check(block, size, 0) : size;
        must(good == size, "calloc(1, %zu): byte %zu is not zero", size, good);
    } else if (way == 1) {
        block = aligned_alloc(alignment, size);
        must((uintptr_t)block % alignment == 0, "aligned_alloc(%zu, %zu): saw %p", alignment, size, block);
    } else {
        block = malloc(size);
    }
    if (was_served(churn, block, size, way == 0 ? "calloc" : way == 1 ? "aligned_alloc" : "malloc")) {
        must(malloc_usable_size(block) >= size, "usable size of %zu bytes: saw %zu", size, malloc_usable_size(block));
        slot_put(churn, i, block, size);
    }
}

void churn_steps(struct churn *churn, size_t steps)
{
    while (steps-- > 0) {
        size_t i = random_next(&churn->random) % CHURN_SLOTS;
        size_t size = random_size(&churn->random, random_next(&churn->random) % 32 == 0 ? churn->limit : 2000);
        if (size > churn->limit) {
            size = churn->limit;
        }
        slot_check(churn, i);
        if (churn->slots[i].block != NULL && random_next(&churn->random) % 4 == 0) {
            slot_resize(churn, i, size);
            continue;
        }
        bool was_live = churn->slots[i].block != NULL;
        slot_free(churn, i);
        if (!was_live || random_next(&churn->random) % 2 == 0) {
            slot_fill(churn, i, size);
        }
    }
}

void churn_check(const struct churn *churn)
{
    for (size_t i = 0; i < CHURN_SLOTS; i++) {
        slot_check(churn, i);
    }
}

void churn_end(struct churn *churn)
{
    for (size_t i = 0; i < CHURN_SLOTS; i++) {
        slot_check(churn, i);
        slot_free(churn, i);
    }
}

void churn_run(uint64_t seed, size_t limit, size_t steps)
{
    struct churn churn;
    churn_begin(&churn, seed, limit);
    churn_steps(&churn, steps);
    churn_end(&churn);
}
