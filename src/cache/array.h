/* array.h - free blocks of one class, by their addresses, in an array that is put into and taken from at one end: what
 * a ring is made of, a thread's (state.h) or a group's (group.h).
 *
 * Entries stand in slots 1 .. capacity, the oldest first. Slot 0 and the word before it hold NULL, so that whoever
 * takes the newest needs no count, and whoever looks at the two newest need not ask whether there are any. A NULL
 * further up is a mark (mark.h). An array is *closed* when it has no memory; it looks empty and full then:
 *
 *   closed   slot == NULL, top == ARRAY_CLOSED, capacity == marks == 0
 *   open     slot <= top <= slot + capacity, slot[0] == slot[-1] == NULL, top - slot == blocks + marks
 *
 * Belongs to one thread, which alone touches it while it is in a slow path; others read only `level`. */
#ifndef HAK_ARRAY_H
#define HAK_ARRAY_H

#include "base/atomic.h"
#include "base/base.h"

struct block_array {
    void **slot;
    void **top;              /* the newest entry, or slot */
    _Atomic(uint16_t) level; /* blocks when the last slow path ended, for other threads to read */
    uint16_t marks;          /* in it, beside the blocks */
    uint16_t capacity;
    uint16_t swept;          /* entries when idle rings were last looked for; ARRAY_NOT_SWEPT: it is new, or a thread's
                                ring that was used since (of a group's ring use shows by its entries alone) */
};

enum { ARRAY_SENTINELS = 2 }; /* NULLs below the first entry: a free looks at the two blocks freed before it */
extern void *const array_nothing[ARRAY_SENTINELS];
#define ARRAY_CLOSED ((void **)array_nothing + ARRAY_SENTINELS - 1)
/* No array has so many entries. */
#define ARRAY_NOT_SWEPT UINT16_MAX

INLINE bool array_is_open(const struct block_array *array) { return array->slot != NULL; }

/* Entries, up to `top`, of one that is open. */
INLINE size_t array_entries(const struct block_array *array) { return (size_t)(array->top - array->slot); }

/* Of one that is open. */
INLINE bool array_is_empty(const struct block_array *array) { return array->top == array->slot; }
INLINE bool array_is_full(const struct block_array *array) { return array->top == array->slot + array->capacity; }

/* Of one that has room: a block, or NULL for a mark, which the caller counts. */
INLINE void array_push(struct block_array *array, void *entry)
{
    HAK_ASSERT(array_is_open(array) && !array_is_full(array));
    *++array->top = entry;
}

/* It is not idle. */
INLINE void array_note_use(struct block_array *array) { array->swept = ARRAY_NOT_SWEPT; }

/* Tells other threads how many blocks there are. */
INLINE void array_publish(struct block_array *array)
{
    size_t blocks = array_is_open(array) ? array_entries(array) - array->marks : 0;
    store_relaxed(&array->level, (uint16_t)blocks); /* pairs with ring_count and group_blocks; relaxed: statistics */
}

/* Makes it closed, whatever it was; its memory is lost. */
void array_forget(struct block_array *array);

/* Opens it, or moves all that is in it, which fits, to memory for `capacity` entries; false, and nothing done, when
 * memory is out. */
bool array_resize(struct block_array *array, uint32_t capacity);

/* Closes one that is empty. */
void array_close(struct block_array *array);

/* Takes the marks out of the `count` oldest entries: how many blocks are left of these, which are the oldest
 * entries. */
unsigned array_unmark_some(struct block_array *array, unsigned count);
INLINE unsigned array_unmark(struct block_array *array, unsigned count)
{
    return UNLIKELY(array->marks > 0) ? array_unmark_some(array, count) : count;
}

/* The `count` oldest entries, without marks, have gone elsewhere: the others move down. */
void array_drop_oldest(struct block_array *array, size_t count);

/* Returns the blocks among the `count` oldest entries to their pages; the marks among these are gone. `call` as in
 * page_return. */
void array_return_oldest(struct block_array *array, size_t count, const char *call);

/* Whether the block is among the newest entries, those up to `top`, of one that is open: a second free. */
enum { ARRAY_LOOKED_AT = 64 }; /* entries */
INLINE bool array_has_lately(const struct block_array *array, void *const *top, const void *block)
{
    void *const *stop = top - min_size((size_t)(top - array->slot), ARRAY_LOOKED_AT);
#pragma GCC unroll 4
    for (; top != stop; top--)
        if (UNLIKELY(*top == block))
            return true;
    return false;
}

/* Whether it is as above, as far as that shows at once. */
INLINE bool array_is_sound(const struct block_array *array)
{
    if (!array_is_open(array))
        return array->capacity == 0 && array->marks == 0;
    bool has_end = !array->slot[0] && !array->slot[-1];
    return has_end && array_entries(array) <= array->capacity && array->marks <= array_entries(array);
}

/* Every invariant, with the newest entry at `top`, but what the blocks are. */
bool array_is_valid(const struct block_array *array, void *const *top);

#endif
