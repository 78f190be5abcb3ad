/* record_file.h - the file that HAKMEM_RECORD names: where it is, and what may be replaced there. */
#ifndef HAK_RECORD_FILE_H
#define HAK_RECORD_FILE_H

#include "base/base.h"

#define RECORD_FILE_SIZE ((size_t)2 << 20)

/* At the start, under the growth lock: relative paths begin where the process is now. Where the path has "%=4711" in
 * it, as `hakmem run` writes it, no process has the option but the one of that number, and what it becomes by
 * execve. */
void record_file_start(void);

/* Makes the file, which is mapped, all zero and all there; a plain file of this user's that was there before gets
 * ".old" behind its name. NULL: none is wanted, or is to be had, which is said. Under the growth lock, or in the child
 * of a fork. */
void *record_file_make(void);

/* Whether each process has a file of its own, by its id. */
bool record_file_is_each(void);

#endif
