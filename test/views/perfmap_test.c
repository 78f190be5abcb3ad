/* perfmap_test.c - names of code that a process made, from a file that anybody might have written.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "names/perfmap.h"
#include "names/symbols.h"

static char path[64];

static void map_write(const char *text)
{
    unlink(path);
    FILE *file = fopen(path, "wex");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void must_be(const struct perfmap *map, uint64_t address, const char *name, const char *file, unsigned line)
{
    const struct perfmap_function *found = perfmap_find(map, address);
    assert_non_null(found);
    assert_string_equal(found->name, name);
    assert_string_equal(found->file ? found->file : "", file);
    assert_int_equal(found->line, line);
}

static void what_compilers_write_is_read(void **state)
{
    (void)state;
    map_write("1000 10 JS:*makeRecord /srv/app.js:12:7\n"
              "1010 10 JS:~ node:internal/timers:5:1\n"
              "1020 10 JS:^bare\n"
              "1030 10 py::Shop.keep:/srv/shop.py\n"
              "1040 10 py::odd\n"
              "1050 10 Builtin:Array Push\n"
              "1060 10 void com.example.Main::run()\n"
              "1070 10 JS:get x /a b.js:3:4\n"
              "7f0000001000 ffff big\n");
    struct perfmap *map = perfmap_open(getpid());
    assert_non_null(map);
    must_be(map, 0x1000, "makeRecord", "/srv/app.js", 12);
    must_be(map, 0x100f, "makeRecord", "/srv/app.js", 12);
    must_be(map, 0x1010, "(anonymous)", "node:internal/timers", 5);
    must_be(map, 0x1020, "bare", "", 0);
    must_be(map, 0x1030, "Shop.keep", "/srv/shop.py", 0);
    must_be(map, 0x1040, "odd", "", 0);
    must_be(map, 0x1050, "Builtin:Array Push", "", 0);
    must_be(map, 0x1060, "void com.example.Main::run()", "", 0);
    assert_int_equal(perfmap_find(map, 0x1070)->line, 3);
    must_be(map, 0x7f0000010ffe, "big", "", 0);
    assert_null(perfmap_find(map, 0x7f0000010fff));
    assert_null(perfmap_find(map, 0xfff));
    assert_null(perfmap_find(map, UINT64_MAX));
    perfmap_close(map);
}

static void of_two_the_later_is_there(void **state)
{
    (void)state;
    map_write("1000 100 first\n2000 10 other\n1080 10 second\n");
    struct perfmap *map = perfmap_open(getpid());
    must_be(map, 0x1080, "second", "", 0);
    must_be(map, 0x107f, "first", "", 0);
    must_be(map, 0x1090, "first", "", 0);
    perfmap_close(map);
}

static void lines_without_sense_are_left_out(void **state)
{
    (void)state;
    map_write("\n \nx 10 a\n1000\n1000 \n1000 10\n1000 10 \n1000 0 a\nffffffffffffffff 10 a\n2000 10 \033[2Jb\n"
              "3000 10 JS:\n3010 10 JS:~:\n3020 10 JS: :\n3030 10 JS: a:\n3040 10 JS: a:b\n4000 10 half");
    struct perfmap *map = perfmap_open(getpid());
    assert_null(perfmap_find(map, 0x1000));
    assert_null(perfmap_find(map, UINT64_MAX));
    must_be(map, 0x2000, "?[2Jb", "", 0);
    must_be(map, 0x3000, "(anonymous)", "", 0);
    assert_non_null(perfmap_find(map, 0x3010));
    assert_non_null(perfmap_find(map, 0x3020));
    assert_non_null(perfmap_find(map, 0x3030));
    assert_non_null(perfmap_find(map, 0x3040));
    assert_null(perfmap_find(map, 0x4000)); /* it is being written */
    perfmap_close(map);
}

static void what_is_not_the_processs_own_is_not_believed(void **state)
{
    (void)state;
    unlink(path);
    assert_null(perfmap_open(getpid()));
    assert_null(perfmap_open(0));
    assert_int_equal(symlink("/proc/self/maps", path), 0);
    assert_null(perfmap_open(getpid()));
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_null(perfmap_open(getpid()));
    rmdir(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_null(perfmap_open(getpid()));
    if (geteuid() == 0) { /* else it cannot be given away */
        map_write("1000 10 a\n");
        assert_int_equal(chown(path, 65534, 65534), 0);
        assert_null(perfmap_open(getpid()));
    }
    unlink(path);
}

/* A return address lies behind the call, perhaps at the end of a function. */
static void symbols_have_them(void **state)
{
    (void)state;
    map_write("1000 10 JS:~run /srv/app.js:3:1\n1020 10 JS:*alloc node:internal/buffer:10:2\n");
    struct symbols *symbols = symbols_new(getpid(), 0);
    const struct symbols_place *place = symbols_find(symbols, 0x1010);
    assert_int_equal(place->count, 1);
    assert_string_equal(place->symbol->function, "run");
    assert_string_equal(place->symbol->file, "/srv/app.js");
    assert_null(place->mapping);
    assert_false(symbol_is_wrapper(symbols, place->symbol));
    assert_true(symbol_is_wrapper(symbols, symbols_find(symbols, 0x1021)->symbol));
    assert_null(symbols_find(symbols, 0x1000)->symbol->function);
    assert_true(symbol_is_wrapper(symbols, &(struct symbol){.function = "node::NodeArrayBufferAllocator::Allocate"}));
    symbols_free(symbols);
    unlink(path);
    symbols = symbols_new(getpid(), 0);
    assert_null(symbols_find(symbols, 0x1010)->symbol->function);
    assert_false(symbol_is_wrapper(symbols, &(struct symbol){.function = "node::NodeArrayBufferAllocator::Allocate"}));
    assert_true(symbol_is_wrapper(symbols, &(struct symbol){.function = "malloc"}));
    symbols_free(symbols);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_compilers_write_is_read),
        cmocka_unit_test(of_two_the_later_is_there),
        cmocka_unit_test(lines_without_sense_are_left_out),
        cmocka_unit_test(what_is_not_the_processs_own_is_not_believed),
        cmocka_unit_test(symbols_have_them),
    };
    snprintf(path, sizeof path, "/tmp/perf-%d.map", (int)getpid());
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
