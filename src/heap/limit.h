/* limit.h - how much memory there may be: what HAKMEM_LIMIT says, and what control groups leave.
 *
 * Near a limit nothing free stays resident, no huge pages are asked for, and threads' caches are called in. Behind
 * HAKMEM_LIMIT_HARD nothing more is handed out. What counts are runs in use, mappings of very large blocks, and what is
 * dirty; the allocator's own tables do not. For control groups it is what the system counts, of all processes in
 * them. */
#ifndef HAK_LIMIT_H
#define HAK_LIMIT_H

#include "base/atomic.h"
#include "base/base.h"

/* At the start, when the options are known. */
void limit_start(void);

/* Bytes that the machine has, or that the least of the process's control groups may have; 0: not known. Reads files. */
size_t limit_memory(void);

/* Bytes that may be handed out and dirty, as of the last look; SIZE_MAX: any. */
size_t limit_most(void);

/* To be called now and then, and when limit_is_new says so, with what is handed out and dirty; not under the lock. */
void limit_look(uint64_t now, size_t resident);
extern _Atomic(size_t) limit_look_at; /* so much in use and dirty makes another look worth it */
INLINE bool limit_wants_look(size_t resident) { return UNLIKELY(resident >= load_relaxed(&limit_look_at)); }

/* Whether there is little room; as of the last look. And how many looks have found that. */
extern _Atomic(bool) limit_is_near;
extern _Atomic(uint32_t) limit_alarms;

/* Bytes of mappings of very large blocks come (> 0) or go. Under the lock. And how many there are, with those of blocks
 * in cells (cell.h). */
void limit_note_mapped(ptrdiff_t bytes);
size_t limit_mapped(void);

/* So many bytes went back to the system because of a limit. Memory was refused at HAKMEM_LIMIT: the first time it is
 * said on stderr, so not under the lock. */
void limit_note_purged(size_t bytes);
void limit_note_refused(void);

/* What is to be told of limits. With room for the name of the file that sets the control group's limit, control groups
 * are asked anew; else all is as of the last look. */
struct limit_report {
    size_t own;               /* bytes, HAKMEM_LIMIT; SIZE_MAX: none, as in the next */
    size_t group, group_used; /* of the control group that has the least room, and what it has */
    unsigned version;         /* of control groups; 0: not known, or not asked */
    size_t most;              /* may be handed out and dirty, by all of these */
    bool is_near;
    uint32_t nears, refusals; /* how often little room was left where there had been enough; was memory refused */
    size_t purged;            /* bytes that went because of a limit */
};
void limit_tell(struct limit_report *out, char *file, size_t capacity);

/* In the child of a fork: no other thread looks. */
void limit_after_fork(void);

/* Whether so many more bytes may be handed out, of runs while `used` are in use, or of mappings. */
bool limit_allows(size_t used, size_t more);

#endif
