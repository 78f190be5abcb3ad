/* model.h - what a model is written with: scenarios of up to four threads that run the real source, and the properties
 * that must hold in every interleaving of their steps. README.md explains how it works.
 * SPDX-License-Identifier: MIT */
#ifndef MODEL_H
#define MODEL_H

#include <stdatomic.h>

enum { MODEL_THREADS = 4 };

struct model_scenario {
    const char *name;
    void (*setup)(void);                 /* runs alone, before the threads */
    void (*thread[MODEL_THREADS])(void); /* NULL: no such thread */
    void (*quiet)(void);                 /* runs alone, when all threads are through */
    bool wakes_early;                    /* model_sleep may also end by itself, at any time */
    unsigned preemptions;                /* 0: all interleavings; else where at most so many turns end early */
};

/* Explores the scenarios that argv names, or all; returns main's result. */
int model_main(int argc, char **argv, const struct model_scenario *scenarios, size_t count);

/* Ends the interleaving: the property does not hold in it. */
void model_fail(const char *property) __attribute__((noreturn));
static inline void model_check(bool holds, const char *property)
{
    if (!holds)
        model_fail(property);
}

/* The property that did not hold in the last scenario, or NULL. */
const char *model_violation(void);

/* Number of the running thread; MODEL_THREADS in setup and quiet. */
unsigned model_self(void);

/* Lets the running thread take its next step only while *word is `value`. */
void model_await(_Atomic(uint32_t) *word, uint32_t value);

/* What a futex does: sleeps if *word is `value`; a wake-up ends the sleep of any one sleeper. */
void model_sleep(_Atomic(uint32_t) *word, uint32_t value);
void model_wake_one(_Atomic(uint32_t) *word);

#endif
