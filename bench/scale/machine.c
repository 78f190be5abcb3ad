/* machine.c - what the machine has and allows; memory and threads of the program itself. Reads /proc by plain system
 * calls into buffers of its own: nothing here allocates.
 * SPDX-License-Identifier: MIT */
#include "scale.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum { FILE_SIZE = 8192 };

/* ---- What the system says ---------------------------------------------------------------------------------------- */

static bool file_read(const char *path, char *text)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : read(file, text, FILE_SIZE - 1);
    if (file >= 0)
        close(file);
    text[length > 0 ? length : 0] = '\0';
    return length > 0;
}

/* Of a line such as "MemTotal:   1234 kB"; 0 when there is none. */
static uint64_t field_bytes(const char *text, const char *field)
{
    const char *line = strstr(text, field);
    return line == NULL ? 0 : strtoull(line + strlen(field), NULL, 10) * KIB;
}

static uint64_t system_bytes(const char *field)
{
    char text[FILE_SIZE];
    file_read("/proc/meminfo", text);
    return field_bytes(text, field);
}

/* A container's own bound on its memory: a file of cgroup v2. "max", and no file, are no bound. */
static uint64_t group_bytes(const char *file_name, uint64_t otherwise)
{
    char text[FILE_SIZE], path[FILE_SIZE + 64];
    const char *group = file_read("/proc/self/cgroup", text) ? strstr(text, "0::") : NULL;
    if (group == NULL)
        return otherwise;
    snprintf(path, sizeof path, "/sys/fs/cgroup%.*s/%s", (int)strcspn(group + 3, "\n"), group + 3, file_name);
    if (!file_read(path, text) || strncmp(text, "max", 3) == 0)
        return otherwise;
    return strtoull(text, NULL, 10);
}

static uint64_t smaller(uint64_t a, uint64_t b) { return a < b ? a : b; }

uint64_t memory_total(void) { return smaller(system_bytes("MemTotal:"), group_bytes("memory.max", UINT64_MAX)); }

uint64_t memory_available(void)
{
    uint64_t available = system_bytes("MemAvailable:");
    uint64_t bound = group_bytes("memory.max", UINT64_MAX), used = group_bytes("memory.current", 0);
    return bound == UINT64_MAX ? available : smaller(available, bound - smaller(bound, used));
}

/* Page tables count, because a heap of which little is touched consists of them for the most part. */
uint64_t memory_used(void)
{
    char text[FILE_SIZE];
    file_read("/proc/self/status", text);
    return field_bytes(text, "VmRSS:") + field_bytes(text, "VmPTE:");
}

uint64_t memory_field_kb(const char *field)
{
    char text[FILE_SIZE];
    if (!file_read("/proc/self/smaps_rollup", text))
        case_fail_errno("/proc/self/smaps_rollup", errno);
    return field_bytes(text, field) / KIB;
}

/* ---- What it allows ---------------------------------------------------------------------------------------------- */

/* Address space that this process may still have; *why says what bounds it. */
static uint64_t space_left(const char **why)
{
    char text[FILE_SIZE];
    struct rlimit limit;
    uint64_t left = UINT64_MAX;
    *why = "";
    if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
        file_read("/proc/self/status", text);
        left = limit.rlim_cur - smaller(limit.rlim_cur, field_bytes(text, "VmSize:"));
        *why = "ulimit -v";
    }
    if (file_read("/proc/sys/vm/overcommit_memory", text) && text[0] == '2') {
        uint64_t bound = system_bytes("CommitLimit:"), promised = system_bytes("Committed_AS:");
        if (bound - smaller(bound, promised) < left) {
            left = bound - smaller(bound, promised);
            *why = "vm.overcommit_memory = 2";
        }
    }
    return left;
}

bool machine_allows(uint64_t space, uint64_t touched, unsigned percent)
{
    char need_text[SIZE_TEXT], bound_text[SIZE_TEXT];
    const char *why;
    uint64_t left = space_left(&why), bound = memory_available() / 100 * percent;
    if (space > left)
        case_skip("needs %s of address space, and %s leaves %s", size_text(space, need_text), why,
                  size_text(left, bound_text));
    else if (touched > bound)
        case_skip("needs %s, and %u %% of the available memory is %s", size_text(touched, need_text), percent,
                  size_text(bound, bound_text));
    return space <= left && touched <= bound;
}

uint64_t header_bytes(void) { return 2 * (uint64_t)sysconf(_SC_PAGESIZE); }

uint64_t touch_bytes(size_t block)
{
    char text[FILE_SIZE];
    bool is_huge = file_read("/sys/kernel/mm/transparent_hugepage/enabled", text) && strstr(text, "[always]") != NULL;
    return is_huge && block > header_bytes() ? block : header_bytes();
}

/* ---- CPUs -------------------------------------------------------------------------------------------------------- */

/* False where there are more than a cpu_set_t can tell. */
static bool cpus_find(cpu_set_t *cpus) { return sched_getaffinity(getpid(), sizeof *cpus, cpus) == 0; }

unsigned cpu_count(void)
{
    cpu_set_t cpus;
    return cpus_find(&cpus) ? (unsigned)CPU_COUNT(&cpus) : (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
}

void cpu_pin(unsigned number)
{
    cpu_set_t cpus, one;
    if (!cpus_find(&cpus))
        return;
    unsigned left = number % (unsigned)CPU_COUNT(&cpus);
    size_t cpu = 0;
    while (!CPU_ISSET(cpu, &cpus) || left-- > 0)
        cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
}

/* ---- Memory of the program itself -------------------------------------------------------------------------------- */

static void *own_map(size_t bytes, int kind)
{
    void *memory =
        mmap(NULL, bytes == 0 ? 1 : bytes, PROT_READ | PROT_WRITE, kind | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED)
        case_fail_errno("mmap of the program's own memory", errno);
    return memory;
}

void *own_alloc(size_t bytes) { return own_map(bytes, MAP_PRIVATE); }
void *own_alloc_shared(size_t bytes) { return own_map(bytes, MAP_SHARED); }

/* ---- Threads ----------------------------------------------------------------------------------------------------- */

enum { STACK_BYTES = 128 << 10, IDLE_CALLS = 400, IDLE_LIVE = 40 };

pthread_t thread_start(void *(*function)(void *), void *argument)
{
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    int error = pthread_create(&thread, &attributes, function, argument);
    if (error != 0) {
        case_skip("the system starts no more threads: %s", strerror(error));
        _exit(0);
    }
    pthread_attr_destroy(&attributes);
    return thread;
}

static pthread_barrier_t all_idle;

static void blocks_come_and_go(void)
{
    void *blocks[IDLE_LIVE] = {NULL};
    struct random random = {.state = clock_ns() | 1};
    for (unsigned i = 0; i < IDLE_CALLS; i++) {
        void **block = &blocks[i % IDLE_LIVE];
        free(*block);
        *block = block_make_touched(random_size(&random, 4, 11));
    }
    for (unsigned i = 0; i < IDLE_LIVE; i++)
        free(blocks[i]);
}

static void *idle_main(void *call_malloc)
{
    if (call_malloc != NULL)
        blocks_come_and_go();
    pthread_barrier_wait(&all_idle);
    for (;;)
        pause();
    return NULL;
}

void threads_idle(unsigned count, bool call_malloc)
{
    static char yes;
    pthread_barrier_init(&all_idle, NULL, count + 1);
    for (unsigned i = 0; i < count; i++)
        thread_start(idle_main, call_malloc ? &yes : NULL);
    pthread_barrier_wait(&all_idle);
}

/* ---- Time -------------------------------------------------------------------------------------------------------- */

uint64_t clock_cost_ns;

void clock_prepare(void)
{
    uint64_t least = UINT64_MAX;
    for (unsigned i = 0; i < 2000; i++) {
        uint64_t begin = clock_ns();
        least = smaller(least, clock_ns() - begin);
    }
    clock_cost_ns = least;
}

void sleep_seconds(double seconds)
{
    struct timespec rest = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    while (nanosleep(&rest, &rest) != 0)
        continue;
}
