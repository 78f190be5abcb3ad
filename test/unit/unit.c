/* unit.c - see unit.h.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "system/lock.h"
#include "heap/map.h"
#include "system/os_clock.h"
#include "system/os_look.h"
#include "system/os_sandbox.h"
#include "system/report.h"
#include "heap/span.h"
#include "cache/thread.h"

/* As the shared library's front does, which is not part of this. */
__attribute__((constructor)) static void filters_watch(void) { os_sandbox_watch(); }

/* ---- Output ------------------------------------------------------------------------------------------------------ */

static int g_file = -1, g_stderr = -1;

int file_make(void)
{
    int fd = memfd_create("captured", MFD_CLOEXEC);
    must(fd >= 0, "memfd_create: %s", strerror(errno));
    return fd;
}

bool byte_is_open(const char *byte)
{
    static int file = -1;
    if (file < 0)
        file = file_make();
    ssize_t wrote = pwrite(file, byte, 1, 0);
    must(wrote == 1 || errno == EFAULT, "write: %s", strerror(errno));
    return wrote == 1;
}

void file_read(int fd, char *text, size_t capacity)
{
    ssize_t length = pread(fd, text, capacity - 1, 0);
    must(length >= 0, "pread: %s", strerror(errno));
    text[length] = 0;
}

/* As if the process had started with stderr where it is now. */
static void stderr_begin(void)
{
    report_stderr.is_open = false;
    report_start();
}

void stderr_capture(void)
{
    g_file = file_make();
    g_stderr = dup(STDERR_FILENO);
    dup2(g_file, STDERR_FILENO);
    stderr_begin();
}

void stderr_release(char *text, size_t capacity)
{
    dup2(g_stderr, STDERR_FILENO);
    stderr_begin();
    close(g_stderr);
    file_read(g_file, text, capacity);
    close(g_file);
}

/* ---- The system -------------------------------------------------------------------------------------------------- */

/* As in a program with the shared library: no filter of system calls has come. */
__attribute__((constructor)) static void sandbox_open(void) { os_sandbox_watch(); }

/* ---- Children ---------------------------------------------------------------------------------------------------- */

void error_line(char *line, size_t capacity, enum error_id id, const char *call, const void *address, size_t block_size)
{
    static const struct {
        const char *what, *advice;
    } texts[] = {
#define X(name, what, advice) [ERROR_##name] = {what, advice},
#define W(name, what)
#include "system/errors.def"
#undef X
#undef W
    };
    char size_class[40] = "";
    if (block_size > 0)
        snprintf(size_class, sizeof size_class, ", size class %zu B", block_size);
    snprintf(line, capacity, "hakmem: fatal: %s(0x%zx): %s%s; %s\n", call, (size_t)(uintptr_t)address, texts[id].what,
             size_class, texts[id].advice);
}

void must_die_of(enum error_id id, const char *call, size_t block_size, void (*body)(void *), void *argument)
{
    static struct child_result result;
    char expected[512];
    unsigned long long address = 0;
    child_run(body, argument, 20, &result);
    const char *open = strchr(result.err, '(');
    if (open)
        sscanf(open, "(%llx)", &address);
    error_line(expected, sizeof expected, id, call, (void *)(uintptr_t)address, block_size);
    bool aborted = !result.timed_out && WIFSIGNALED(result.status) && WTERMSIG(result.status) == SIGABRT;
    must(aborted && is_fatal_line(result.err, expected), "expected SIGABRT and the line\n%ssaw %s and\n%s", expected,
         child_ending(&result), result.err);
}

pid_t child_fork(unsigned seconds)
{
    /* ThreadSanitizer has to hear of a fork; it knows only fork. */
    pid_t child = UNDER_TSAN ? fork() : _Fork();
    must(child >= 0, "fork: %s", strerror(errno));
    if (child == 0)
        alarm(seconds);
    return child;
}

void child_join(pid_t child, const char *what)
{
    struct child_result result = {.status = 0};
    must(waitpid(child, &result.status, 0) == child, "waitpid: %s", strerror(errno));
    must(WIFEXITED(result.status) && WEXITSTATUS(result.status) == 0, "%s: the child ended with %s", what,
         child_ending(&result));
}

void run_again_with(const char *variable, char **arguments)
{
    if (getenv(variable))
        return;
    setenv(variable, "1", 1);
    execv("/proc/self/exe", arguments);
    must_fail(__FILE__, __LINE__, "exec: %s", strerror(errno));
}

/* ---- Threads ----------------------------------------------------------------------------------------------------- */

struct call {
    void (*body)(void *);
    void *argument;
};

static void *call_run(void *argument)
{
    const struct call *call = argument;
    call->body(call->argument);
    return NULL;
}

void in_next_thread(void (*body)(void *), void *argument)
{
    pthread_t thread;
    struct call call = {body, argument};
    must(pthread_create(&thread, NULL, call_run, &call) == 0, "pthread_create failed");
    pthread_join(thread, NULL);
}

void in_thread(void (*body)(void *), void *argument)
{
    thread_close_parked();
    in_next_thread(body, argument);
    thread_close_parked();
}

void sleep_milliseconds(unsigned milliseconds)
{
    struct timespec rest = {.tv_sec = milliseconds / 1000, .tv_nsec = (long)(milliseconds % 1000) * 1000000};
    uint64_t end = os_milliseconds() + milliseconds;
    while (nanosleep(&rest, &rest) != 0)
        continue;
    rest = (struct timespec){.tv_nsec = 1000000};
    while (os_milliseconds() < end)
        nanosleep(&rest, NULL);
}

/* ---- The heap ---------------------------------------------------------------------------------------------------- */

size_t page_resident(const struct page *page)
{
    return os_resident(page->start, (size_t)class_info[page->class_id].units << UNIT_SHIFT);
}

void heap_lock(void) { must(lock_acquire(), "the lock is held by this thread already"); }

void heap_each_page(void (*visit)(struct page *, void *), void *argument)
{
    heap_lock();
    for (uint32_t n = 0; n < span_slab_count(); n++)
        for (uint32_t unit = 0; unit < SUPERSLAB_UNITS; unit++) {
            char *start = slab_unit_start(slab_at(n), unit);
            struct page *page = start ? map_page(start) : NULL;
            if (page && class_is_paged(map_class(start)) && page->start == start)
                visit(page, argument);
        }
    lock_release();
}

static void page_must_be_valid(struct page *page, void *when)
{
    must(page_is_valid(page), "%s: the page of class %u at %p is not valid", (const char *)when, page->class_id,
         (void *)page->start);
}

void heap_must_be_valid(const char *when)
{
    heap_lock();
    for (uint32_t n = 0; n < span_slab_count(); n++)
        must(span_slab_is_valid(slab_at(n)), "%s: superslab %u is not valid", when, n);
    lock_release();
    heap_each_page(page_must_be_valid, (void *)(uintptr_t)when);
}
