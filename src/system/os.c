#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "system/os.h"

#include "system/image.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
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
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#if HAK_DEBUG
static __thread bool calls_are_forbidden __attribute__((tls_model("initial-exec")));
void os_forbid_calls(bool forbidden) { calls_are_forbidden = forbidden; }
#define CALLS_ARE_ALLOWED (!calls_are_forbidden)
#else
#define CALLS_ARE_ALLOWED true
#endif

/* A system call as the kernel defines it: the result, or minus an errno value. */
static long system_call(long number, long a, long b, long c, long d, long e, long f)
{
    HAK_ASSERT(CALLS_ARE_ALLOWED);
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

long os_call(long number, long a, long b, long c, long d, long e, long f)
{
    return system_call(number, a, b, c, d, e, f);
}

static int error_of(long result) { return result < 0 && result > -4096 ? (int)-result : 0; }

static int call4(long number, long a, long b, long c, long d)
{
    return error_of(system_call(number, a, b, c, d, 0, 0));
}

/* Others may stand before getauxval, too: it is called at the start, mostly, and not within each call of malloc. */
size_t os_page_size(void)
{
    static _Atomic(size_t) page_size; /* relaxed: the same whoever asks */
    if (UNLIKELY(load_relaxed(&page_size) == 0))
        store_relaxed(&page_size, getauxval(AT_PAGESZ));
    return load_relaxed(&page_size);
}

/* ---- Calls that others watch ------------------------------------------------------------------------------------- */

/* Who has registered memory with a network card or an accelerator (MPI, UCX, libfabric, CUDA) has to hear when it
 * goes, so it puts code of its own at the start of these functions of libc, or in everybody's references to them,
 * while the program runs. Where that has happened the function is called, as libc's malloc would; else the system
 * itself. */
#define WATCHED(X) X(munmap) X(madvise) X(mremap)

enum watched {
#define X(name) WATCHED_##name,
    WATCHED(X)
#undef X
    WATCHED_COUNT
};

static struct {
    const void *function;
    uint64_t code;
} as_at_start[WATCHED_COUNT];

static const void *watched_function(enum watched which)
{
    switch (which) {
#define X(name) case WATCHED_##name: return (const void *)(uintptr_t)name;
        WATCHED(X)
#undef X
    default: return NULL;
    }
}

static uint64_t first_code(const void *function)
{
    uint64_t code;
    __builtin_memcpy(&code, function, sizeof code);
    return code;
}

/* Whether a function begins by going elsewhere: constructors of libraries that the program needs run before ours.
 * Libc's own functions of these names do not begin so; if one does, it is called, which is right, too. */
static bool is_diverted(uint64_t code)
{
#if defined(__x86_64__)
    if ((uint32_t)code == 0xfa1e0ff3) /* endbr64 */
        code >>= 32;
    uint8_t first = (uint8_t)code, second = (uint8_t)(code >> 8);
    bool loads_address = (first | 1) == 0x49 && (second & 0xf8) == 0xb8; /* movabs $address, register */
    return first == 0xe9 || first == 0xeb || loads_address || (first == 0xff && second == 0x25);
#else
    uint32_t first = (uint32_t)code;
    return (first & 0xfc000000) == 0x14000000 || (first & 0xff000000) == 0x58000000; /* b; ldr register, address */
#endif
}

void os_start(void)
{
    for (unsigned which = 0; which < WATCHED_COUNT; which++) {
        const void *function = watched_function(which);
        uint64_t code = first_code(function);
        as_at_start[which].function = function;
        as_at_start[which].code = is_diverted(code) ? ~code : code;
    }
}

static bool is_watched(enum watched which)
{
    const void *function = watched_function(which), *before = as_at_start[which].function;
    return before && UNLIKELY(function != before || first_code(function) != as_at_start[which].code);
}

/* errno as it was, and the error as the system's calls give it. */
static int error_of_libc(bool failed, int saved)
{
    int error = failed ? errno : 0;
    errno = saved;
    return error;
}

static int call_munmap(void *address, size_t size)
{
    int saved = errno;
    if (is_watched(WATCHED_munmap))
        return error_of_libc(munmap(address, size) != 0, saved);
    return call4(SYS_munmap, (long)address, (long)size, 0, 0);
}

static int call_madvise(void *address, size_t size, int advice)
{
    int saved = errno;
    if (is_watched(WATCHED_madvise))
        return error_of_libc(madvise(address, size, advice) != 0, saved);
    return call4(SYS_madvise, (long)address, (long)size, advice, 0);
}

static int call_mremap(void *address, size_t old_size, size_t new_size, int flags, void *target)
{
    int saved = errno;
    if (is_watched(WATCHED_mremap))
        return error_of_libc(mremap(address, old_size, new_size, flags, target) == MAP_FAILED, saved);
    return error_of(system_call(SYS_mremap, (long)address, (long)old_size, (long)new_size, flags, (long)target, 0));
}

/* ---- Calls that a filter may make fatal -------------------------------------------------------------------------- */

_Atomic(uint8_t) os_sandbox = OS_SANDBOX_UNKNOWN;

void os_sandbox_watch(void)
{
    uint8_t unknown = OS_SANDBOX_UNKNOWN;
    cas_relaxed(&os_sandbox, &unknown, OS_SANDBOX_ASK);
}

static bool is_shut(void) { return load_relaxed(&os_sandbox) == OS_SANDBOX_SHUT; }

static int file_open(const char *path, int flags, int *fd);
static size_t file_read(int fd, char *buffer, size_t size, int *error);

/* "Seccomp: 0" in the process's status. By calls that the loader has made before. */
static COLD enum os_sandbox sandbox_ask(void)
{
    static const char line[] = "\nSeccomp:\t0\n";
    char text[2048]; /* the line is within the first 1500 bytes */
    int fd, error = file_open("/proc/self/status", O_RDONLY, &fd);
    size_t length = error ? 0 : file_read(fd, text, sizeof text, &error);
    if (!error)
        os_close(fd);
    for (size_t at = 0; at + sizeof line - 1 <= length; at++)
        if (__builtin_memcmp(text + at, line, sizeof line - 1) == 0)
            return OS_SANDBOX_NONE;
    return OS_SANDBOX_OLD;
}

static enum os_sandbox sandbox_now(void)
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

bool os_may_look(void) { return sandbox_now() >= OS_SANDBOX_OLD; }

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

/* Asked for once, at the start: later a filter of the program's own may forbid the call. */
size_t os_memory_size(void)
{
    static _Atomic(size_t) memory_size = SIZE_MAX; /* not known. Relaxed: the same whoever finds it out */
    struct sysinfo info;
    size_t size = load_relaxed(&memory_size);
    if (size == SIZE_MAX) {
        bool known = !is_shut() && call4(SYS_sysinfo, (long)&info, 0, 0, 0) == 0;
        size = known ? (size_t)info.totalram * info.mem_unit : 0;
        store_relaxed(&memory_size, size);
    }
    return size;
}

static int map_at(void *hint, size_t size, int rights, int flags, char **out)
{
    long result = system_call(SYS_mmap, (long)hint, (long)size, rights, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    *out = (char *)result;
    return error_of(result);
}

int os_map_at(void *address, size_t size, bool writable)
{
    char *start;
    int error = map_at(address, size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_FIXED_NOREPLACE, &start);
    if (error || start == address)
        return error;
    os_unmap(start, size); /* before Linux 4.17, and in emulators, the address is a wish */
    return EEXIST;
}

COLD void *os_find_room(size_t size)
{
    char *start;
    if (map_at(NULL, size, PROT_NONE, MAP_NORESERVE, &start))
        return NULL;
    os_unmap(start, size);
    return start;
}

/* The bits of `x` on their way into all others (the end of MurmurHash3, by A. Appleby, in the public domain). */
static uint64_t stir(uint64_t x)
{
    x = (x ^ x >> 33) * 0xFF51AFD7ED558CCD;
    x = (x ^ x >> 33) * 0xC4CEB9FE1A85EC53;
    return x ^ x >> 33;
}

COLD uint64_t os_random(void)
{
    static _Atomic(uint64_t) calls; /* relaxed: two at once get two numbers */
    const uint64_t *given = (const uint64_t *)getauxval(AT_RANDOM); /* 16 bytes, which libc makes its secrets of */
    uint64_t from_kernel[2] = {0, 0};
    if (given)
        __builtin_memcpy(from_kernel, given, sizeof from_kernel);
    uint64_t x = stir(from_kernel[0] ^ os_nanoseconds());
    x = stir(x ^ from_kernel[1] ^ (uintptr_t)&x);
    x = stir(x ^ (uintptr_t)__builtin_return_address(0) ^ fetch_add_relaxed(&calls, 1));
    return x ? x : 1;
}

int os_map(size_t size, size_t align, void *hint, void **out)
{
    char *start;
    int error = map_at(hint, size, PROT_READ | PROT_WRITE, 0, &start);
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
    error = map_at(NULL, size + slack, PROT_READ | PROT_WRITE, 0, &start);
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

int os_unmap(void *address, size_t size) { return call_munmap(address, size); }

COLD int os_protect(void *address, size_t size, bool usable)
{
    return call4(SYS_mprotect, (long)address, (long)size, usable ? PROT_READ | PROT_WRITE : PROT_NONE, 0);
}

/* Whether MADV_DONTNEED does what it says: emulators and sandboxes take it for advice that may be ignored (qemu-user
 * before 7.1). A filter of the program's own is looked at anew. */
enum { PURGE_UNKNOWN, PURGE_IS_TRUE, PURGE_IS_FALSE };
static _Atomic(uint8_t) purge_verdicts[2]; /* [shut]. Relaxed: whoever comes meanwhile finds out the same */

/* Looks at memory that is known to contain something. */
static COLD int purge_first(void *address, size_t size, _Atomic(uint8_t) *verdict)
{
    volatile char *mark = address;
    char before = *mark;
    *mark = 1;
    int error = call_madvise(address, size, MADV_DONTNEED);
    bool is_true = !error && *mark == 0;
    if (!error)
        store_relaxed(verdict, is_true ? PURGE_IS_TRUE : PURGE_IS_FALSE);
    if (!is_true)
        *mark = before;
    return is_true || error ? error : ENOSYS;
}

int os_purge(void *address, size_t size)
{
    _Atomic(uint8_t) *verdict = &purge_verdicts[is_shut()];
    if (LIKELY(load_relaxed(verdict) == PURGE_IS_TRUE))
        /* Not MADV_FREE: it leaves the memory in RSS until the system is short, which users see as a leak. */
        return call_madvise(address, size, MADV_DONTNEED);
    if (load_relaxed(verdict) == PURGE_IS_FALSE)
        return ENOSYS;
    return size > 0 ? purge_first(address, size, verdict) : 0;
}

_Static_assert(sizeof(struct os_range) == sizeof(struct iovec) &&
                   offsetof(struct os_range, size) == offsetof(struct iovec, iov_len),
               "the system reads struct os_range");

/* Only where it is known not to be fatal, and to do what it says, and where nobody watches the call that it
 * replaces. */
static bool may_purge_together(void)
{
    return load_relaxed(&purge_verdicts[false]) == PURGE_IS_TRUE && !is_watched(WATCHED_madvise) &&
           sandbox_now() == OS_SANDBOX_NONE;
}

uint32_t os_purge_all(const struct os_range *ranges, unsigned count)
{
    enum { SELF = -10000 };          /* PIDFD_SELF */
    static _Atomic(bool) is_refused; /* Relaxed: a matter of time */
    uint32_t purged = 0;
    unsigned done = 0;
    if (count > 1 && !load_relaxed(&is_refused) && may_purge_together()) {
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

/* Advice that libc's malloc never gives: filters may tell by the argument (OpenSSH's does). */
static int advise(void *address, size_t size, int advice)
{
    return is_shut() ? EPERM : call_madvise(address, size, advice);
}

int os_populate(void *address, size_t size) { return advise(address, size, MADV_POPULATE_WRITE); }

/* Of up to LOOK_PAGES pages; 0 where the system does not say. */
enum { LOOK_PAGES = 512 };

static size_t resident_by_call(const char *start, size_t pages)
{
    unsigned char is_resident[LOOK_PAGES];
    size_t resident = 0;
    if (call4(SYS_mincore, (long)start, (long)(pages * os_page_size()), (long)is_resident, 0))
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
    if (file_open("/proc/self/pagemap", O_RDONLY, &fd))
        return 0;
    long got = system_call(SYS_pread64, fd, (long)words, (long)(pages * sizeof *words),
                           (long)((uintptr_t)start / os_page_size() * sizeof *words), 0, 0);
    os_close(fd);
    size_t resident = 0;
    for (size_t i = 0; got > 0 && i < (size_t)got / sizeof *words; i++)
        resident += words[i] >> 62 != 0;
    return resident;
}

/* The first is the faster, and needs no file; but the standard filters for services lack it. */
size_t os_resident(void *address, size_t size)
{
    enum os_sandbox now = sandbox_now();
    size_t page = os_page_size(), pages = size / page, resident = 0;
    for (size_t done = 0; done < pages && now >= OS_SANDBOX_OLD; done += LOOK_PAGES) {
        const char *start = (char *)address + done * page;
        size_t some = min_size(pages - done, LOOK_PAGES);
        resident += now == OS_SANDBOX_NONE ? resident_by_call(start, some) : resident_by_file(start, some);
    }
    return resident * page;
}

int os_prefer_huge(void *address, size_t size, bool huge)
{
    return advise(address, size, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

int os_resize(void *address, size_t old_size, size_t new_size)
{
    return call_mremap(address, old_size, new_size, 0, NULL);
}

int os_move(void *address, size_t old_size, size_t new_size, void *target)
{
    return call_mremap(address, old_size, new_size, MREMAP_MAYMOVE | MREMAP_FIXED, target);
}

COLD int os_map_wiped_on_fork(void **out)
{
    int error = os_map(os_page_size(), 1, NULL, out);
    if (error)
        return error;
    error = advise(*out, os_page_size(), MADV_WIPEONFORK);
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

/* ---- The clock --------------------------------------------------------------------------------------------------- */

typedef int clock_function(long clock, struct timespec *out);

#if defined(__x86_64__)
#define VDSO_CLOCK "__vdso_clock_gettime"
#else
#define VDSO_CLOCK "__kernel_clock_gettime"
#endif

static int clock_by_call(long clock, struct timespec *out) { return call4(SYS_clock_gettime, clock, (long)out, 0, 0); }

/* The kernel's own code in the process, which reads the clock without a call. libc's function of the name leads there,
 * too, but others may stand before it, and allocate. */
static COLD clock_function *clock_find(void)
{
    struct image image;
    const void *found = NULL;
    if (image_open(&image, (const void *)getauxval(AT_SYSINFO_EHDR)))
        found = image_find(&image, VDSO_CLOCK);
    return found ? (clock_function *)(uintptr_t)found : clock_by_call;
}

static struct timespec clock_read(long clock)
{
    static clock_function *_Atomic function; /* relaxed: the same whoever finds it */
    struct timespec now = {0, 0};
    clock_function *read = load_relaxed(&function);
    if (UNLIKELY(!read)) {
        read = clock_find();
        store_relaxed(&function, read);
    }
    if (read(clock, &now) != 0)
        clock_by_call(clock, &now);
    return now;
}

uint64_t os_milliseconds(void)
{
    struct timespec now = clock_read(CLOCK_MONOTONIC_COARSE);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t os_nanoseconds(void)
{
    struct timespec now = clock_read(CLOCK_MONOTONIC);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t os_cpu_milliseconds(void)
{
    struct timespec used = {0, 0};
    clock_by_call(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000 + (uint64_t)used.tv_nsec / 1000000;
}

/* ---- Processes and threads --------------------------------------------------------------------------------------- */

uint32_t os_process_id(void) { return (uint32_t)system_call(SYS_getpid, 0, 0, 0, 0, 0, 0); }
uint32_t os_user_id(void) { return (uint32_t)system_call(SYS_geteuid, 0, 0, 0, 0, 0, 0); }
uint32_t os_thread_id(void) { return (uint32_t)system_call(SYS_gettid, 0, 0, 0, 0, 0, 0); }

bool os_thread_exists(uint32_t thread_id)
{
    return is_shut() || call4(SYS_tgkill, (long)os_process_id(), (long)thread_id, 0, 0) != ESRCH;
}

/* The kernel's set of signals. */
static uint64_t signal_bit(int number) { return UINT64_C(1) << (number - 1); }

/* As much as can be written; what kept the rest from it. */
static int write_most(int fd, const char *text, size_t length)
{
    while (length > 0) {
        long written = system_call(SYS_write, fd, (long)text, (long)length, 0, 0, 0);
        if (error_of(written) == EINTR)
            continue;
        if (written <= 0)
            return error_of(written);
        text += written;
        length -= (size_t)written;
    }
    return 0;
}

/* That nobody reads what we have to say, or that a file may not grow, would end the program by a signal, which it
 * has not deserved: it is blocked, and taken before the program can get it. */
COLD void os_write(int fd, const char *text, size_t length)
{
    uint64_t ours = signal_bit(SIGPIPE) | signal_bit(SIGXFSZ), before = 0, pending = 0;
    struct timespec at_once = {0, 0};
    if (is_shut()) { /* a filter would end it for certain */
        write_most(fd, text, length);
        return;
    }
    call4(SYS_rt_sigpending, (long)&pending, sizeof pending, 0, 0);
    int blocked = call4(SYS_rt_sigprocmask, SIG_BLOCK, (long)&ours, (long)&before, sizeof before);
    int error = write_most(fd, text, length);
    ours &= error == EPIPE ? signal_bit(SIGPIPE) : error == EFBIG ? signal_bit(SIGXFSZ) : 0;
    ours &= ~pending; /* the program's own, which it has blocked */
    if (blocked == 0 && ours != 0)
        call4(SYS_rt_sigtimedwait, (long)&ours, 0, (long)&at_once, sizeof ours);
    if (blocked == 0)
        call4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before, 0, sizeof before);
}

int os_duplicate(int fd)
{
    /* Out of the way of programs that count on low numbers, as far as the limit of open files allows. */
    enum { HIGH = 500, LOW = 10 };
    for (long least = HIGH; least >= LOW; least /= 2) {
        long result = system_call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, least, 0, 0, 0);
        if (!error_of(result))
            return (int)result;
    }
    return -1;
}

struct file_id os_file_id(int fd)
{
    struct stat stat;
    if (fd < 0 || call4(SYS_fstat, fd, (long)&stat, 0, 0))
        return (struct file_id){0, 0, 0};
    return (struct file_id){stat.st_dev, stat.st_ino, stat.st_mode & S_IFMT};
}

bool os_is_file(int fd, struct file_id file)
{
    struct file_id now = os_file_id(fd);
    return now.type != 0 && now.device == file.device && now.inode == file.inode && now.type == file.type;
}

COLD bool os_is_log(int fd)
{
    uint64_t type = os_file_id(fd).type;
    long flags = type == S_IFREG ? system_call(SYS_fcntl, fd, F_GETFL, 0, 0, 0, 0) : 0;
    return type == S_IFIFO || (!error_of(flags) && (flags & O_APPEND));
}

/* ---- Files ------------------------------------------------------------------------------------------------------- */

/* The number of a standard stream that the program has closed is none for a file of ours: what the program writes to
 * the stream would go into it. */
static int descriptor_raise(int fd, int *out)
{
    enum { ABOVE_STANDARD = 3 };
    *out = fd;
    if (fd >= ABOVE_STANDARD)
        return 0;
    long raised = system_call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, ABOVE_STANDARD, 0, 0, 0);
    os_close(fd);
    *out = (int)raised;
    return error_of(raised);
}

static int file_open(const char *path, int flags, int *fd)
{
    enum { MODE = 0644 };
    long result;
    *fd = -1;
    if (is_shut())
        return EPERM;
    do
        result = system_call(SYS_openat, AT_FDCWD, (long)path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, MODE, 0, 0);
    while (error_of(result) == EINTR);
    return error_of(result) ? error_of(result) : descriptor_raise((int)result, fd);
}

/* Bytes read, from where the last read ended; 0 at the file's end, and with an error. */
static size_t file_read(int fd, char *buffer, size_t size, int *error)
{
    long got;
    do {
        got = system_call(SYS_read, fd, (long)buffer, (long)size, 0, 0, 0);
        *error = error_of(got);
    } while (*error == EINTR);
    return *error ? 0 : (size_t)got;
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

static COLD struct file_info file_info_of(const struct stat *stat)
{
    bool is_own = stat->st_uid == os_user_id();
    return (struct file_info){
        .kind = S_ISREG(stat->st_mode)   ? FILE_PLAIN
                : S_ISDIR(stat->st_mode) ? FILE_DIRECTORY
                : S_ISLNK(stat->st_mode) ? FILE_LINK
                                         : FILE_OTHER,
        .is_own = is_own,
        .is_trusted = is_own || stat->st_uid == 0,
        .is_for_all = (stat->st_mode & S_IWOTH) != 0,
        .names = (uint32_t)stat->st_nlink,
        .changed = (uint64_t)stat->st_mtime,
    };
}

COLD int os_file_look(const char *path, bool follow, struct file_info *out)
{
    struct stat stat;
    int error = call4(SYS_newfstatat, AT_FDCWD, (long)path, (long)&stat, follow ? 0 : AT_SYMLINK_NOFOLLOW);
    if (!error)
        *out = file_info_of(&stat);
    return error;
}

/* Why what was found is not read; 0 when it is. */
static int file_obstacle(const struct file_info *info)
{
    if (info->kind == FILE_LINK)
        return info->is_trusted ? 0 : ELOOP;
    if (info->kind != FILE_PLAIN)
        return ENODEV;
    return info->is_trusted && !info->is_for_all ? 0 : EPERM;
}

/* Looks before it opens, and then once more: it may be another one by now. */
static COLD int file_open_trusted(const char *path, int *fd)
{
    struct file_info info;
    struct stat stat;
    for (int follow = 0; follow <= 1; follow++) {
        int error = os_file_look(path, follow, &info);
        error = error ? error : file_obstacle(&info);
        if (error)
            return error;
    }
    int error = file_open(path, O_RDONLY, fd);
    if (error)
        return error;
    error = call4(SYS_fstat, *fd, (long)&stat, 0, 0);
    if (!error) {
        info = file_info_of(&stat);
        error = file_obstacle(&info);
    }
    if (error)
        os_close(*fd);
    return error;
}

COLD int os_file_read(const char *path, char *text, size_t capacity, size_t *length)
{
    int fd, error = file_open_trusted(path, &fd);
    if (error)
        return error;
    *length = 0;
    for (size_t got = 1; got > 0 && *length < capacity; *length += got)
        got = file_read(fd, text + *length, capacity - *length, &error);
    os_close(fd);
    return *length == capacity ? EFBIG : error;
}

/* Writes it all to the beginning of a file. */
static int file_write(int fd, const char *text, size_t length)
{
    size_t done = 0;
    while (done < length) {
        long written = system_call(SYS_pwrite64, fd, (long)(text + done), (long)(length - done), (long)done, 0, 0);
        int error = error_of(written);
        if (error == EINTR)
            continue;
        if (written <= 0)
            return error ? error : EIO;
        done += (size_t)written;
    }
    return 0;
}

/* Whether a file may become so long: to try ends a process by SIGXFSZ. */
static bool file_may_be(size_t length)
{
    struct {
        uint64_t now, most;
    } limit;
    int error = call4(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, (long)&limit);
    return error || length <= limit.now;
}

COLD int os_file_make(const char *path, const char *text, size_t length)
{
    struct stat stat;
    if (!file_may_be(length))
        return EFBIG;
    int fd, error = file_open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, &fd);
    if (error)
        return error;
    /* No fsync, which may take as long as a disk is busy, at a program's exit. */
    error = file_write(fd, text, length);
    if (!error)
        error = call4(SYS_fstat, fd, (long)&stat, 0, 0);
    if (!error && stat.st_size != (off_t)length)
        error = EIO; /* somebody else wrote to it while its number was a closed stream's */
    int close_error = call4(SYS_close, fd, 0, 0, 0);
    error = error ? error : close_error;
    if (error)
        os_file_remove(path);
    return error;
}

COLD int os_file_rename(const char *from, const char *to, bool replaces)
{
    enum { NO_REPLACE = 1 }; /* RENAME_NOREPLACE */
    long result = system_call(SYS_renameat2, AT_FDCWD, (long)from, AT_FDCWD, (long)to, replaces ? 0 : NO_REPLACE, 0);
    int error = error_of(result);
    if (!replaces && (error == EINVAL || error == ENOSYS)) { /* a file system, or a system, that cannot say so */
        struct file_info info;
        if (os_file_look(to, false, &info) != ENOENT)
            return EEXIST;
        error = call4(SYS_renameat, AT_FDCWD, (long)from, AT_FDCWD, (long)to);
    }
    return error;
}

COLD void os_file_remove(const char *path) { call4(SYS_unlinkat, AT_FDCWD, (long)path, 0, 0); }

COLD int os_directory_make(const char *path)
{
    enum { MODE = 0755 };
    return call4(SYS_mkdirat, AT_FDCWD, (long)path, MODE, 0);
}

COLD void os_directory_list(const char *path, void (*each)(void *context, const char *name), void *context)
{
    struct entry { /* struct linux_dirent64 */
        uint64_t inode;
        int64_t next;
        uint16_t size;
        uint8_t type;
        char name[];
    };
    _Alignas(struct entry) char entries[1024];
    int fd, error = file_open(path, O_RDONLY | O_DIRECTORY, &fd);
    if (error)
        return;
    for (;;) {
        long got = system_call(SYS_getdents64, fd, (long)entries, sizeof entries, 0, 0, 0);
        if (error_of(got) || got == 0)
            break;
        for (long at = 0; at < got; at += ((const struct entry *)(entries + at))->size)
            each(context, ((const struct entry *)(entries + at))->name);
    }
    os_close(fd);
}

COLD bool os_working_directory(char *out, size_t capacity)
{
    /* Out of reach of the process's root it does not begin with a slash. */
    return !call4(SYS_getcwd, (long)out, (long)capacity, 0, 0) && out[0] == '/';
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

COLD bool os_build_id_find(const char *notes, size_t size, char out[static OS_BUILD_ID_MAX])
{
    ElfW(Nhdr) head;
    while (size >= sizeof head) {
        __builtin_memcpy(&head, notes, sizeof head);
        size_t name = align_up((size_t)head.n_namesz, 4), content = head.n_descsz;
        size -= sizeof head;
        notes += sizeof head;
        if (name > size || content > size - name)
            return false;
        if (head.n_type == NT_GNU_BUILD_ID && head.n_namesz == 4 && content > 0 &&
            __builtin_memcmp(notes, "GNU", 4) == 0) {
            hex_put(out, (const unsigned char *)notes + name, content);
            return true;
        }
        size_t step = min_size(name + align_up(content, 4), size);
        notes += step;
        size -= step;
    }
    return false;
}

/* The executable as it lies in memory. */
struct executable {
    const ElfW(Phdr) *heads;
    size_t count;
    uintptr_t base; /* what has to be added to the addresses in its tables */
};

/* The part that is in memory and holds this address, of those in the tables; NULL: none. */
static const ElfW(Phdr) *executable_segment(const struct executable *executable, uintptr_t address)
{
    for (size_t i = 0; i < executable->count; i++) {
        const ElfW(Phdr) *head = &executable->heads[i];
        if (head->p_type == PT_LOAD && (head->p_flags & PF_R) && address >= head->p_vaddr &&
            address - head->p_vaddr < head->p_memsz)
            return head;
    }
    return NULL;
}

static struct executable executable_find(void)
{
    struct executable executable = {(const ElfW(Phdr) *)getauxval(AT_PHDR), getauxval(AT_PHNUM), 0};
    uintptr_t heads = (uintptr_t)executable.heads;
    if (!executable.heads)
        executable.count = 0;
    /* static-pie has no PT_PHDR, but begins with the file's first page, in which its tables are. */
    for (size_t i = 0; i < executable.count; i++)
        if (executable.heads[i].p_type == PT_LOAD && executable.heads[i].p_offset == 0)
            executable.base = (heads & ~(uintptr_t)(os_page_size() - 1)) - executable.heads[i].p_vaddr;
    for (size_t i = 0; i < executable.count; i++)
        if (executable.heads[i].p_type == PT_PHDR)
            executable.base = heads - executable.heads[i].p_vaddr;
    return executable;
}

/* Notes are looked at only as far as they are in memory: tools that strip them leave their entry in the tables. */
static bool executable_build_id(const struct executable *executable, char out[static OS_BUILD_ID_MAX])
{
    for (size_t i = 0; i < executable->count; i++) {
        const ElfW(Phdr) *notes = &executable->heads[i];
        const ElfW(Phdr) *in = notes->p_type == PT_NOTE ? executable_segment(executable, notes->p_vaddr) : NULL;
        if (!in)
            continue;
        size_t most = in->p_memsz - (notes->p_vaddr - in->p_vaddr);
        if (os_build_id_find((const char *)(executable->base + notes->p_vaddr), min_size(notes->p_memsz, most), out))
            return true;
    }
    return false;
}

COLD void os_build_id(char out[static OS_BUILD_ID_MAX])
{
    struct executable executable = executable_find();
    /* Tables that do not say where the program is, by where it begins to run, are not believed. */
    if (executable_segment(&executable, getauxval(AT_ENTRY) - executable.base) && executable_build_id(&executable, out))
        return;
    /* Linked without one: where its parts are and how large they are differs from one program to the next, mostly. */
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < executable.count * sizeof *executable.heads; i++)
        hash = (hash ^ ((const unsigned char *)executable.heads)[i]) * UINT64_C(0x100000001b3);
    hex_put(out, (const unsigned char *)&hash, sizeof hash);
}

/* Whether the file that runs is the loader, which was told by hand to run the program. */
static bool is_run_by_loader(void)
{
    struct executable executable = executable_find();
    bool wants_loader = false;
    for (size_t i = 0; i < executable.count; i++)
        wants_loader |= executable.heads[i].p_type == PT_INTERP;
    return wants_loader && getauxval(AT_BASE) == 0;
}

COLD void os_executable(char *out, size_t capacity)
{
    static const char deleted[] = " (deleted)"; /* what the system adds when it was replaced while it runs */
    enum { DELETED = sizeof deleted - 1 };
    const char *started = os_program();
    long got = is_run_by_loader()
                   ? 0
                   : system_call(SYS_readlinkat, AT_FDCWD, (long)"/proc/self/exe", (long)out, (long)capacity - 1, 0, 0);
    size_t length = error_of(got) ? 0 : (size_t)got;
    if (length > DELETED && __builtin_memcmp(out + length - DELETED, deleted, DELETED) == 0)
        length -= DELETED;
    for (; got <= 0 && started[length] && length < capacity - 1; length++)
        out[length] = started[length];
    out[length] = 0;
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
