/* os_signal.h - how a process ends: by SIGABRT, or by a fault of which somebody is told first. */
#ifndef HAK_OS_SIGNAL_H
#define HAK_OS_SIGNAL_H

#include "base/base.h"

void os_abort(void) __attribute__((noreturn));

/* Has `tell` called when the program touches memory that it may not: with the address, and what the signal's handler
 * gets as the context (ucontext_t). Then the signal takes its course, as without a handler. Nothing where the program
 * has a handler of its own, or installs one later. */
void os_watch_faults(void (*tell)(const void *address, const void *context));

#endif
