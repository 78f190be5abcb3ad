/* litmus_model.c - tests of the explorer itself: programs of a few steps, with what can come of them. Each must be
 * reached, and nothing else; and where threads race or wait for ever, that must be said.
 * SPDX-License-Identifier: MIT */
#include "model.h"

#include "base/atomic.h"

#include <stdio.h>
#include <string.h>

static _Atomic(uint32_t) x, y;
static unsigned plain;
static unsigned result[MODEL_THREADS];

/* ---- Programs ---------------------------------------------------------------------------------------------------- */

static void nothing(void) {}

static void buffer_x_relaxed(void)
{
    store_relaxed(&x, 1);
    result[0] = load_relaxed(&y);
}
static void buffer_y_relaxed(void)
{
    store_relaxed(&y, 1);
    result[1] = load_relaxed(&x);
}
static void buffer_x_release(void)
{
    store_release(&x, 1);
    result[0] = load_acquire(&y);
}
static void buffer_y_release(void)
{
    store_release(&y, 1);
    result[1] = load_acquire(&x);
}
static void buffer_x_seq(void)
{
    store_seq(&x, 1);
    result[0] = load_seq(&y);
}
static void buffer_y_seq(void)
{
    store_seq(&y, 1);
    result[1] = load_seq(&x);
}
static void own_store(void)
{
    store_relaxed(&x, 1);
    result[0] = load_relaxed(&x);
}
static void look_at_x(void) { result[1] = load_relaxed(&x); }

static void send_x_then_y(void)
{
    store_relaxed(&x, 1);
    store_relaxed(&y, 1);
}
static void receive_y_then_x(void)
{
    result[0] = load_relaxed(&y);
    result[1] = load_relaxed(&x);
}

static void increment(void) { fetch_add_relaxed(&x, 1); }
static void increment_in_two_steps(void) { store_seq(&x, load_seq(&x) + 1); }
static void win(void)
{
    uint32_t expected = 0;
    if (cas_seq(&x, &expected, model_self() + 1))
        result[model_self()] = 1;
}

static void sleep_and_count(void)
{
    model_sleep(&x, 0);
    result[model_self()] = fetch_add_relaxed(&y, 1) + 1;
}
static void sleep_count_and_wake(void)
{
    sleep_and_count();
    model_wake_one(&x);
}
static void wake_one(void) { model_wake_one(&x); }
static void change_and_wake_one(void)
{
    store_seq(&x, 1);
    model_wake_one(&x);
}

static void publish_relaxed(void)
{
    plain = 1;
    store_relaxed(&x, 1);
}
static void publish(void)
{
    plain = 1;
    store_release(&x, 1);
}
static void pass_on(void) { fetch_add_relaxed(&x, 1); }
static void pass_over(void) { store_relaxed(&x, 2); }
static void consume(void)
{
    if (load_acquire(&x) == 1)
        result[0] = plain + 1;
}
static void consume_second(void)
{
    if (load_acquire(&x) == 2)
        result[0] = plain + 1;
}
static void consume_relaxed(void)
{
    if (load_relaxed(&x) > 0)
        result[0] = plain + 1;
}
static void read_plain(void) { result[model_self()] = plain; }
static void write_plain(void) { plain = 1; }

/* ---- Outcomes ---------------------------------------------------------------------------------------------------- */

#define UNHOOKED __attribute__((no_sanitize("thread"), noinline))

static uint64_t outcomes; /* of all interleavings; no part of what the explorer puts back */

#define RESULTS(a, b, c) (UINT64_C(1) << ((a) * 9 + (b) * 3 + (c)))

static UNHOOKED void note_outcome(void) { outcomes |= RESULTS(result[0], result[1], result[2]); }

static void note_x(void)
{
    result[0] = load_seq(&x);
    note_outcome();
}

static const char race[] = "no two threads race for memory that is not atomic";
static const char waiting[] = "no thread waits for ever";

static const struct litmus {
    struct model_scenario scenario;
    uint64_t outcomes; /* exactly these can come of it ... */
    const char *violation; /* ... or this is to be found */
} tests[] = {
    {{"stores_relaxed", nothing, {buffer_x_relaxed, buffer_y_relaxed}, note_outcome, false, 0},
     RESULTS(0, 0, 0) | RESULTS(0, 1, 0) | RESULTS(1, 0, 0) | RESULTS(1, 1, 0), NULL},
    {{"stores_release", nothing, {buffer_x_release, buffer_y_release}, note_outcome, false, 0},
     RESULTS(0, 0, 0) | RESULTS(0, 1, 0) | RESULTS(1, 0, 0) | RESULTS(1, 1, 0), NULL},
    {{"stores_seq", nothing, {buffer_x_seq, buffer_y_seq}, note_outcome, false, 0},
     RESULTS(0, 1, 0) | RESULTS(1, 0, 0) | RESULTS(1, 1, 0), NULL},
    {{"own_store", nothing, {own_store, look_at_x}, note_outcome, false, 0}, RESULTS(1, 0, 0) | RESULTS(1, 1, 0), NULL},
    {{"stores_in_order", nothing, {receive_y_then_x, send_x_then_y}, note_outcome, false, 0},
     RESULTS(0, 0, 0) | RESULTS(0, 1, 0) | RESULTS(1, 1, 0), NULL},
    {{"increments", nothing, {increment, increment}, note_x, false, 0}, RESULTS(2, 0, 0), NULL},
    {{"increments_in_two_steps", nothing, {increment_in_two_steps, increment_in_two_steps}, note_x, false, 0},
     RESULTS(1, 0, 0) | RESULTS(2, 0, 0), NULL},
    {{"winners", nothing, {win, win, win}, note_outcome, false, 0},
     RESULTS(1, 0, 0) | RESULTS(0, 1, 0) | RESULTS(0, 0, 1), NULL},
    {{"sleepers", nothing, {sleep_count_and_wake, sleep_count_and_wake, change_and_wake_one}, note_outcome, false, 0},
     RESULTS(1, 2, 0) | RESULTS(2, 1, 0), NULL},
    {{"sleeper_left", nothing, {sleep_and_count, sleep_and_count, change_and_wake_one}, note_outcome, false, 0},
     0, waiting},
    {{"sleeper_too_late", nothing, {sleep_and_count, wake_one}, note_outcome, false, 0}, 0, waiting},
    {{"sleeper_wakes_early", nothing, {sleep_and_count}, note_outcome, true, 0}, RESULTS(1, 0, 0), NULL},
    {{"published", nothing, {consume, publish}, note_outcome, false, 0}, RESULTS(0, 0, 0) | RESULTS(2, 0, 0), NULL},
    {{"published_relaxed", nothing, {consume, publish_relaxed}, note_outcome, false, 0}, 0, race},
    {{"consumed_relaxed", nothing, {consume_relaxed, publish}, note_outcome, false, 0}, 0, race},
    {{"passed_on", nothing, {consume_second, publish, pass_on}, note_outcome, false, 0},
     RESULTS(0, 0, 0) | RESULTS(2, 0, 0), NULL},
    {{"passed_over", nothing, {consume_second, publish, pass_over}, note_outcome, false, 0}, 0, race},
    {{"plain_write_and_read", nothing, {read_plain, write_plain}, note_outcome, false, 0}, 0, race},
    {{"plain_writes", nothing, {write_plain, write_plain}, note_outcome, false, 0}, 0, race},
    {{"plain_reads", nothing, {read_plain, read_plain}, note_outcome, false, 0}, RESULTS(0, 0, 0), NULL},
};

static UNHOOKED bool litmus_holds(const struct litmus *test)
{
    char *arguments[] = {"litmus", NULL};
    outcomes = 0;
    bool holds = model_main(1, arguments, &test->scenario, 1) == 0;
    if (test->violation)
        return !holds && strcmp(model_violation(), test->violation) == 0;
    return holds && outcomes == test->outcomes;
}

int main(void)
{
    bool hold = true;
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        if (!litmus_holds(&tests[i])) {
            printf("%s: not what was expected: outcomes %#llx\n", tests[i].scenario.name, (unsigned long long)outcomes);
            hold = false;
        }
    return hold ? 0 : 1;
}
