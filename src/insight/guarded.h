/* guarded.h - guarded samples: now and then, the block of a sample (sample.h) lies in a cell of its own (cell.h), so
 * that who uses it where it is not, or no longer, ends the program there and then. Where it was allocated and freed
 * stands in the record, which `hakmem why` reads from what is left of the process; with HAKMEM_GUARD_TELL the process
 * itself says it.
 *
 * One sample in HAKMEM_GUARD is one, and the more cells are taken, the fewer: with each eighth of them the chance is
 * half as large. So blocks that live for ever take long to take all of them. Near a limit there are none. */
#ifndef HAK_GUARDED_H
#define HAK_GUARDED_H

#include "base/base.h"
#include "heap/cell.h"
#include "system/options.h"

/* A block for a sample of the size, which the function made that returns to `from`; NULL, mostly: then another. */
void *guarded_malloc_now(size_t size, uintptr_t from);
INLINE void *guarded_malloc(size_t size, uintptr_t from)
{
    return option(OPTION_GUARD) > 0 && size <= cell_largest() ? guarded_malloc_now(size, from) : NULL;
}

/* Takes a block from the program, for which cell_has is true; ends the process if it is not live, or has been written
 * beyond. Then it is gone. `call`: what the program called. */
void guarded_claim(const void *block, const char *call);
void guarded_end(void *block);

/* The same for a look: its size. */
size_t guarded_size(const void *block, const char *call);

/* In the child of a fork, as ledger_after_fork. */
void guarded_after_fork(void);

#endif
