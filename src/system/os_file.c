#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "system/os_file.h"

#include "system/os_call.h"
#include "system/os_process.h"
#include "system/os_sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#ifndef SYS_renameat
#define SYS_renameat SYS_renameat2 /* whose last argument is 0 in os_call4 */
#endif

/* The number of a standard stream that the program has closed is none for a file of ours: what the program writes to
 * the stream would go into it. */
static int descriptor_raise(int fd, int *out)
{
    enum { ABOVE_STANDARD = 3 };
    *out = fd;
    if (fd >= ABOVE_STANDARD)
        return 0;
    long raised = os_call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, ABOVE_STANDARD, 0, 0, 0);
    os_close(fd);
    *out = (int)raised;
    return os_error_of(raised);
}

static int file_open_as(const char *path, int flags, int mode, int *fd)
{
    long result;
    *fd = -1;
    if (os_is_shut())
        return EPERM;
    do
        result = os_call(SYS_openat, AT_FDCWD, (long)path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, mode, 0, 0);
    while (os_error_of(result) == EINTR);
    return os_error_of(result) ? os_error_of(result) : descriptor_raise((int)result, fd);
}

int os_file_open(const char *path, int flags, int *fd) { return file_open_as(path, flags, 0644, fd); }

/* Bytes read, from where the last read ended; 0 at the file's end, and with an error. */
size_t os_file_next(int fd, char *buffer, size_t size, int *error)
{
    long got;
    do {
        got = os_call(SYS_read, fd, (long)buffer, (long)size, 0, 0, 0);
        *error = os_error_of(got);
    } while (*error == EINTR);
    return *error ? 0 : (size_t)got;
}

int os_open(const char *path)
{
    int fd, error = os_file_open(path, O_RDONLY, &fd);
    return error ? -1 : fd;
}

size_t os_read(int fd, char *buffer, size_t size)
{
    int error;
    return os_file_next(fd, buffer, size, &error);
}

void os_close(int fd) { os_call4(SYS_close, fd, 0, 0, 0); }

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
    int error = os_call4(SYS_newfstatat, AT_FDCWD, (long)path, (long)&stat, follow ? 0 : AT_SYMLINK_NOFOLLOW);
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
    int error = os_file_open(path, O_RDONLY, fd);
    if (error)
        return error;
    error = os_call4(SYS_fstat, *fd, (long)&stat, 0, 0);
    if (!error) {
        info = file_info_of(&stat);
        error = file_obstacle(&info);
    }
    if (error)
        os_close(*fd);
    return error;
}

/* All of it, and closes it. */
static int file_read_all(int fd, char *text, size_t capacity, size_t *length)
{
    int error = 0;
    *length = 0;
    for (size_t got = 1; got > 0 && *length < capacity; *length += got)
        got = os_file_next(fd, text + *length, capacity - *length, &error);
    os_close(fd);
    return *length == capacity ? EFBIG : error;
}

COLD int os_file_read(const char *path, char *text, size_t capacity, size_t *length)
{
    int fd, error = file_open_trusted(path, &fd);
    return error ? error : file_read_all(fd, text, capacity, length);
}

static COLD int file_read_placed(int fd, bool only_roots, char *text, size_t capacity, size_t *length)
{
    struct stat stat;
    mode_t too_many = only_roots ? S_IWGRP | S_IWOTH : S_IWOTH;
    int error = os_call4(SYS_fstat, fd, (long)&stat, 0, 0);
    if (!error && !S_ISREG(stat.st_mode))
        error = ENODEV;
    if (!error && ((stat.st_mode & too_many) || (only_roots && stat.st_uid != 0)))
        error = EPERM;
    if (!error)
        return file_read_all(fd, text, capacity, length);
    os_close(fd);
    return error;
}

COLD int os_file_read_placed(const char *path, bool only_roots, char *text, size_t capacity, size_t *length)
{
    int fd;
    return os_file_open(path, O_RDONLY, &fd) ? ENOENT : file_read_placed(fd, only_roots, text, capacity, length);
}

/* Writes it all to the beginning of a file. */
static int file_write(int fd, const char *text, size_t length, size_t offset)
{
    size_t done = 0;
    while (done < length) {
        long written =
            os_call(SYS_pwrite64, fd, (long)(text + done), (long)(length - done), (long)(offset + done), 0, 0);
        int error = os_error_of(written);
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
    int error = os_call4(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, (long)&limit);
    return error || length <= limit.now;
}

COLD int os_file_make(const char *path, const char *text, size_t length)
{
    struct stat stat;
    if (!file_may_be(length))
        return EFBIG;
    int fd, error = os_file_open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, &fd);
    if (error)
        return error;
    /* No fsync, which may take as long as a disk is busy, at a program's exit. */
    error = file_write(fd, text, length, 0);
    if (!error)
        error = os_call4(SYS_fstat, fd, (long)&stat, 0, 0);
    if (!error && stat.st_size != (off_t)length)
        error = EIO; /* somebody else wrote to it while its number was a closed stream's */
    int close_error = os_call4(SYS_close, fd, 0, 0, 0);
    error = error ? error : close_error;
    if (error)
        os_file_remove(path);
    return error;
}

/* Gives all of a new file its place on the disk. */
static COLD int file_fill(int fd, size_t size)
{
    static const char zero[512];
    int error;
    do
        error = os_call4(SYS_fallocate, fd, 0, 0, (long)size);
    while (error == EINTR);
    if (error != EOPNOTSUPP && error != ENOSYS && error != EPERM)
        return error;
    error = 0;
    for (size_t at = 0; at < size && !error; at += sizeof zero)
        error = file_write(fd, zero, sizeof zero, at);
    return error;
}

COLD int os_file_map(const char *path, size_t size, void **out)
{
    enum { OWN = 0600 };
    if (!file_may_be(size))
        return EFBIG;
    int fd, error = file_open_as(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, OWN, &fd);
    if (error)
        return error;
    error = file_fill(fd, size);
    if (!error)
        error = os_call_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, out);
    os_close(fd);
    if (error)
        os_file_remove(path);
    return error;
}

COLD int os_file_rename(const char *from, const char *to, bool replaces)
{
    enum { NO_REPLACE = 1 }; /* RENAME_NOREPLACE */
    long result = os_call(SYS_renameat2, AT_FDCWD, (long)from, AT_FDCWD, (long)to, replaces ? 0 : NO_REPLACE, 0);
    int error = os_error_of(result);
    if (!replaces && (error == EINVAL || error == ENOSYS)) { /* a file system, or a system, that cannot say so */
        struct file_info info;
        if (os_file_look(to, false, &info) != ENOENT)
            return EEXIST;
        error = os_call4(SYS_renameat, AT_FDCWD, (long)from, AT_FDCWD, (long)to);
    }
    return error;
}

COLD void os_file_remove(const char *path) { os_call4(SYS_unlinkat, AT_FDCWD, (long)path, 0, 0); }

COLD int os_directory_make(const char *path)
{
    enum { MODE = 0755 };
    return os_call4(SYS_mkdirat, AT_FDCWD, (long)path, MODE, 0);
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
    int fd, error = os_file_open(path, O_RDONLY | O_DIRECTORY, &fd);
    if (error)
        return;
    for (;;) {
        long got = os_call(SYS_getdents64, fd, (long)entries, sizeof entries, 0, 0, 0);
        if (os_error_of(got) || got == 0)
            break;
        for (long at = 0; at < got; at += ((const struct entry *)(entries + at))->size)
            each(context, ((const struct entry *)(entries + at))->name);
    }
    os_close(fd);
}

COLD bool os_working_directory(char *out, size_t capacity)
{
    /* Out of reach of the process's root it does not begin with a slash. */
    return !os_call4(SYS_getcwd, (long)out, (long)capacity, 0, 0) && out[0] == '/';
}
