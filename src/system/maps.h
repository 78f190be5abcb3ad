/* maps.h - which files addresses of the program's code lie in, as /proc/self/maps has it. Allocates nothing. For
 * reports at the end of a process, not for anything that is to be fast. */
#ifndef HAK_MAPS_H
#define HAK_MAPS_H

#include "base/base.h"

enum { MAPS_NAME_MAX = 255 };

struct maps_place {
    uintptr_t address;            /* given */
    uintptr_t offset;             /* in the file */
    uintptr_t start, end;         /* of the mapping that the address is in */
    uintptr_t image;              /* where the beginning of the file is mapped; 0 where it is not known */
    char name[MAPS_NAME_MAX + 1]; /* of the file, its end if it is longer; empty where no file is mapped */
};

/* Fills in all but the addresses. */
void maps_find(struct maps_place *places, unsigned count);

#endif
