/* smaps.h - the mappings of the process, with how much of each is resident, as /proc/self/smaps has it. Allocates
 * nothing. It takes the system time that grows with what is resident: for reports at the end of a process. */
#ifndef HAK_SMAPS_H
#define HAK_SMAPS_H

#include "base/base.h"

enum smaps_kind {
    SMAPS_ANONYMOUS,
    SMAPS_STACK, /* the first thread's, or what looks like another's: right above memory that nobody may touch */
    SMAPS_FILE,  /* of a program, a library, or any other file */
    SMAPS_SHARED /* shared memory without a file, and files in /dev/shm */
};

struct smaps_area {
    uintptr_t start, end;
    size_t resident, huge; /* bytes; of the first, in huge pages */
    enum smaps_kind kind;
    bool is_library;       /* libhakmem's file */
};

/* Calls `each` with every area, by address; false where the system does not tell. */
bool smaps_each(void (*each)(void *context, const struct smaps_area *area), void *context);

/* The most bytes of the process that were ever resident; 0 where the system does not tell. */
size_t smaps_peak(void);

#endif
