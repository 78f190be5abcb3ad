/* fill.h - of which sizes the program uses whole blocks, and of which it does not touch the most.
 *
 * Nobody tells the allocator, but the system knows what is resident. So a block whose memory was fresh is looked at
 * when it is freed, and a page of blocks when all of them have been in use: what was so two times in a row is expected
 * to be so again, and may be made resident, or lie in huge pages, before it is used. Memory that was resident before
 * the block was made tells nothing: so, now and then, the answer is no, and the caller looks again.
 *
 * It is the learner's business: nothing is looked at or expected before fill_begin. Any thread at any time; relaxed
 * throughout, for it is a matter of policy. */
#ifndef HAK_FILL_H
#define HAK_FILL_H

#include "base/atomic.h"
#include "heap/class.h"

/* Kinds: size classes, 0 .. CLASS_SLOTS - 1, and runs and mappings of about a size, one for each doubling. */
enum { FILL_KINDS = CLASS_SLOTS + 48 };
INLINE unsigned fill_kind_of_run(size_t bytes) { return CLASS_SLOTS + highest_bit(bytes); }

/* At the start, if the learner is on. Nobody else runs yet. */
void fill_begin(void);

/* Whether all of the next memory of the kind is going to be used, as far as is known. */
bool fill_is_expected(unsigned kind);
/* The answer was no, but the memory turned out not to be fresh: it is to be no the next time, too. */
void fill_postpone(unsigned kind);

/* Whether enough was seen of the kind, and all of it was used. */
bool fill_is_known(unsigned kind);
/* Whether nothing speaks against that, and more has to be seen. */
bool fill_is_open(unsigned kind);
/* Whether to look at a block that is freed: where most of it is not used, now and then is enough. */
bool fill_wants_look(unsigned kind);

/* Looks at whole pages of memory, which were not resident when a block was made of them: whether all is in use, or
 * nearly. Some system calls. */
bool fill_look(char *start, size_t size);

/* Notes what was seen of memory of the kind. */
void fill_note(unsigned kind, bool is_filled);

#endif
