/* huge_test.c - HAKMEM_HUGE: what the system is told about each kind of memory, and what it makes of it. The program
 * starts itself again with the option.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hakmem.h"
#include "heap/ground.h"
#include "heap/huge.h"
#include "heap/span.h"

enum { SECONDS = 60, BLOCKS = 2000, BLOCK = 10000, RUN = 5 * MIB, MAPPING = 40 * MIB, LARGER = 100 * MIB };

/* A mapping of the process, as the system describes it. */
struct mapping {
    size_t huge;                /* bytes that lie in huge pages */
    bool is_asked, is_shut_out; /* for them, and from them */
};

static struct mapping mapping_of(const void *address)
{
    struct mapping found = {0};
    char line[512];
    FILE *file = fopen("/proc/self/smaps", "r");
    must(file != NULL, "/proc/self/smaps cannot be opened");
    bool is_it = false;
    while (fgets(line, sizeof line, file)) {
        unsigned long long begin, end;
        size_t kib;
        if (sscanf(line, "%llx-%llx ", &begin, &end) == 2)
            is_it = (uintptr_t)address >= begin && (uintptr_t)address < end;
        else if (is_it && sscanf(line, "AnonHugePages: %zu", &kib) == 1)
            found.huge = kib * KIB;
        else if (is_it && strncmp(line, "VmFlags:", 8) == 0)
            found = (struct mapping){found.huge, strstr(line, " hg") != NULL, strstr(line, " nh") != NULL};
    }
    fclose(file);
    return found;
}

/* Blocks of pages, a run, and a mapping that has grown and moved; all written to. */
static char *g_blocks[BLOCKS], *g_run, *g_mapping;

static void memory_use(void)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        g_blocks[i] = hak_malloc(BLOCK);
        memset(g_blocks[i], 1, BLOCK);
    }
    g_run = hak_malloc(RUN);
    memset(g_run, 1, RUN);
    g_mapping = hak_realloc(hak_malloc(MAPPING), LARGER);
    memset(g_mapping, 1, LARGER);
}

static void memory_free(void)
{
    for (size_t i = 0; i < BLOCKS; i++)
        hak_free(g_blocks[i]);
    hak_free(g_run);
    hak_free(g_mapping);
    hak_trim(0);
}

static struct span_stats stats_now(void)
{
    struct span_stats stats;
    heap_must_be_valid("with huge pages as told");
    span_stats(&stats);
    return stats;
}

static void when_never(void)
{
    struct mapping blocks = mapping_of(g_blocks[0]), run = mapping_of(g_run), mapping = mapping_of(g_mapping);
    must(blocks.is_shut_out && run.is_shut_out && mapping.is_shut_out, "memory may lie in huge pages");
    must(mapping_of(ground_table(GROUND_META) + ground_extent(GROUND_META) - 1).is_shut_out,
         "a table may lie in huge pages");
    must(blocks.huge + run.huge + mapping.huge == 0, "%zu bytes lie in huge pages",
         blocks.huge + run.huge + mapping.huge);
    must(stats_now().huge == 0, "statistics: %zu bytes in huge pages", stats_now().huge);
    memory_free();
}

/* Whether the system gives any to who asks. */
static bool system_has_some(void)
{
    char text[64] = "";
    FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r");
    bool has = file && fgets(text, sizeof text, file) && !strstr(text, "[never]");
    if (file)
        fclose(file);
    return has && sysconf(_SC_PAGESIZE) == 4096;
}

static void when_always(void)
{
    struct mapping blocks = mapping_of(g_blocks[0]), run = mapping_of(g_run), mapping = mapping_of(g_mapping);
    struct span_stats stats = stats_now();
    must(blocks.is_asked && run.is_asked && mapping.is_asked, "no huge pages were asked for");
    if (sysconf(_SC_PAGESIZE) != 4096)
        return;
    must(stats.huge == stats.mapped, "statistics: %zu of %zu bytes in huge pages", stats.huge, stats.mapped);
    /* What came with them and nobody uses is dirty, but for what was mapped and not touched. */
    must(stats.used + stats.dirty >= BLOCKS * BLOCK + RUN && (stats.used + stats.dirty) % SUPERSLAB_SIZE == 0,
         "%zu bytes are in use and %zu dirty", stats.used, stats.dirty);
    if (system_has_some()) {
        must(blocks.huge >= BLOCKS * BLOCK * 3 / 4, "of blocks %zu bytes lie in huge pages", blocks.huge);
        must(mapping.huge >= LARGER * 3 / 4, "of a mapping %zu bytes lie in huge pages", mapping.huge);
    }
    memory_free();
    must(stats_now().dirty == 0, "%zu bytes stay", stats_now().dirty);
    must(UNDER_SHADOW || process_anonymous() < 4 * MIB, "%zu KiB stay", process_anonymous() / KIB);
    memory_use();
    stats = stats_now();
    must(stats.huge == stats.mapped, "the second time %zu of %zu bytes are in huge pages", stats.huge, stats.mapped);
    must(!system_has_some() || mapping_of(g_blocks[0]).huge >= BLOCKS * BLOCK * 3 / 4,
         "the second time %zu bytes lie in huge pages", mapping_of(g_blocks[0]).huge);
}

/* Nothing is said of memory of which nothing was learned. */
static void when_learned(void)
{
    struct mapping blocks = mapping_of(g_blocks[0]), mapping = mapping_of(g_mapping);
    must(!blocks.is_shut_out && !mapping.is_asked && !mapping.is_shut_out, "the system was told without a reason");
    memory_free();
}

static const char *g_program;

static void run_with(const char *setting)
{
    struct stat stat_of;
    struct child_result result;
    char *const arguments[] = {(char *)g_program, (char *)"use", NULL};
    if (stat("/sys/kernel/mm/transparent_hugepage", &stat_of) != 0) {
        skip_because("this kernel has no transparent huge pages");
        skip();
    }
    putenv((char *)setting); /* of this process it has read the options */
    child_exec(arguments, environ, SECONDS, &result);
    must_end_well(&result, setting);
}

static void test_never(void **state)
{
    (void)state;
    run_with("HAKMEM_HUGE=never");
}

static void test_always(void **state)
{
    (void)state;
    run_with("HAKMEM_HUGE=always");
}

static void test_learn(void **state)
{
    (void)state;
    run_with("HAKMEM_HUGE=learn");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_never),
        cmocka_unit_test(test_always),
        cmocka_unit_test(test_learn),
    };
    g_program = argv[0];
    if (argc < 2)
        return cmocka_run_group_tests(tests, NULL, NULL);
    memory_use();
    if (huge_is(HUGE_NEVER))
        when_never();
    else if (huge_is(HUGE_ALWAYS))
        when_always();
    else
        when_learned();
    return 0;
}
