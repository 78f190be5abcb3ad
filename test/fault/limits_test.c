/* limits_test.c - memory and mappings run out: NULL and ENOMEM, nothing else, and all capacity is back after the frees.
 * SPDX-License-Identifier: MIT */
#include "churn.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { SECONDS = 60 };

enum { STATUS_SKIPPED = 77 };
enum { OWN = -1 }; /* instead of a resource of the system's: HAKMEM_LIMIT_HARD */

struct limited {
    int resource;
    size_t limit;
    const char *what;
    const char *size;
};

static void limited_body(void *argument)
{
    const struct limited *limited = argument;
    struct rlimit limit = {limited->limit, limited->limit};
    char bytes[32];
    if (limited->resource == OWN) {
        snprintf(bytes, sizeof bytes, "%zuk", limited->limit / KIB);
        setenv("HAKMEM_LIMIT", bytes, 1);
        setenv("HAKMEM_LIMIT_HARD", "1", 1);
    } else {
        must(syscall(SYS_prlimit64, 0, limited->resource, &limit, NULL) == 0, "prlimit: %s", strerror(errno));
    }
    char *const arguments[] = {(char *)LIMITED_PROGRAM, (char *)limited->what, (char *)limited->size, NULL};
    execv(arguments[0], arguments);
    _exit(127);
}

static const char *resource_name(int resource)
{
    return resource == OWN ? "its own" : resource == RLIMIT_AS ? "address space" : "data";
}

/* Its own limit is said, once, whatever is refused how often. */
static void must_say_once(struct child_result *result)
{
    static const char line[] =
        "hakmem: warning: HAKMEM_LIMIT: nearly reached: what is free goes back to the system, and "
        "beyond it malloc returns NULL\n";
    must(strncmp(result->err, line, strlen(line)) == 0, "expected on stderr\n%ssaw\n%s", line, result->err);
    memmove(result->err, result->err + strlen(line), strlen(result->err + strlen(line)) + 1);
}

/* Runs limited_program under a limit and reads up to five numbers that it prints. */
static void limited_run(const struct limited *limited, size_t *numbers, size_t count)
{
    struct child_result result;
    char what[128];
    child_run(limited_body, (void *)limited, SECONDS, &result);
    if (limited->resource == OWN) {
        must_say_once(&result);
    }
    snprintf(what, sizeof what, "limited_program %s %s under a limit of %zu MiB of %s", limited->what,
             limited->size != NULL ? limited->size : "", limited->limit / MIB,
             resource_name(limited->resource));
    must_end_well(&result, what);
    char *at = result.out;
    for (size_t i = 0; i < count; i++) {
        char *end;
        numbers[i] = strtoull(at, &end, 10);
        must(end != at, "%s: expected %zu numbers, saw '%s'", what, count, result.out);
        at = end;
    }
}

/* Guards of HAKMEM_HARDEN take 128 KiB of addresses for a block of 1 MiB, so that one superslab has room for one of
 * them instead of two, and as much for one of 70 KB, which takes 192 KiB. */
static bool is_hardened(void) { return getenv("HAKMEM_HARDEN") != NULL; }

/* How much of the limit can be had in 1 MiB blocks. The program itself, its libraries and stack take some MiB of it. */
static void test_blocks_under_address_space_limits(void **state)
{
    (void)state;
    static const struct {
        int resource;
        size_t limit, least, least_hardened;
    } rows[] = {{RLIMIT_AS, 64, 50, 25},
                {RLIMIT_AS, 128, 110, 55},
                {RLIMIT_AS, 512, 436, 240},
                {RLIMIT_DATA, 64, 54, 29},
                {RLIMIT_DATA, 512, 436, 240},
                {OWN, 64, 54, 54},
                {OWN, 512, 500, 440}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct limited limited = {rows[i].resource, rows[i].limit * MIB, "blocks", "1048576"};
        size_t counts[3];
        limited_run(&limited, counts, 3);
        size_t least = is_hardened() ? rows[i].least_hardened : rows[i].least;
        must(counts[0] >= least, "limit of %zu MiB of %s: expected at least %zu blocks of 1 MiB, got %zu",
             rows[i].limit, resource_name(rows[i].resource), least, counts[0]);
    }
}

/* Out of memory, free all, again: the second and third time must bring at least 97 % of the first. */
static void test_cycles_bring_full_capacity_back(void **state)
{
    (void)state;
    static const struct limited rows[] = {
        {RLIMIT_AS, 400 * MIB, "blocks", "70000"},    {RLIMIT_AS, 400 * MIB, "blocks", "1000"},
        {RLIMIT_AS, 400 * MIB, "mixed", NULL},        {RLIMIT_AS, 400 * MIB, "blocks", "1048576"},
        {RLIMIT_AS, 400 * MIB, "blocks", "50000000"}, {RLIMIT_DATA, 200 * MIB, "mixed", NULL},
        {OWN, 200 * MIB, "mixed", NULL},              {OWN, 200 * MIB, "blocks", "1000"},
        {OWN, 200 * MIB, "blocks", "1048576"},        {OWN, 200 * MIB, "blocks", "50000000"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        size_t got[3];
        limited_run(&rows[i], got, 3);
        for (size_t k = 1; k < 3; k++) {
            must(got[k] * 100 >= got[0] * (is_hardened() ? 94u : 97u), /* what is held back differs */
                 "%s %s under %zu MiB: cycle 1 got %zu, cycle %zu only %zu", rows[i].what,
                 rows[i].size != NULL ? rows[i].size : "", rows[i].limit / MIB, got[0], k + 1, got[k]);
        }
    }
}

/* The fill itself must be good: at most 15 % of the limit lost to the program and to the allocator. */
static void test_small_blocks_use_what_there_is(void **state)
{
    (void)state;
    static const char *const sizes[] = {"1000", "70000"};
    static const size_t bytes[] = {1000, 70000};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct limited limited = {RLIMIT_AS, 400 * MIB, "blocks", sizes[i]};
        size_t counts[3];
        limited_run(&limited, counts, 3);
        /* A block takes what its class has. */
        size_t of_large = is_hardened() ? 192 * KIB : 81920;
        size_t used = counts[0] * (bytes[i] == 1000 ? 1024 : of_large);
        must(used >= 340 * MIB, "blocks of %s bytes under 400 MiB: %zu of them are %zu MiB, expected at least 340",
             sizes[i], counts[0], used / MIB);
    }
}

/* What one kind of block took must serve every other kind: 1 KB, 70 KB, 1 MiB, 50 MiB, 70 KB, 1 KB. */
static void one_kind_after_another(int resource)
{
    struct limited limited = {resource, 400 * MIB, "kinds", NULL};
    size_t mib[6];
    limited_run(&limited, mib, COUNT_OF(mib));
    for (size_t i = 0; i < COUNT_OF(mib); i++) {
        mib[i] /= MIB;
    }
    size_t least = is_hardened() ? 180 : 340;
    must(mib[2] >= least, "1 MiB blocks after 1 KB and 70 KB blocks: %zu MiB, expected at least %zu", mib[2], least);
    must(mib[3] >= 300, "50 MiB blocks after 1 MiB blocks: %zu MiB, expected at least 300", mib[3]);
    must(mib[4] * 100 >= mib[1] * 95, "70 KB blocks after 50 MiB blocks: %zu MiB, the first time %zu", mib[4], mib[1]);
    must(mib[5] * 100 >= mib[0] * 95, "1 KB blocks after 70 KB blocks: %zu MiB, the first time %zu", mib[5], mib[0]);
}

static void test_one_kind_after_another(void **state)
{
    (void)state;
    one_kind_after_another(RLIMIT_AS);
    one_kind_after_another(OWN);
}

/* No more than the limit is resident, but for the program itself and the allocator's tables. */
static void test_own_limit_bounds_what_is_resident(void **state)
{
    enum { LIMIT = 128 * MIB, OTHERS = 12 * MIB };
    static const char *const sizes[] = {"100", "5000", "300000", "40000000"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct limited limited = {OWN, LIMIT, "resident", sizes[i]};
        size_t peak;
        limited_run(&limited, &peak, 1);
        must(peak > LIMIT / 2 && peak <= LIMIT + OTHERS, "blocks of %s bytes: %zu MiB were resident", sizes[i],
             peak / MIB);
    }
}

/* ---- Control groups ---------------------------------------------------------------------------------------------- */

static char g_group[512]; /* the folder of a group of ours */

static bool group_write(const char *name, const char *text)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", g_group, name);
    int file = open(path, O_WRONLY);
    bool done = file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text);
    close(file);
    return done;
}

/* Makes one below the process's, whose limit can be set. */
static bool group_make(const char *limit)
{
    char line[400];
    FILE *list = fopen("/proc/self/cgroup", "r");
    bool found = false;
    while (list && !found && fgets(line, sizeof line, list)) {
        char *path = strrchr(line, ':');
        line[strcspn(line, "\n")] = 0;
        bool first = strstr(line, ":memory:") != NULL;
        found = first || strncmp(line, "0::", 3) == 0;
        snprintf(g_group, sizeof g_group, "/sys/fs/cgroup%s%s/hakmem-test-%d", first ? "/memory" : "",
                 strcmp(path + 1, "/") == 0 ? "" : path + 1, (int)getpid());
    }
    if (list)
        fclose(list);
    if (!found || mkdir(g_group, 0700) != 0)
        return false;
    if (group_write("memory.limit_in_bytes", limit) || group_write("memory.max", limit))
        return true;
    rmdir(g_group);
    return false;
}

static void grouped_body(void *unused)
{
    (void)unused;
    char *const arguments[] = {(char *)LIMITED_PROGRAM, (char *)"phases", NULL};
    if (!group_write("cgroup.procs", "0")) {
        _exit(STATUS_SKIPPED);
    }
    setenv("HAKMEM_EXPLAIN", "1", 1);
    execv(arguments[0], arguments);
    _exit(127);
}

/* Which file says what, and what was given up for it, is said if somebody asks. A program that others slow down gives
 * what it does not use back by time, before the limit is near. */
static void must_tell(struct child_result *result, double seconds)
{
    char file[700];
    snprintf(file, sizeof file, "%s/memory.", g_group); /* on a line of its own, if it is long */
    const char *at = strstr(result->err, "    96.0 MiB  limit by"), *named = at ? strstr(at, file) : NULL;
    const char *purged = named ? strstr(named, "  went back because of a limit\n") : NULL;
    must(purged != NULL, "expected a limit of 96.0 MiB by '%s' and what went back, saw\n%s", file, result->err);
    bool is_some = strncmp(purged - strlen("0.0 KiB"), "0.0 KiB", strlen("0.0 KiB")) != 0;
    bool is_slow = seconds > 10, goes_at_once = is_hardened();
    must(is_some || is_slow || goes_at_once, "in %.1f s nothing went back:\n%s", seconds, at);
    must(strstr(result->err, "warning") == NULL, "a limit that nobody has asked for is said:\n%s", result->err);
    result->err[0] = 0;
}

/* Needs 60 MiB; what stayed of one phase and the next were more than 96 together, and the kernel killed it. */
static void test_lives_in_a_control_group(void **state)
{
    (void)state;
    if (!group_make("100663296")) {
        skip_because("no control group with a limit can be made here");
        skip();
    }
    struct child_result result;
    double begin = clock_seconds();
    child_run(grouped_body, NULL, SECONDS, &result);
    double seconds = clock_seconds() - begin;
    for (unsigned looks = 0; looks < 100 && rmdir(g_group) != 0; looks++)
        usleep(10000);
    if (WIFEXITED(result.status) && WEXITSTATUS(result.status) == STATUS_SKIPPED) {
        skip_because("no process may enter a control group here");
        skip();
    }
    must_tell(&result, seconds);
    must_end_well(&result, "phases of 60 MiB in a control group of 96 MiB");
}

/* limited_program looks by itself. */
static void test_realloc_without_memory(void **state)
{
    (void)state;
    static const struct limited rows[] = {{RLIMIT_AS, 200 * MIB, "shrink", NULL},
                                          {RLIMIT_DATA, 200 * MIB, "shrink", NULL},
                                          {RLIMIT_AS, 200 * MIB, "page", NULL}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        limited_run(&rows[i], NULL, 0);
    }
}

static void test_workload_at_the_limit(void **state)
{
    (void)state;
    static const struct limited rows[] = {{RLIMIT_AS, 64 * MIB, "churn", "60000000"},
                                          {RLIMIT_AS, 128 * MIB, "churn", "120000000"},
                                          {RLIMIT_DATA, 64 * MIB, "churn", "60000000"}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        size_t got[2];
        limited_run(&rows[i], got, 2);
        must(got[0] > 1000, "a workload under %zu MiB: only %zu operations were served", rows[i].limit / MIB, got[0]);
        must(got[1] > 0, "a workload under %zu MiB was never refused memory: nothing was tested", rows[i].limit / MIB);
    }
}

/* ---- Too many mappings ------------------------------------------------------------------------------------------- */

static size_t map_count_limit(void)
{
    FILE *file = fopen("/proc/sys/vm/max_map_count", "r");
    size_t limit = 65530;
    if (file != NULL) {
        must(fscanf(file, "%zu", &limit) == 1, "/proc/sys/vm/max_map_count is unreadable");
        fclose(file);
    }
    return limit;
}

/* Takes every mapping that the process may have: pages of one region, every other one with other rights. */
static void exhaust_mappings_body(void *argument)
{
    size_t limit = (size_t)argument;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    static struct churn churn;
    static void *large[40];
    churn_begin(&churn, 4, 3 * MIB);
    churn_steps(&churn, 2000);
    for (size_t i = 0; i < COUNT_OF(large); i++) {
        large[i] = malloc(i % 2 == 0 ? 2 * MIB : 35 * MIB);
        must(large[i] != NULL, "malloc failed before the mappings were taken");
        memset(large[i], 1, 4096);
    }
    char *region = mmap(NULL, (limit + 2) * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(region != MAP_FAILED, "a region of %zu pages cannot be mapped: %s", limit, strerror(errno));
    size_t taken = 1;
    while (taken < limit && mprotect(region + taken * page, page, PROT_READ) == 0) {
        taken += 2;
    }
    must(taken < limit, "the limit of %zu mappings was not reached", limit);
    churn.may_fail = true;
    for (size_t i = 0; i < COUNT_OF(large); i++) {
        errno = 4242;
        free(large[i]);
        must(errno == 4242, "free without mappings changed errno to %d", errno);
    }
    churn_steps(&churn, 6000);
    malloc_trim(0);
    churn_steps(&churn, 2000);
    munmap(region, (limit + 2) * page);
    churn.may_fail = false;
    churn_steps(&churn, 4000);
    churn_end(&churn);
    malloc_trim(0);
    size_t rest = process_anonymous();
    must(rest < 24 * MIB, "all was freed after the mappings were back: expected RSS below 24 MiB, saw %zu KiB",
         rest / KIB);
}

static void test_no_mappings_left(void **state)
{
    (void)state;
    struct child_result result;
    size_t limit = map_count_limit();
    if (limit > 2000000) {
        skip_because("vm.max_map_count is %zu: too many mappings to exhaust", limit);
        skip();
    }
    child_run(exhaust_mappings_body, (void *)limit, SECONDS, &result);
    must_end_well(&result, "a process that has taken all its mappings");
}

/* ---- Locked memory ----------------------------------------------------------------------------------------------- */

/* Locked memory cannot be given back, so nothing of it becomes zero by itself. */
static void locked_body(void *argument)
{
    (void)argument;
    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
        printf("skip: mlockall: %s", strerror(errno));
        fflush(stdout);
        return;
    }
    for (size_t size = 100; size <= 8 * MIB; size *= 3) {
        void *blocks[16];
        for (size_t round = 0; round < 3; round++) {
            for (size_t i = 0; i < COUNT_OF(blocks); i++) {
                blocks[i] = calloc(1, size);
                must(blocks[i] != NULL, "calloc(1, %zu) in locked memory failed", size);
                must(bytes_check(blocks[i], size, 0) == size, "calloc(1, %zu) in locked memory is not zero", size);
                memset(blocks[i], 0xA5, size);
            }
            for (size_t i = 0; i < COUNT_OF(blocks); i++) {
                free(blocks[i]);
            }
            malloc_trim(0);
        }
    }
    churn_run(6, 3 * MIB, 2000);
}

static void test_locked_memory(void **state)
{
    (void)state;
    struct child_result result;
    child_run(locked_body, NULL, SECONDS, &result);
    if (strncmp(result.out, "skip: ", 6) == 0) {
        skip_because("%s", result.out + 6);
        skip();
    }
    must_end_well(&result, "calloc under mlockall(MCL_CURRENT | MCL_FUTURE)");
}

/* ---- Address space that is only reserved ------------------------------------------------------------------------- */

/* The size after `name` in /proc/self/status, in bytes. */
static size_t status_read(const char *name)
{
    char line[256];
    size_t size = 0;
    FILE *file = fopen("/proc/self/status", "r");
    must(file != NULL, "/proc/self/status cannot be opened");
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0) {
            size = strtoull(line + strlen(name), NULL, 10) * KIB;
        }
    }
    fclose(file);
    return size;
}

/* Writable private mappings count fully where overcommit is strict, and all mappings under ulimit -v. */
static void test_a_small_program_reserves_little(void **state)
{
    (void)state;
    size_t data = status_read("VmData:");
    size_t total = status_read("VmSize:");
    must(data <= 48 * MIB, "writable memory of a small program: expected at most 48 MiB, saw %zu KiB", data / KIB);
    must(total <= 64 * MIB, "address space of a small program: expected at most 64 MiB, saw %zu KiB", total / KIB);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_small_program_reserves_little),
        cmocka_unit_test(test_blocks_under_address_space_limits),
        cmocka_unit_test(test_cycles_bring_full_capacity_back),
        cmocka_unit_test(test_small_blocks_use_what_there_is),
        cmocka_unit_test(test_one_kind_after_another),
        cmocka_unit_test(test_realloc_without_memory),
        cmocka_unit_test(test_workload_at_the_limit),
        cmocka_unit_test(test_no_mappings_left),
        cmocka_unit_test(test_locked_memory),
        cmocka_unit_test(test_lives_in_a_control_group),
        cmocka_unit_test(test_own_limit_bounds_what_is_resident),
    };
    return RUN_TESTS(tests);
}
