/* maps_test.c - addresses are found in the files that are mapped there.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "system/maps.h"

static void test_code_data_and_nothing(void **state)
{
    (void)state;
    char self[PATH_MAX] = "";
    static int data = 1;
    int on_stack;
    assert_non_null(realpath("/proc/self/exe", self));
    struct maps_place places[] = {
        {.address = (uintptr_t)test_code_data_and_nothing},
        {.address = (uintptr_t)&data},
        {.address = (uintptr_t)dlsym(RTLD_DEFAULT, "gnu_get_libc_version")},
        {.address = (uintptr_t)&on_stack},
        {.address = 16},
    };
    maps_find(places, COUNT_OF(places));
    assert_string_equal(places[0].name, self);
    assert_string_equal(places[1].name, self);
    assert_non_null(strstr(places[2].name, "libc"));
    assert_string_equal(places[3].name, "");
    assert_string_equal(places[4].name, "");
}

/* The end of a name that is too long; and the file behind it is found, too. */
static void test_long_names(void **state)
{
    (void)state;
    enum { PARTS = 3, PART = 200, SIZE = 1 << 16 };
    char path[PATH_MAX] = "/tmp/maps_test.XXXXXX", part[PART + 1], *made[PARTS + 1];
    memset(part, 'p', PART);
    part[PART] = '\0';
    assert_non_null(mkdtemp(path));
    for (int i = 0; i <= PARTS; i++) {
        made[i] = strdup(path);
        snprintf(path + strlen(path), sizeof path - strlen(path), "/%s", i < PARTS ? part : "the end");
        assert_int_equal(i < PARTS ? mkdir(path, 0700) : 0, 0);
    }
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    assert_true(fd >= 0 && ftruncate(fd, SIZE) == 0);
    char *memory = mmap(NULL, SIZE, PROT_READ, MAP_PRIVATE, fd, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    struct maps_place places[] = {{.address = (uintptr_t)memory + 100}, {.address = (uintptr_t)test_long_names}};
    maps_find(places, COUNT_OF(places));
    assert_string_equal(places[0].name, path + strlen(path) - MAPS_NAME_MAX);
    assert_int_equal(places[0].offset, 100);
    assert_int_equal(places[0].image, (uintptr_t)memory);
    assert_true(strlen(places[1].name) > 0);
    close(fd);
    unlink(path);
    for (int i = PARTS; i >= 0; i--) {
        rmdir(made[i]);
        free(made[i]);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_code_data_and_nothing), cmocka_unit_test(test_long_names)};
    return RUN_TESTS(tests);
}
