/* os_sandbox_test.c - what is shut stays so, and makes no call that a filter may lack.
 * SPDX-License-Identifier: MIT */
#include "os_tests.h"

#include <sys/syscall.h>

#include "system/os_advise.h"
#include "system/os_file.h"
#include "system/os_look.h"
#include "system/os_map.h"
#include "system/os_process.h"
#include "system/os_sandbox.h"
#include "system/os_stream.h"
#include "system/os_thread.h"

static void nothing_opens_what_is_shut(void)
{
    store_relaxed(&os_sandbox, OS_SANDBOX_UNKNOWN);
    os_sandbox_watch();
    must(load_relaxed(&os_sandbox) == OS_SANDBOX_ASK, "filters are not watched");
    os_sandbox_shut();
    os_sandbox_watch();
    must(load_relaxed(&os_sandbox) == OS_SANDBOX_SHUT, "a watch opens what was shut");
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
    in_child(nothing_opens_what_is_shut, "what is shut");
    in_child(shut_makes_no_other_call, "shut");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_shut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
