/* prefault.h - memory that is about to be used, made resident many pages at a time by one system call, where that is
 * faster than a page fault for each when the program touches it.
 *
 * What a page fault costs differs more than anything else between systems. On bare metal and on most virtual machines
 * most of it is finding and clearing the page, which a system call has to do as well; where the host intercepts a
 * guest's faults it is ten times as much. So some of the first fresh pages of memory of a process are touched and
 * others asked for, the time is taken, and the process keeps to what was faster.
 *
 * For memory of which all is going to be used: what is resident and is not used is lost. */
#ifndef HAK_PREFAULT_H
#define HAK_PREFAULT_H

#include "base/atomic.h"
#include "base/base.h"

enum prefault_verdict { PREFAULT_UNKNOWN, PREFAULT_PAYS, PREFAULT_NEVER };

/* Relaxed: a matter of policy. */
extern _Atomic(uint8_t) prefault_verdict;
INLINE bool prefault_is_worth_it(void) { return load_relaxed(&prefault_verdict) != PREFAULT_NEVER; }

/* Makes pages of memory from os_map resident, which were not touched since or were purged. They read as zero, and
 * nobody else has any of them in hand. */
void prefault(char *start, size_t size);

/* The same for memory of which a part is resident, and in use by nobody: no time is taken. */
void prefault_rest(char *start, size_t size);

/* What a page of memory took, by touching it or by a system call first, until the verdict is known. */
enum prefault_way { PREFAULT_BY_TOUCH, PREFAULT_BY_CALL, PREFAULT_WAYS };
void prefault_note(enum prefault_way way, uint64_t nanoseconds);

/* What the first touch of a page of memory takes, in nanoseconds; 0 as long as it is not known. */
uint64_t prefault_touch_time(void);

/* Bytes that were made resident so far. */
size_t prefault_bytes(void);

#endif
