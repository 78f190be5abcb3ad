#include "insight/lives.h"

#include "base/atomic.h"
#include "heap/class.h"
#include "insight/ledger.h"
#include "policy/learn.h"

enum {
    LIVES = 128,           /* sites of which lives are told apart; the others are not known */
    LIVES_TIMES = 4,       /* so many times as long as others' is long, */
    LIVES_MIB_SHIFT = 20,
    LIVES_MILLISECONDS = 250 /* between looks, whichever thread's */
};
#define LIVES_OTHERS ((uint64_t)4 << 20) /* where so many bytes of others have ended */

static _Atomic(bool) lives_busy; /* a thread is in lives_look: what follows is its own */
static SPARSE struct lives_site lives_of[LIVES];
static uint64_t lives_now;                /* milliseconds */
static uint64_t classes_stay, classes_go; /* with a live sample of a site whose blocks stay; of another */

/* NULL: there is no room, or the site is not known. */
static struct lives_site *lives_find(uintptr_t from)
{
    enum { PROBES = 16 };
    for (unsigned probe = 0; from != 0 && probe < PROBES; probe++) {
        struct lives_site *site = &lives_of[(hash_mix(from) + probe) % LIVES];
        if (site->site == 0)
            site->site = from;
        if (site->site == from)
            return site;
    }
    return NULL;
}

static void lives_add_stack(const struct record_stack *stack, uintptr_t from)
{
    struct lives_site *site = lives_find(from);
    if (!site)
        return;
    site->ended += load_relaxed(&stack->ended);
    site->ended_life += load_relaxed(&stack->life);
}

static void lives_add_sample(const struct record_sample *sample)
{
    struct lives_site *site = lives_find(load_relaxed(&sample->site));
    uint64_t born = load_relaxed(&sample->born), bytes = load_relaxed(&sample->bytes);
    if (!site || born > lives_now)
        return;
    site->live += bytes;
    site->live_life += (lives_now - born) * bytes >> LIVES_MIB_SHIFT;
}

bool lives_stays(const struct lives_site *site, const struct lives_site *all, unsigned count)
{
    uint64_t ended = 0, life = 0, own = site->live + site->ended;
    for (unsigned i = 0; i < count; i++) {
        ended += &all[i] == site ? 0 : all[i].ended;
        life += &all[i] == site ? 0 : all[i].ended_life;
    }
    uint64_t others_ms = (life << LIVES_MIB_SHIFT) / max_size(ended, 1);
    uint64_t own_ms = ((site->ended_life + site->live_life) << LIVES_MIB_SHIFT) / max_size(own, 1);
    return site->live > 0 && ended >= LIVES_OTHERS && own_ms >= LIVES_TIMES * max_size(others_ms, 1);
}

static void lives_sort_sample(const struct record_sample *sample)
{
    size_t size = load_relaxed(&sample->size);
    struct lives_site *site = size <= CLASS_MAX_SIZE ? lives_find(load_relaxed(&sample->site)) : NULL;
    if (!site)
        return;
    *(site->stays ? &classes_stay : &classes_go) |= (uint64_t)1 << class_of(size);
}

/* Classes in which somebody's blocks stay; where there is no live sample, anybody's. */
static uint64_t lives_differ(void)
{
    bool any = false;
    for (unsigned i = 0; i < LIVES; i++)
        any |= lives_of[i].stays = lives_stays(&lives_of[i], lives_of, LIVES);
    classes_stay = classes_go = 0;
    ledger_visit(lives_sort_sample);
    return classes_stay | (any ? ~classes_go : 0);
}

static COLD void lives_look(uint64_t now, uint64_t classes)
{
    if (atomic_exchange_explicit(&lives_busy, true, memory_order_acquire)) /* pairs with the release below */
        return;
    lives_now = now;
    __builtin_memset(lives_of, 0, sizeof lives_of);
    ledger_visit_stacks(lives_add_stack);
    ledger_visit(lives_add_sample);
    learn_answer(classes & lives_differ());
    store_release(&lives_busy, false);
}

/* A look by a thread that has vanished is given up. */
COLD void lives_after_fork(void) { store_relaxed(&lives_busy, false); }

void lives_tick(uint64_t now)
{
    static _Atomic(uint64_t) next_at; /* milliseconds; relaxed: elects one thread */
    uint64_t classes = learn_asks(), at = load_relaxed(&next_at);
    if (UNLIKELY(classes != 0) && now >= at && cas_relaxed(&next_at, &at, now + LIVES_MILLISECONDS))
        lives_look(now, classes);
}
