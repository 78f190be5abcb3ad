/* slabset_stress.c - threads add and remove superslabs of the same few groups at the same time, in rounds; between
 * rounds, when nothing is under way, each set has to be exactly what the threads left there. Within a round a thread
 * verifies what holds at any time for numbers that nobody else touches.
 * SPDX-License-Identifier: MIT */
#include "stress.h"

#include "heap/ground.h"
#include "heap/slabset.h"
#include "system/lock.h"

/* One number of each thread in each of few groups, so that the words and the summary become empty all the time. */
enum { GROUPS = 4097, SPREAD = 4, SET = SET_LONGEST_RUN + 7 };

static bool g_inside[STRESS_THREADS][SPREAD]; /* whether a thread left its number there; its own during a round */

static uint32_t number(unsigned id, unsigned i)
{
    static const uint32_t groups[SPREAD] = {0, 1, 64, 4096}; /* the last ones are in other words of the summaries */
    return groups[i] * GROUP_SLABS + id * 7;
}

static void toggle(unsigned id, unsigned i)
{
    uint32_t n = number(id, i);
    bool *inside = &g_inside[id][i];
    must(slabset_has(SET, n) == *inside, "number %u: expected %d", n, *inside);
    (*inside ? slabset_remove : slabset_add)(SET, n);
    *inside = !*inside;
    must(slabset_has(SET, n) == *inside, "number %u: expected %d", n, *inside);
    uint32_t next = slabset_next(SET, n);
    must(*inside || next != n, "number %u was removed and is found", n);
    must(next == SLAB_NONE || next / GROUP_SLABS < GROUPS, "from %u: number %u does not exist", n, next);
}

static void verify(void)
{
    uint32_t from = 0;
    for (unsigned i = 0; i < SPREAD; i++)
        for (unsigned id = 0; id < STRESS_THREADS; id++) {
            if (!g_inside[id][i])
                continue;
            uint32_t seen = slabset_next(SET, from);
            must(seen == number(id, i), "from %u: expected %u, saw %u", from, number(id, i), seen);
            from = seen + 1;
        }
    must(slabset_next(SET, from) == SLAB_NONE, "from %u: expected none, saw %u", from, slabset_next(SET, from));
}

static void worker(unsigned id, uint64_t *random)
{
    do
        for (size_t ops = 1 + random_next(random) % 3; ops > 0; ops--)
            toggle(id, (unsigned)(random_next(random) % SPREAD));
    while (stress_meet(verify));
}

int main(int count, char **arguments)
{
    must(lock_growth_acquire() && ground_start() && slab_cover(GROUPS * GROUP_SLABS), "no memory");
    lock_growth_release();
    stress_run(count, arguments, worker);
    return 0;
}
