/* explore.c - depth first through every order in which the threads of a scenario can take their steps. Where there is a
 * choice, the search comes back, and everything is put back, until all of it was tried. An interleaving is given up
 * when it comes to a state that was seen before: the same in memory (memory.c) and in every thread's stack (turns.c).
 * SPDX-License-Identifier: MIT */
#include "engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEPTH_MAX = 4096,
    STATES_MAX = 40000000,  /* then the search is given up, and the test fails */
    RANDOM_RUNS = 3000,     /* before the search: to learn which objects are shared */
    PREEMPTIONS_MAX = 6,    /* of the searches for a short counterexample */
    UNBOUNDED = 1000000     /* preemptions: all interleavings */
};

static const struct model_scenario *scenario;

/* ---- Choices ----------------------------------------------------------------------------------------------------- */

static struct choice {
    uint8_t chosen, count;
    bool can_return; /* to the point where the choice was made */
} path[DEPTH_MAX];
static unsigned path_length, depth; /* choices known from earlier interleavings; made in this one */
static bool at_random;
static uint64_t random_state;
static bool tracing;

bool explore_is_tracing(void) { return tracing; }

unsigned explore_choose(unsigned count)
{
    if (count == 1)
        return 0;
    if (at_random) {
        random_state = mix(random_state, count);
        return (unsigned)(random_state % count);
    }
    if (depth == DEPTH_MAX) {
        fprintf(stderr, "the explorer: an interleaving is too long\n");
        exit(2);
    }
    if (depth == path_length)
        path[path_length++] = (struct choice){.count = (uint8_t)count};
    return path[depth++].chosen;
}

/* Prepares the next interleaving; false when there is none. */
static bool path_advance(void)
{
    while (path_length > 0 && path[path_length - 1].chosen + 1 == path[path_length - 1].count)
        path_length--;
    if (path_length == 0)
        return false;
    path[path_length - 1].chosen++;
    return true;
}

/* ---- States ------------------------------------------------------------------------------------------------------ */

static uint64_t *states; /* hashes, open addressing; 0: none */
static size_t state_slots, state_count;

static void states_grow(void);

static bool state_enter(uint64_t state)
{
    size_t slot = state & (state_slots - 1);
    for (; states[slot]; slot = (slot + 1) & (state_slots - 1))
        if (states[slot] == state)
            return false;
    states[slot] = state;
    if (++state_count * 2 > state_slots)
        states_grow();
    return true;
}

static void states_grow(void)
{
    uint64_t *old = states;
    size_t old_slots = state_slots;
    state_slots = old_slots ? old_slots * 4 : 1 << 16;
    state_count = 0;
    states = calloc(state_slots, sizeof *states);
    if (!states) {
        fprintf(stderr, "the explorer: out of memory\n");
        exit(2);
    }
    for (size_t i = 0; i < old_slots; i++)
        if (old[i])
            state_enter(old[i]);
    free(old);
}

static void states_clear(void)
{
    if (states)
        memset(states, 0, state_slots * sizeof *states);
    state_count = 0;
}

/* ---- One interleaving -------------------------------------------------------------------------------------------- */

enum outcome { COMPLETE, SEEN_BEFORE, VIOLATION };

static const char no_waiting[] = "no thread waits for ever";
static const char *failure; /* the property that does not hold */
static unsigned preemptions_allowed, preemptions, last;
static size_t transitions;

void model_fail(const char *property)
{
    failure = property;
    turns_end();
}

const char *model_violation(void) { return failure; }

static bool thread_can_step(const struct thread *thread)
{
    if (thread->finished || (thread->awaited && *(volatile uint32_t *)thread->awaited != thread->awaited_value))
        return false;
    return !thread->sleeping || thread->woken || scenario->wakes_early;
}

/* What can happen next: n < MODEL_THREADS: thread n takes a step; else: thread n - MODEL_THREADS lets a store out. The
 * thread that ran last comes first, so that the first interleavings are those with few switches. */
static unsigned transitions_list(unsigned *list)
{
    unsigned count = 0;
    bool stays = thread_can_step(&threads[last]);
    if (stays)
        list[count++] = last;
    for (unsigned i = 0; i < MODEL_THREADS; i++)
        if (i != last && (!stays || preemptions < preemptions_allowed) && thread_can_step(&threads[i]))
            list[count++] = i;
    for (unsigned i = 0; i < MODEL_THREADS; i++)
        if (threads[i].buffered > 0)
            list[count++] = MODEL_THREADS + i;
    return count;
}

/* ---- Going back -------------------------------------------------------------------------------------------------- */

static struct point {
    struct memory_mark memory;
    struct turns_mark turns;
    unsigned preemptions, last;
} points[DEPTH_MAX];
static struct memory_mark after_setup;

/* Choices that are made in the middle of a thread's step are no points: the search goes back to the one before. */
static void point_set(void)
{
    struct point *point = &points[depth];
    point->memory = memory_mark();
    turns_mark(&point->turns);
    point->preemptions = preemptions;
    point->last = last;
}

static void interleaving_begin(void)
{
    static const struct turns_mark beginning;
    memory_undo(after_setup);
    turns_undo(&beginning);
    for (unsigned i = 0; i < MODEL_THREADS; i++)
        turns_start(i, scenario->thread[i]);
    depth = preemptions = last = 0;
    for (unsigned i = 0; i < MODEL_THREADS && !failure; i++)
        if (!threads[i].finished)
            turns_run(i); /* to its first step: nobody else sees what comes before */
}

static void interleaving_resume(void)
{
    unsigned at = path_length;
    while (at > 0 && !path[at - 1].can_return)
        at--;
    if (at == 0 || tracing || at_random) {
        interleaving_begin();
        return;
    }
    depth = at - 1;
    memory_undo(points[depth].memory);
    turns_undo(&points[depth].turns);
    preemptions = points[depth].preemptions;
    last = points[depth].last;
}

static uint64_t thread_hash(const struct thread *t)
{
    unsigned flags = t->finished | (unsigned)t->sleeping << 1 | (unsigned)t->woken << 2;
    uint64_t mixed = mix(mix(mix(t->memories, t->clock), flags), (uintptr_t)t->awaited ^ t->awaited_value);
    for (unsigned i = 0; i < t->buffered; i++)
        mixed = mix(mix(mix(mixed, (uintptr_t)t->buffer[i].object), t->buffer[i].value), t->buffer[i].sync);
    return mixed;
}

static uint64_t state_now(void)
{
    uint64_t state = memory_hash();
    for (unsigned i = 0; i < MODEL_THREADS; i++)
        state = mix(state, thread_hash(&threads[i]));
    if (preemptions_allowed < UNBOUNDED)
        state = mix(state, preemptions << 8 | last);
    return state ? state : 1;
}

static void transition_run(unsigned transition)
{
    transitions++;
    if (transition >= MODEL_THREADS) {
        if (tracing)
            printf("  T%u  a buffered store becomes visible\n", transition - MODEL_THREADS);
        memory_flush_one(transition - MODEL_THREADS);
        return;
    }
    if (transition != last && thread_can_step(&threads[last]))
        preemptions++;
    last = transition;
    turns_run(transition);
}

static bool all_finished(void)
{
    for (unsigned i = 0; i < MODEL_THREADS; i++)
        if (!threads[i].finished)
            return false;
    return true;
}

static void alone_run(void (*body)(void))
{
    turns_start(ALONE, body);
    turns_run(ALONE);
    if (!failure && !threads[ALONE].finished)
        failure = no_waiting;
}

/* One turn. False when the state was seen before. */
static bool turn_take(const unsigned *list, unsigned count)
{
    bool is_new = depth == path_length && !tracing && !at_random;
    if (is_new && !state_enter(state_now()))
        return false;
    if (is_new && count > 1) {
        point_set();
        explore_choose(count);
        path[--depth].can_return = true;
    }
    transition_run(list[explore_choose(count)]);
    return true;
}

static enum outcome interleaving_run(void)
{
    unsigned list[2 * MODEL_THREADS], count;
    failure = NULL;
    interleaving_resume();
    while (!failure && (count = transitions_list(list)) > 0)
        if (!turn_take(list, count))
            return SEEN_BEFORE;
    if (!failure && !all_finished())
        failure = no_waiting;
    if (!failure)
        alone_run(scenario->quiet);
    return failure ? VIOLATION : COMPLETE;
}

/* ---- Searches ---------------------------------------------------------------------------------------------------- */

static size_t interleavings, completed;

static void search_begin(void)
{
    states_clear();
    path_length = 0;
    interleavings = completed = transitions = 0;
}

/* All interleavings with at most so many preemptions. False when one violates a property; `path` then leads to it. */
static bool search(unsigned preemptions_max)
{
    preemptions_allowed = preemptions_max;
    search_begin();
    do {
        enum outcome outcome = interleaving_run();
        interleavings++;
        completed += outcome == COMPLETE;
        if (outcome == VIOLATION)
            return false;
        if (memory_learnt()) { /* there are more steps than was known: begin again */
            search_begin();
            continue;
        }
        if (state_count > STATES_MAX) {
            fprintf(stderr, "the explorer: more than %d states; the scenario is too large\n", STATES_MAX);
            exit(2);
        }
        if (!path_advance())
            return true;
    } while (true);
}

static void learn_at_random(void)
{
    at_random = true;
    preemptions_allowed = UNBOUNDED;
    for (unsigned i = 0; i < RANDOM_RUNS; i++)
        interleaving_run();
    at_random = false;
}

static void violation_show(void)
{
    path_length = depth; /* as far as the violation */
    printf("%s, with %u preemptions:\n", scenario->name, preemptions);
    tracing = true;
    interleaving_run();
    tracing = false;
    printf("violation: %s\n", failure);
}

static unsigned scenario_bound(void) { return scenario->preemptions ? scenario->preemptions : UNBOUNDED; }

/* The violation with the fewest preemptions; false when there is none. */
static bool violation_find(void)
{
    for (unsigned bound = 0; bound <= PREEMPTIONS_MAX && bound < scenario_bound(); bound++)
        if (!search(bound))
            return true;
    return !search(scenario_bound());
}

static void report(void)
{
    printf("%-30s %8zu states, %8zu steps, %8zu interleavings, %6zu of them to the end; ", scenario->name, state_count,
           transitions, interleavings, completed);
    if (preemptions_allowed < UNBOUNDED)
        printf("at most %u preemptions\n", preemptions_allowed);
    else
        printf("all there are\n");
}

static bool scenario_holds(bool expects_violation)
{
    struct memory_mark before_setup = memory_mark();
    failure = NULL;
    alone_run(scenario->setup);
    bool holds = !failure;
    if (!holds)
        printf("%s: in setup: violation: %s\n", scenario->name, failure);
    after_setup = memory_mark();
    if (holds) {
        learn_at_random();
        holds = expects_violation ? !violation_find() : search(scenario_bound());
        report();
        if (!holds && (expects_violation || violation_find()))
            violation_show();
    }
    memory_undo(before_setup);
    memory_forget_users();
    return holds;
}

int model_main(int argc, char **argv, const struct model_scenario *scenarios, size_t count)
{
    bool holds = true, any = false;
    bool expects_violation = argc > 1 && strcmp(argv[1], "--short") == 0; /* looks for the shortest violation at once */
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!states)
        states_grow();
    turns_prepare();
    for (size_t i = 0; i < count; i++) {
        bool named = argc == 1 + expects_violation;
        for (int k = 1 + expects_violation; k < argc; k++)
            named |= strcmp(argv[k], scenarios[i].name) == 0;
        if (!named)
            continue;
        any = true;
        scenario = &scenarios[i];
        holds &= scenario_holds(expects_violation);
    }
    if (!any)
        fprintf(stderr, "no such scenario\n");
    return !any ? 2 : holds ? 0 : 1;
}
