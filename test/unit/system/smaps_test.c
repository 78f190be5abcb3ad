/* smaps_test.c - what is mapped is found with what of it is resident, and as what it is.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "system/os_look.h"
#include "system/os_map.h"
#include "system/os_sandbox.h"
#include "system/smaps.h"

enum { PAGES = 64, TOUCHED = 17 };

/* What is looked for, and the sum over all. */
struct search {
    uintptr_t address;
    struct smaps_area found;
    size_t resident, areas;
    uintptr_t end; /* of the last area */
};

static void area_see(void *context, const struct smaps_area *area)
{
    struct search *search = context;
    assert_true(area->start >= search->end && area->end > area->start && area->resident <= area->end - area->start);
    search->end = area->end;
    search->resident += area->resident;
    search->areas++;
    if (search->address >= area->start && search->address < area->end)
        search->found = *area;
}

static struct smaps_area area_of(const void *address)
{
    struct search search = {.address = (uintptr_t)address};
    if (!smaps_each(area_see, &search))
        skip();
    must(search.found.end > 0, "%p is in none of %zu areas", address, search.areas);
    return search.found;
}

/* Between memory that nobody may touch, which is too much for a stack's guard, so that it is an area alone. */
static char *stretch_map(int flags)
{
    size_t page = os_page_size(), edge = 1 << 20;
    char *all = mmap(NULL, PAGES * page + 2 * edge, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(all, MAP_FAILED);
    char *stretch = mmap(all + edge, PAGES * page, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    assert_ptr_equal(stretch, all + edge);
    madvise(stretch, PAGES * page, MADV_NOHUGEPAGE);
    for (size_t i = 0; i < TOUCHED; i++)
        stretch[2 * i * page] = 1;
    return stretch;
}

static void test_anonymous_and_shared(void **state)
{
    (void)state;
    char *own = stretch_map(MAP_PRIVATE), *shared = stretch_map(MAP_SHARED);
    struct smaps_area area = area_of(own);
    assert_int_equal(area.start, (uintptr_t)own);
    assert_int_equal(area.resident, TOUCHED * os_page_size());
    assert_int_equal(area.kind, SMAPS_ANONYMOUS);
    assert_int_equal(area_of(shared).kind, SMAPS_SHARED);
}

static void *on_stack(void *unused)
{
    char here = 0;
    assert_int_equal(area_of(&here).kind, SMAPS_STACK);
    return unused;
}

static void test_stacks(void **state)
{
    (void)state;
    pthread_t thread;
    on_stack(NULL);
    assert_int_equal(pthread_create(&thread, NULL, on_stack, NULL), 0);
    pthread_join(thread, NULL);
}

static void test_files(void **state)
{
    (void)state;
    struct smaps_area area = area_of((const void *)(uintptr_t)test_files);
    assert_int_equal(area.kind, SMAPS_FILE);
    assert_false(area.is_library);
}

/* The file's name, not its folder's, tells that it is the library. */
static void test_the_library(void **state)
{
    (void)state;
    char path[] = "/tmp/libhakmem-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(ftruncate(file, (off_t)os_page_size()), 0);
    void *mapped = mmap(NULL, os_page_size(), PROT_READ, MAP_PRIVATE, file, 0);
    assert_ptr_not_equal(mapped, MAP_FAILED);
    struct smaps_area area = area_of(mapped);
    unlink(path);
    close(file);
    assert_int_equal(area.kind, SMAPS_FILE);
    assert_true(area.is_library);
}

/* As the kernel sums it up elsewhere; reading takes some pages itself. */
static void test_the_sum_is_what_is_resident(void **state)
{
    (void)state;
    enum { SLACK = 1 << 20 };
    struct search search = {.address = 0};
    if (UNDER_SHADOW || !smaps_each(area_see, &search))
        skip();
    size_t said = os_process_resident(), peak = smaps_peak();
    must(search.resident + SLACK > said && search.resident < said + SLACK, "%zu bytes in areas, %zu in all",
         search.resident, said);
    must(peak + SLACK > said, "%zu bytes resident, %zu at the peak", said, peak);
}

static void test_a_shut_sandbox_tells_nothing(void **state)
{
    (void)state;
    struct search search = {.address = 0};
    uint8_t before = load_relaxed(&os_sandbox);
    os_sandbox_shut();
    bool told = smaps_each(area_see, &search);
    size_t peak = smaps_peak();
    store_relaxed(&os_sandbox, before);
    assert_false(told);
    assert_int_equal(search.areas, 0);
    assert_int_equal(peak, 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_anonymous_and_shared), cmocka_unit_test(test_stacks),
        cmocka_unit_test(test_files),                cmocka_unit_test(test_the_library),
        cmocka_unit_test(test_the_sum_is_what_is_resident), cmocka_unit_test(test_a_shut_sandbox_tells_nothing),
    };
    os_sandbox_watch(); /* as in a program that the library is preloaded into */
    return RUN_TESTS(tests);
}
