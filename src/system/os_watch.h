/* os_watch.h - whether somebody is to hear of memory that goes: then libc's functions are called, which are passed by
 * else. */
#ifndef HAK_OS_WATCH_H
#define HAK_OS_WATCH_H

#include "base/base.h"

/* Who has registered memory with a network card or an accelerator (MPI, UCX, libfabric, CUDA) has to hear when it
 * goes, so it puts code of its own at the start of these functions of libc, or in everybody's references to them,
 * while the program runs. Where that has happened the function is called, as libc's malloc would; else the system
 * itself. */
#define OS_WATCHED(X) X(munmap) X(madvise) X(mremap)

enum os_watched {
#define X(name) OS_WATCHED_##name,
    OS_WATCHED(X)
#undef X
    OS_WATCHED_COUNT
};

/* At the start, while there is one thread: notes what the functions look like before anybody watches them. */
void os_watch_start(void);

bool os_is_watched(enum os_watched which);

/* What such a function has said: errno as it was, and the error as the system's calls give it. */
int os_error_of_libc(bool failed, int saved);

#endif
