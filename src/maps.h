/* maps.h - which file an address of the program's code lies in, as /proc/self/maps has it. Reads it anew at every call, with a
 * small buffer on the stack: for reports at the end of a process, not for anything that is to be fast. */
#ifndef HAK_MAPS_H
#define HAK_MAPS_H

#include "text.h"

/* Appends "file+0xoffset", the offset being that in the file; or just the address where no file is mapped. */
void maps_describe(struct text *text, uintptr_t address);

#endif
