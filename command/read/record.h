/* record.h - reads the record (src/insight/record.h) of a process that runs, of one that has died, or from a core file.
 * Nothing that is read is believed: offsets, counts and lengths are checked, strings are terminated, and what is handed
 * out is a private copy that whoever writes the record cannot change any more.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TOOLS_RECORD_H
#define HAKMEM_TOOLS_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "insight/record.h"

struct record;

/* Of a process (its id), of a file that HAKMEM_RECORD made, or of a core file. NULL when it cannot be had; that has
 * been said on stderr, in one line, with what would help. What is a number is a process. */
struct record *record_open(const char *what);

/* The same without a word: *reason is allocated, and says why there is none. */
struct record *record_try(const char *what, char **reason);

/* Of a process, without its mappings, which take most of the time. NULL when it cannot be had, without a word;
 * *is_refused: because a right is missing. */
struct record *record_glance(pid_t process, bool *is_refused);

void record_close(struct record *record);

/* Reads the record anew. What was handed out before is gone. 0; else it has been complained about, and the record is as
 * it was: the process has ended, or is another one by now. */
int record_refresh(struct record *record);

/* ---- What is in it: valid until the record is refreshed or closed ------------------------------------------------ */

/* Amounts in it are below 2^60, so that some may be added. */
const struct record_header *record_header(const struct record *record);

/* 0 for a process that runs no more, that is, for files. */
pid_t record_process(const struct record *record);

/* What was given to record_open. */
const char *record_name(const struct record *record);

/* Whether the snapshot was being written when the process died or was stopped: its values are of two moments. */
bool record_is_torn(const struct record *record);

/* Milliseconds on the record's clock: the present of a process that runs, else the last moment that is known. */
uint64_t record_now(const struct record *record);

/* The present on that clock, of processes that run. */
uint64_t record_clock(void);

/* Whether both are of one process, which is still the program that it was. */
bool record_is_same(const struct record *a, const struct record *b);

/* Milliseconds from the record's beginning to that. */
uint64_t record_lasted(const struct record *record);

struct record_statistic {
    const char *name; /* of lower case letters, digits, '.' and '_' */
    bool is_bytes;
    uint64_t value;
};
size_t record_statistics(const struct record *record, const struct record_statistic **out);

/* A statistic by its name in stats.def; NULL, or 0, if it is not there. */
const struct record_statistic *record_statistic(const struct record *record, const char *name);
uint64_t record_value(const struct record *record, const char *name);

/* The samples of live blocks, by address. Each has a stack that is there; `bytes` is below 2^48. */
size_t record_samples(const struct record *record, const struct record_sample **out);

/* The last blocks of cells, live or not. Their stacks may not be there. */
size_t record_guards(const struct record *record, const struct record_guard **out);

/* What the process touched when a signal ended it, and may not have; false when it did not end so, or it is not known,
 * as from all but core files. */
bool record_fault(const struct record *record, uint64_t *address);

/* Stacks have the numbers 0 to record_stacks() - 1; NULL for one that is not there, or not whole yet. */
uint32_t record_stacks(const struct record *record);
const struct record_stack *record_stack(const struct record *record, uint32_t number);

/* The return addresses of a stack, the innermost first; how many. */
unsigned record_frames(const struct record *record, uint32_t stack, uint64_t out[RECORD_DEPTH]);

/* What a process that runs has been asked from outside and has answered, as it is at this moment. False: it cannot be
 * asked any more, or its library takes no requests. */
bool record_requests(const struct record *record, struct record_requests *out);

/* Whether the process can be asked to `act`, as to "give memory back"; else why not has been said. */
bool record_can_ask(const struct record *record, const char *act);
/* Says why what follows has failed; STATUS_NO. */
int record_ask_refuse(const struct record *record, int error);

/* Asks that what is free go back: the number of the request. 0 or an errno value. */
int record_ask_trim(const struct record *record, uint64_t *number);

/* Asks that allocations be counted until then, by the record's clock. 0 or an errno value. */
int record_ask_count(const struct record *record, uint64_t until);

/* What was allocated by a stack while that was counted; false, and all zero, when it was not. And for how many
 * milliseconds it was, by now. */
bool record_allocated(const struct record *record, uint32_t stack, struct record_allocated *out);
uint64_t record_counted(const struct record *record);

/* Heaps by name, in the order of their numbers. */
size_t record_heaps(const struct record *record, const struct record_heap **out);

/* Bytes of their blocks. */
uint64_t record_heaps_live(const struct record *record);

/* Where programs and libraries lay: executable mappings, by address. */
struct record_mapping {
    uint64_t start, end, offset; /* the last: in the file, of its beginning */
    const char *path;            /* as the process knows it, without " (deleted)" */
    const char *file;            /* from where it can be opened here, if it still can; NULL: from nowhere */
    char build_id[48];           /* hexadecimal; empty: not known */
};
size_t record_mappings(const struct record *record, const struct record_mapping **out);
const struct record_mapping *record_mapping_at(const struct record *record, uint64_t address);

/* Where the record lay in the process; false for a file. */
bool record_place(const struct record *record, uint64_t *start, uint64_t *size);

#endif
