/* nothrow_host.c - a program in C, without a C++ runtime, that loads nothrow.cpp as an object.
 * SPDX-License-Identifier: MIT */
#include "support.h"

#include <dlfcn.h>

int main(int argc, char **argv)
{
    must(argc == 2, "usage: nothrow_host OBJECT");
    must(dlsym(RTLD_DEFAULT, "__cxa_begin_catch") == NULL, "there is a C++ runtime already: this tests nothing");
    void *plugin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    must(plugin != NULL, "dlopen: %s", dlerror());
    int (*run)(void) = (int (*)(void))dlsym(plugin, "nothrow_run");
    must(run != NULL, "nothrow_run was not found: %s", dlerror());
    return run();
}
