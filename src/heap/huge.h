/* huge.h - huge pages as the user has told, by HAKMEM_HUGE: never, always, or where memory is dense, as is learned
 * (span.h).
 *
 * The system is told when memory is mapped: of blocks in any case, so that it takes none by itself where huge pages are
 * given to everybody, or takes them where they are given to who asks; of the allocator's own tables only that it takes
 * none. What was mapped before the options were read is told afterwards. */
#ifndef HAK_HUGE_H
#define HAK_HUGE_H

#include "base/atomic.h"
#include "base/base.h"
#include "system/options.h"

INLINE bool huge_is(enum huge_mode mode) { return option(OPTION_HUGE) == mode; }

/* The system has no huge pages, or not for us. Relaxed: who looks too early asks once more. */
extern _Atomic(bool) huge_is_refused;

/* Tells the system whether huge pages are to stand behind a range. Not under the heap's lock. */
void huge_prefer(void *start, size_t size, bool huge);

/* The same for memory that was mapped for blocks, or for tables, if the user has said which it is to be. */
void huge_tell(void *start, size_t size);
void huge_tell_table(void *start, size_t size);

#endif
