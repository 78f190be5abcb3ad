/* count.h - all that is allocated, in samples, while somebody wants to know (HAKMEM_ALLOCATED, or hakmem heap --for).
 * Samples of live memory (draw.h) cannot tell: all the blocks that one place of a ring hands out are samples, or none
 * is. So rings stay hidden then, every call takes a slow path (counted.h), and each allocation is drawn by itself, with
 * the chance that it would have as a sample of live memory. What is drawn gives its stack and is forgotten (ledger.h).
 */
#ifndef HAK_COUNT_H
#define HAK_COUNT_H

#include "base/atomic.h"
#include "base/base.h"

/* SHORT: and calls may take short ways. Relaxed: a thread may see it late, and then counts late. */
enum count_mode { COUNT_OFF, COUNT_ON, COUNT_SHORT };
extern _Atomic(uint8_t) count_mode;
INLINE bool count_is_on(void) { return UNLIKELY(load_relaxed(&count_mode) != COUNT_OFF); }
INLINE bool count_is_short(void) { return UNLIKELY(load_relaxed(&count_mode) == COUNT_SHORT); }

/* At the start: what the option says. */
void count_start(void);

/* Now and then. `until`: the time, in milliseconds, that somebody outside has asked for; 0: nobody has. True when
 * counting has begun, or ended. */
bool count_tick(uint64_t now, uint64_t until);

/* What a thread's cache has for it (owner only). */
struct count {
    int64_t left;       /* bytes until the next that is drawn */
    uint64_t interval;  /* mean bytes between two; 0: the thread has not counted yet */
    uint64_t window_at; /* milliseconds: since when there were so many: */
    uint32_t taken;
};

/* An allocation of `size` bytes, of which `left` was not enough: what it stands for, in bytes; 0: it is not drawn. */
uint64_t count_draw(struct count *count, uint64_t *random, size_t size);

#endif
