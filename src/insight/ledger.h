/* ledger.h - what is known of samples (sample.h), and of the ways through the program that they were made on. It is
 * kept in the record, where other processes can read it: tables, which come one after the other when there are more to
 * enter, each twice as large as the one before. Any thread; no lock. */
#ifndef HAK_LEDGER_H
#define HAK_LEDGER_H

#include "base/base.h"
#include "insight/record.h"

struct ledger_entry {
    size_t size;           /* of the block */
    uint64_t bytes;        /* that it stands for */
    const void *companion; /* a block in a page such as those that it stands for lie in; NULL: none is known */
    uintptr_t from;        /* what the function that the program called returns to */
};

/* Enters a block, which is the caller's. NULL when there is no room. */
const struct record_sample *ledger_begin(const void *block, const struct ledger_entry *entry);

/* The entry of a block, which is the caller's; NULL when there is none. */
struct record_sample *ledger_find(const void *block);
/* Strikes it out, before the block can be anybody else's: the milliseconds that it lived. */
uint64_t ledger_end(struct record_sample *sample);

/* An allocation of `size` bytes, made by what the program called, which returns to `from`: was drawn (count.h), and
 * stands for so many bytes; and one that is drawn here. */
void ledger_count(size_t size, uint64_t bytes, uintptr_t from);
void ledger_count_block(size_t size, uintptr_t from);

/* The way to what the program called, which returns to `from`, all of it: the number of its stack. And what there is of
 * a stack: how many frames. */
uint32_t ledger_stack(uintptr_t from);
unsigned ledger_frames(uint32_t stack, uintptr_t out[static RECORD_DEPTH]);

/* An address of some stack, by its index among all of them; 0: not that many yet, or it is being written. */
uint64_t ledger_frame(uint32_t index);

/* Calls `visit` with each sample, looked at: `pinned` is of now. */
void ledger_each(void (*visit)(const struct record_sample *));

/* The same, not looked at; and with each stack, and the address that the program's call returns to. */
void ledger_visit(void (*visit)(const struct record_sample *));
void ledger_visit_stacks(void (*visit)(const struct record_stack *, uintptr_t from));

/* Now and then: looks at some of the samples, for what the blocks that they stand for keep of their pages. */
void ledger_look(void);

/* The process has more in its hands than ever before: each stack's part of that is noted. */
void ledger_note_peak(void);

/* In the child of a fork, under the lock: what vanished threads were writing is given up. */
void ledger_after_fork(void);

#endif
