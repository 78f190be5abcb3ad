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
uint32_t os_user_id(void) { return (uint32_t)system_call(SYS_geteuid, 0, 0, 0, 0, 0, 0); }
uint32_t os_thread_id(void) { return (uint32_t)system_call(SYS_gettid, 0, 0, 0, 0, 0, 0); }

bool os_thread_exists(uint32_t thread_id)
{
    return call4(SYS_tgkill, (long)os_process_id(), (long)thread_id, 0, 0) != ESRCH;
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
struct image {
    const ElfW(Phdr) *heads;
    size_t count;
    uintptr_t base; /* what has to be added to the addresses in its tables */
};

/* The part that is in memory and holds this address, of those in the tables; NULL: none. */
static const ElfW(Phdr) *image_segment(const struct image *image, uintptr_t address)
{
    for (size_t i = 0; i < image->count; i++) {
        const ElfW(Phdr) *head = &image->heads[i];
        if (head->p_type == PT_LOAD && (head->p_flags & PF_R) && address >= head->p_vaddr &&
            address - head->p_vaddr < head->p_memsz)
            return head;
    }
    return NULL;
}

static struct image image_find(void)
{
    struct image image = {(const ElfW(Phdr) *)getauxval(AT_PHDR), getauxval(AT_PHNUM), 0};
    uintptr_t heads = (uintptr_t)image.heads;
    if (!image.heads)
        image.count = 0;
    /* static-pie has no PT_PHDR, but begins with the file's first page, in which its tables are. */
    for (size_t i = 0; i < image.count; i++)
        if (image.heads[i].p_type == PT_LOAD && image.heads[i].p_offset == 0)
            image.base = (heads & ~(uintptr_t)(os_page_size() - 1)) - image.heads[i].p_vaddr;
    for (size_t i = 0; i < image.count; i++)
        if (image.heads[i].p_type == PT_PHDR)
            image.base = heads - image.heads[i].p_vaddr;
    return image;
}

/* Notes are looked at only as far as they are in memory: tools that strip them leave their entry in the tables. */
static bool image_build_id(const struct image *image, char out[static OS_BUILD_ID_MAX])
{
    for (size_t i = 0; i < image->count; i++) {
        const ElfW(Phdr) *notes = &image->heads[i];
        const ElfW(Phdr) *in = notes->p_type == PT_NOTE ? image_segment(image, notes->p_vaddr) : NULL;
        if (!in)
            continue;
        size_t most = in->p_memsz - (notes->p_vaddr - in->p_vaddr);
        if (os_build_id_find((const char *)(image->base + notes->p_vaddr), min_size(notes->p_memsz, most), out))
            return true;
    }
    return false;
}

COLD void os_build_id(char out[static OS_BUILD_ID_MAX])
{
    struct image image = image_find();
    /* Tables that do not say where the program is, by where it begins to run, are not believed. */
    if (image_segment(&image, getauxval(AT_ENTRY) - image.base) && image_build_id(&image, out))
        return;
    /* Linked without one: where its parts are and how large they are differs from one program to the next, mostly. */
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < image.count * sizeof *image.heads; i++)
        hash = (hash ^ ((const unsigned char *)image.heads)[i]) * UINT64_C(0x100000001b3);
    hex_put(out, (const unsigned char *)&hash, sizeof hash);
}

/* Whether the file that runs is the loader, which was told by hand to run the program. */
static bool is_run_by_loader(void)
{
    struct image image = image_find();
    bool wants_loader = false;
    for (size_t i = 0; i < image.count; i++)
        wants_loader |= image.heads[i].p_type == PT_INTERP;
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
