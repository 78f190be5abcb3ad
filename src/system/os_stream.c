#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "system/os_stream.h"

#include "system/os_call.h"
#include "system/os_sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

/* The kernel's set of signals. */
static uint64_t signal_bit(int number) { return UINT64_C(1) << (number - 1); }

/* As much as can be written; what kept the rest from it. */
static int write_most(int fd, const char *text, size_t length)
{
    while (length > 0) {
        long written = os_call(SYS_write, fd, (long)text, (long)length, 0, 0, 0);
        if (os_error_of(written) == EINTR)
            continue;
        if (written <= 0)
            return os_error_of(written);
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
    if (os_is_shut()) { /* a filter would end it for certain */
        write_most(fd, text, length);
        return;
    }
    os_call4(SYS_rt_sigpending, (long)&pending, sizeof pending, 0, 0);
    int blocked = os_call4(SYS_rt_sigprocmask, SIG_BLOCK, (long)&ours, (long)&before, sizeof before);
    int error = write_most(fd, text, length);
    ours &= error == EPIPE ? signal_bit(SIGPIPE) : error == EFBIG ? signal_bit(SIGXFSZ) : 0;
    ours &= ~pending; /* the program's own, which it has blocked */
    if (blocked == 0 && ours != 0)
        os_call4(SYS_rt_sigtimedwait, (long)&ours, 0, (long)&at_once, sizeof ours);
    if (blocked == 0)
        os_call4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before, 0, sizeof before);
}

int os_duplicate(int fd)
{
    /* Out of the way of programs that count on low numbers, as far as the limit of open files allows. */
    enum { HIGH = 500, LOW = 10 };
    for (long least = HIGH; least >= LOW; least /= 2) {
        long result = os_call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, least, 0, 0, 0);
        if (!os_error_of(result))
            return (int)result;
    }
    return -1;
}

struct file_id os_file_id(int fd)
{
    struct stat stat;
    if (fd < 0 || os_call4(SYS_fstat, fd, (long)&stat, 0, 0))
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
    long flags = type == S_IFREG ? os_call(SYS_fcntl, fd, F_GETFL, 0, 0, 0, 0) : 0;
    return type == S_IFIFO || (!os_error_of(flags) && (flags & O_APPEND));
}
