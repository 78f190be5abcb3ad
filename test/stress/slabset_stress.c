/* slabset_stress.c - threads add and remove superslabs of the same few groups at the same time, in rounds; between rounds,
 * when nothing is under way, each set has to be exactly what the threads left there. Within a round a thread verifies
 * what holds at any time for numbers that nobody else touches.
 * SPDX-License-Identifier: MIT */
#include "stress.h"

#include <sched.h>
#include <stdatomic.h>

#include "slabset.h"

/* One number of each thread in each of few groups, so that the words and the summary become empty all the time. */
enum { GROUPS = 65, SPREAD = 3, SET = SET_LONGEST_RUN + 7 };

static bool g_inside[STRESS_THREADS][SPREAD]; /* whether a thread left its number there; its own during a round */
static _Atomic(unsigned) g_arrived, g_round;
static atomic_bool g_last_round;

static uint32_t number(unsigned id, unsigned i)
{
    static const uint32_t groups[SPREAD] = {0, 1, 64}; /* the last one is in another word of the summary */
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

/* The last thread to arrive verifies, decides whether another round follows, and opens it. */
static void meet(void)
{
    unsigned round = atomic_load(&g_round);
    if (atomic_fetch_add(&g_arrived, 1) + 1 == STRESS_THREADS) {
        verify();
        atomic_store(&g_last_round, stress_over());
        atomic_store(&g_arrived, 0);
        atomic_store(&g_round, round + 1);
        return;
    }
    for (unsigned spins = 0; atomic_load(&g_round) == round; spins++)
        if (spins > 1000)
            sched_yield();
}

static void worker(unsigned id, uint64_t *random)
{
    while (!atomic_load(&g_last_round)) {
        for (size_t ops = 1 + random_next(random) % 3; ops > 0; ops--)
            toggle(id, (unsigned)(random_next(random) % SPREAD));
        meet();
    }
}

int main(int count, char **arguments)
{
    static struct slab_group groups[GROUPS];
    for (uint32_t i = 0; i < GROUPS; i++)
        slab_group_add(i, &groups[i]);
    stress_run(count, arguments, worker);
    must(atomic_load(&g_round) > 100, "%u rounds only", atomic_load(&g_round));
    return 0;
}
