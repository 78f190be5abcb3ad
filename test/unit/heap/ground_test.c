/* ground_test.c - where the heap lies, and its tables: apart from each other and from everything else, so that no
 * block's overflow reaches a table; at other places in each process; and the heap goes on behind what lies in its way.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "hakmem.h"
#include "heap/ground.h"
#include "heap/slabset.h"
#include "heap/span.h"
#include "system/lock.h"

enum { MAPPINGS = 2000, BLOCKS = 3000, HUGE_BLOCKS = 8 };

static struct mapping {
    uintptr_t start, end;
    bool writable;
    char name[100];
} g_mappings[MAPPINGS];
static size_t g_count;

static void mappings_read(void)
{
    char line[500];
    FILE *file = fopen("/proc/self/maps", "r");
    must(file, "no /proc/self/maps");
    for (g_count = 0; fgets(line, sizeof line, file);) {
        struct mapping *mapping = &g_mappings[g_count++];
        char rights[8];
        mapping->name[0] = 0;
        must(g_count < MAPPINGS && sscanf(line, "%lx-%lx %7s %*s %*s %*s %99s", &mapping->start, &mapping->end, rights,
                                          mapping->name) >= 3, "not a line of the table: %s", line);
        mapping->writable = rights[1] == 'w';
    }
    fclose(file);
}

static size_t mapping_of(const void *address)
{
    for (size_t i = 0; i < g_count; i++)
        if ((uintptr_t)address >= g_mappings[i].start && (uintptr_t)address < g_mappings[i].end)
            return i;
    must(false, "nothing is mapped at %p", address);
    return 0;
}

/* The writable memory around an address, as far as an overflow reaches without a fault. */
static struct mapping reach_of(const void *address)
{
    size_t first = mapping_of(address), last = first;
    while (first > 0 && g_mappings[first - 1].writable && g_mappings[first - 1].end == g_mappings[first].start)
        first--;
    while (last + 1 < g_count && g_mappings[last + 1].writable && g_mappings[last + 1].start == g_mappings[last].end)
        last++;
    return (struct mapping){.start = g_mappings[first].start, .end = g_mappings[last].end};
}

static bool reaches(struct mapping reach, const void *start, size_t size)
{
    return (uintptr_t)start < reach.end && (uintptr_t)start + size > reach.start;
}

/* No table, no variable of the library's, which is linked into this program, and no table from another. */
static void must_reach_no_table(const void *block)
{
    static char variable;
    struct mapping reach = reach_of(block);
    for (enum ground_table table = 0; table < GROUND_TABLES; table++)
        must(!reaches(reach, ground_table(table), ground_extent(table)), "from a block at %p table %d can be reached",
             block, (int)table);
    must(!reaches(reach, &variable, 1) && !reaches(reach, &slab_heap, sizeof slab_heap),
         "from a block at %p variables can be reached", block);
}

static void test_no_table_is_within_reach(void **state)
{
    (void)state;
    static void *blocks[BLOCKS], *huge[HUGE_BLOCKS];
    uint64_t random = 5;
    for (size_t i = 0; i < BLOCKS; i++)
        blocks[i] = hak_malloc(random_size(&random, i % 100 == 0 ? 8 * MIB : 20000));
    for (size_t i = 0; i < HUGE_BLOCKS; i++)
        huge[i] = hak_malloc((40 + i) * MIB);
    mappings_read();
    for (size_t i = 0; i < BLOCKS; i++)
        must_reach_no_table(blocks[i]);
    for (size_t i = 0; i < HUGE_BLOCKS; i++)
        must_reach_no_table(huge[i]);
    for (enum ground_table table = 0; table < GROUND_TABLES; table++) {
        const char *start = ground_table(table);
        struct mapping reach = reach_of(start + ground_extent(table) - 1);
        must(reach.start >= (uintptr_t)start && reach.end == (uintptr_t)start + ground_extent(table),
             "something lies beside table %d", (int)table);
    }
    for (size_t i = 0; i < BLOCKS; i++)
        hak_free(blocks[i]);
    for (size_t i = 0; i < HUGE_BLOCKS; i++)
        hak_free(huge[i]);
}

/* A process of its own: where the heap and a table lie in it. */
static void places_print(int fd)
{
    hak_free(hak_malloc(100));
    dprintf(fd, "%p %p", (void *)ground_heap(), (void *)ground_table(GROUND_META));
}

static void test_places_differ(void **state)
{
    (void)state;
    enum { PROCESSES = 8 };
    static char places[PROCESSES][100];
    for (size_t i = 0; i < PROCESSES; i++) {
        FILE *child = popen("exec /proc/$PPID/exe --places", "r");
        must(child && fgets(places[i], sizeof places[i], child), "no answer from a process of its own");
        pclose(child);
    }
    for (size_t i = 1; i < PROCESSES; i++)
        must(strcmp(places[0], places[i]) != 0, "in two processes the heap and a table lie at %s", places[0]);
}

/* Somebody else's mapping, where the heap would grow next. */
static void test_the_heap_goes_on_behind_others(void **state)
{
    (void)state;
    enum { STEP = 4, STEPS = 40 };
    char *way = ground_heap() + (size_t)span_slab_count() * SUPERSLAB_SIZE + 5 * SUPERSLAB_SIZE;
    void *other = mmap(way, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    must(other == way, "nothing can be mapped at %p", (void *)way);
    static char *blocks[STEPS];
    char *highest = NULL;
    for (size_t i = 0; i < STEPS; i++) {
        blocks[i] = hak_malloc(STEP * MIB);
        must(blocks[i] && (blocks[i] + STEP * MIB <= way || blocks[i] > way),
             "a block at %p, in which others' memory is", (void *)blocks[i]);
        blocks[i][0] = blocks[i][STEP * MIB - 1] = 1;
        highest = blocks[i] > highest ? blocks[i] : highest;
    }
    must(highest > way, "the heap did not go on");
    heap_must_be_valid("behind others");
    for (size_t i = 0; i < STEPS; i++)
        hak_free(blocks[i]);
    munmap(other, 4096);
}

/* What the system has refused is not asked for again at once. */
static void test_a_refusal_is_quick(void **state)
{
    (void)state;
    enum { ASKED = 200 };
    if (UNDER_SHADOW)
        skip();
    pid_t child = child_fork(20);
    if (child == 0) {
        struct rlimit limit = {64 * MIB, 64 * MIB};
        setrlimit(RLIMIT_AS, &limit);
        while (hak_malloc(4 * MIB))
            continue;
        static const size_t sizes[] = {4 * MIB, 30 * MIB, 100 * MIB};
        for (size_t size = 0; size < COUNT_OF(sizes); size++) {
            clock_t begin = clock(); /* processor time: others may run, too */
            for (size_t i = 0; i < ASKED; i++)
                must(!hak_malloc(sizes[size]), "there is address space under a limit that was reached");
            double each = (double)(clock() - begin) / CLOCKS_PER_SEC / ASKED;
            must(each < 50e-6, "each refusal of %zu bytes took %.1f us", sizes[size], each * 1e6);
        }
        _exit(0);
    }
    child_join(child, "a process without address space");
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--places") == 0) {
        places_print(1);
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_table_is_within_reach),
        cmocka_unit_test(test_places_differ),
        cmocka_unit_test(test_the_heap_goes_on_behind_others),
        cmocka_unit_test(test_a_refusal_is_quick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
