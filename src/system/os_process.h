/* os_process.h - this process: what it is, and what the kernel told it at its start. */
#ifndef HAK_OS_PROCESS_H
#define HAK_OS_PROCESS_H

#include "base/base.h"

uint32_t os_process_id(void);
/* Of the user whose rights the process has. */
uint32_t os_user_id(void);
/* The path by which the program was started. */
const char *os_program(void);

/* True when the program runs with more rights than its caller (setuid, file capabilities). */
bool os_is_privileged(void);

/* Bytes of physical memory; 0 when the system does not say. */
size_t os_memory_size(void);

/* A number that an attacker cannot know beforehand, from what the kernel told the process at its start, and from where
 * and when it runs. No system call where the kernel helps with the clock. Never 0. */
uint64_t os_random(void);

#endif
