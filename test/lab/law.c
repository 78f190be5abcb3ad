/* law.c - two laws of retention that nobody would want, in the place of src/heap/retain.c: nothing free is kept
 * (LAW_KEEPS 0), or all of it is (1). What they cost is known without a simulator, so hakmem-retention can be held to
 * it.
 * SPDX-License-Identifier: MIT */
#include "heap/retain.h"

_Atomic(bool) retain_due, retain_waits, retain_moved;

static size_t in_use, free_bytes; /* of runs */

void retain_runs(size_t used, size_t dirty)
{
    in_use = used;
    free_bytes = dirty;
    store_relaxed(&retain_due, dirty > 0 && !LAW_KEEPS); /* one thread only */
}

size_t retain_used(void) { return in_use; }
size_t retain_excess(void) { return LAW_KEEPS ? 0 : free_bytes; }
size_t retain_over_limit(void) { return 0; }
size_t retain_lasting(void) { return 0; }
uint32_t retain_now(void) { return 0; }
void retain_note_moved(void) {}
void retain_loosen(ptrdiff_t bytes) { (void)bytes; }
void retain_vacate(ptrdiff_t bytes) { (void)bytes; }
void retain_share(void) {}
void retain_begin(size_t bytes) { (void)bytes; }
void retain_tick(uint64_t now) { (void)now; }
void retain_tell(struct retain_report *out) { *out = (struct retain_report){.dirty = free_bytes}; }
void retain_note_purged(size_t bytes) { (void)bytes; }
void retain_go_on(void) { store_relaxed(&retain_due, true); }

void retain_regret(size_t bytes, uint32_t purged_at)
{
    (void)bytes;
    (void)purged_at;
}

void retain_purged(size_t looked_at, size_t left)
{
    (void)looked_at;
    (void)left;
}
