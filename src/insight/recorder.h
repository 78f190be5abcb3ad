/* recorder.h - who keeps the record (record.h): in a table of its own (ground.h), begun when there is something to
 * record. */
#ifndef HAK_RECORDER_H
#define HAK_RECORDER_H

#include "base/base.h"
#include "insight/record.h"

/* Whether the record is a file, for readers who have nothing else. */
bool recorder_is_file(void);

/* Whether the address lies in the record. */
bool recorder_is_at(uintptr_t address);

/* The most bytes in the program's hands at any snapshot; 0: none was taken. */
uint64_t recorder_peak(void);

/* A piece with so many entries of `size` bytes each: its beginning, all zero; NULL when there is none to be had.
 * Without a lock; two threads at once may each add one. */
void *recorder_add(enum record_piece_kind kind, uint32_t count, size_t size);

/* Now and then, in slow paths: takes a snapshot when it is time. PEAK: the process has more in its hands than ever
 * before. */
enum recorder_snapshot { RECORDER_NONE, RECORDER_TAKEN, RECORDER_PEAK };
enum recorder_snapshot recorder_tick(uint64_t now);
/* The same when much memory has come or gone: sooner, but not so often that it takes time. */
enum recorder_snapshot recorder_note(uint64_t now);

/* The number of what somebody outside has asked for and nobody has done yet, which is always the same: that what is
 * free go back (struct record_requests); 0: nothing. Then, when it was done, and so many bytes went. */
uint64_t recorder_asked(void);
void recorder_answer(uint64_t number, size_t bytes);

/* Until when somebody outside wants allocations to be counted; 0: nobody does. And that it has begun, or ended. */
uint64_t recorder_count_until(void);
void recorder_note_counting(uint64_t now, bool counts);

/* The piece of the kind that was added as the `number`th, from 0; NULL when there is none. For a child of fork. */
void *recorder_piece(enum record_piece_kind kind, uint32_t number);

/* At the process's end: the last snapshot. */
void recorder_end(void);

/* In the child of a fork, without a lock: the record is its parent's, if it is a file; from now on the child has its
 * own. */
void recorder_after_fork(void);

#endif
