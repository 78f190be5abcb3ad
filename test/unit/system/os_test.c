/* os_test.c - the system calls keep what os.h promises, and never touch errno.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <elf.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "filter.h"
#include "system/os.h"

enum { UNTOUCHED = 4242 };

static int errno_set(void **state)
{
    (void)state;
    errno = UNTOUCHED;
    return 0;
}

static int errno_check(void **state)
{
    (void)state;
    return errno == UNTOUCHED ? 0 : -1;
}

static void *map(size_t size, size_t align)
{
    void *start = NULL;
    int error = os_map(size, align, NULL, &start);
    must(error == 0, "os_map(%zu, %zu): %s", size, align, strerror(error));
    must((uintptr_t)start % align == 0, "os_map(%zu, %zu): saw %p", size, align, start);
    return start;
}

static void test_page_size(void **state)
{
    (void)state;
    assert_int_equal(os_page_size(), sysconf(_SC_PAGESIZE));
    assert_int_equal(UNIT_SIZE % os_page_size(), 0);
}

static void test_map_is_aligned_zero_and_given_back(void **state)
{
    (void)state;
    size_t before = process_mappings();
    for (size_t align = 1; align <= GIB; align *= 2)
        for (size_t size = os_page_size(); size <= 4 * MIB; size *= 4) {
            unsigned char *start = map(size, align);
            assert_int_equal(bytes_check(start, size, 0), size);
            start[0] = start[size - 1] = 1;
            assert_int_equal(os_unmap(start, size), 0);
        }
    must(process_mappings() <= before + 1, "%zu mappings became %zu", before, process_mappings());
}

static void test_map_honours_a_free_hint(void **state)
{
    (void)state;
    void *here, *start = map(4 * MIB, MIB);
    assert_int_equal(os_unmap(start, 4 * MIB), 0);
    assert_int_equal(os_map(MIB, MIB, (char *)start + 2 * MIB, &here), 0);
    assert_ptr_equal(here, (char *)start + 2 * MIB);
    assert_int_equal(os_unmap(here, MIB), 0);
}

static void test_map_refuses_the_impossible(void **state)
{
    (void)state;
    void *start;
    assert_int_equal(os_map((size_t)1 << 62, 1, NULL, &start), ENOMEM);
    assert_int_equal(os_map(os_page_size(), (size_t)1 << 62, NULL, &start), ENOMEM);
    assert_int_equal(os_map((size_t)1 << 62, (size_t)1 << 63, NULL, &start), ENOMEM);
}

static void test_unmap_of_a_part(void **state)
{
    (void)state;
    size_t page = os_page_size();
    char *start = map(3 * page, page);
    memset(start, 7, 3 * page);
    assert_int_equal(os_unmap(start + page, page), 0);
    assert_int_equal(bytes_check(start, page, 7), page);
    assert_int_equal(bytes_check(start + 2 * page, page, 7), page);
    assert_int_equal(os_unmap(start, page), 0);
    assert_int_equal(os_unmap(start + 2 * page, page), 0);
}

static void test_purge_frees_memory_and_zeroes(void **state)
{
    (void)state;
    char *start = map(64 * MIB, MIB);
    memset(start, 7, 64 * MIB);
    size_t full = process_rss();
    assert_int_equal(os_purge(start + MIB, 62 * MIB), 0);
    size_t rest = process_rss();
    must(rest + 60 * MIB < full, "RSS fell from %zu to %zu", full, rest);
    assert_int_equal(bytes_check(start, MIB, 7), MIB);
    assert_int_equal(bytes_check(start + MIB, 62 * MIB, 0), 62 * MIB);
    assert_int_equal(bytes_check(start + 63 * MIB, MIB, 7), MIB);
    assert_int_equal(os_unmap(start, 64 * MIB), 0);
    assert_int_not_equal(os_purge(start + 1, os_page_size()), 0);
}

/* All but one that cannot be purged; and only one. */
static void test_purge_of_many_ranges(void **state)
{
    (void)state;
    size_t page = os_page_size(), size = 2 * OS_RANGES_MAX * page;
    char *start = map(size, MIB);
    struct os_range ranges[OS_RANGES_MAX];
    for (unsigned round = 0; round < 3; round++) {
        memset(start, 7, size);
        for (unsigned i = 0; i < OS_RANGES_MAX; i++)
            ranges[i] = (struct os_range){start + (2 * i + 1) * page, i % 5 == 3 ? 0 : page};
        if (round == 1)
            ranges[20].start = start + 1;
        uint32_t purged = round == 2 ? 1 : round == 1 ? ~((uint32_t)1 << 20) : UINT32_MAX;
        assert_int_equal(os_purge_all(ranges, round == 2 ? 1 : OS_RANGES_MAX), purged);
        for (unsigned i = 0; i < OS_RANGES_MAX; i++) {
            char *range = start + (2 * i + 1) * page;
            bool gone = (purged >> i & 1) && i % 5 != 3;
            assert_int_equal(bytes_check(range - page, page, 7), page);
            assert_int_equal(bytes_check(range, page, gone ? 0 : 7), page);
        }
    }
    assert_int_equal(os_purge_all(ranges, 0), 0);
    assert_int_equal(os_unmap(start, size), 0);
}

static void test_resize_in_place(void **state)
{
    (void)state;
    char *start = map(4 * MIB, MIB);
    memset(start, 7, MIB);
    assert_int_equal(os_resize(start, 4 * MIB, MIB), 0);
    assert_int_equal(os_resize(start, MIB, 3 * MIB), 0);
    assert_int_equal(bytes_check(start, MIB, 7), MIB);
    assert_int_equal(bytes_check(start + MIB, 2 * MIB, 0), 2 * MIB);
    /* What follows is in use: it has to fail, and not to move. */
    void *behind;
    assert_int_equal(os_map(MIB, MIB, start + 3 * MIB, &behind), 0);
    if (behind == start + 3 * MIB)
        assert_int_equal(os_resize(start, 3 * MIB, 4 * MIB), ENOMEM);
    assert_int_equal(bytes_check(start, MIB, 7), MIB);
    assert_int_equal(os_unmap(behind, MIB), 0);
    assert_int_equal(os_unmap(start, 3 * MIB), 0);
}

static void test_move_keeps_contents(void **state)
{
    (void)state;
    char *start = map(MIB, MIB), *target = map(2 * MIB, MIB);
    pattern_fill(start, MIB, 5);
    memset(target, 9, 2 * MIB);
    assert_int_equal(os_move(start, MIB, 2 * MIB, target), 0);
    assert_int_equal(pattern_check(target, MIB, 5), MIB);
    assert_int_equal(bytes_check(target + MIB, MIB, 0), MIB);
    assert_int_equal(os_unmap(target, 2 * MIB), 0);
}

static void test_wiped_on_fork(void **state)
{
    (void)state;
    void *word;
    assert_int_equal(os_map_wiped_on_fork(&word), 0);
    *(volatile uint32_t *)word = 77;
    pid_t child = child_fork(10);
    if (child == 0)
        _exit(*(volatile uint32_t *)word == 0 ? 0 : 1);
    child_join(child, "a word that is wiped on fork");
    assert_int_equal(*(volatile uint32_t *)word, 77);
    assert_int_equal(os_unmap(word, os_page_size()), 0);
}

/* ---- What is resident -------------------------------------------------------------------------------------------- */

enum { LOOKED_AT = 1200 }; /* pages of memory: more than are looked at in one piece */

/* Touches some pages of memory; returns how many bytes. */
static size_t touch_some(char *start)
{
    uint64_t random = 5;
    size_t touched = 0;
    for (size_t i = 0; i < LOOKED_AT; i++)
        if (random_next(&random) % 3 == 0) {
            start[i * os_page_size()] = 1;
            touched += os_page_size();
        }
    return touched;
}

/* os_resident with what is known of filters. */
static size_t resident_when(enum os_sandbox known, char *start, size_t size)
{
    uint8_t before = load_relaxed(&os_sandbox);
    store_relaxed(&os_sandbox, known);
    size_t resident = os_resident(start, size);
    store_relaxed(&os_sandbox, before);
    return resident;
}

static void test_resident_by_call_and_by_file(void **state)
{
    (void)state;
    size_t page = os_page_size(), size = LOOKED_AT * page;
    char *start = map(size, page);
    must(madvise(start, size, MADV_NOHUGEPAGE) == 0 || errno == EINVAL, "madvise: %s", strerror(errno));
    errno = UNTOUCHED;
    size_t touched = touch_some(start);
    assert_int_equal(resident_when(OS_SANDBOX_NONE, start, size), touched);
    assert_int_equal(resident_when(OS_SANDBOX_OLD, start, size), touched);
    for (size_t i = 0; i < LOOKED_AT; i += 7)
        assert_int_equal(resident_when(OS_SANDBOX_NONE, start + i * page, page),
                         resident_when(OS_SANDBOX_OLD, start + i * page, page));
    assert_int_equal(resident_when(OS_SANDBOX_SHUT, start, size), 0);
    assert_int_equal(resident_when(OS_SANDBOX_UNKNOWN, start, size), 0);
    assert_int_equal(os_unmap(start, size), 0);
}

/* ---- Filters ----------------------------------------------------------------------------------------------------- */

static void in_child(void (*body)(void), const char *what)
{
    pid_t child = child_fork(20);
    if (child == 0) {
        body();
        _exit(0);
    }
    child_join(child, what);
}

static void kill_at(long number) { filter_these(FILTER_UNSEEN, SECCOMP_RET_KILL_PROCESS, &number, 1); }

static void nothing_opens_what_is_shut(void)
{
    store_relaxed(&os_sandbox, OS_SANDBOX_UNKNOWN);
    os_sandbox_watch();
    must(load_relaxed(&os_sandbox) == OS_SANDBOX_ASK, "filters are not watched");
    os_sandbox_shut();
    os_sandbox_watch();
    must(load_relaxed(&os_sandbox) == OS_SANDBOX_SHUT, "a watch opens what was shut");
}

static void must_find(enum os_sandbox expected)
{
    char *page = map(os_page_size(), 1);
    store_relaxed(&os_sandbox, OS_SANDBOX_ASK);
    os_resident(page, os_page_size());
    uint8_t found = load_relaxed(&os_sandbox);
    must(found == expected, "expected to find %d, found %d", expected, found);
}

static void no_filter_is_found(void) { must_find(OS_SANDBOX_NONE); }

static void a_filter_is_found(void)
{
    kill_at(SYS_mincore);
    must_find(OS_SANDBOX_OLD);
}

/* What cannot be read may have said that there is one. */
static void an_unreadable_status_is_a_filter(void)
{
    long number = SYS_openat;
    filter_these(FILTER_UNSEEN, SECCOMP_RET_ERRNO | EACCES, &number, 1);
    must_find(OS_SANDBOX_OLD);
}

static void test_what_is_known_of_filters(void **state)
{
    (void)state;
    in_child(nothing_opens_what_is_shut, "what is shut");
    in_child(a_filter_is_found, "a filter");
    in_child(an_unreadable_status_is_a_filter, "an unreadable status");
    if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 0) /* not in a container */
        in_child(no_filter_is_found, "no filter");
}

static void shut_makes_no_other_call(void)
{
    static const long others[] = {SYS_mincore, SYS_process_madvise, SYS_openat,        SYS_pread64,
                                  SYS_sysinfo, SYS_tgkill,          SYS_rt_sigpending, SYS_rt_sigtimedwait};
    size_t page = os_page_size();
    char *start = map(4 * page, page);
    memset(start, 7, 4 * page);
    os_sandbox_shut();
    filter_these(FILTER_UNSEEN, SECCOMP_RET_KILL_PROCESS, others, COUNT_OF(others));
    must(os_populate(start, page) == EPERM, "advice is given");
    must(os_prefer_huge(start, page, true) == EPERM, "advice is given");
    must(os_resident(start, page) == 0, "something is known to be resident");
    must(os_open("/proc/self/maps") == -1, "a file is opened");
    must(os_thread_exists(1), "a thread is looked for");
    os_memory_size();
    os_write(2, "", 0);
    struct os_range ranges[2] = {{start, page}, {start + 2 * page, page}};
    must(os_purge_all(ranges, 2) == 3, "nothing is purged");
    must(start[0] == 0 && start[page] == 7 && start[2 * page] == 0, "something else is purged");
}

static void test_shut(void **state)
{
    (void)state;
    in_child(shut_makes_no_other_call, "shut");
}

static void memory_is_asked_for_once(void)
{
    size_t before = os_memory_size();
    must(before >= 64 * MIB, "the system has %zu bytes", before);
    kill_at(SYS_sysinfo);
    must(os_memory_size() == before, "it has another size now");
}

static void test_memory_size(void **state)
{
    (void)state;
    in_child(memory_is_asked_for_once, "the size of memory");
}

/* ---- A system that only says yes --------------------------------------------------------------------------------- */

static void say_yes_to(long number) { filter_these(FILTER_UNSEEN, SECCOMP_RET_ERRNO | 0, &number, 1); }

static void must_not_be_purged(char *start)
{
    must(os_purge(start, os_page_size()) == ENOSYS, "a purge that did nothing succeeded");
    must(bytes_check(start, os_page_size(), 7) == os_page_size(), "the contents have changed");
    struct os_range ranges[2] = {{start, os_page_size()}, {start, 0}};
    must((os_purge_all(ranges, 2) & 1) == 0, "a purge that did nothing succeeded among others");
}

static char *dirty_page(void)
{
    char *start = map(os_page_size(), 1);
    memset(start, 7, os_page_size());
    return start;
}

static void purges_do_nothing(void)
{
    char *start = dirty_page();
    say_yes_to(SYS_madvise);
    for (unsigned i = 0; i < 3; i++)
        must_not_be_purged(start);
}

/* They did something so far: a filter of the program's own is another system. */
static void purges_do_nothing_any_more(void)
{
    must(os_purge(dirty_page(), os_page_size()) == 0, "the first purge failed");
    long number = SYS_madvise;
    os_sandbox_shut();
    filter_these(FILTER_UNSEEN, SECCOMP_RET_ERRNO | 0, &number, 1);
    must_not_be_purged(dirty_page());
}

static void purges_together_do_nothing(void)
{
    char *first = dirty_page(), *second = dirty_page();
    store_relaxed(&os_sandbox, OS_SANDBOX_NONE);
    must(os_purge(dirty_page(), os_page_size()) == 0, "the first purge failed");
    say_yes_to(SYS_process_madvise);
    struct os_range ranges[2] = {{first, os_page_size()}, {second, os_page_size()}};
    uint32_t purged = os_purge_all(ranges, 2);
    must(purged == 3 && *first == 0 && *second == 0, "purged: %#x, read: %d %d", (unsigned)purged, *first, *second);
}

/* A failure of the first says nothing of the others, and leaves what was there. */
static void the_first_purge_fails(void)
{
    char *start = dirty_page();
    must(mlock(start, os_page_size()) == 0 || errno == ENOMEM || errno == EPERM, "mlock: %s", strerror(errno));
    int error = os_purge(start, os_page_size());
    must(error == 0 || (error == EINVAL && bytes_check(start, os_page_size(), 7) == os_page_size()), "errno %d", error);
    must(os_purge(dirty_page(), os_page_size()) == 0, "the second failed, too");
}

static void test_purges_that_do_nothing(void **state)
{
    (void)state;
    in_child(purges_do_nothing, "purges that do nothing");
    in_child(purges_do_nothing_any_more, "purges that do nothing any more");
    in_child(purges_together_do_nothing, "purges of many that do nothing");
    in_child(the_first_purge_fails, "a first purge that fails");
}

/* ---- Others who watch -------------------------------------------------------------------------------------------- */

static const char *g_told;
static unsigned g_told_count;

static int told_munmap(void *address, size_t size)
{
    g_told = "munmap", g_told_count++;
    return (int)syscall(SYS_munmap, address, size);
}

static int told_madvise(void *address, size_t size, int advice)
{
    g_told = "madvise", g_told_count++;
    return (int)syscall(SYS_madvise, address, size, advice);
}

static void *told_mremap(void *address, size_t old_size, size_t new_size, int flags, void *target)
{
    g_told = "mremap", g_told_count++;
    return (void *)syscall(SYS_mremap, address, old_size, new_size, flags, target);
}

/* Writes a jump over the beginning of a function, as registration caches do. */
static void divert(void *function, void *to)
{
    uintptr_t page = (uintptr_t)function & ~(uintptr_t)(os_page_size() - 1);
    must(mprotect((void *)page, 2 * os_page_size(), PROT_READ | PROT_WRITE | PROT_EXEC) == 0, "mprotect: errno %d", errno);
#if defined(__x86_64__)
    unsigned char code[12] = {0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xe0}; /* movabs $to, %rax; jmp *%rax */
    memcpy(code + 2, &to, sizeof to);
#else
    unsigned char code[16] = {0x50, 0, 0, 0x58, 0, 0x02, 0x1f, 0xd6}; /* ldr x16, to; br x16 */
    memcpy(code + 8, &to, sizeof to);
#endif
    memcpy(function, code, sizeof code);
    __builtin___clear_cache((char *)function, (char *)function + sizeof code);
}

static void must_have_told(const char *call, unsigned count)
{
    must(g_told_count == count && g_told && strcmp(g_told, call) == 0, "%s: told of %u calls, the last %s, not %u", call,
         g_told_count, g_told ? g_told : "none", count);
}

static void watchers_are_told(void)
{
    size_t page = os_page_size();
    char *start = map(8 * page, page);
    memset(start, 7, 8 * page);
    must(os_purge(start, page) == 0, "a purge failed");
    store_relaxed(&os_sandbox, OS_SANDBOX_NONE);
    divert((void *)munmap, (void *)told_munmap);
    divert((void *)madvise, (void *)told_madvise);
    divert((void *)mremap, (void *)told_mremap);
    errno = UNTOUCHED;
    must(os_purge(start, page) == 0, "a purge failed");
    must_have_told("madvise", 1);
    struct os_range ranges[2] = {{start + page, page}, {start + 3 * page, page}};
    must(os_purge_all(ranges, 2) == 3, "purges failed");
    must_have_told("madvise", 3);
    must(os_unmap(start + 7 * page, page) == 0, "munmap failed");
    must_have_told("munmap", 4);
    must(os_resize(start, 7 * page, 6 * page) == 0, "mremap failed");
    must_have_told("mremap", 5);
    must(os_unmap(start + 1, page) == EINVAL, "munmap of nothing succeeded");
    must(os_resize(start + 1, page, page) == EINVAL && os_purge(start + 1, page) == EINVAL, "an error is lost");
    must(errno == UNTOUCHED, "errno became %d", errno);
}

static void watchers_from_the_start_are_told(void)
{
    divert((void *)munmap, (void *)told_munmap);
    os_start();
    must(os_unmap(map(os_page_size(), 1), os_page_size()) == 0, "munmap failed");
    must_have_told("munmap", 1);
}

static void test_watchers_are_told(void **state)
{
    (void)state;
    if (UNDER_SHADOW) { /* sanitizers stand before these functions themselves */
        skip_because("a sanitizer stands before the functions of libc");
        return;
    }
    in_child(watchers_are_told, "watchers");
    in_child(watchers_from_the_start_are_told, "watchers from the start");
}

/* ---- Waiting, time, threads -------------------------------------------------------------------------------------- */

static _Atomic(uint32_t) g_word;
static double g_woken_at;

static void *wait_on_word(void *unused)
{
    (void)unused;
    while (atomic_load(&g_word) == 1)
        os_wait(&g_word, 1, 5000);
    g_woken_at = clock_seconds();
    return NULL;
}

static void test_wait_and_wake(void **state)
{
    (void)state;
    double start = clock_seconds();
    atomic_store(&g_word, 1);
    os_wait(&g_word, 2, 5000);
    assert_true(clock_seconds() - start < 2);
    os_wait(&g_word, 1, 30);
    assert_true(clock_seconds() - start >= 0.025);

    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, wait_on_word, NULL), 0);
    sleep_milliseconds(50);
    start = clock_seconds();
    atomic_store(&g_word, 0);
    os_wake_one(&g_word);
    pthread_join(thread, NULL);
    must(g_woken_at - start < 2, "woken after %.1f s", g_woken_at - start);
}

static void test_clock(void **state)
{
    (void)state;
    uint64_t start = os_milliseconds(), last = start;
    for (unsigned i = 0; i < 10; i++) {
        sleep_milliseconds(10);
        uint64_t now = os_milliseconds();
        assert_true(now >= last);
        last = now;
    }
    assert_in_range(last - start, 90, 5000);
}

static uint64_t system_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void test_clock_is_the_systems(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t before = system_clock(CLOCK_MONOTONIC), exact = os_nanoseconds(), after = system_clock(CLOCK_MONOTONIC);
        assert_in_range(exact, before, after);
        before = system_clock(CLOCK_MONOTONIC_COARSE) / 1000000;
        uint64_t coarse = os_milliseconds();
        assert_in_range(coarse, before, system_clock(CLOCK_MONOTONIC_COARSE) / 1000000);
    }
}

static void the_clock_is_no_call(void)
{
    kill_at(SYS_clock_gettime);
    must(os_milliseconds() > 0, "the clock stands at 0");
}

static void test_clock_is_no_call(void **state)
{
    (void)state;
    if (getauxval(AT_SYSINFO_EHDR) == 0) {
        skip_because("the kernel put no code of its own into this process");
        return;
    }
    in_child(the_clock_is_no_call, "the clock");
}

static void *tell_id(void *id)
{
    *(uint32_t *)id = os_thread_id();
    must(os_thread_exists(*(uint32_t *)id), "a running thread does not exist");
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    pthread_t thread;
    uint32_t id = 0;
    assert_int_equal(os_process_id(), getpid());
    assert_int_equal(os_thread_id(), gettid());
    assert_true(os_thread_exists(os_thread_id()));
    assert_false(os_thread_exists((uint32_t)getppid()));
    assert_int_equal(pthread_create(&thread, NULL, tell_id, &id), 0);
    pthread_join(thread, NULL);
    assert_int_not_equal(id, os_thread_id());
    for (unsigned i = 0; i < 100 && os_thread_exists(id); i++)
        sleep_milliseconds(10); /* the kernel ends a thread a little after its join */
    assert_false(os_thread_exists(id));
}

/* ---- Files ------------------------------------------------------------------------------------------------------- */

enum { MUCH = 1 << 20 };
static pthread_t g_writer;
static int g_pipe[2];

static void interrupt(int number) { (void)number; }

/* Interrupts the writer twice, when the pipe is full, and then reads all. */
static void *drain(void *unused)
{
    static char text[MUCH + 1];
    size_t have = 0;
    ssize_t got;
    (void)unused;
    for (unsigned i = 0; i < 2; i++) {
        sleep_milliseconds(50);
        pthread_kill(g_writer, SIGUSR1);
    }
    while ((got = read(g_pipe[0], text + have, min_size(sizeof text - have, 7777))) > 0)
        have += (size_t)got;
    must(have == MUCH && pattern_check(text, MUCH, 3) == MUCH, "of %d bytes through a pipe, %zu arrived", MUCH, have);
    return NULL;
}

static void test_write_writes_all(void **state)
{
    (void)state;
    static char text[MUCH];
    pthread_t thread;
    struct sigaction action = {.sa_handler = interrupt}; /* no SA_RESTART: write is to come back early */
    sigaction(SIGUSR1, &action, NULL);
    g_writer = pthread_self();
    assert_int_equal(pipe(g_pipe), 0);
    pattern_fill(text, MUCH, 3);
    assert_int_equal(pthread_create(&thread, NULL, drain, NULL), 0);
    os_write(g_pipe[1], text, MUCH);
    close(g_pipe[1]);
    pthread_join(thread, NULL);
    close(g_pipe[0]);
    errno = UNTOUCHED;
    os_write(g_pipe[1], "nobody there", 12);
    os_write(-1, "nobody there", 12);
    assert_int_equal(os_duplicate(987654), -1);
}

/* A reader that is gone, and a limit, do not end a process, nor do their signals come later. One that is the
 * program's own stays pending. */
static void write_in_vain(void *argument)
{
    sigset_t set, pending;
    int pipes[2], file = file_make();
    struct rlimit limit = {3, 3};
    (void)argument;
    must(pipe(pipes) == 0 && close(pipes[0]) == 0 && setrlimit(RLIMIT_FSIZE, &limit) == 0, "no pipe");
    os_write(pipes[1], "nobody there", 12);
    os_write(file, "too much", 8);
    os_write(file, "too much", 8);
    sigpending(&pending);
    must(!sigismember(&pending, SIGPIPE) && !sigismember(&pending, SIGXFSZ), "a signal is pending");
    sigprocmask(SIG_BLOCK, NULL, &set);
    must(!sigismember(&set, SIGPIPE) && !sigismember(&set, SIGXFSZ), "a signal is blocked");
    sigaddset(&set, SIGPIPE);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGPIPE);
    os_write(pipes[1], "nobody there", 12);
    sigpending(&pending);
    must(sigismember(&pending, SIGPIPE), "the program's own signal is gone");
}

static void test_write_in_vain(void **state)
{
    (void)state;
    static struct child_result result;
    child_run(write_in_vain, NULL, 10, &result);
    must_end_well(&result, "writing in vain");
    errno = UNTOUCHED;
}

static void test_duplicate(void **state)
{
    (void)state;
    int file = file_make();
    int copy = os_duplicate(file);
    char text[8];
    assert_true(copy >= 100);
    assert_int_equal(fcntl(copy, F_GETFD), FD_CLOEXEC);
    os_write(copy, "same", 4);
    file_read(file, text, sizeof text);
    assert_string_equal(text, "same");
    close(copy);
    close(file);
}

static void test_which_file(void **state)
{
    (void)state;
    int file = file_make(), other = file_make(), copy = os_duplicate(file);
    struct file_id id = os_file_id(file), none = os_file_id(-1);
    assert_true(id.inode != 0);
    assert_true(none.device == 0 && none.inode == 0);
    assert_true(os_is_file(file, id));
    assert_true(os_is_file(copy, id));
    assert_false(os_is_file(other, id));
    assert_false(os_is_file(-1, id));
    /* What was not there at first is no file, though it is not there now either. */
    assert_false(os_is_file(-1, none));
    assert_false(os_is_file(file, none));
    /* The number goes to another file; then to none. */
    dup2(other, copy);
    assert_false(os_is_file(copy, id));
    assert_true(os_is_file(copy, os_file_id(other)));
    close(copy);
    errno = UNTOUCHED;
    assert_false(os_is_file(copy, id));
    none = os_file_id(copy);
    assert_true(none.device == 0 && none.inode == 0);
    close(file);
    close(other);
}

/* High numbers as far as the limit of open files allows; there must be something that says so to the parent. */
static void duplicate_under_limits(void *argument)
{
    static const struct {
        rlim_t limit;
        int least;
    } cases[] = {{600, 500}, {256, 250}, {100, 62}, {20, 15}, {12, -1}};
    (void)argument;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct rlimit limit = {cases[i].limit, cases[i].limit};
        must(setrlimit(RLIMIT_NOFILE, &limit) == 0, "setrlimit");
        int copy = os_duplicate(STDERR_FILENO);
        must(copy >= cases[i].least && copy < (int)limit.rlim_cur && (copy >= 0) == (cases[i].least >= 0),
             "with at most %d files: %d", (int)limit.rlim_cur, copy);
        if (copy >= 0)
            close(copy);
    }
}

static void test_duplicate_under_limits(void **state)
{
    (void)state;
    static struct child_result result;
    child_run(duplicate_under_limits, NULL, 10, &result);
    must_end_well(&result, "duplicates");
    errno = UNTOUCHED;
}

static void test_which_files_are_logs(void **state)
{
    (void)state;
    int file = file_make(), pipes[2], sockets[2];
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    assert_true(os_is_log(pipes[1]));
    assert_false(os_is_log(sockets[0]));
    assert_false(os_is_log(file));
    assert_false(os_is_log(-1));
    assert_int_equal(fcntl(file, F_SETFL, O_APPEND), 0);
    assert_true(os_is_log(file));
    close(file);
    for (unsigned i = 0; i < 2; i++) {
        close(pipes[i]);
        close(sockets[i]);
    }
}

static char g_directory[] = "/tmp/hakmem-os-XXXXXX";
static char g_path[64], g_other[64];

static int directory_set(void **state)
{
    (void)state;
    memcpy(strrchr(g_directory, '-') + 1, "XXXXXX", 6);
    if (!mkdtemp(g_directory))
        return -1;
    snprintf(g_path, sizeof g_path, "%s/p", g_directory);
    snprintf(g_other, sizeof g_other, "%s/other", g_directory);
    errno = UNTOUCHED;
    return 0;
}

static int directory_check(void **state)
{
    int result = errno_check(state);
    unlink(g_path);
    unlink(g_other);
    return rmdir(g_directory) == 0 ? result : -1; /* empty: nothing was left beside them */
}

/* Through the system's own calls, to leave errno alone. */
static void file_put(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void must_read(int error, const char *expected)
{
    char text[16];
    size_t length;
    int saw = os_file_read(g_path, text, sizeof text, &length);
    must(saw == error, "expected %d, saw %d", error, saw);
    assert_true(error || (length == strlen(expected) && memcmp(text, expected, length) == 0));
}

static void test_file_is_read_if_it_can_be_believed(void **state)
{
    (void)state;
    must_read(ENOENT, NULL);
    file_put(g_path, "text", 0644);
    must_read(0, "text");
    file_put(g_path, "sixteen letters!", 0644);
    must_read(EFBIG, NULL);
    file_put(g_path, "text", 0666);
    must_read(EPERM, NULL);
    unlink(g_path);
    file_put(g_other, "linked", 0644);
    assert_int_equal(symlink("other", g_path), 0);
    must_read(0, "linked");
    unlink(g_path);
    assert_int_equal(symlink("/dev/null", g_path), 0);
    must_read(ENODEV, NULL);
    unlink(g_path);
    assert_int_equal(mkfifo(g_path, 0600), 0);
    must_read(ENODEV, NULL); /* and does not wait for a writer */
    unlink(g_path);
    assert_int_equal(mkdir(g_path, 0700), 0);
    must_read(ENODEV, NULL);
    rmdir(g_path);
    errno = UNTOUCHED;
}

/* What another user owns is not believed, nor followed. Only root can make such files. */
static void test_file_of_another_user(void **state)
{
    (void)state;
    enum { SOMEBODY = 4242 };
    if (geteuid() != 0)
        return;
    file_put(g_path, "text", 0644);
    assert_int_equal(chown(g_path, SOMEBODY, SOMEBODY), 0);
    must_read(EPERM, NULL);
    unlink(g_path);
    file_put(g_other, "text", 0644);
    assert_int_equal(symlink("other", g_path), 0);
    assert_int_equal(lchown(g_path, SOMEBODY, SOMEBODY), 0);
    must_read(ELOOP, NULL);
}

static void test_file_is_made_where_nothing_was(void **state)
{
    (void)state;
    struct stat stat;
    assert_int_equal(os_file_make(g_path, "text", 4), 0);
    must_read(0, "text");
    assert_int_equal(lstat(g_path, &stat), 0);
    assert_int_equal(stat.st_mode & 022, 0);
    assert_int_equal(os_file_make(g_path, "other", 5), EEXIST);
    must_read(0, "text");
    unlink(g_path);
    assert_int_equal(mkfifo(g_path, 0600), 0);
    assert_int_equal(os_file_make(g_path, "text", 4), EEXIST); /* and does not wait for a reader */
    unlink(g_path);
    assert_int_equal(symlink("other", g_path), 0);
    assert_int_equal(os_file_make(g_path, "text", 4), EEXIST);
    assert_int_not_equal(access(g_other, F_OK), 0);
    unlink(g_path);
    errno = UNTOUCHED;
}

/* Where there is no room for it, nothing is left; and SIGXFSZ does not end the process. */
static void make_under_limit(void *argument)
{
    struct rlimit limit = {3, 3};
    (void)argument;
    must(setrlimit(RLIMIT_FSIZE, &limit) == 0, "setrlimit");
    int error = os_file_make(g_path, "text", 4);
    must(error == EFBIG, "saw %d", error);
    error = os_file_make(g_path, "3", 1);
    must(error == 0, "saw %d", error);
}

static void test_file_is_made_whole(void **state)
{
    (void)state;
    static struct child_result result;
    child_run(make_under_limit, NULL, 10, &result);
    must_end_well(&result, "a limit of 3 bytes");
    must_read(0, "3");
}

/* A closed stream's number is not used for a file that is written to. Descriptors in this process are the test's. */
static void open_without_streams(void *argument)
{
    (void)argument;
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        close(fd);
    int file = os_open("/dev/null");
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) >= 0 || file <= STDERR_FILENO)
            _exit(1);
    if (fcntl(file, F_GETFD) != FD_CLOEXEC || os_file_make(g_path, "text", 4) != 0)
        _exit(2);
    _exit(0);
}

static void test_streams_stay_closed(void **state)
{
    (void)state;
    static struct child_result result;
    child_run(open_without_streams, NULL, 10, &result);
    must_end_well(&result, "a process without streams");
    must_read(0, "text");
}

static void test_rename(void **state)
{
    (void)state;
    file_put(g_path, "one", 0644);
    assert_int_equal(os_file_rename(g_path, g_other, false), 0);
    file_put(g_path, "two", 0644);
    assert_int_equal(os_file_rename(g_path, g_other, false), EEXIST);
    must_read(0, "two");
    assert_int_equal(os_file_rename(g_path, g_other, true), 0);
    must_read(ENOENT, NULL);
    assert_int_equal(os_file_rename(g_other, g_path, false), 0);
    must_read(0, "two");
}

static void name_count(void *context, const char *name)
{
    unsigned *count = context;
    *count += strlen(name) == 40 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static void test_directory_list(void **state)
{
    (void)state;
    enum { FILES = 100 };
    char path[96];
    unsigned count = 0;
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < FILES; i++) {
            snprintf(path, sizeof path, "%s/%040u", g_directory, i);
            if (round == 0)
                file_put(path, "x", 0644);
            else
                unlink(path);
            if (round == 0 && i == FILES - 1)
                os_directory_list(g_directory, name_count, &count);
        }
    assert_int_equal(count, FILES + 2);
    os_directory_list(g_path, name_count, &count);
    os_directory_list("/dev/null", name_count, &count);
    assert_int_equal(count, FILES + 2);
}

static void test_executable(void **state)
{
    (void)state;
    char path[512], cut[8], id[OS_BUILD_ID_MAX];
    os_executable(path, sizeof path);
    must(strcmp(strrchr(path, '/'), "/unit_os") == 0, "saw %s", path);
    os_executable(cut, sizeof cut);
    assert_int_equal(strncmp(path, cut, sizeof cut - 1), 0);
    assert_int_equal(strlen(cut), sizeof cut - 1);
    os_build_id(id);
    assert_int_equal(strspn(id, "0123456789abcdef"), strlen(id));
    assert_in_range(strlen(id), 16, OS_BUILD_ID_MAX - 1);
}

/* ---- Notes ------------------------------------------------------------------------------------------------------- */

/* Puts a note at the end of memory that nothing follows: a step too far is a crash. Returns where it begins. */
static char *note_put(char *end, uint32_t name_size, uint32_t size, uint32_t type, const char *content, size_t length)
{
    Elf64_Nhdr head = {name_size, size, type};
    char *start = end - sizeof head - length;
    memcpy(start, &head, sizeof head);
    memcpy(start + sizeof head, content, length);
    return start;
}

static void test_hostile_notes(void **state)
{
    (void)state;
    char id[OS_BUILD_ID_MAX];
    size_t page = os_page_size();
    char *memory = map(2 * page, page), *end = memory + page;
    assert_int_equal(os_unmap(end, page), 0);

    char *note = note_put(end, 4, 2, NT_GNU_BUILD_ID, "GNU\0\xab\xcd", 6);
    assert_true(os_build_id_find(note, (size_t)(end - note), id));
    assert_string_equal(id, "abcd");
    for (size_t cut = 0; cut < (size_t)(end - note); cut++)
        assert_false(os_build_id_find(note, cut, id));
    static const uint32_t sizes[] = {0, 1, 3, 5, 8, 0x7fffffff, 0x80000000, 0xfffffffc, 0xfffffffd, 0xffffffff};
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        for (size_t k = 0; k < COUNT_OF(sizes); k++) {
            note = note_put(end, sizes[i], sizes[k], NT_GNU_BUILD_ID, "GNU\0\xab\xcd", 6);
            assert_false(os_build_id_find(note, (size_t)(end - note), id));
        }
    /* One behind another; an id that is longer than there is room for. */
    static char much[4 + 500] = "GNU";
    note =
        note_put(note_put(end, 4, 500, NT_GNU_BUILD_ID, much, sizeof much), 4, 5, NT_GNU_ABI_TAG, "GNU\0abcde\0\0", 12);
    assert_true(os_build_id_find(note, (size_t)(end - note), id));
    assert_in_range(strlen(id), OS_BUILD_ID_MAX - 3, OS_BUILD_ID_MAX - 1);
    assert_int_equal(os_unmap(memory, page), 0);
}

/* ---- The end ----------------------------------------------------------------------------------------------------- */

static void do_abort(void *argument)
{
    (void)argument;
    os_abort();
}

static void test_abort(void **state)
{
    (void)state;
    static struct child_result result;
    child_run(do_abort, NULL, 10, &result);
    must(WIFSIGNALED(result.status) && WTERMSIG(result.status) == SIGABRT, "%s", child_ending(&result));
    errno = UNTOUCHED;
    assert_false(os_is_privileged());
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, errno_set, errno_check)
#define FILE_TEST(f) cmocka_unit_test_setup_teardown(f, directory_set, directory_check)
    const struct CMUnitTest tests[] = {
        TEST(test_purges_that_do_nothing), /* first: who has looked once believes */
        TEST(test_page_size),
        TEST(test_map_is_aligned_zero_and_given_back),
        TEST(test_map_honours_a_free_hint),
        TEST(test_map_refuses_the_impossible),
        TEST(test_unmap_of_a_part),
        TEST(test_purge_frees_memory_and_zeroes),
        TEST(test_purge_of_many_ranges),
        TEST(test_resize_in_place),
        TEST(test_move_keeps_contents),
        TEST(test_wiped_on_fork),
        TEST(test_resident_by_call_and_by_file),
        TEST(test_what_is_known_of_filters),
        TEST(test_shut),
        TEST(test_memory_size),
        TEST(test_watchers_are_told),
        cmocka_unit_test(test_wait_and_wake),
        TEST(test_clock),
        TEST(test_clock_is_the_systems),
        TEST(test_clock_is_no_call),
        cmocka_unit_test(test_threads),
        TEST(test_write_writes_all),
        TEST(test_write_in_vain),
        TEST(test_duplicate),
        TEST(test_which_file),
        TEST(test_duplicate_under_limits),
        TEST(test_which_files_are_logs),
        FILE_TEST(test_file_is_read_if_it_can_be_believed),
        FILE_TEST(test_file_of_another_user),
        FILE_TEST(test_file_is_made_where_nothing_was),
        FILE_TEST(test_file_is_made_whole),
        FILE_TEST(test_streams_stay_closed),
        FILE_TEST(test_rename),
        FILE_TEST(test_directory_list),
        TEST(test_executable),
        TEST(test_hostile_notes),
        TEST(test_abort),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
