#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "system/os_look.h"

#include "system/os_call.h"
#include "system/os_file.h"
#include "system/os_map.h"

#include <fcntl.h>
#include <sys/syscall.h>

/* "Seccomp: 0" in the process's status. By calls that the loader has made before. */
static COLD enum os_sandbox sandbox_ask(void)
{
    static const char line[] = "\nSeccomp:\t0\n";
    enum { WHOLE = sizeof line - 1 };
    char text[256]; /* it may be a coroutine's stack */
    int fd, error = os_file_open("/proc/self/status", O_RDONLY, &fd);
    if (error)
        return OS_SANDBOX_OLD;
    size_t matched = 0;
    for (size_t length; matched < WHOLE && (length = os_file_next(fd, text, sizeof text, &error)) > 0;)
        for (size_t at = 0; at < length && matched < WHOLE; at++)
            matched = text[at] == line[matched] ? matched + 1 : text[at] == line[0];
    os_close(fd);
    return matched == WHOLE ? OS_SANDBOX_NONE : OS_SANDBOX_OLD;
}

enum os_sandbox os_sandbox_now(void)
{
    uint8_t now = load_relaxed(&os_sandbox);
    if (now == OS_SANDBOX_ASK) {
        uint8_t found = (uint8_t)sandbox_ask();
        /* Unless a filter has come meanwhile. */
        if (cas_relaxed(&os_sandbox, &now, found))
            now = found;
    }
    return (enum os_sandbox)now;
}

bool os_may_look(void) { return os_sandbox_now() >= OS_SANDBOX_OLD; }

/* Of up to LOOK_PAGES pages, of which the answers lie on the stack; 0 where the system does not say. */
enum { LOOK_PAGES = 128 };

static size_t resident_by_call(const char *start, size_t pages)
{
    unsigned char is_resident[LOOK_PAGES];
    size_t resident = 0;
    if (os_call4(SYS_mincore, (long)start, (long)(pages * os_page_size()), (long)is_resident, 0))
        return 0;
    for (size_t i = 0; i < pages; i++)
        resident += is_resident[i] & 1;
    return resident;
}

/* /proc/self/pagemap has a word for each page, the highest bits of which tell that it is in memory, or swapped out. */
static COLD size_t resident_by_file(const char *start, size_t pages)
{
    uint64_t words[LOOK_PAGES];
    int fd;
    if (os_file_open("/proc/self/pagemap", O_RDONLY, &fd))
        return 0;
    long got = os_call(SYS_pread64, fd, (long)words, (long)(pages * sizeof *words),
                           (long)((uintptr_t)start / os_page_size() * sizeof *words), 0, 0);
    os_close(fd);
    size_t resident = 0;
    for (size_t i = 0; got > 0 && i < (size_t)got / sizeof *words; i++)
        resident += words[i] >> 62 != 0;
    return resident;
}

COLD size_t os_process_resident(void)
{
    char text[64]; /* pages in all, resident, ... */
    size_t pages = 0;
    int fd, error = os_file_open("/proc/self/statm", O_RDONLY, &fd);
    if (error)
        return 0;
    size_t length = os_file_next(fd, text, sizeof text, &error), at = 0;
    os_close(fd);
    while (at < length && text[at] != ' ')
        at++;
    while (++at < length && text[at] >= '0' && text[at] <= '9')
        pages = pages * 10 + (size_t)(text[at] - '0');
    return pages * os_page_size();
}

/* The first is the faster, and needs no file; but the standard filters for services lack it. */
size_t os_resident(void *address, size_t size)
{
    enum os_sandbox now = os_sandbox_now();
    size_t page = os_page_size(), pages = size / page, resident = 0;
    for (size_t done = 0; done < pages && now >= OS_SANDBOX_OLD; done += LOOK_PAGES) {
        const char *start = (char *)address + done * page;
        size_t some = min_size(pages - done, LOOK_PAGES);
        resident += now == OS_SANDBOX_NONE ? resident_by_call(start, some) : resident_by_file(start, some);
    }
    return resident * page;
}
