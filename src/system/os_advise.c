#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "system/os_advise.h"

#include "base/atomic.h"
#include "system/os_call.h"
#include "system/os_look.h"
#include "system/os_map.h"
#include "system/os_sandbox.h"
#include "system/os_watch.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif
#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static int call_madvise(void *address, size_t size, int advice)
{
    int saved = errno;
    if (os_is_watched(OS_WATCHED_madvise))
        return os_error_of_libc(madvise(address, size, advice) != 0, saved);
    return os_call4(SYS_madvise, (long)address, (long)size, advice, 0);
}

/* Whether MADV_DONTNEED does what it says: emulators and sandboxes take it for advice that may be ignored (qemu-user
 * before 7.1). A filter of the program's own is looked at anew. */
enum { PURGE_UNKNOWN, PURGE_IS_TRUE, PURGE_IS_FALSE };
static _Atomic(uint8_t) purge_verdicts[2]; /* [shut]. Relaxed: whoever comes meanwhile finds out the same */

/* What comes of the first purge, of memory at which a 1 stood for `before`. */
static COLD int purge_judge(volatile char *mark, char before, int error, _Atomic(uint8_t) *verdict)
{
    bool is_true = !error && *mark == 0;
    if (!error)
        store_relaxed(verdict, is_true ? PURGE_IS_TRUE : PURGE_IS_FALSE);
    if (!is_true)
        *mark = before;
    return is_true || error ? error : ENOSYS;
}

int os_purge(void *address, size_t size)
{
    _Atomic(uint8_t) *verdict = &purge_verdicts[os_is_shut()];
    uint8_t known = load_relaxed(verdict);
    volatile char *mark = address;
    char before = 0;
    if (UNLIKELY(known == PURGE_IS_FALSE))
        return ENOSYS;
    if (UNLIKELY(known == PURGE_UNKNOWN)) {
        if (size == 0)
            return 0;
        before = *mark;
        *mark = 1;
    }
    /* Not MADV_FREE: it leaves the memory in RSS until the system is short, which users see as a leak. */
    int error = call_madvise(address, size, MADV_DONTNEED);
    if (UNLIKELY(error == EINVAL) && !os_is_shut()) /* locked into memory, as a rule */
        error = call_madvise(address, size, MADV_DONTNEED_LOCKED);
    return LIKELY(known == PURGE_IS_TRUE) ? error : purge_judge(mark, before, error, verdict);
}

_Static_assert(sizeof(struct os_range) == sizeof(struct iovec) &&
                   offsetof(struct os_range, size) == offsetof(struct iovec, iov_len),
               "the system reads struct os_range");

/* Only where it is known not to be fatal, and to do what it says, and where nobody watches the call that it
 * replaces. */
static bool may_purge_together(void)
{
    return load_relaxed(&purge_verdicts[false]) == PURGE_IS_TRUE && !os_is_watched(OS_WATCHED_madvise) &&
           os_sandbox_now() == OS_SANDBOX_NONE;
}

uint32_t os_purge_all(const struct os_range *ranges, unsigned count)
{
    enum { SELF = -10000 };          /* PIDFD_SELF */
    static _Atomic(bool) is_refused; /* Relaxed: a matter of time */
    uint32_t purged = 0;
    unsigned done = 0;
    if (count > 1 && !load_relaxed(&is_refused) && may_purge_together()) {
        long bytes = os_call(SYS_process_madvise, SELF, (long)ranges, count, MADV_DONTNEED, 0, 0);
        if (bytes == -ENOSYS || bytes == -EBADF || bytes == -EPERM)
            store_relaxed(&is_refused, true);
        for (; done < count && bytes >= (long)ranges[done].size; done++) {
            bytes -= (long)ranges[done].size;
            purged |= (uint32_t)1 << done;
        }
    }
    for (; done < count; done++) /* one that is locked into memory stops the call */
        purged |= (uint32_t)(os_purge(ranges[done].start, ranges[done].size) == 0) << done;
    return purged;
}

/* Advice that libc's malloc never gives is given to no filter that the program has installed: filters may tell by the
 * argument (OpenSSH's does). */

int os_populate(void *address, size_t size)
{
    return os_is_shut() ? EPERM : call_madvise(address, size, MADV_POPULATE_WRITE);
}

int os_prefer_huge(void *address, size_t size, bool huge)
{
    return os_is_shut() ? EPERM : call_madvise(address, size, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

COLD int os_map_wiped_on_fork(void **out)
{
    int error = os_map(os_page_size(), 1, NULL, out);
    if (error)
        return error;
    error = os_is_shut() ? EPERM : call_madvise(*out, os_page_size(), MADV_WIPEONFORK);
    if (error)
        os_unmap(*out, os_page_size());
    return error;
}
