/* deepbind_program.c - opens an object with RTLD_DEEPBIND in every way there is and exchanges blocks with it; what
 * dlopen promises besides stays as it is. Its argument says what it does.
 * SPDX-License-Identifier: MIT */
#include "support.h"

#include "plugin.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

static const int g_modes[] = {RTLD_NOW, RTLD_LAZY, RTLD_NOW | RTLD_GLOBAL, RTLD_LAZY | RTLD_GLOBAL,
                              RTLD_NOW | RTLD_NODELETE};

static const struct plugin *plugin_of(void *object)
{
    must(object != NULL, "%s", dlerror());
    plugin_get get = (plugin_get)dlsym(object, "plugin_end");
    must(get != NULL, "%s", dlerror());
    return get();
}

static void exchange(const struct plugin *from, const struct plugin *to)
{
    for (size_t size = 1; size < 3 * MIB; size = size * 5 + 1) {
        void *blocks[] = {from->make(size), from->make_aligned(size), from->make_text(), from->grow(NULL, size)};
        for (size_t i = 0; i < COUNT_OF(blocks); i++) {
            must(to->usable(blocks[i]) >= (i == 2 ? 20 : size), "block %zu: too small to the other side", i);
            to->drop(to->grow(blocks[i], size * 2 + 100));
        }
        to->drop(from->make(size));
        to->object_delete(from->object_new(size));
    }
}

static void open_and_exchange(bool in_space)
{
    const struct plugin *own = plugin_end();
    for (size_t i = 0; i < COUNT_OF(g_modes); i++) {
        int mode = g_modes[i] | RTLD_DEEPBIND;
        void *object = in_space ? dlmopen(LM_ID_BASE, DEEPBIND_PLUGIN, mode) : dlopen(DEEPBIND_PLUGIN, mode);
        const struct plugin *other = plugin_of(object);
        must(other != own, "the plugin's function is the program's: there is no other side");
        must(other->malloc_bound() == own->malloc_bound(), "mode %x: the plugin has another malloc", (unsigned)mode);
        exchange(own, other);
        exchange(other, own);
        must(dlclose(object) == 0, "dlclose: %s", dlerror());
    }
}

/* HAKMEM_DEEPBIND=1: as the program has asked. */
static void keep_flag(void)
{
    const struct plugin *other = plugin_of(dlopen(DEEPBIND_PLUGIN, RTLD_NOW | RTLD_DEEPBIND));
    must(other->malloc_bound() != plugin_end()->malloc_bound(),
         "the plugin has the program's malloc: the flag was dropped");
    other->drop(other->make(100));
}

/* In another namespace everything is another: its libc, its malloc, its dlopen. */
static void other_space(void)
{
    void *object = dlmopen(LM_ID_NEWLM, FINDER_RUNPATH, RTLD_NOW);
    must(object != NULL, "dlmopen: %s", dlerror());
    void *(*find)(const char *, int) = (void *(*)(const char *, int))dlsym(object, "find");
    const void *(*find_dlopen)(void) = (const void *(*)(void))dlsym(object, "find_dlopen");
    must(find && find_dlopen, "%s", dlerror());
    must(find_dlopen() != (const void *)(uintptr_t)dlopen, "the object in the other namespace has this one's dlopen");
    void *found = find("libcross_found.so", RTLD_NOW | RTLD_DEEPBIND);
    must(found != NULL, "an object that only the RUNPATH of who asks finds was not found in another namespace");
    int (*answer)(void) = (int (*)(void))dlsym(found, "found");
    must(answer && answer() == 42, "the object that was found does not answer");
    object = dlmopen(LM_ID_NEWLM, DEEPBIND_PLUGIN, RTLD_NOW | RTLD_DEEPBIND);
    const struct plugin *other = plugin_of(object);
    must(other->malloc_bound() != plugin_end()->malloc_bound(), "another namespace has this one's malloc");
    other->drop(other->grow(other->make(100), 10000));
}

static void find_by(const char *path, const char *way)
{
    void *finder = dlopen(path, RTLD_NOW | RTLD_DEEPBIND);
    must(finder != NULL, "dlopen: %s", dlerror());
    void *(*find)(const char *, int) = (void *(*)(const char *, int))dlsym(finder, way);
    must(find != NULL, "%s", dlerror());
    must(dlopen("libcross_found.so", RTLD_NOW) == NULL, "the program itself finds what it should not");
    dlerror();
    for (size_t i = 0; i < COUNT_OF(g_modes) - 1; i++) {
        void *found = find("libcross_found.so", g_modes[i] | (i % 2 ? RTLD_DEEPBIND : 0));
        must(found != NULL, "%s of %s: %s", way, path, dlerror());
        int (*answer)(void) = (int (*)(void))dlsym(found, "found");
        must(answer && answer() == 42, "the object that was found does not answer");
        must(dlclose(found) == 0, "dlclose: %s", dlerror());
    }
    void *self = find("$ORIGIN/libcross_found.so", RTLD_NOW | RTLD_DEEPBIND);
    must(self != NULL, "$ORIGIN of who asks: %s", dlerror());
    dlclose(self);
    dlclose(finder);
}

static void find_all(void)
{
    find_by(FINDER_RUNPATH, "find");
    find_by(FINDER_RUNPATH, "find_in_space");
    find_by(FINDER_RPATH, "find");
    find_by(FINDER_RPATH, "find_in_space");
}

static void show_error(const char *what, const void *result)
{
    const char *text = dlerror();
    printf("%s: %s, %s\n", what, result ? "opened" : "NULL", text ? text : "no error");
}

/* For comparison with the same without hakmem. */
static void show_errors(void)
{
    show_error("NULL", dlopen(NULL, RTLD_NOW));
    show_error("nothing", dlopen("/nonexistent/plugin.so", RTLD_NOW | RTLD_DEEPBIND));
    show_error("a plain name", dlopen("libhakmem_nobody_has_this.so.9", RTLD_NOW));
    show_error("no object", dlopen("/etc/passwd", RTLD_LAZY | RTLD_DEEPBIND));
    show_error("a directory", dlopen("/tmp", RTLD_NOW));
    show_error("no mode", dlopen(DEEPBIND_PLUGIN, 0));
    show_error("not loaded", dlopen(DEEPBIND_PLUGIN, RTLD_NOW | RTLD_NOLOAD | RTLD_DEEPBIND));
    show_error("no such space", dlmopen(99, DEEPBIND_PLUGIN, RTLD_NOW));
    show_error("NULL in a new space", dlmopen(LM_ID_NEWLM, NULL, RTLD_NOW));
    show_error("global in a new space", dlmopen(LM_ID_NEWLM, DEEPBIND_PLUGIN, RTLD_NOW | RTLD_GLOBAL));
    show_error("a symbol", dlsym(dlopen(NULL, RTLD_LAZY), "no_such_symbol_anywhere"));
    show_error("malloc of the whole program", dlsym(dlopen(NULL, RTLD_LAZY), "malloc"));
}

int main(int argc, char **argv)
{
    must(argc == 2, "usage: deepbind_program WAY");
    switch (argv[1][0]) {
    case 'o': open_and_exchange(false); break;
    case 'm': open_and_exchange(true); break;
    case 'k': keep_flag(); break;
    case 's': other_space(); break;
    case 'f': find_all(); break;
    case 'e': show_errors(); break;
    default: must(false, "no such way: %s", argv[1]);
    }
    return 0;
}
