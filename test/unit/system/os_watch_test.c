/* os_watch_test.c - who has put code over the functions by which memory goes is told.
 * SPDX-License-Identifier: MIT */
#include "os_tests.h"

#include <sys/mman.h>
#include <sys/syscall.h>

#include "divert.h"
#include "system/os_advise.h"
#include "system/os_map.h"
#include "system/os_sandbox.h"
#include "system/os_watch.h"

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
    must(mprotect((void *)page, 2 * os_page_size(), PROT_READ | PROT_WRITE | PROT_EXEC) == 0, "mprotect: errno %d",
         errno);
    unsigned char code[DIVERT_MAX];
    size_t size = divert_code(code, to);
    memcpy(function, code, size);
    __builtin___clear_cache((char *)function, (char *)function + size);
}

static void must_have_told(const char *call, unsigned count)
{
    must(g_told_count == count && g_told && strcmp(g_told, call) == 0, "%s: told of %u calls, the last %s, not %u",
         call, g_told_count, g_told ? g_told : "none", count);
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
    os_watch_start();
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_watchers_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
