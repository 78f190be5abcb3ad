/* areas.c - see areas.h.
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "read/areas.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "grow.h"
#include "read/source.h"

/* The distance below which unreachable memory under anonymous memory is a stack's guard: libc's is a page by
 * default. */
#define GUARD_MOST UINT64_C(65536)

static bool begins(const char *text, const char *head) { return strncmp(text, head, strlen(head)) == 0; }

/* By what the kernel writes behind an area. */
static enum area_kind name_kind(const char *name, const char *rights)
{
    if (begins(name, "[stack"))
        return AREA_STACK;
    if (begins(name, "[heap]"))
        return AREA_BREAK;
    if (rights[0] == '-' && rights[1] == '-' && rights[2] == '-')
        return AREA_GUARD;
    if (begins(name, "/dev/zero") || begins(name, "/SYSV") || begins(name, "/memfd:") || begins(name, "/dev/shm/") ||
        begins(name, "[anon_shmem"))
        return AREA_SHARED;
    return name[0] == '/' || begins(name, "[v") ? AREA_FILE : AREA_ANONYMOUS; /* [vdso], [vvar], [vsyscall] */
}

static void name_copy(struct area *area, const char *name)
{
    const char *slash = name[0] == '/' ? strrchr(name, '/') : NULL;
    snprintf(area->name, sizeof area->name, "%s", slash ? slash + 1 : name);
    text_clean(area->name, sizeof area->name);
}

/* The line that an area begins with. */
static bool area_begin(const char *line, struct area *area)
{
    unsigned long long start, end;
    char rights[5];
    int name = 0;
    if (sscanf(line, "%llx-%llx %4s %*s %*s %*s %n", &start, &end, rights, &name) != 3 || name == 0)
        return false;
    *area = (struct area){.start = start, .end = end, .kind = name_kind(line + name, rights)};
    name_copy(area, line + name);
    return true;
}

/* A line that tells of the area. */
static void area_tell(const char *line, struct area *area)
{
    static const struct row {
        const char *name;
        size_t place;
    } rows[] = {{"Rss:", offsetof(struct area, resident)},
                {"Shared_Clean:", offsetof(struct area, shared)},
                {"Shared_Dirty:", offsetof(struct area, shared)},
                {"AnonHugePages:", offsetof(struct area, huge)},
                {"Swap:", offsetof(struct area, swapped)}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (begins(line, rows[i].name)) {
            uint64_t *sum = (uint64_t *)((char *)area + rows[i].place);
            *sum += strtoull(line + strlen(rows[i].name), NULL, 10) * 1024;
        }
}

static struct area *area_push(struct areas *areas)
{
    struct area *more = array_grow(areas->area, areas->count, sizeof *more);
    if (!more)
        return NULL;
    areas->area = more;
    return &areas->area[areas->count++];
}

/* Anonymous memory right above a guard is a thread's stack, as libc makes them. */
static void stacks_find(struct areas *areas)
{
    for (size_t i = 1; i < areas->count; i++) {
        const struct area *below = &areas->area[i - 1];
        struct area *area = &areas->area[i];
        if (area->kind == AREA_ANONYMOUS && area->name[0] == '\0' && below->kind == AREA_GUARD &&
            below->end == area->start && below->end - below->start <= GUARD_MOST)
            area->kind = AREA_STACK;
    }
}

static void areas_sum(struct areas *areas)
{
    for (size_t i = 0; i < areas->count; i++) {
        areas->resident += areas->area[i].resident;
        areas->shared += areas->area[i].shared;
        areas->swapped += areas->area[i].swapped;
    }
}

int areas_parse(struct areas *areas, FILE *smaps)
{
    char *line = NULL;
    size_t size = 0;
    struct area next, *area = NULL;
    *areas = (struct areas){.pagemap = -1};
    while (getline(&line, &size, smaps) > 0) {
        line[strcspn(line, "\n")] = '\0';
        if (area_begin(line, &next)) {
            area = area_push(areas);
            if (!area)
                break;
            *area = next;
        } else if (area) {
            area_tell(line, area);
        }
    }
    bool is_whole = feof(smaps);
    free(line);
    stacks_find(areas);
    areas_sum(areas);
    return is_whole ? 0 : ENOMEM;
}

/* The kernel counts for each processor, and adds that up now and then: it may say a little less than there is. */
static uint64_t peak_read(pid_t process, uint64_t least)
{
    char path[64], line[256];
    unsigned long long kib = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)process);
    FILE *status = fopen(path, "re");
    while (status && kib == 0 && fgets(line, sizeof line, status))
        sscanf(line, "VmHWM: %llu kB", &kib);
    if (status)
        fclose(status);
    return kib * 1024 > least ? kib * 1024 : least;
}

int areas_read(struct areas *areas, pid_t process)
{
    char path[64];
    *areas = (struct areas){.pagemap = -1};
    snprintf(path, sizeof path, "/proc/%d/smaps", (int)process);
    FILE *smaps = fopen(path, "re");
    if (!smaps)
        return errno;
    int error = areas_parse(areas, smaps);
    fclose(smaps);
    areas->peak = peak_read(process, areas->resident);
    snprintf(path, sizeof path, "/proc/%d/pagemap", (int)process);
    areas->pagemap = open(path, O_RDONLY | O_CLOEXEC);
    return error;
}

void areas_free(struct areas *areas)
{
    if (areas->pagemap >= 0)
        close(areas->pagemap);
    free(areas->area);
    *areas = (struct areas){.pagemap = -1};
}

static int area_compare(const void *key, const void *element)
{
    const uint64_t address = *(const uint64_t *)key;
    const struct area *area = element;
    return address < area->start ? -1 : address >= area->end;
}

struct area *areas_find(const struct areas *areas, uint64_t address)
{
    return areas->count ? bsearch(&address, areas->area, areas->count, sizeof *areas->area, area_compare) : NULL;
}

/* ---- Page by page ------------------------------------------------------------------------------------------------ */

/* Resident pages of `count` from number `first`; false when the system does not tell. */
static bool pages_count(int pagemap, uint64_t first, uint64_t count, uint64_t *resident)
{
    enum { BATCH = 8192 };
    static uint64_t entry[BATCH];
    *resident = 0;
    while (count > 0) {
        uint64_t part = count < BATCH ? count : BATCH;
        if (pread(pagemap, entry, part * sizeof entry[0], (off_t)(first * sizeof entry[0])) !=
            (ssize_t)(part * sizeof entry[0]))
            return false;
        for (uint64_t i = 0; i < part; i++)
            *resident += entry[i] >> 63; /* "present" */
        first += part;
        count -= part;
    }
    return true;
}

/* As if the area's resident pages were spread evenly. */
static uint64_t resident_guess(const struct area *area, uint64_t size)
{
    double share = (double)area->resident / (double)(area->end - area->start);
    return (uint64_t)((double)size * (share < 1 ? share : 1));
}

uint64_t areas_resident(struct areas *areas, uint64_t start, uint64_t size)
{
    enum { PAGES_MOST = 1 << 24 }; /* that are looked at in all: 64 GiB in pages of 4 KiB */
    const struct area *area = areas_find(areas, start);
    if (!area || size == 0)
        return 0;
    if (size > area->end - start)
        size = area->end - start;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), resident;
    uint64_t first = start / page, last = (start + size - 1) / page, pages = last - first + 1;
    if (start == area->start && size == area->end - area->start)
        return area->resident;
    if (areas->pagemap < 0 || pages > PAGES_MOST - areas->pages_looked)
        return resident_guess(area, size);
    areas->pages_looked += pages;
    if (!pages_count(areas->pagemap, first, pages, &resident))
        return resident_guess(area, size);
    return resident * page < size ? resident * page : size * resident / pages;
}
