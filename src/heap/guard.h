/* guard.h - HAKMEM_HARDEN=1: memory that nobody may touch, around large blocks, behind pages of blocks, and where
 * large blocks were that have been freed.
 *
 * Each guard may cost the process two mappings, of the 65,530 that a system allows: there are at most so many that
 * half of these are left to the program. A page of blocks has a unit behind it; the first GUARD_PAGES pages all have,
 * then every sixteenth, and none that is part of a huge page. A large block that is a run has a unit before it, and
 * none of its last unit behind the last page of memory that it needs; at least that page is left over. A mapping of
 * its own has a page of memory behind it.
 *
 * The run of a large block that was freed is held back, out of reach, until GUARD_HELD others, or GUARD_HELD_UNITS
 * units of others, have come behind it. It loses its memory at once; but where the program uses blocks of its size
 * throughout (fill.h), and they are not too large, it is cheaper to clear the memory than to get other, which costs a
 * page fault for every page: of such runs there are GUARD_FILLED_UNITS units at most.
 *
 * Where the system refuses, there is no guard, and nothing else changes. */
#ifndef HAK_GUARD_H
#define HAK_GUARD_H

#include "heap/span.h"
#include "system/options.h"

/* Every function here that is not said to be called under the lock is called without it, since it makes system calls;
 * but for the next ones, for which it makes no difference.
 *
 * Whether a new page of blocks gets a guard; what has been reserved is released. */
bool guard_reserve_page_now(void);
void guard_release_page(bool reserved);
INLINE bool guard_reserve_page(void) { return check_is_hardened() && guard_reserve_page_now(); }

/* Bytes of the guards behind pages. */
size_t guard_page_bytes(void);

/* More than this the guards of a run never take, as far as it has no alignment. */
#define GUARD_ROOM (2 * UNIT_SIZE)

/* Whether a new large block gets guards; as above. */
bool guard_reserve_large_now(void);
void guard_release_large(bool reserved);
INLINE bool guard_reserve_large(void) { return check_is_hardened() && guard_reserve_large_now(); }

/* Before a range beside this byte, which is memory of the same mapping that nobody else uses, is shut for the first
 * time. Linux joins mappings again when both may be touched again, but not if each of them got its first page of
 * memory while they were apart; then guards that are gone would still count as mappings. */
INLINE void guard_prepare(char *byte) { *(volatile char *)byte = *(volatile char *)byte; }

/* From now on nobody may touch a range, or everybody may again; whether that was possible. */
bool guard_shut(char *start, size_t size);
bool guard_open(char *start, size_t size);

/* A large block of `bytes` bytes, at `start`, has been freed, and is in no map any more: its run, with the guards, is
 * given to the spans when others have been freed. `is_filled`: all of it was used. What was reserved for the block goes
 * with the run. */
void guard_hold(struct run run, size_t units, char *start, size_t bytes, bool is_filled);

/* A run of so many units that has been held back for a while, with what was reserved for it. Of it nothing may be
 * touched but `bytes` bytes, which begin `before` bytes behind its start. Its memory is gone if it is clean, else that
 * of the block before is zero. */
bool guard_take(size_t units, size_t before, size_t bytes, struct run *out, bool *is_clean);

/* Opens such a run and gives it to the spans; what the system will not open is lost. */
void guard_let_run_go(struct run run, size_t units, bool is_clean);

/* Gives what is held back to the spans. */
void guard_let_go(void);

/* In the child of a fork, under the lock, if a vanished thread had it. */
void guard_after_fork(void);

#endif
