/* maps_test.c - addresses are found in the files that are mapped there.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>

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

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_code_data_and_nothing)};
    return RUN_TESTS(tests);
}
