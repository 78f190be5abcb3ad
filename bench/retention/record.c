/* record.c - a library to preload that writes down when a program takes and gives back which blocks, for
 * hakmem-retention.
 *
 *   RECORDER_TRACES=/tmp/traces LD_PRELOAD=.../hakmem-recorder.so PROGRAM
 *
 * Each process writes a file of its own there, PROGRAM.PID.trace, in the form that replay.c describes; so does the
 * child of a fork, with what it does itself. Blocks are glibc's. One lock keeps the order of events, so threads wait
 * for each other more than they would.
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* glibc's own, by the names under which it has them for those who replace malloc. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *block);

enum { STEP_US = 100, LINE_MAX = 80 };

static struct {
    pthread_mutex_t lock;
    int fd; /* of the trace; -1: there is none */
    uint64_t begin_us, written_us;
    size_t length;
    char text[1 << 16];
} trace = {.lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1};

static uint64_t clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* ---- Text, without functions that may call malloc ---------------------------------------------------------------- */

static void trace_flush(void)
{
    for (size_t done = 0; done < trace.length;) {
        ssize_t written = write(trace.fd, trace.text + done, trace.length - done);
        if (written < 0 && errno != EINTR) { /* a full disk: the trace ends here */
            close(trace.fd);
            trace.fd = -1;
            break;
        }
        done += written > 0 ? (size_t)written : 0;
    }
    trace.length = 0;
}

static void add(char c) { trace.text[trace.length++] = c; }

static void add_number(uint64_t number, unsigned base)
{
    char digits[20];
    unsigned count = 0;
    do
        digits[count++] = "0123456789abcdef"[number % base];
    while (number /= base);
    while (count > 0)
        add(digits[--count]);
}

/* Writes when it is, if that is worth a line. */
static void event_begin(char kind)
{
    if (trace.length + 2 * LINE_MAX > sizeof trace.text)
        trace_flush();
    uint64_t us = clock_us() - trace.begin_us;
    if (us - trace.written_us >= STEP_US) {
        add('@');
        add_number(us, 10);
        add('\n');
        trace.written_us = us;
    }
    add(kind);
}

static void note_malloc(const void *block, size_t size)
{
    if (!block || trace.fd < 0)
        return;
    pthread_mutex_lock(&trace.lock);
    event_begin('+');
    add_number((uintptr_t)block, 16);
    add(' ');
    add_number(size, 10);
    add('\n');
    pthread_mutex_unlock(&trace.lock);
}

static void note_free(const void *block)
{
    if (!block || trace.fd < 0)
        return;
    pthread_mutex_lock(&trace.lock);
    event_begin('-');
    add_number((uintptr_t)block, 16);
    add('\n');
    pthread_mutex_unlock(&trace.lock);
}

/* ---- The file ---------------------------------------------------------------------------------------------------- */

static void trace_open(void)
{
    const char *folder = getenv("RECORDER_TRACES");
    char path[4096];
    size_t length = folder ? strlen(folder) : 0, name = strlen(program_invocation_short_name);
    if (length == 0 || length + name + LINE_MAX > sizeof path)
        return;
    trace.length = 0; /* the name is put together where lines are */
    for (const char *c = folder; *c; c++)
        add(*c);
    add('/');
    for (const char *c = program_invocation_short_name; *c; c++)
        add(*c);
    add('.');
    add_number((uint64_t)getpid(), 10);
    memcpy(path, trace.text, trace.length);
    memcpy(path + trace.length, ".trace", sizeof ".trace");
    trace.length = 0;
    trace.fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    trace.begin_us = clock_us();
    trace.written_us = 0;
}

static void fork_prepare(void) { pthread_mutex_lock(&trace.lock); }
static void fork_parent(void) { pthread_mutex_unlock(&trace.lock); }

static void fork_child(void)
{
    if (trace.fd >= 0)
        close(trace.fd);
    trace_open();
    pthread_mutex_unlock(&trace.lock);
}

__attribute__((constructor)) static void record_start(void)
{
    trace_open();
    pthread_atfork(fork_prepare, fork_parent, fork_child);
}

__attribute__((destructor)) static void record_end(void)
{
    pthread_mutex_lock(&trace.lock);
    if (trace.fd >= 0)
        trace_flush();
    pthread_mutex_unlock(&trace.lock);
}

/* A program that leaves by _exit, as many that fork do, runs no destructor. */
__attribute__((noreturn)) void _exit(int status)
{
    record_end();
    _Exit(status);
}

/* ---- What programs call ------------------------------------------------------------------------------------------ */

void *malloc(size_t size)
{
    void *block = __libc_malloc(size);
    note_malloc(block, size);
    return block;
}

void *calloc(size_t count, size_t size)
{
    void *block = __libc_calloc(count, size);
    note_malloc(block, count * size);
    return block;
}

void free(void *block)
{
    note_free(block); /* before another thread gets it */
    __libc_free(block);
}

void *realloc(void *block, size_t size)
{
    if (!block)
        return malloc(size);
    if (size == 0) {
        free(block);
        return NULL;
    }
    pthread_mutex_lock(&trace.lock); /* while it is nobody's */
    void *resized = __libc_realloc(block, size);
    if (resized && trace.fd >= 0) {
        event_begin('=');
        add_number((uintptr_t)block, 16);
        add(' ');
        add_number((uintptr_t)resized, 16);
        add(' ');
        add_number(size, 10);
        add('\n');
    }
    pthread_mutex_unlock(&trace.lock);
    return resized;
}

void *memalign(size_t alignment, size_t size)
{
    void *block = __libc_memalign(alignment, size);
    note_malloc(block, size);
    return block;
}

void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **out, size_t alignment, size_t size)
{
    void *block = memalign(alignment, size);
    if (!block)
        return ENOMEM;
    *out = block;
    return 0;
}
