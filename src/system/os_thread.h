/* os_thread.h - threads: which there are, and how they wait for each other. */
#ifndef HAK_OS_THREAD_H
#define HAK_OS_THREAD_H

#include "base/base.h"

uint32_t os_thread_id(void);
/* False when no thread of this process has the id, as far as may be asked. */
bool os_thread_exists(uint32_t thread_id);

/* Sleeps while *word is `value`, at most `milliseconds`; may wake early for no reason. */
void os_wait(_Atomic(uint32_t) *word, uint32_t value, unsigned milliseconds);
void os_wake_one(_Atomic(uint32_t) *word);

#endif
