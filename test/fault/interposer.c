/* interposer.c - a library that stands before functions of libc, as tracers, fake clocks and caches do, and allocates
 * in each of them. None of them may be called by hakmem: inside malloc it would call itself.
 * SPDX-License-Identifier: MIT */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static __thread int g_depth;

/* Ends the process where the caller is hakmem; else allocates. */
static void enter(const char *name, void *caller)
{
    static const char line[] = " was called by hakmem\n";
    Dl_info info;
    if (g_depth++ > 0) {
        return;
    }
    if (dladdr(caller, &info) != 0 && strstr(info.dli_fname, "libhakmem") != NULL) {
        syscall(SYS_write, STDERR_FILENO, name, strlen(name));
        syscall(SYS_write, STDERR_FILENO, line, sizeof line - 1);
        _exit(98);
    }
    void *block = malloc(1000);
    free(malloc(70000));
    free(block);
}

static long leave(long result)
{
    g_depth--;
    return result;
}

#define ENTER() enter(__func__, __builtin_return_address(0))
#define AS_LONG(value) ((long)(value))

int clock_gettime(clockid_t clock, struct timespec *now)
{
    ENTER();
    return (int)leave(syscall(SYS_clock_gettime, clock, now));
}

void *mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    ENTER();
    return (void *)leave(syscall(SYS_mmap, address, size, protection, flags, fd, offset));
}

int munmap(void *address, size_t size)
{
    ENTER();
    return (int)leave(syscall(SYS_munmap, address, size));
}

int madvise(void *address, size_t size, int advice)
{
    ENTER();
    return (int)leave(syscall(SYS_madvise, address, size, advice));
}

void *mremap(void *address, size_t old_size, size_t new_size, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    void *target = flags & MREMAP_FIXED ? va_arg(more, void *) : NULL;
    va_end(more);
    ENTER();
    return (void *)leave(syscall(SYS_mremap, address, old_size, new_size, flags, target));
}

int open(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    int mode = flags & O_CREAT ? va_arg(more, int) : 0;
    va_end(more);
    ENTER();
    return (int)leave(syscall(SYS_openat, AT_FDCWD, path, flags, mode));
}

ssize_t read(int fd, void *buffer, size_t size)
{
    ENTER();
    return leave(syscall(SYS_read, fd, buffer, size));
}

ssize_t write(int fd, const void *buffer, size_t size)
{
    ENTER();
    return leave(syscall(SYS_write, fd, buffer, size));
}

int sysinfo(struct sysinfo *info)
{
    ENTER();
    return (int)leave(syscall(SYS_sysinfo, info));
}

pid_t getpid(void)
{
    ENTER();
    return (pid_t)leave(syscall(SYS_getpid));
}

char *getenv(const char *name)
{
    extern char **environ;
    size_t length = strlen(name);
    char *value = NULL;
    ENTER();
    for (char **entry = environ; entry != NULL && *entry != NULL && value == NULL; entry++) {
        if (strncmp(*entry, name, length) == 0 && (*entry)[length] == '=') {
            value = *entry + length + 1;
        }
    }
    leave(0);
    return value;
}

int pthread_mutex_lock(pthread_mutex_t *mutex)
{
    static int (*next)(pthread_mutex_t *);
    ENTER();
    if (next == NULL) {
        next = (int (*)(pthread_mutex_t *))dlsym(RTLD_NEXT, "pthread_mutex_lock");
    }
    return (int)leave(next(mutex));
}
