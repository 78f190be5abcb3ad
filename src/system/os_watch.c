#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "system/os_watch.h"

#include "system/machine.h"

#include <errno.h>
#include <sys/mman.h>

static struct {
    const void *function;
    uint64_t code;
} as_at_start[OS_WATCHED_COUNT];

static const void *watched_function(enum os_watched which)
{
    switch (which) {
#define X(name) case OS_WATCHED_##name: return (const void *)(uintptr_t)name;
        OS_WATCHED(X)
#undef X
    default: __builtin_unreachable();
    }
}

static uint64_t first_code(const void *function)
{
    uint64_t code;
    __builtin_memcpy(&code, function, sizeof code);
    return code;
}

void os_watch_start(void)
{
    for (unsigned which = 0; which < OS_WATCHED_COUNT; which++) {
        const void *function = watched_function(which);
        uint64_t code = first_code(function);
        as_at_start[which].function = function;
        /* Constructors of libraries that the program needs run before ours. If libc's own begins so, it is called,
         * which is right, too. */
        as_at_start[which].code = machine_is_diverted(function) ? ~code : code;
    }
}

bool os_is_watched(enum os_watched which)
{
    const void *function = watched_function(which), *before = as_at_start[which].function;
    return before && UNLIKELY(function != before || first_code(function) != as_at_start[which].code);
}

int os_error_of_libc(bool failed, int saved)
{
    int error = failed ? errno : 0;
    errno = saved;
    return error;
}
