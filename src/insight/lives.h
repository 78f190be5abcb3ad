/* lives.h - whether blocks from different call sites live for different times, as samples tell: who asks is the
 * learner, of classes in which blocks that stay keep pages of others (learn.h). */
#ifndef HAK_LIVES_H
#define HAK_LIVES_H

#include "base/base.h"

/* How long blocks of a site lived: those of ended samples, and of live ones so far. */
struct lives_site {
    uintptr_t site;
    uint64_t live, ended; /* bytes */
    uint64_t ended_life;  /* milliseconds, times bytes, in MiB milliseconds */
    uint64_t live_life;
    bool stays;
};

/* Whether the blocks of `site`, one of so many, stay where others' go. */
bool lives_stays(const struct lives_site *site, const struct lives_site *all, unsigned count);

/* Now and then, in a slow path: if the learner asks, looks at all samples, and answers. */
void lives_tick(uint64_t now);

/* In the child of a fork. */
void lives_after_fork(void);

#endif
