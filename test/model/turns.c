/* turns.c - threads of a model: stacks of their own on one thread of the system, so that exactly one of them runs, and
 * always to the same point.
 * SPDX-License-Identifier: MIT */
#include "engine.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

enum {
    STACK_SIZE = 64 << 10,
    BELOW_FRAME = 256, /* bytes of turns_yield's own, which nobody needs to compare */
    CLEARED = 2048,    /* bytes below that a thread's next step may use */
    LOCALS_MAX = 256,
    LOG_SIZE = 64 << 20
};

static struct stack {
    _Alignas(64) char memory[STACK_SIZE];
    jmp_buf begin;           /* where a body is called */
    char *base_low;          /* `low` then */
    uint64_t logged;         /* the epoch in which what follows was logged last */
    jmp_buf next;            /* before the next step */
    char *low;               /* what lies below is not in use */
    char locals[LOCALS_MAX]; /* its copy of what is thread-local */
} stacks[MODEL_THREADS + 1];

struct thread threads[MODEL_THREADS + 1];
unsigned running;
static jmp_buf scheduler;

/* What std/stdatomic.h gathers. Absent if nothing is thread-local. */
extern char locals_begin[] __asm__("__start_model_thread_local") __attribute__((weak));
extern char locals_end[] __asm__("__stop_model_thread_local") __attribute__((weak));
static char locals_at_start[LOCALS_MAX];

static size_t locals_size(void) { return (size_t)(locals_end - locals_begin); }

bool turns_is_private(const volatile void *address)
{
    uintptr_t a = (uintptr_t)address;
    return (a >= (uintptr_t)stacks && a < (uintptr_t)(stacks + MODEL_THREADS + 1)) ||
           (a >= (uintptr_t)locals_begin && a < (uintptr_t)locals_end);
}

static void stack_main(void)
{
    stacks[running].base_low = (char *)__builtin_frame_address(0) - BELOW_FRAME;
    if (_setjmp(stacks[running].begin) == 0)
        _longjmp(scheduler, 1);
    threads[running].body();
    threads[running].finished = true;
    _longjmp(scheduler, 1);
}

void turns_prepare(void)
{
    memcpy(locals_at_start, locals_begin, locals_size());
    for (running = 0; running <= MODEL_THREADS; running++) {
        static ucontext_t here;
        ucontext_t there;
        getcontext(&there);
        there.uc_stack.ss_sp = stacks[running].memory;
        there.uc_stack.ss_size = STACK_SIZE;
        makecontext(&there, stack_main, 0);
        if (_setjmp(scheduler) == 0)
            swapcontext(&here, &there);
    }
}

void turns_start(unsigned index, void (*body)(void))
{
    struct stack *stack = &stacks[index];
    clocks clock = (clocks)1 << index % MODEL_THREADS * 8;
    threads[index] = (struct thread){.body = body, .finished = !body, .clock = clock};
    memcpy(stack->next, stack->begin, sizeof(jmp_buf));
    memcpy(stack->locals, locals_at_start, locals_size());
    stack->low = stack->base_low;
}

/* ---- The log: stacks as they were when an epoch began ------------------------------------------------------------ */

struct logged {
    struct stack *stack;
    jmp_buf next;
    char *low;
    char locals[LOCALS_MAX];
    size_t before; /* where the entry before this one begins */
    char memory[]; /* from `low` on */
};

static _Alignas(64) char stack_log[LOG_SIZE];
static size_t log_length, log_last;

static size_t stack_used(const struct stack *stack) { return (size_t)(stack->memory + STACK_SIZE - stack->low); }

static void stack_log_it(struct stack *stack)
{
    struct logged *entry = (struct logged *)(stack_log + log_length);
    size_t used = stack_used(stack);
    if (log_length + sizeof *entry + used + 64 > LOG_SIZE) {
        fprintf(stderr, "the explorer: an interleaving is too long\n");
        exit(2);
    }
    entry->stack = stack;
    entry->low = stack->low;
    entry->before = log_last;
    memcpy(entry->next, stack->next, sizeof(jmp_buf));
    memcpy(entry->locals, stack->locals, locals_size());
    memcpy(entry->memory, stack->low, used);
    log_last = log_length;
    log_length += (sizeof *entry + used + 63) & ~(size_t)63;
    stack->logged = epoch;
}

void turns_mark(struct turns_mark *mark)
{
    mark->log_length = log_length;
    memcpy(mark->threads, threads, sizeof mark->threads);
}

void turns_undo(const struct turns_mark *mark)
{
    while (log_length > mark->log_length) {
        const struct logged *entry = (struct logged *)(stack_log + log_last);
        struct stack *stack = entry->stack;
        stack->low = entry->low;
        memcpy(stack->next, entry->next, sizeof(jmp_buf));
        memcpy(stack->locals, entry->locals, locals_size());
        memcpy(stack->low, entry->memory, stack_used(stack));
        log_length = log_last;
        log_last = entry->before;
    }
    memcpy(threads, mark->threads, sizeof mark->threads);
}

/* ---- Turns ------------------------------------------------------------------------------------------------------- */

/* Of all that the thread can remember: its registers, its stack and what is local to it. */
static uint64_t stack_hash(const struct stack *stack)
{
    uint64_t value, mixed = 0;
    for (size_t i = 0; i + 8 <= sizeof(jmp_buf); i += 8) {
        memcpy(&value, (const char *)stack->next + i, 8);
        mixed = mix(mixed, value);
    }
    for (const char *at = stack->low + BELOW_FRAME; at < stack->memory + STACK_SIZE; at += 8) {
        memcpy(&value, at, 8);
        mixed = mix(mixed, value);
    }
    for (size_t i = 0; i < locals_size(); i++)
        mixed = mix(mixed, (uint8_t)stack->locals[i]);
    return mixed;
}

void turns_run(unsigned index)
{
    struct stack *stack = &stacks[index];
    running = index;
    if (stack->logged != epoch)
        stack_log_it(stack);
    /* What earlier calls left behind is not remembered, and should not make a difference between states. */
    memset(stack->low - CLEARED, 0, CLEARED);
    memcpy(locals_begin, stack->locals, locals_size());
    if (_setjmp(scheduler) == 0)
        _longjmp(stack->next, 1);
    memcpy(stack->locals, locals_begin, locals_size());
    threads[index].memories = threads[index].finished ? 0 : stack_hash(stack);
}

void turns_yield(void)
{
    stacks[running].low = (char *)__builtin_frame_address(0) - BELOW_FRAME;
    if (_setjmp(stacks[running].next) == 0)
        _longjmp(scheduler, 1);
}

void turns_end(void) { _longjmp(scheduler, 1); }

unsigned model_self(void) { return running; }
