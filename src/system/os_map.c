#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "system/os_map.h"

#include "base/atomic.h"
#include "system/os_call.h"
#include "system/os_sandbox.h"
#include "system/os_watch.h"

#include <errno.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT 1
#endif

/* Others may stand before getauxval, too: it is called at the start, mostly, and not within each call of malloc. */
size_t os_page_size(void)
{
    static _Atomic(size_t) page_size; /* relaxed: the same whoever asks */
    if (UNLIKELY(load_relaxed(&page_size) == 0))
        store_relaxed(&page_size, getauxval(AT_PAGESZ));
    return load_relaxed(&page_size);
}

enum { FRESH = MAP_PRIVATE | MAP_ANONYMOUS }; /* memory of no file, and of nobody else */

static _Atomic(bool) is_memory_locked; /* relaxed: what is mapped meanwhile may be so or so */

COLD void os_lock_memory(bool is_locked) { store_relaxed(&is_memory_locked, is_locked); }

/* Of what cannot be used yet nothing is resident; nor is it of what is locked when it is touched. */
static COLD int lock_and_open(void *address, size_t size)
{
    if (!os_is_shut())
        os_call4(SYS_mlock2, (long)address, (long)size, MLOCK_ONFAULT, 0); /* Linux before 4.4: all is resident */
    int error = os_protect(address, size, true);
    if (error)
        os_unmap(address, size);
    return error;
}

int os_map_at(void *address, size_t size, bool writable)
{
    bool locks = writable && load_relaxed(&is_memory_locked);
    int rights = locks ? PROT_NONE : writable ? PROT_READ | PROT_WRITE : PROT_READ;
    void *start;
    int error = os_call_mmap(address, size, rights, FRESH | MAP_FIXED_NOREPLACE, -1, &start);
    if (error)
        return error;
    if (start != address) {
        os_unmap(start, size); /* before Linux 4.17, and in emulators, the address is a wish */
        return EEXIST;
    }
    return UNLIKELY(locks) ? lock_and_open(address, size) : 0;
}

COLD int os_reserve(size_t size, size_t align, void **out)
{
    void *start;
    int error = os_call_mmap(NULL, size + align - os_page_size(), PROT_NONE, FRESH | MAP_NORESERVE, -1, &start);
    if (!error)
        *out = (char *)align_up((uintptr_t)start, align);
    return error;
}

COLD void *os_find_room(size_t size)
{
    void *start;
    if (os_call_mmap(NULL, size, PROT_NONE, FRESH | MAP_NORESERVE, -1, &start))
        return NULL;
    os_unmap(start, size);
    return start;
}

int os_map(size_t size, size_t align, void *hint, void **out)
{
    void *start;
    int error = os_call_mmap(hint, size, PROT_READ | PROT_WRITE, FRESH, -1, &start);
    if (error)
        return error;
    *out = start;
    if (((uintptr_t)start & (align - 1)) == 0)
        return 0;

    /* Not aligned by luck: map enough to contain an aligned range and cut off both ends. */
    os_unmap(start, size);
    size_t slack = align - os_page_size();
    if (size > PTRDIFF_MAX - slack)
        return ENOMEM;
    error = os_call_mmap(NULL, size + slack, PROT_READ | PROT_WRITE, FRESH, -1, &start);
    if (error)
        return error;
    char *aligned = (char *)align_up((uintptr_t)start, align);
    size_t head = (size_t)(aligned - (char *)start);
    if (head > 0)
        os_unmap(start, head);
    if (slack > head)
        os_unmap(aligned + size, slack - head);
    *out = aligned;
    return 0;
}

int os_unmap(void *address, size_t size)
{
    int saved = errno;
    if (os_is_watched(OS_WATCHED_munmap))
        return os_error_of_libc(munmap(address, size) != 0, saved);
    return os_call4(SYS_munmap, (long)address, (long)size, 0, 0);
}

COLD int os_protect(void *address, size_t size, bool usable)
{
    return os_call4(SYS_mprotect, (long)address, (long)size, usable ? PROT_READ | PROT_WRITE : PROT_NONE, 0);
}

static int call_mremap(void *address, size_t old_size, size_t new_size, int flags, void *target)
{
    int saved = errno;
    if (os_is_watched(OS_WATCHED_mremap))
        return os_error_of_libc(mremap(address, old_size, new_size, flags, target) == MAP_FAILED, saved);
    return os_error_of(os_call(SYS_mremap, (long)address, (long)old_size, (long)new_size, flags, (long)target, 0));
}

int os_resize(void *address, size_t old_size, size_t new_size)
{
    return call_mremap(address, old_size, new_size, 0, NULL);
}

int os_move(void *address, size_t old_size, size_t new_size, void *target)
{
    return call_mremap(address, old_size, new_size, MREMAP_MAYMOVE | MREMAP_FIXED, target);
}
