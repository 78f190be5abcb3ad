#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/uio.h>
#include <time.h>

#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif
#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* A system call as the kernel defines it: the result, or minus an errno value. */
static long system_call(long number, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
#else
#error "hakmem supports x86-64 and aarch64"
#endif
}

static int error_of(long result) { return result < 0 && result > -4096 ? (int)-result : 0; }

static int call4(long number, long a, long b, long c, long d)
{
    return error_of(system_call(number, a, b, c, d, 0, 0));
}

size_t os_page_size(void) { return getauxval(AT_PAGESZ); }

size_t os_memory_size(void)
{
    struct sysinfo info;
    if (call4(SYS_sysinfo, (long)&info, 0, 0, 0))
        return 0;
    return (size_t)info.totalram * info.mem_unit;
}

static int map_at(void *hint, size_t size, char **out)
{
    long result =
        system_call(SYS_mmap, (long)hint, (long)size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *out = (char *)result;
    return error_of(result);
}

int os_map(size_t size, size_t align, void *hint, void **out)
{
    char *start;
    int error = map_at(hint, size, &start);
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
    error = map_at(NULL, size + slack, &start);
    if (error)
        return error;
    char *aligned = (char *)align_up((uintptr_t)start, align);
    size_t head = (size_t)(aligned - start);
    if (head > 0)
        os_unmap(start, head);
    if (slack > head)
        os_unmap(aligned + size, slack - head);
    *out = aligned;
    return 0;
}

int os_unmap(void *address, size_t size) { return call4(SYS_munmap, (long)address, (long)size, 0, 0); }

int os_purge(void *address, size_t size)
{
    /* Not MADV_FREE: it leaves the memory in RSS until the system is short, which users see as a leak. */
    return call4(SYS_madvise, (long)address, (long)size, MADV_DONTNEED, 0);
}

_Static_assert(sizeof(struct os_range) == sizeof(struct iovec) &&
                   offsetof(struct os_range, size) == offsetof(struct iovec, iov_len),
               "the system reads struct os_range");

uint32_t os_purge_all(const struct os_range *ranges, unsigned count)
{
    enum { SELF = -10000 };          /* PIDFD_SELF */
    static _Atomic(bool) is_refused; /* Relaxed: a matter of time */
    uint32_t purged = 0;
    unsigned done = 0;
    if (count > 1 && !load_relaxed(&is_refused)) {
        long bytes = system_call(SYS_process_madvise, SELF, (long)ranges, count, MADV_DONTNEED, 0, 0);
        if (bytes == -ENOSYS || bytes == -EBADF || bytes == -EPERM)
            store_relaxed(&is_refused, true);
        for (; done < count && bytes >= (long)ranges[done].size; done++) {
            bytes -= (long)ranges[done].size;
            purged |= (uint32_t)1 << done;
        }
    }
    for (; done < count; done++) /* one that is locked into memory stops the call, but not us */
        purged |= (uint32_t)(os_purge(ranges[done].start, ranges[done].size) == 0) << done;
    return purged;
}

int os_populate(void *address, size_t size)
{
    return call4(SYS_madvise, (long)address, (long)size, MADV_POPULATE_WRITE, 0);
}

size_t os_resident(void *address, size_t size)
{
    enum { AT_ONCE = 512 };
    unsigned char is_resident[AT_ONCE];
    size_t page = os_page_size(), pages = size / page, resident = 0;
    for (size_t done = 0; done < pages; done += AT_ONCE) {
        size_t some = min_size(pages - done, AT_ONCE);
        if (call4(SYS_mincore, (long)address + (long)(done * page), (long)(some * page), (long)is_resident, 0))
            break;
        for (size_t i = 0; i < some; i++)
            resident += is_resident[i] & 1;
    }
    return resident * page;
}

int os_prefer_huge(void *address, size_t size, bool huge)
{
    return call4(SYS_madvise, (long)address, (long)size, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE, 0);
}

int os_resize(void *address, size_t old_size, size_t new_size)
{
    return call4(SYS_mremap, (long)address, (long)old_size, (long)new_size, 0);
}

int os_move(void *address, size_t old_size, size_t new_size, void *target)
{
    return error_of(system_call(SYS_mremap, (long)address, (long)old_size, (long)new_size,
                                MREMAP_MAYMOVE | MREMAP_FIXED, (long)target, 0));
}

COLD int os_map_wiped_on_fork(void **out)
{
    int error = os_map(os_page_size(), 1, NULL, out);
    if (error)
        return error;
    error = call4(SYS_madvise, (long)*out, (long)os_page_size(), MADV_WIPEONFORK, 0);
    if (error)
        os_unmap(*out, os_page_size());
    return error;
}

void os_wait(_Atomic(uint32_t) *word, uint32_t value, unsigned milliseconds)
{
    struct timespec limit = {.tv_sec = milliseconds / 1000, .tv_nsec = (long)(milliseconds % 1000) * 1000000};
    call4(SYS_futex, (long)word, FUTEX_WAIT_PRIVATE, (long)value, (long)&limit);
}

void os_wake_one(_Atomic(uint32_t) *word) { call4(SYS_futex, (long)word, FUTEX_WAKE_PRIVATE, 1, 0); }

uint64_t os_milliseconds(void)
{
    struct timespec now = {0, 0};
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t os_nanoseconds(void)
{
    struct timespec now = {0, 0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t os_cpu_milliseconds(void)
{
    struct timespec used = {0, 0};
    call4(SYS_clock_gettime, CLOCK_PROCESS_CPUTIME_ID, (long)&used, 0, 0);
    return (uint64_t)used.tv_sec * 1000 + (uint64_t)used.tv_nsec / 1000000;
}

uint32_t os_process_id(void) { return (uint32_t)system_call(SYS_getpid, 0, 0, 0, 0, 0, 0); }
uint32_t os_thread_id(void) { return (uint32_t)system_call(SYS_gettid, 0, 0, 0, 0, 0, 0); }

bool os_thread_exists(uint32_t thread_id)
{
    return call4(SYS_tgkill, (long)os_process_id(), (long)thread_id, 0, 0) != ESRCH;
}

void os_write(int fd, const char *text, size_t length)
{
    while (length > 0) {
        long written = system_call(SYS_write, fd, (long)text, (long)length, 0, 0, 0);
        if (error_of(written) == EINTR)
            continue;
        if (written <= 0)
            return;
        text += written;
        length -= (size_t)written;
    }
}

int os_duplicate(int fd)
{
    enum { HIGH = 500 }; /* out of the way of programs that count on low numbers */
    long result = system_call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, HIGH, 0, 0, 0);
    return error_of(result) ? -1 : (int)result;
}

struct file_id os_file_id(int fd)
{
    struct stat stat;
    if (fd < 0 || call4(SYS_fstat, fd, (long)&stat, 0, 0))
        return (struct file_id){0, 0};
    return (struct file_id){stat.st_dev, stat.st_ino};
}

bool os_is_file(int fd, struct file_id file)
{
    struct file_id now = os_file_id(fd);
    return (now.device | now.inode) != 0 && now.device == file.device && now.inode == file.inode;
}

/* ---- Files ------------------------------------------------------------------------------------------------------- */

static int file_open(const char *path, int flags, int *fd)
{
    long result = system_call(SYS_openat, AT_FDCWD, (long)path, flags | O_CLOEXEC, 0666, 0, 0);
    *fd = (int)result;
    return error_of(result);
}

/* Bytes read, from where the last read ended; 0 at the file's end, and with an error. */
static size_t file_read(int fd, char *buffer, size_t size, int *error)
{
    long got;
    do {
        got = system_call(SYS_read, fd, (long)buffer, (long)size, 0, 0, 0);
        *error = error_of(got);
    } while (*error == EINTR);
    return got > 0 ? (size_t)got : 0;
}

int os_open(const char *path)
{
    int fd, error = file_open(path, O_RDONLY, &fd);
    return error ? -1 : fd;
}

size_t os_read(int fd, char *buffer, size_t size)
{
    int error;
    return file_read(fd, buffer, size, &error);
}

void os_close(int fd) { call4(SYS_close, fd, 0, 0, 0); }

int os_file_read(const char *path, char *text, size_t capacity, size_t *length)
{
    int fd, error = file_open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY, &fd);
    if (error)
        return error;
    *length = 0;
    for (size_t got = 1; got > 0 && *length < capacity; *length += got)
        got = file_read(fd, text + *length, capacity - *length, &error);
    os_close(fd);
    return *length == capacity ? EFBIG : error;
}

static int file_write(int fd, const char *text, size_t length)
{
    while (length > 0) {
        long written = system_call(SYS_write, fd, (long)text, (long)length, 0, 0, 0);
        int error = error_of(written);
        if (error == EINTR)
            continue;
        if (written <= 0)
            return error ? error : EIO;
        text += written;
        length -= (size_t)written;
    }
    return 0;
}

COLD int os_file_replace(const char *path, const char *text, size_t length)
{
    char draft[512];
    size_t i = 0;
    for (; path[i] && i < sizeof draft - 32; i++)
        draft[i] = path[i];
    if (path[i])
        return ENAMETOOLONG;
    /* Beside it, in a file of this process's own. */
    draft[i++] = '.';
    for (uint32_t id = os_process_id(); id > 0; id /= 10)
        draft[i++] = (char)('0' + id % 10);
    draft[i] = 0;
    int fd, error = file_open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, &fd);
    if (error)
        return error;
    error = file_write(fd, text, length);
    if (!error)
        error = call4(SYS_fsync, fd, 0, 0, 0); /* a name for what is not there yet would be a damaged file after a crash */
    int close_error = call4(SYS_close, fd, 0, 0, 0);
    error = error ? error : close_error;
    if (!error)
        error = call4(SYS_renameat2, AT_FDCWD, (long)draft, AT_FDCWD, (long)path);
    if (error)
        call4(SYS_unlinkat, AT_FDCWD, (long)draft, 0, 0);
    return error;
}

/* ---- The program ------------------------------------------------------------------------------------------------- */

/* Hexadecimal digits of as many bytes as have room. */
static void hex_put(char out[static OS_BUILD_ID_MAX], const unsigned char *bytes, size_t count)
{
    size_t length = 0;
    for (size_t i = 0; i < count && length + 2 < OS_BUILD_ID_MAX; i++) {
        out[length++] = "0123456789abcdef"[bytes[i] >> 4];
        out[length++] = "0123456789abcdef"[bytes[i] & 15];
    }
    out[length] = 0;
}

/* Looks for the build id among the notes in [note, end). */
static bool notes_search(const char *note, const char *end, char out[static OS_BUILD_ID_MAX])
{
    while ((size_t)(end - note) > sizeof(ElfW(Nhdr))) {
        const ElfW(Nhdr) *head = (const ElfW(Nhdr) *)note;
        const char *name = note + sizeof *head, *content = name + align_up(head->n_namesz, 4);
        if (head->n_type == NT_GNU_BUILD_ID && head->n_namesz == 4 && __builtin_memcmp(name, "GNU", 4) == 0) {
            hex_put(out, (const unsigned char *)content, head->n_descsz);
            return true;
        }
        note = content + align_up(head->n_descsz, 4);
    }
    return false;
}

COLD void os_build_id(char out[static OS_BUILD_ID_MAX])
{
    const ElfW(Phdr) *heads = (const ElfW(Phdr) *)getauxval(AT_PHDR);
    size_t count = heads ? getauxval(AT_PHNUM) : 0;
    uintptr_t base = 0;
    for (size_t i = 0; i < count; i++)
        if (heads[i].p_type == PT_PHDR)
            base = (uintptr_t)heads - heads[i].p_vaddr;
    for (size_t i = 0; i < count; i++)
        if (heads[i].p_type == PT_NOTE) {
            const char *notes = (const char *)(base + heads[i].p_vaddr);
            if (notes_search(notes, notes + heads[i].p_memsz, out))
                return;
        }
    /* Linked without one: where its parts are and how large they are differs from one program to the next, mostly. */
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < count * sizeof *heads; i++)
        hash = (hash ^ ((const unsigned char *)heads)[i]) * UINT64_C(0x100000001b3);
    hex_put(out, (const unsigned char *)&hash, sizeof hash);
}

/* ---- The end ----------------------------------------------------------------------------------------------------- */

void os_abort(void)
{
    /* Without libc's abort(), which takes a lock and may flush streams; a handler of the program still runs. */
    call4(SYS_tgkill, (long)os_process_id(), (long)os_thread_id(), SIGABRT, 0);
    struct sigaction_kernel {
        void (*handler)(int);
        unsigned long flags;
        void (*restorer)(void);
        unsigned long mask;
    } fallback = {.handler = SIG_DFL, .flags = 0, .restorer = NULL, .mask = 0};
    unsigned long abort_signal = 1ul << (SIGABRT - 1);
    call4(SYS_rt_sigaction, SIGABRT, (long)&fallback, 0, sizeof fallback.mask);
    call4(SYS_rt_sigprocmask, SIG_UNBLOCK, (long)&abort_signal, 0, sizeof abort_signal);
    call4(SYS_tgkill, (long)os_process_id(), (long)os_thread_id(), SIGABRT, 0);
    for (;;)
        __builtin_trap();
}

const char *os_program(void)
{
    const char *path = (const char *)getauxval(AT_EXECFN);
    return path ? path : "?";
}

bool os_is_privileged(void) { return getauxval(AT_SECURE) != 0; }
