/* os_executable_test.c - the program that runs, and what notes may say.
 * SPDX-License-Identifier: MIT */
#include "os_tests.h"

#include <elf.h>

#include "system/os_executable.h"

static void test_executable(void **state)
{
    (void)state;
    char path[512], cut[8], id[OS_BUILD_ID_MAX];
    os_executable(path, sizeof path);
    must(strcmp(strrchr(path, '/'), "/unit_os_executable") == 0, "saw %s", path);
    os_executable(cut, sizeof cut);
    assert_int_equal(strncmp(path, cut, sizeof cut - 1), 0);
    assert_int_equal(strlen(cut), sizeof cut - 1);
    os_build_id(id);
    assert_int_equal(strspn(id, "0123456789abcdef"), strlen(id));
    assert_in_range(strlen(id), 16, OS_BUILD_ID_MAX - 1);
}

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_executable),
        TEST(test_hostile_notes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
