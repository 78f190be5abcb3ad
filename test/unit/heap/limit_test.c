/* limit_test.c - what may be handed out and dirty, by what control groups leave. The groups are the test's own.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "hakmem.h"
#include "heap/limit.h"
#include "system/cgroup.h"
#include "system/options.h"
#include "system/os_process.h"

static struct cgroup_memory g_group;
static unsigned g_looks;
static void (*g_meanwhile)(void);

/* In place of the system's. */
struct cgroup_memory cgroup_memory(void)
{
    g_looks++;
    if (g_meanwhile)
        g_meanwhile();
    return g_group;
}

static uint64_t g_now = 1000 * 1000;

static void group_set(size_t limit, size_t used)
{
    g_group = (struct cgroup_memory){.limit = limit, .room = limit - min_size(limit, used), .used = used};
}

/* A look so much later that what others had is forgotten. */
static void look_anew(size_t resident)
{
    for (unsigned i = 0; i < 200; i++)
        limit_look(g_now += 2000, resident);
}

static void test_small_programs_do_not_look(void **state)
{
    (void)state;
    g_looks = 0;
    limit_look(g_now += 2000, MIB);
    assert_int_equal(g_looks, 0);
    assert_true(limit_wants_look(16 * MIB));
    limit_look(g_now += 2000, 16 * MIB);
    assert_int_equal(g_looks, 1);
}

static void test_no_limit(void **state)
{
    (void)state;
    g_group = (struct cgroup_memory){.limit = SIZE_MAX, .room = SIZE_MAX};
    look_anew(100 * MIB);
    assert_true(limit_most() == SIZE_MAX && !load_relaxed(&limit_is_near) && !limit_wants_look(SIZE_MAX / 2));
}

/* Of 800 MiB an eighth is left, and what others have. */
static void test_others_and_a_reserve(void **state)
{
    (void)state;
    group_set(800 * MIB, 150 * MIB);
    look_anew(100 * MIB);
    must(limit_most() == 650 * MIB, "100 of 150 MiB are ours, of 800: %zu are allowed", limit_most() / MIB);
    assert_false(load_relaxed(&limit_is_near));
    /* What was handed out and not touched looks as if the others had less: not at once. */
    limit_look(g_now + 1, 300 * MIB);
    must(limit_most() == 650 * MIB, "%zu MiB are allowed after much was handed out", limit_most() / MIB);
    look_anew(150 * MIB);
    must(limit_most() > 700 * MIB - KIB, "there are no others, and %zu MiB are allowed", limit_most() / MIB);
}

static void test_looks_with_growth(void **state)
{
    (void)state;
    group_set(800 * MIB, 400 * MIB);
    look_anew(100 * MIB);
    assert_false(limit_wants_look(199 * MIB));
    assert_true(limit_wants_look(200 * MIB)); /* a quarter of the room */
    g_looks = 0;
    limit_look(g_now + 1, 199 * MIB);
    assert_int_equal(g_looks, 0);
    limit_look(g_now + 1, 200 * MIB);
    assert_int_equal(g_looks, 1);
}

static void test_alarm(void **state)
{
    (void)state;
    group_set(800 * MIB, 400 * MIB);
    look_anew(100 * MIB);
    uint32_t before = load_relaxed(&limit_alarms);
    group_set(800 * MIB, 701 * MIB);
    limit_look(g_now += 2000, 100 * MIB);
    assert_true(load_relaxed(&limit_is_near) && load_relaxed(&limit_alarms) == before + 1);
    group_set(800 * MIB, 400 * MIB);
    limit_look(g_now += 2000, 100 * MIB);
    assert_true(!load_relaxed(&limit_is_near) && load_relaxed(&limit_alarms) == before + 1);
}

/* Whatever control groups say, nobody has asked; what was seen is told. */
static void test_what_is_told_of_groups(void **state)
{
    (void)state;
    char text[200], file[32] = "";
    struct limit_report before, after;
    group_set(800 * MIB, 400 * MIB);
    look_anew(100 * MIB);
    limit_tell(&before, NULL, 0);
    stderr_capture();
    for (unsigned i = 0; i < 3; i++) { /* twice with little room in a row is once */
        group_set(800 * MIB, i < 2 ? 790 * MIB : 300 * MIB);
        limit_look(g_now += 2000, 100 * MIB);
    }
    stderr_release(text, sizeof text);
    limit_note_purged(3 * MIB);
    limit_tell(&after, NULL, 0);
    must(text[0] == 0, "nobody has asked, and it says '%s'", text);
    must(after.group == 800 * MIB && after.group_used == 300 * MIB && after.own == SIZE_MAX, "group %zu, used %zu",
         after.group, after.group_used);
    must(after.nears == before.nears + 1 && after.purged == before.purged + 3 * MIB, "%u times near", after.nears);
    group_set(500 * MIB, 100 * MIB);
    g_group.file = "/a/memory.max, of which the end is cut off";
    g_group.version = 2;
    limit_tell(&after, file, sizeof file);
    must(after.group == 500 * MIB && after.version == 2 && strcmp(file, "/a/memory.max, of which the end") == 0,
         "group %zu, version %u, '%s'", after.group, after.version, file);
}

/* The last, since it stays. */
static void test_own_limit_is_said_once(void **state)
{
    (void)state;
    char text[500];
    struct limit_report report;
    g_group = (struct cgroup_memory){.limit = SIZE_MAX, .room = SIZE_MAX};
    option_values[OPTION_LIMIT] = 128 * MIB;
    limit_start();
    stderr_capture();
    for (unsigned i = 0; i < 6; i++)
        limit_look(g_now += 2000, i % 2 ? 127 * MIB : 64 * MIB);
    limit_note_refused();
    stderr_release(text, sizeof text);
    char *end = strchr(text, '\n');
    must(strncmp(text, "hakmem: warning: HAKMEM_LIMIT: nearly reached", 45) == 0 && end && end[1] == 0, "it says '%s'",
         text);
    limit_tell(&report, NULL, 0);
    must(report.own == 128 * MIB && report.most == 128 * MIB && report.refusals == 1 && report.is_near,
         "own %zu, most %zu, %u", report.own, report.most, report.refusals);
}

static void test_memory_is_the_lesser(void **state)
{
    (void)state;
    group_set(MIB, 0);
    assert_int_equal(limit_memory(), MIB);
    group_set(SIZE_MAX / 4, 0);
    assert_int_equal(limit_memory(), os_memory_size());
}

static _Atomic(bool) g_looking, g_may_end;

static void wait_in_look(void)
{
    atomic_store(&g_looking, true);
    while (!atomic_load(&g_may_end))
        sleep_milliseconds(1);
}

static void *look_slowly(void *unused)
{
    limit_look(g_now += 2000, 100 * MIB);
    return unused;
}

/* The child of a fork does not have the thread that looks. */
static void test_fork_during_a_look(void **state)
{
    (void)state;
    pthread_t thread;
    hak_free(hak_malloc(100));
    g_meanwhile = wait_in_look;
    must(pthread_create(&thread, NULL, look_slowly, NULL) == 0, "pthread_create failed");
    while (!atomic_load(&g_looking))
        sleep_milliseconds(1);
    pid_t child = child_fork(60);
    if (child == 0) {
        g_meanwhile = NULL;
        g_looks = 0;
        hak_collect(); /* a slow path */
        limit_look(g_now + 2000, 100 * MIB);
        must(g_looks == 1, "the child never looks");
        _exit(0);
    }
    atomic_store(&g_may_end, true);
    pthread_join(thread, NULL);
    g_meanwhile = NULL;
    child_join(child, "a child made during a look");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_programs_do_not_look), cmocka_unit_test(test_no_limit),
        cmocka_unit_test(test_others_and_a_reserve),       cmocka_unit_test(test_looks_with_growth),
        cmocka_unit_test(test_alarm),                      cmocka_unit_test(test_memory_is_the_lesser),
        cmocka_unit_test(test_fork_during_a_look),         cmocka_unit_test(test_what_is_told_of_groups),
        cmocka_unit_test(test_own_limit_is_said_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
