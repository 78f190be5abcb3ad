#include "policy/learn.h"

#include "heap/fill.h"
#include "heap/page.h"
#include "system/lock.h"
#include "system/options.h"
#include "system/os_clock.h"
#include "system/os_map.h"

/* ---- Reasons ----------------------------------------------------------------------------------------------------- */

enum {
    WINDOWS_SEEN = 2,  /* windows on end in which a reason has to hold */
    WINDOWS_START = 4, /* at the start, of which the judged rules take no notice: much happens once */
    WINDOWS_TRIAL = 3, /* and over which a trial goes; the first of them is not measured */
    REST_FIRST = 8,    /* windows for which a rule rests after a trial, twice as long after each that was taken back */
    REST_DOUBLINGS = 10,
    DECISIONS_A_WINDOW = 4, /* so that effects can be told apart */
    THREADS_MANY = 16,
    THREADS_FEW = 12,
    IDLE_SHARE = 8,
    BUSY_SHARE = 4,        /* one in so many threads active at a time is few; is many */
    WIDEN_BYTES = 4 << 20, /* most bytes by which the rings of a thread may be widened, all classes together */
    WMAX_STEP = 25,
    FIT_SMALLEST = 128,    /* smaller requests have classes in steps of 16 bytes */
    APART_KIB = 4 << 10,   /* what pages have to keep for nothing */
    APART_WINDOWS = 256,   /* in which its effect has to show */
    APART_SHOWN = 32,      /* windows in which it could be seen: old pages go when the blocks in them do */
    APART_RESTS = 8,       /* times as long as a trial took it rests, at least */
    APART_TIMES = 3,       /* so many times what is live pages have to keep */
    PEAK_SHARE = 256,      /* the peak that is remembered falls by such a part in each window, */
    LOW_SHARE = 8,         /* and the low rises by such a one, */
    LOW_KIB = 256          /* and by so much */
};
#define THRIFT_BYTES ((uint64_t)8 << 20)

/* The numbers of a reason; 100 milliseconds' worth of processor time where they are rates. */
struct reason {
    uint64_t a, b;
};

static uint64_t rate(const struct seen *seen, uint64_t count)
{
    return count * 100 / max_size(seen->cpu_milliseconds, 1);
}

static uint64_t slices(const struct seen *seen) { return max_size(seen->milliseconds / LEARN_SLICE_MS, 1); }

static struct seen_class sum_of(const struct seen *seen)
{
    struct seen_class sum = {0};
    for (unsigned c = 1; c <= CLASS_LAST; c++) {
#define X(name) sum.name += seen->class[c].name;
        LEARN_COUNTS(X)
#undef X
    }
    return sum;
}

static uint64_t bytes_fetched(const struct seen *seen)
{
    uint64_t bytes = 0;
    for (unsigned c = 1; c <= class_last(); c++)
        bytes += seen->class[c].fetched * class_size(c);
    return bytes;
}

static size_t widened_bytes(const struct learner *learner)
{
    size_t bytes = 0;
    for (unsigned c = 1; c <= class_last(); c++)
        if (learner->policy.class[c].capacity > learner->base.class[c].capacity)
            bytes += (size_t)(learner->policy.class[c].capacity - learner->base.class[c].capacity) * class_size(c);
    return bytes;
}

static size_t capacity_step(unsigned c)
{
    return option(policy_is_mid(c) ? OPTION_CAP_STEP_MID : OPTION_CAP_STEP_LARGE);
}

static size_t capacity_more(const struct learner *learner, unsigned c)
{
    return learner->policy.class[c].capacity + 2u;
}

/* By `more` blocks, or as far as the limit allows. */
static bool may_widen(const struct learner *learner, unsigned c, size_t more)
{
    size_t capacity = learner->policy.class[c].capacity, limit = policy_capacity_limit(c);
    return !learner->policy.thrift && capacity < limit &&
           widened_bytes(learner) + min_size(more, limit - capacity) * class_size(c) <= WIDEN_BYTES;
}

/* What is added to every thread's rings adds up, and is of no use for blocks that threads free for each other: with
 * several active threads, wider rings took a quarter more memory in remote lanes and saved nothing. */
static bool is_alone(const struct seen *seen) { return seen->active * 4 <= slices(seen) * 5; }

static bool holds_thrift(const struct learner *learner, const struct seen *seen, struct reason *why)
{
    *why = (struct reason){seen->threads, (seen->active + slices(seen) - 1) / slices(seen)};
    return !learner->policy.thrift && seen->threads >= THREADS_MANY && seen->reach >= THRIFT_BYTES &&
           seen->active * IDLE_SHARE <= seen->threads * slices(seen);
}

static bool holds_wake(const struct learner *learner, const struct seen *seen, struct reason *why)
{
    *why = (struct reason){seen->threads, (seen->active + slices(seen) - 1) / slices(seen)};
    return learner->policy.thrift &&
           (seen->threads < THREADS_FEW || seen->active * BUSY_SHARE > seen->threads * slices(seen));
}

static bool holds_rest(const struct learner *learner, const struct seen *seen, struct reason *why)
{
    struct seen_class sum = sum_of(seen);
    *why = (struct reason){rate(seen, sum.refused), rate(seen, sum.bounced)};
    return !learner->policy.rests && !learner->policy.thrift && why->a >= 20;
}

static bool holds_room(const struct learner *learner, const struct seen *seen, struct reason *why)
{
    uint64_t bounced_bytes = 0;
    for (unsigned c = 1; c <= class_last(); c++)
        bounced_bytes += seen->class[c].bounced * class_size(c);
    struct seen_class sum = sum_of(seen);
    *why = (struct reason){rate(seen, sum.refused), rate(seen, sum.bounced)};
    return learner->policy.rests && !learner->policy.thrift &&
           learner->policy.thread_bytes_max < POLICY_THREAD_BYTES_MAX && is_alone(seen) &&
           why->a >= 20 && rate(seen, bounced_bytes) >= 1 << 20;
}

static bool holds_depot(const struct learner *learner, const struct seen *seen, struct reason *why)
{
    struct seen_class sum = sum_of(seen);
    *why = (struct reason){rate(seen, sum.batches_refused), rate(seen, sum.batches_taken)};
    return !learner->policy.thrift && learner->policy.depot_bytes < POLICY_DEPOT_BYTES_MAX && why->a >= 20 &&
           why->b >= 20;
}

static bool holds_widen(const struct learner *learner, const struct seen *seen, unsigned c, struct reason *why)
{
    const struct seen_class *n = &seen->class[c];
    *why = (struct reason){rate(seen, n->fetched), rate(seen, n->bounced)};
    return is_alone(seen) && why->b >= 2000 && n->bounced * 4 >= n->fetched &&
           may_widen(learner, c, capacity_more(learner, c));
}

/* What refills bring is served by the ring but for the first block of each: the least share that rings can have
 * served. A larger ring helps only where refills take about as much as it allows. */
static bool holds_target(const struct learner *learner, const struct seen *seen, unsigned c, struct reason *why)
{
    const struct seen_class *n = &seen->class[c];
    uint64_t target = policy_is_mid(c) ? option(OPTION_TARGET_HIT_MID) : option(OPTION_TARGET_HIT_LARGE);
    *why = (struct reason){100 - min_size(100, n->misses * 100 / max_size(n->fetched, 1)), target};
    const struct class_policy *class = &learner->policy.class[c];
    uint64_t most = max_size(1, (uint64_t) class->capacity * class->batch / POLICY_BATCH_MAX);
    return (policy_is_mid(c) || policy_is_large(c)) && rate(seen, n->misses) >= 100 && why->a < target &&
           n->fetched * 2 >= n->misses * most && may_widen(learner, c, capacity_step(c));
}

static bool holds_batch(const struct learner *learner, const struct seen *seen, unsigned c, struct reason *why)
{
    const struct seen_class *n = &seen->class[c];
    *why = (struct reason){rate(seen, n->misses), rate(seen, n->overflows)};
    return !learner->policy.thrift && learner->policy.class[c].batch < POLICY_BATCH_MAX && why->a >= 300 &&
           why->b * 8 < why->a;
}

static bool holds_hand(const struct learner *learner, const struct seen *seen, unsigned c, struct reason *why)
{
    const struct seen_class *n = &seen->class[c];
    *why = (struct reason){rate(seen, n->fetched), rate(seen, n->bounced)};
    /* What shares cache lines is not to be handed to other threads. */
    return !class_shares_lines(c) && !learner->policy.thrift && !learner->policy.class[c].hands_over &&
           why->b >= 4000 && n->bounced * 2 >= n->fetched && seen->active * 2 > slices(seen) * 3 &&
           !may_widen(learner, c, capacity_more(learner, c));
}

static bool holds_wmax(const struct learner *learner, const struct seen *seen, unsigned c, struct reason *why)
{
    const struct seen_class *n = &seen->class[c];
    *why = (struct reason){rate(seen, n->pages), rate(seen, n->neighbours)};
    return (policy_is_mid(c) || policy_is_large(c)) && !learner->policy.thrift && learner->policy.class[c].wmax == 0 &&
           why->a >= 8 && n->neighbours * 2 >= n->pages;
}

static uint64_t kept_for_nothing(const struct seen *seen, unsigned c)
{
    return seen->memory[c].kept - min_size(seen->memory[c].live, seen->memory[c].kept); /* sums of different moments */
}

/* Not more than a quarter above. */
static bool is_about(uint64_t number, uint64_t low) { return number * 4 <= low * 5; }

/* Blocks that stay keep pages of others, which are gone: not while these are only going. */
static bool keeps_pages(const struct learner *learner, const struct seen *seen, unsigned c)
{
    const struct seen_memory *memory = &seen->memory[c];
    const struct learner_memory *lately = &learner->memory[c];
    return !learner->policy.class[c].apart && kept_for_nothing(seen, c) >= APART_KIB &&
           memory->kept >= APART_TIMES * memory->live && lately->peak * 2 >= memory->kept &&
           is_about(memory->live, lately->low);
}

static bool holds_apart(const struct learner *learner, const struct seen *seen, unsigned c, struct reason *why)
{
    *why = (struct reason){seen->memory[c].live, seen->memory[c].kept};
    return keeps_pages(learner, seen, c) && seen->memory[c].differs;
}

static bool holds_huge(const struct learner *learner, const struct seen *seen, unsigned c, struct reason *why)
{
    *why = (struct reason){seen->class[c].pages, seen->class[c].dense};
    return !learner->policy.class[c].huge && why->b > 0;
}

static bool holds_fit(const struct learner *learner, const struct seen *seen, struct reason *why)
{
    enum { LEADING = 75, WASTE = 16 }; /* a sixteenth of the block unused */
    size_t have = seen->asked > FIT_SMALLEST && seen->asked <= CLASS_TABLE_MAX ? class_size(class_of(seen->asked)) : 0;
    *why = (struct reason){seen->asked, have};
    return learner->policy.fitted == 0 && seen->asked_share >= LEADING && have > 0 &&
           (have - seen->asked) * WASTE >= have;
}

static bool holds(const struct learner *learner, const struct seen *seen, enum learn_rule rule, unsigned c,
                  struct reason *why)
{
    switch (rule) {
    case RULE_THRIFT:
        return holds_thrift(learner, seen, why);
    case RULE_WAKE:
        return holds_wake(learner, seen, why);
    case RULE_REST:
        return holds_rest(learner, seen, why);
    case RULE_ROOM:
        return holds_room(learner, seen, why);
    case RULE_DEPOT:
        return holds_depot(learner, seen, why);
    case RULE_WIDEN:
        return holds_widen(learner, seen, c, why);
    case RULE_TARGET:
        return holds_target(learner, seen, c, why);
    case RULE_BATCH:
        return holds_batch(learner, seen, c, why);
    case RULE_HAND:
        return holds_hand(learner, seen, c, why);
    case RULE_WMAX:
        return holds_wmax(learner, seen, c, why);
    case RULE_APART:
        return holds_apart(learner, seen, c, why);
    case RULE_HUGE:
        return holds_huge(learner, seen, c, why);
    default:
        return holds_fit(learner, seen, why);
    }
}

/* ---- Measures ---------------------------------------------------------------------------------------------------- */

static uint64_t measure(const struct seen *seen, enum learn_rule rule, unsigned c)
{
    const struct seen_class *n = &seen->class[c];
    switch (rule) {
    case RULE_THRIFT:
    case RULE_WAKE:
        return seen->reach >> 10;
    case RULE_REST:
        return rate(seen, sum_of(seen).refused);
    case RULE_ROOM:
        return rate(seen, bytes_fetched(seen) >> 10);
    case RULE_DEPOT:
        return rate(seen, sum_of(seen).batches_refused);
    case RULE_WIDEN:
        return rate(seen, n->fetched);
    case RULE_TARGET:
    case RULE_BATCH:
        return n->misses * 1000 / max_size(n->fetched, 1);
    case RULE_HAND:
        return rate(seen, n->to_pages);
    case RULE_WMAX:
        return rate(seen, n->pages);
    case RULE_APART:
        return kept_for_nothing(seen, c);
    default:
        return 0; /* certain: see certain_effect */
    }
}

/* Of rules whose effect needs no measuring: true, with the measure before and after the change to `to`. */
static bool certain_effect(enum learn_rule rule, struct reason why, uint64_t to, uint64_t *before, uint64_t *after)
{
    switch (rule) {
    case RULE_FIT:
        *before = why.b;
        *after = to;
        return true;
    case RULE_HUGE:
        *before = SUPERSLAB_SIZE / os_page_size();
        *after = 1;
        return true;
    default:
        return false;
    }
}

/* ---- Changes ----------------------------------------------------------------------------------------------------- */

static uint64_t value_get(const struct policy *policy, enum learn_rule rule, unsigned c)
{
    switch (rule) {
    case RULE_THRIFT:
    case RULE_WAKE:
        return policy->thrift;
    case RULE_REST:
        return policy->rests;
    case RULE_ROOM:
        return policy->thread_bytes_max;
    case RULE_DEPOT:
        return policy->depot_bytes;
    case RULE_WIDEN:
    case RULE_TARGET:
        return policy->class[c].capacity;
    case RULE_BATCH:
        return policy->class[c].batch;
    case RULE_HAND:
        return policy->class[c].hands_over;
    case RULE_WMAX:
        return policy->class[c].wmax;
    case RULE_APART:
        return policy->class[c].apart;
    case RULE_HUGE:
        return policy->class[c].huge;
    default:
        return policy->fitted;
    }
}

static void value_set(struct learner *learner, enum learn_rule rule, unsigned c, uint64_t value)
{
    struct policy *policy = &learner->policy;
    switch (rule) {
    case RULE_THRIFT:
    case RULE_WAKE:
        policy_set_thrift(policy, &learner->base, value != 0);
        break;
    case RULE_REST:
        policy->rests = value != 0;
        break;
    case RULE_ROOM:
        policy->thread_bytes_max = value;
        break;
    case RULE_DEPOT:
        policy->depot_bytes = value;
        policy->depot_slots = value > learner->base.depot_bytes ? POLICY_DEPOT_SLOTS_MAX : learner->base.depot_slots;
        break;
    case RULE_WIDEN:
    case RULE_TARGET:
        policy->class[c].capacity = (uint16_t)value;
        break;
    case RULE_BATCH:
        policy->class[c].batch = (uint8_t)value;
        break;
    case RULE_HAND:
        policy->class[c].hands_over = value != 0;
        break;
    case RULE_WMAX:
        policy->class[c].wmax = (uint8_t)value;
        break;
    case RULE_APART:
        policy->class[c].apart = value != 0;
        break;
    case RULE_HUGE:
        policy->class[c].huge = value != 0;
        break;
    default:
        policy->fitted = (uint32_t)value;
        break;
    }
}

/* One step from the present value. */
static uint64_t value_next(const struct learner *learner, const struct seen *seen, enum learn_rule rule, unsigned c)
{
    uint64_t value = value_get(&learner->policy, rule, c);
    switch (rule) {
    case RULE_WAKE:
        return false;
    case RULE_THRIFT:
    case RULE_REST:
    case RULE_HAND:
    case RULE_APART:
    case RULE_HUGE:
        return true;
    case RULE_ROOM:
    case RULE_DEPOT:
    case RULE_BATCH:
        return min_size(value * 2, rule == RULE_BATCH ? POLICY_BATCH_MAX : SIZE_MAX);
    case RULE_WIDEN:
        return min_size(value * 2 + 2, policy_capacity_limit(c));
    case RULE_TARGET:
        return min_size(value + capacity_step(c), policy_capacity_limit(c));
    case RULE_WMAX:
        return WMAX_STEP;
    default:
        return seen->asked;
    }
}

/* ---- Decisions and trials ---------------------------------------------------------------------------------------- */

static bool is_judged(enum learn_rule rule)
{
    static const bool judged[] = {
#define X(id, name, is_judged, what, reason, unit_a, unit_b, measure) is_judged,
#include "policy/policy.def"
#undef X
    };
    return judged[rule];
}

static bool rule_is_for_all(enum learn_rule rule) { return rule <= RULE_DEPOT || rule == RULE_FIT; }

/* It was a mistake, and its like has to wait for twice as many windows, four times ... */
static void fail(const struct learner *learner, struct rule_state *state, uint32_t windows)
{
    if (state->failures < REST_DOUBLINGS)
        state->failures++;
    state->rests_until = learner->window + (windows << state->failures);
}

/* "apart" takes long, and is about other numbers: it is on trial beside others. */
static struct trial *trial_of(struct learner *learner, enum learn_rule rule, unsigned c)
{
    return rule == RULE_APART ? &learner->apart[c] : &learner->trial[c];
}

static void trial_begin(struct learner *learner, const struct seen *seen, enum learn_rule rule, unsigned c,
                        uint64_t undo)
{
    *trial_of(learner, rule, c) = (struct trial){.rule = (uint8_t)rule,
                                       .windows = rule == RULE_APART ? APART_WINDOWS : WINDOWS_TRIAL,
                                       .number = learner->decisions - 1,
                                       .before = learner->log[(learner->decisions - 1) % LEARN_LOG].before,
                                       .undo = undo};
    if (rule != RULE_APART)
        return;
    struct learner_memory *memory = &learner->memory[c];
    memory->peak = memory->trial_live = seen->memory[c].live;
    memory->trial_kept = seen->memory[c].kept;
    memory->trial_after = UINT64_MAX;
}

static void decide(struct learner *learner, const struct seen *seen, enum learn_rule rule, unsigned c,
                   struct reason why)
{
    struct rule_state *state = &learner->state[rule][c];
    unsigned place = learner->decisions++ % LEARN_LOG;
    uint64_t from = value_get(&learner->policy, rule, c), to = value_next(learner, seen, rule, c);
    uint64_t before = rule == RULE_THRIFT ? measure(seen, rule, c)
                                          : (learner->measured[rule][c] + measure(seen, rule, c)) / WINDOWS_SEEN;
    uint64_t after = 0;
    bool is_certain = certain_effect(rule, why, to, &before, &after);
    learner->log[place] = (struct decision){
        .milliseconds = learner->milliseconds,
        .from = from,
        .to = to,
        .a = why.a,
        .b = why.b,
        .before = before,
        .after = after,
        .rule = (uint8_t)rule,
        .class_id = (uint8_t)c,
        .outcome = learner->shadow ? OUTCOME_SHADOW : is_certain ? OUTCOME_KEPT : OUTCOME_TRIAL,
    };
    value_set(learner, rule, c, to);
    state->streak = 0;
    if (rule == RULE_WAKE)
        /* Threads that hardly get to a slow path look idle until their rings are small. */
        fail(learner, &learner->state[RULE_THRIFT][c], REST_FIRST);
    if (learner->shadow || is_certain)
        state->rests_until = learner->window + REST_FIRST;
    else
        trial_begin(learner, seen, rule, c, from);
}

/* Ends the trial: true when the change is taken back, to rest for so many windows and more. */
static bool trial_end(struct learner *learner, struct trial *trial, unsigned c, uint64_t after, bool gained,
                      uint32_t rest)
{
    bool back = is_judged(trial->rule) && !gained;
    trial->windows = 0;
    if (learner->decisions - trial->number <= LEARN_LOG) { /* else others have its place */
        struct decision *entry = &learner->log[trial->number % LEARN_LOG];
        entry->after = after;
        entry->outcome = back ? OUTCOME_TAKEN_BACK : OUTCOME_KEPT;
    }
    if (back) {
        value_set(learner, trial->rule, c, trial->undo);
        fail(learner, &learner->state[trial->rule][c], rest);
    }
    return back;
}

/* Whether the class is as empty as when its trial began, after it was full. */
static bool apart_shows(const struct learner_memory *memory, uint64_t live)
{
    return memory->peak * 2 >= memory->trial_kept &&
           is_about(live * memory->trial_kept, memory->trial_live * memory->peak);
}

/* By an eighth less than as much of the peak as was kept for nothing when the trial began. */
static bool apart_gained(const struct learner_memory *memory, uint64_t after)
{
    return after * memory->trial_kept * 8 <= (memory->trial_kept - memory->trial_live) * memory->peak * 7;
}

/* True when the change was taken back. Blocks may be going at the moment, so the least that pages keep counts. */
static bool apart_step(struct learner *learner, const struct seen *seen, unsigned c)
{
    struct trial *trial = &learner->apart[c];
    struct learner_memory *memory = &learner->memory[c];
    trial->windows--;
    if (apart_shows(memory, seen->memory[c].live)) {
        trial->shown++;
        memory->trial_after = min_size(memory->trial_after, kept_for_nothing(seen, c));
    }
    bool gained = trial->shown >= WINDOWS_TRIAL && apart_gained(memory, memory->trial_after);
    if (!gained && trial->shown < APART_SHOWN && trial->windows > 0)
        return false;
    uint64_t after = trial->shown > 0 ? memory->trial_after : kept_for_nothing(seen, c);
    uint32_t rest = APART_RESTS * (uint32_t)(APART_WINDOWS - trial->windows);
    return trial_end(learner, trial, c, after, gained, rest);
}

/* True when the change was taken back. */
static bool trial_step(struct learner *learner, const struct seen *seen, unsigned c)
{
    struct trial *trial = &learner->trial[c];
    bool is_ratio = trial->rule == RULE_TARGET || trial->rule == RULE_BATCH;
    if (is_ratio && seen->class[c].fetched == 0)
        return false; /* nothing to measure */
    if (trial->windows < WINDOWS_TRIAL)
        trial->sum += measure(seen, trial->rule, c);
    if (--trial->windows > 0)
        return false;
    uint64_t after = trial->sum / (WINDOWS_TRIAL - 1);
    return trial_end(learner, trial, c, after, after * 8 <= trial->before * 7, REST_FIRST);
}

/* True when the rule, whose reason may hold, decides. */
static bool rule_step(struct learner *learner, const struct seen *seen, enum learn_rule rule, unsigned c)
{
    struct rule_state *state = &learner->state[rule][c];
    struct reason why;
    if (learner->window < state->rests_until || (is_judged(rule) && learner->window <= WINDOWS_START))
        return false;
    if (!holds(learner, seen, rule, c, &why)) {
        state->streak = 0;
        return false;
    }
    /* Threads that fall asleep keep what they have: thrift that comes late is of no use, and waking is easy. Of dense
     * growth a thread has seen enough before it says so. */
    if (++state->streak < WINDOWS_SEEN && rule != RULE_THRIFT && rule != RULE_HUGE) {
        learner->measured[rule][c] = measure(seen, rule, c);
        return false;
    }
    decide(learner, seen, rule, c, why);
    return true;
}

/* The first of the rules, for all or for the class, that decides; true when one does. */
static bool rules_step(struct learner *learner, const struct seen *seen, unsigned c)
{
    for (unsigned rule = 0; rule < RULE_COUNT; rule++)
        if (rule != RULE_APART && rule_is_for_all(rule) == (c == 0) && rule_step(learner, seen, rule, c))
            return true;
    return false;
}

/* Much may come and go within a window: then pages made tell of it. */
static void memory_note(struct learner *learner, const struct seen *seen, unsigned c)
{
    struct learner_memory *memory = &learner->memory[c];
    if (learner->apart[c].windows == 0)
        memory->peak -= memory->peak / PEAK_SHARE;
    memory->peak = max_size(memory->peak, max_size(seen->memory[c].live, seen->memory[c].made - memory->made));
    memory->low = min_size(seen->memory[c].live, memory->low + memory->low / LOW_SHARE + LOW_KIB);
    memory->made = seen->memory[c].made;
}

COLD bool learner_step(struct learner *learner, const struct seen *seen)
{
    unsigned decisions = 0;
    bool changed = false;
    learner->window++;
    learner->milliseconds += seen->milliseconds;
    learner->asks = 0;
    for (unsigned c = 0; c <= class_last(); c++) {
        bool on_trial = learner->trial[c].windows > 0;
        if (on_trial)
            changed |= trial_step(learner, seen, c);
        /* A class of which nothing was seen has no reason for anything: its rules need no look. */
        else if (decisions < DECISIONS_A_WINDOW && (c == 0 || seen->class[c].misses > 0))
            decisions += rules_step(learner, seen, c);
        memory_note(learner, seen, c);
        if (learner->apart[c].windows > 0)
            changed |= apart_step(learner, seen, c);
        else if (decisions < DECISIONS_A_WINDOW)
            decisions += rule_step(learner, seen, RULE_APART, c);
        if (learner->window >= learner->state[RULE_APART][c].rests_until && keeps_pages(learner, seen, c))
            learner->asks |= (uint64_t)1 << c;
    }
    return changed || decisions > 0;
}

void learner_begin(struct learner *learner, const struct policy *base, const struct policy *policy, bool shadow)
{
    __builtin_memset(learner, 0, sizeof *learner); /* no compound literal: stacks may be small */
    learner->shadow = shadow;
    learner->base = *base;
    learner->policy = *policy;
}

/* ---- In the process ---------------------------------------------------------------------------------------------- */

_Atomic(bool) learn_counts;

/* What threads have handed in. All relaxed: counts, of which some may fall into the next window. */
static SPARSE struct {
    _Atomic(uint64_t) threads, active;
    _Atomic(uint64_t) count[CLASS_SLOTS][sizeof(struct seen_class) / sizeof(uint64_t)];
} handed_in;

/* The size most often asked for when pages of a class were made. Relaxed: threads that vote at once may take no notice
 * of each other, which loses a vote. */
static SPARSE struct votes {
    _Atomic(uint32_t) size, lead, all;
} votes[CLASS_SLOTS];

static _Atomic(uint64_t) asks, answers; /* relaxed: the answer is of some moment */

static _Atomic(uint64_t) window_end; /* milliseconds */
static _Atomic(bool) learning;       /* a thread is in learn_window: what follows is its own */
static uint64_t window_begin, cpu_begin;
static SPARSE struct learner learner;
static SPARSE struct seen seen_now;

void learn_join(struct tally *tally)
{
    *tally = (struct tally){0};
    fetch_add_relaxed(&handed_in.threads, 1);
}

void learn_leave(void) { fetch_sub_relaxed(&handed_in.threads, 1); }

/* The one that leads has more votes than all others together, if any has: Boyer and Moore's majority vote. */
void learn_note_size(unsigned c, size_t size)
{
    struct votes *vote = &votes[c];
    uint32_t rounded = (uint32_t)align_up(size, BLOCK_ALIGN), lead = load_relaxed(&vote->lead);
    fetch_add_relaxed(&vote->all, 1);
    if (lead == 0)
        store_relaxed(&vote->size, rounded);
    store_relaxed(&vote->lead, lead == 0 || load_relaxed(&vote->size) == rounded ? lead + 1 : lead - 1);
}

/* The class that has had most pages, if these are half of all. */
static void votes_count(struct seen *seen)
{
    enum { UNITS_MIN = 64 };
    size_t most = 0, all = 0;
    for (unsigned c = 1; c <= CLASS_FIXED_LAST; c++) {
        uint64_t count = load_relaxed(&votes[c].all), lead = min_size(load_relaxed(&votes[c].lead), count);
        size_t units = (size_t)count * class_info[c].units;
        all += units;
        if (units < UNITS_MIN || units <= most)
            continue;
        most = units;
        seen->asked = load_relaxed(&votes[c].size);
        seen->asked_share = 50 + 50 * lead / count;
    }
    if (most * 2 < all)
        seen->asked = seen->asked_share = 0;
}

static void hand_in(struct tally *tally)
{
    for (unsigned c = 1; c <= CLASS_LAST; c++) {
        struct tally_class *n = &tally->class[c];
        unsigned i = 0;
        if (n->misses == 0 && n->overflows == 0)
            continue;
#define X(name) fetch_add_relaxed(&handed_in.count[c][i++], n->name);
        LEARN_COUNTS(X)
#undef X
        *n = (struct tally_class){0};
    }
}

static uint64_t take_count(_Atomic(uint64_t) *count)
{
    return load_relaxed(count) ? atomic_exchange_explicit(count, 0, memory_order_relaxed) : 0;
}

/* Of the classes that may be apart; by the option for all, in other ways. */
static void memory_look(struct seen *seen)
{
    for (unsigned c = 1; c <= CLASS_FIXED_LAST && class_size(c) <= POLICY_APART_MAX && !option(OPTION_SITES); c++) {
        struct page_holding holding = page_count_kept(c);
        seen->memory[c] =
            (struct seen_memory){.live = holding.used >> 10, .kept = holding.kept >> 10, .made = holding.made >> 10,
                                 .differs = load_relaxed(&answers) >> c & 1};
    }
}

static void look(struct seen *seen, uint64_t now, size_t reach)
{
    uint64_t cpu = os_cpu_milliseconds();
    *seen = (struct seen){.milliseconds = now - window_begin,
                          .cpu_milliseconds = cpu - cpu_begin,
                          .reach = reach,
                          .threads = load_relaxed(&handed_in.threads)};
    window_begin = now;
    cpu_begin = cpu;
    seen->active = take_count(&handed_in.active);
    for (unsigned c = 1; c <= CLASS_LAST; c++) {
        unsigned i = 0;
#define X(name) seen->class[c].name = take_count(&handed_in.count[c][i++]);
        LEARN_COUNTS(X)
#undef X
    }
    votes_count(seen);
    memory_look(seen);
}

static void publish(void)
{
    struct policy *policy = &learner.policy;
    if (learner.shadow || !lock_acquire())
        return;
    if (policy->fitted != 0 && !class_is_fitted() && !policy_fit(policy, policy->fitted))
        policy->fitted = 0;
    lock_release();
    if (!policy_publish(policy))
        store_relaxed(&learn_counts, false); /* it has changed often enough */
}

/* Not at the program's start: memory that a short program never touches it need not have. */
static void begin(uint64_t now)
{
    static SPARSE struct policy base; /* stacks may be small */
    policy_base(&base);
    learner_begin(&learner, &base, policy_now(), option(OPTION_LEARN) == LEARN_SHADOW);
    window_begin = now;
    cpu_begin = os_cpu_milliseconds();
}

static COLD void learn_window(uint64_t now, size_t reach)
{
    if (atomic_exchange_explicit(&learning, true, memory_order_acquire)) /* pairs with the release below */
        return;
    uint64_t window = option(OPTION_LEARN_WINDOW_MS);
    if (window_begin == 0) {
        begin(now);
        store_relaxed(&window_end, now + window);
    } else if (now >= load_relaxed(&window_end)) {
        store_relaxed(&window_end, now + window);
        look(&seen_now, now, reach);
        if (learner_step(&learner, &seen_now))
            publish();
        store_relaxed(&asks, learner.asks);
    }
    store_release(&learning, false);
}

void learn_tick(struct tally *tally, uint64_t now, size_t reach)
{
    if (tally->slice != now / LEARN_SLICE_MS) {
        tally->slice = now / LEARN_SLICE_MS;
        fetch_add_relaxed(&handed_in.active, 1);
    }
    if (now < tally->hand_in_at)
        return;
    tally->hand_in_at = now + option(OPTION_LEARN_WINDOW_MS);
    hand_in(tally);
    if (now >= load_relaxed(&window_end))
        learn_window(now, reach);
}

COLD void learn_start(void)
{
    bool learns = option(OPTION_LEARN) == LEARN_ON || option(OPTION_LEARN) == LEARN_SHADOW;
    store_relaxed(&learn_counts, learns && !option(OPTION_CHECK));
    if (option(OPTION_LEARN) == LEARN_ON && !option(OPTION_CHECK))
        fill_begin();
}

void learn_after_fork(bool self_counts)
{
    store_relaxed(&handed_in.threads, self_counts);
    if (!load_relaxed(&learning))
        return;
    /* Another thread was in the middle of it: what it thought is not to be trusted, what it had published is. */
    learner_begin(&learner, &learner.base, policy_now(), learner.shadow);
    store_relaxed(&learning, false);
}

uint64_t learn_asks(void) { return load_relaxed(&asks); }

void learn_answer(uint64_t classes) { store_relaxed(&answers, classes); }

bool learn_copy(struct learner *out)
{
    if (atomic_exchange_explicit(&learning, true, memory_order_acquire)) /* pairs with the release in learn_window */
        return false;
    *out = learner;
    store_release(&learning, false);
    return out->base.thread_bytes_max != 0;
}
