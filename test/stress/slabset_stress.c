/* slabset_stress.c - threads add, find and remove the same superslabs in the same sets. For each number a word of the test's
 * own says who may add or remove it, so that what slabset_next and slabset_has must say is known.
 * SPDX-License-Identifier: MIT */
#include "stress.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "slabset.h"

/* Few numbers in few groups, so that words and the summary become empty all the time; far apart, for more than one summary word. */
enum { GROUPS = 65, NUMBERS = 12, SET = SET_LONGEST_RUN + 7 };

enum { OUT, IN, BUSY };
static _Atomic(int) g_place[NUMBERS];

static uint32_t number(size_t i)
{
    static const uint32_t groups[] = {0, 1, 64};
    return groups[i % 3] * GROUP_SLABS + (uint32_t)(i / 3);
}

/* The set has the number; nobody else touches it now. While another thread empties the rest of its group, it may not be found
 * for a moment. */
static void must_find(uint32_t n)
{
    must(slabset_has(SET, n), "number %u is in the set, and slabset_has does not know", n);
    double begin = clock_seconds();
    while (slabset_next(SET, n) != n || slabset_next(SET, 0) > n)
        must(clock_seconds() - begin < 10, "number %u is in the set, and the next from there is %u, the lowest %u", n,
             slabset_next(SET, n), slabset_next(SET, 0));
}

static void must_miss(uint32_t n)
{
    must(!slabset_has(SET, n), "number %u is not in the set, and slabset_has says so", n);
    uint32_t next = slabset_next(SET, n);
    must(next != n, "number %u is not in the set, and is found", n);
    must(next == SLAB_NONE || next / GROUP_SLABS < GROUPS, "from %u: number %u does not exist", n, next);
}

static void worker(unsigned id, uint64_t *random)
{
    (void)id;
    while (!stress_over()) {
        size_t i = random_next(random) % NUMBERS;
        uint32_t n = number(i);
        int place = OUT;
        if (atomic_compare_exchange_strong(&g_place[i], &place, BUSY)) {
            must_miss(n);
            slabset_add(SET, n);
            must_find(n);
            atomic_store(&g_place[i], IN);
        } else if (place == IN && atomic_compare_exchange_strong(&g_place[i], &place, BUSY)) {
            must_find(n);
            slabset_remove(SET, n);
            must_miss(n);
            atomic_store(&g_place[i], OUT);
        }
    }
}

int main(int count, char **arguments)
{
    static struct slab_group groups[GROUPS];
    for (uint32_t i = 0; i < GROUPS; i++)
        slab_group_add(i, &groups[i]);
    stress_run(count, arguments, worker);
    uint32_t lowest = SLAB_NONE;
    for (size_t i = 0; i < NUMBERS; i++) {
        (atomic_load(&g_place[i]) == IN ? must_find : must_miss)(number(i));
        if (atomic_load(&g_place[i]) == IN && number(i) < lowest)
            lowest = number(i);
    }
    must(slabset_next(SET, 0) == lowest, "in the end the lowest is %u, expected %u", slabset_next(SET, 0), lowest);
    return 0;
}
