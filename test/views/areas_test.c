/* areas_test.c - what the kernel reports of a process's memory.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "read/areas.h"

static const char text[] =
    "00400000-00500000 r-xp 00000000 08:01 123                        /usr/bin/a program\n"
    "Size:               1024 kB\nRss:                 512 kB\nShared_Clean:        500 kB\nShared_Dirty:          1 "
    "kB\n"
    "AnonHugePages:         0 kB\nSwap:                  0 kB\n"
    "01000000-01100000 rw-p 00000000 00:00 0                          [heap]\nRss: 100 kB\n"
    "7f0000000000-7f0000001000 ---p 00000000 00:00 0 \nRss: 0 kB\n"
    "7f0000001000-7f0000801000 rw-p 00000000 00:00 0 \nRss: 40 kB\nSwap: 8 kB\n"
    "7f0000801000-7f0010000000 ---p 00000000 00:00 0 \nRss: 0 kB\n"
    "7f0010000000-7f0011000000 rw-p 00000000 00:00 0 \nRss: 6144 kB\nAnonHugePages: 4096 kB\n"
    "7f0020000000-7f0021000000 rw-s 00000000 00:01 99                 /dev/zero (deleted)\nRss: 64 kB\n"
    "7f0022000000-7f0022001000 rw-p 00000000 00:00 0                  [anon:v8]\nRss: 4 kB\n"
    "7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                  [stack]\nRss: 20 kB\n"
    "7ffc00100000-7ffc00102000 r-xp 00000000 00:00 0                  [vdso]\nRss: 8 kB\n";

static struct areas parsed(void)
{
    struct areas areas;
    FILE *smaps = fmemopen((void *)text, sizeof text - 1, "r");
    assert_non_null(smaps);
    assert_int_equal(areas_parse(&areas, smaps), 0);
    fclose(smaps);
    return areas;
}

static void areas_have_kinds_and_sums(void **state)
{
    static const enum area_kind kinds[] = {AREA_FILE,      AREA_BREAK,  AREA_GUARD,     AREA_STACK, AREA_GUARD,
                                           AREA_ANONYMOUS, AREA_SHARED, AREA_ANONYMOUS, AREA_STACK, AREA_FILE};
    (void)state;
    struct areas areas = parsed();
    assert_int_equal(areas.count, sizeof kinds / sizeof kinds[0]);
    for (size_t i = 0; i < areas.count; i++)
        assert_int_equal(areas.area[i].kind, kinds[i]);
    assert_string_equal(areas.area[0].name, "a program");
    assert_string_equal(areas.area[7].name, "[anon:v8]");
    assert_int_equal(areas.area[0].shared, 501 * 1024);
    assert_int_equal(areas.area[5].huge, 4096 * 1024);
    assert_int_equal(areas.resident, (512 + 100 + 40 + 6144 + 64 + 4 + 20 + 8) * 1024);
    assert_int_equal(areas.swapped, 8 * 1024);
    areas_free(&areas);
}

static void areas_are_found(void **state)
{
    (void)state;
    struct areas areas = parsed();
    assert_ptr_equal(areas_find(&areas, 0x400000), &areas.area[0]);
    assert_ptr_equal(areas_find(&areas, 0x4fffff), &areas.area[0]);
    assert_null(areas_find(&areas, 0x500000));
    assert_null(areas_find(&areas, 0));
    assert_null(areas_find(&areas, UINT64_MAX));
    areas_free(&areas);
}

static void what_the_system_does_not_tell_is_spread_evenly(void **state)
{
    (void)state;
    struct areas areas = parsed();
    assert_int_equal(areas_resident(&areas, 0x400000, 0x80000), 256 * 1024);
    assert_int_equal(areas_resident(&areas, 0x400000, 0x100000), 512 * 1024);
    assert_int_equal(areas_resident(&areas, 0x4ff000, 0x100000), 2048);
    assert_int_equal(areas_resident(&areas, 0x900000, 4096), 0);
    areas_free(&areas);
}

/* Of this process: of 256 pages, 100 are touched, and of a block across the border of two pages one half. */
static void pages_are_counted(void **state)
{
    (void)state;
    enum { PAGES = 256, TOUCHED = 100 };
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *memory = mmap(NULL, (PAGES + 2) * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    assert_int_equal(madvise(memory, (PAGES + 2) * page, MADV_NOHUGEPAGE), 0);
    for (size_t i = 0; i < TOUCHED; i++)
        memory[(i + 1) * page] = 1;
    struct areas areas;
    assert_int_equal(areas_read(&areas, getpid()), 0);
    uint64_t start = (uint64_t)(uintptr_t)memory + page;
    if (areas.pagemap < 0)
        skip();
    assert_int_equal(areas_resident(&areas, start, PAGES * page), TOUCHED * page);
    assert_int_equal(areas_resident(&areas, start + 8, 64), 64);
    assert_int_equal(areas_resident(&areas, start - 64, 128), 64);
    assert_int_equal(areas_resident(&areas, start + TOUCHED * page, 64), 0);
    areas_free(&areas);
    munmap(memory, (PAGES + 2) * page);
}

/* A record that names much more memory than anybody has would keep us looking. The stretches here have no resident
 * pages, while an estimate gives them a share of those before. */
static void looking_has_an_end(void **state)
{
    (void)state;
    enum { TOUCHED = 16 };
    size_t page = (size_t)sysconf(_SC_PAGESIZE), size = page << 26;
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        skip();
    assert_int_equal(madvise(memory, size, MADV_NOHUGEPAGE), 0);
    for (size_t i = 0; i < TOUCHED; i++)
        memory[i * page] = 1;
    struct areas areas;
    assert_int_equal(areas_read(&areas, getpid()), 0);
    uint64_t middle = (uint64_t)(uintptr_t)memory + size / 2;
    if (areas.pagemap < 0)
        skip();
    assert_true(areas_resident(&areas, middle, size / 2) > 0);
    unsigned looks = 0;
    while (looks < 100 && areas_resident(&areas, middle, size / 16) == 0)
        looks++;
    assert_in_range(looks, 1, 99);
    areas_free(&areas);
    munmap(memory, size);
}

static void a_process_that_is_not_there(void **state)
{
    (void)state;
    struct areas areas;
    assert_int_not_equal(areas_read(&areas, 999999999), 0);
    areas_free(&areas);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(areas_have_kinds_and_sums),
        cmocka_unit_test(areas_are_found),
        cmocka_unit_test(what_the_system_does_not_tell_is_spread_evenly),
        cmocka_unit_test(pages_are_counted),
        cmocka_unit_test(looking_has_an_end),
        cmocka_unit_test(a_process_that_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
