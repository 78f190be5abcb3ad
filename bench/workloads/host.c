/* host.c - what the machine takes for the things that allocators differ in: page faults, system calls, cache misses and
 * huge pages. Without malloc, so it is the same on every allocator. Each is the median of several tries.
 * SPDX-License-Identifier: MIT */
#include "harness.h"

#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { TRIES = 7 };

static const size_t HUGE_PAGE = (size_t)2 << 20;
/* Of small pages in a try. */
static const size_t FAULT_BYTES = (size_t)8 << 20;
/* Beyond most machines' caches, and little enough to be there. */
static const size_t CHASE_BYTES = (size_t)256 << 20;
enum { CALLS = 20000, HOPS = 200000 };

static void *pages_map(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static int less(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* Negative where it cannot be known. */
static double median_of(double (*once)(void))
{
    double found[TRIES];
    for (unsigned i = 0; i < TRIES; i++)
        found[i] = once();
    qsort(found, TRIES, sizeof *found, less);
    return found[TRIES / 2];
}

static double system_call_ns(void)
{
    uint64_t begin = clock_ns();
    for (unsigned i = 0; i < CALLS; i++)
        syscall(SYS_getppid);
    return (double)(clock_ns() - begin) / CALLS;
}

static double page_fault_ns(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    volatile char *memory = pages_map(FAULT_BYTES);
    if (memory == NULL)
        return -1;
    madvise((void *)memory, FAULT_BYTES, MADV_NOHUGEPAGE);
    uint64_t begin = clock_ns();
    for (size_t i = 0; i < FAULT_BYTES; i += page)
        memory[i] = 1;
    double ns = (double)(clock_ns() - begin) / (double)(FAULT_BYTES / page);
    munmap((void *)memory, FAULT_BYTES);
    return ns;
}

/* Whether the page behind the first one came with it. */
static bool is_huge(void *memory)
{
    unsigned char resident[2] = {0, 0};
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return mincore(memory, 2 * page, resident) == 0 && (resident[1] & 1) != 0;
}

/* The first touch of one; negative where the system gave small pages in spite of the wish. */
static double huge_page_ns(void)
{
    char *memory = pages_map(2 * HUGE_PAGE);
    if (memory == NULL)
        return -1;
    char *aligned = memory + (HUGE_PAGE - (uintptr_t)memory % HUGE_PAGE) % HUGE_PAGE;
    madvise(aligned, HUGE_PAGE, MADV_HUGEPAGE);
    uint64_t begin = clock_ns();
    *(volatile char *)aligned = 1;
    double ns = (double)(clock_ns() - begin);
    ns = is_huge(aligned) ? ns : -1;
    munmap(memory, 2 * HUGE_PAGE);
    return ns;
}

/* Each hop's place is known only when the one before has been read, and no prefetcher guesses it: the generator comes
 * to every line once before it repeats itself. */
static double cache_miss_ns(void)
{
    static uint64_t *memory;
    const uint64_t lines = CHASE_BYTES / CACHE_LINE;
    if (memory == NULL) {
        memory = pages_map(CHASE_BYTES);
        if (memory == NULL)
            return -1;
        madvise(memory, CHASE_BYTES, MADV_HUGEPAGE);
        memset(memory, 0, CHASE_BYTES);
        __asm__ volatile("" ::"r"(memory) : "memory");
    }
    static uint64_t line;
    uint64_t begin = clock_ns();
    for (unsigned i = 0; i < HOPS; i++)
        line = (line * UINT64_C(0xD1342543DE82EF95) + 1 + memory[line * (CACHE_LINE / sizeof *memory)]) % lines;
    return (double)(clock_ns() - begin) / HOPS;
}

static void cost_print(const char *name, double ns, const char *separator)
{
    if (ns < 0)
        printf("\"%s\": null%s", name, separator);
    else
        printf("\"%s\": %.1f%s", name, ns, separator);
}

void host_print(void)
{
    printf("{");
    cost_print("page_fault", median_of(page_fault_ns), ", ");
    cost_print("system_call", median_of(system_call_ns), ", ");
    cost_print("cache_miss", median_of(cache_miss_ns), ", ");
    cost_print("huge_page", median_of(huge_page_ns), "}\n");
}
