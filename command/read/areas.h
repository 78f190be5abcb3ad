/* areas.h - the memory of a process as the kernel reports it (/proc/PID/smaps): what lies where, and how much of it is
 * resident.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TOOLS_AREAS_H
#define HAKMEM_TOOLS_AREAS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

enum area_kind {
    AREA_ANONYMOUS,
    AREA_STACK,  /* the first thread's, or what looks like another's: right above memory that nobody may touch */
    AREA_BREAK,  /* what brk(2) gives, which hakmem never asks for */
    AREA_FILE,   /* of a program, a library, or any other file */
    AREA_SHARED, /* shared memory without a file, and files in /dev/shm */
    AREA_GUARD   /* nobody may touch it */
};

struct area {
    uint64_t start, end;
    uint64_t resident, shared, huge, swapped; /* bytes. `shared`: of the resident ones, with other processes */
    enum area_kind kind;
    char name[64]; /* the path's end, or what the program calls it; else empty */
};

struct areas {
    struct area *area; /* by address */
    size_t count;
    uint64_t resident, shared, swapped; /* sums */
    uint64_t peak;                      /* the most that was resident at any time; 0: not known */
    int pagemap;                        /* a descriptor for areas_resident; -1: none */
    uint64_t pages_looked;              /* by that, so far */
};

/* 0 or an errno value. */
int areas_read(struct areas *areas, pid_t process);

/* The same from text as smaps has it. */
int areas_parse(struct areas *areas, FILE *smaps);

void areas_free(struct areas *areas);

/* The area at `address`; NULL when there is none. */
struct area *areas_find(const struct areas *areas, uint64_t address);

/* Resident bytes of a stretch of memory, page by page, or an estimate from its area where the system does not tell, or
 * all of this has become long: who says where to look is the process. */
uint64_t areas_resident(struct areas *areas, uint64_t start, uint64_t size);

#endif
