/* hold.h - HAKMEM_HARDEN=1: blocks that a thread has freed, held back for a while before anybody gets them again, and
 * the random numbers by which blocks are chosen.
 *
 * For each class there is a queue of as many blocks as fit into HOLD_BYTES, at least HOLD_LEAST and at most
 * HOLD_MOST. A block that is freed takes the place of the oldest, which goes on to the thread's ring. All of them are
 * all zero when they come in (check.h); that they still are is looked at when they leave, or else when they are
 * handed out (check_looks_at). A class above CLASS_TABLE_MAX has one.
 *
 * Belongs to a cache (state.h), and so to one thread. */
#ifndef HAK_HOLD_H
#define HAK_HOLD_H

#include "base/base.h"
#include "heap/class.h"

enum { HOLD_BYTES = 16 << 10, HOLD_LEAST = 2, HOLD_MOST = 64 };

struct hold {
    uint64_t random;
    uint64_t choices;               /* CHOICE_BITS of each of the next choices, and a bit above them */
    uint16_t begin[CLASS_LAST + 2]; /* slots of a class: [begin[c], begin[c + 1]) */
    uint16_t next[CLASS_LAST + 1];  /* the oldest's */
    void *slot[];                   /* NULL: free */
};

/* NULL when memory is out. */
struct hold *hold_make(void);
/* What it holds is lost, as it is to the child of a fork. */
void hold_forget(struct hold *hold);

/* Takes in a block that was freed: the one that was held back for longest instead, or NULL. The caller looks at it. */
INLINE void *hold_swap(struct hold *hold, unsigned class_id, void *block)
{
    unsigned next = hold->next[class_id];
    void *oldest = hold->slot[next];
    hold->slot[next] = block;
    next++;
    hold->next[class_id] = (uint16_t)(next == hold->begin[class_id + 1] ? hold->begin[class_id] : next);
    return oldest;
}

/* Returns everything to its pages. */
void hold_empty(struct hold *hold);

/* Another one in each call; in the child of a fork other ones than in the parent. */
INLINE uint64_t hold_random(struct hold *hold) { return random_draw(&hold->random); }
void hold_stir(struct hold *hold);

/* A number below `count`, which is not 0, and below CHOICE: of a ring's newest blocks a malloc gets any, older ones
 * are in no processor's cache. */
enum { CHOICE_BITS = 5, CHOICE = 1 << CHOICE_BITS };
INLINE size_t hold_choose(struct hold *hold, size_t count)
{
    uint64_t choices = hold->choices;
    if (UNLIKELY(choices < CHOICE)) /* only the bit is left */
        choices = hold_random(hold) >> 4 | (uint64_t)1 << 60;
    hold->choices = choices >> CHOICE_BITS;
    size_t choice = choices % CHOICE;
    return LIKELY(count >= CHOICE) ? choice : choice * count >> CHOICE_BITS;
}

/* Takes any of the newest blocks of an array that is filled up to `*top`, from slot[1] on, and has one: the newest of
 * all moves to its place. */
INLINE void *hold_pop(struct hold *hold, void **slot, void ***top)
{
    void **chosen = *top - hold_choose(hold, (size_t)(*top - slot)), *block = *chosen;
    *chosen = **top;
    --*top;
    return block;
}

#endif
