/* ground.h - address space by plan: where the heap lies, and where everything lies that is known about it.
 *
 * The heap is one range of addresses, at a random place, that grows upwards: a superslab's number is its distance from
 * the beginning. What is known about it lies in tables of their own, far from it and from each other, each at a random
 * place; they grow upwards as well, in place, so that a look into one is an addition. Nothing is reserved that is not
 * needed yet: what lies between is mapped by nobody, so that no block's overflow reaches a table. Others' memory may
 * turn up in the way, since the system does not know the plan: the heap goes on behind it, a table ends there.
 *
 * On Linux with 47 bits of addresses the heap begins between 64 and 128 GiB, where neither programs nor the system put
 * anything, and low, because the table of classes begins at address 0; the tables lie above 72 TiB, below programs.
 * Where the system does not let us choose, it chooses the room for all of it. */
#ifndef HAK_GROUND_H
#define HAK_GROUND_H

#include "base/base.h"

enum ground_table {
    GROUND_CLASSES, /* map.c: a byte for each unit from address 0 on */
    GROUND_PAGES,   /* map.c: a pointer for each unit of the heap */
    GROUND_GROUPS,  /* slabset.c: superslabs' descriptors, and sets of them */
    GROUND_ROWS,    /* slabset.c: summaries of these sets */
    GROUND_RECORD,  /* recorder.c */
    GROUND_META,    /* meta.c */
    GROUND_TABLES
};

/* Makes the plan, if there is none yet; false when memory is out. Under the growth lock, as all that follows. */
bool ground_start(void);

/* Before there is a plan: none is to be made by us, for somebody else in the process has plans of his own, as
 * sanitizers have for their shadows. */
void ground_let_system_choose(void);

/* The heap's beginning, a multiple of RUN_MAX_SIZE; and the most superslabs that it can have. */
char *ground_heap(void);
uint32_t ground_slabs_most(void);

/* Maps superslabs. EEXIST when something else is there; another error when memory is out. */
int ground_map_slabs(uint32_t first, uint32_t count);

/* The beginning of a table, which never moves. */
char *ground_table(enum ground_table table);
/* Makes at least the first `size` bytes of a table writable; they read as zero. An error of the system's: EEXIST when
 * something else lies there. */
int ground_extend(enum ground_table table, size_t size);
/* Bytes of it that are. */
size_t ground_extent(enum ground_table table);

/* Bytes obtained for all tables. */
size_t ground_bytes(void);

/* In the child of a fork, under the growth lock, if a vanished thread had it: gives back what that was about to add. */
void ground_after_fork(void);

#endif
