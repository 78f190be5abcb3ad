/* cxx_plugin_program.c - a program in C, without a C++ runtime, that loads an object in C++, in the way its argument
 * says.
 * SPDX-License-Identifier: MIT */
#include "support.h"

#include <dlfcn.h>

int main(int argc, char **argv)
{
    must(argc == 2, "usage: cxx_plugin_program local | global");
    must(dlsym(RTLD_DEFAULT, "_ZSt15get_new_handlerv") == NULL, "there is a C++ runtime already: this tests nothing");
    void *plugin = dlopen(CXX_PLUGIN, RTLD_NOW | (argv[1][0] == 'l' ? RTLD_LOCAL : RTLD_GLOBAL));
    must(plugin != NULL, "dlopen: %s", dlerror());
    int (*run)(void) = (int (*)(void))dlsym(plugin, "plugin_run");
    must(run != NULL, "plugin_run was not found: %s", dlerror());
    int result = run();
    must(result == 17, "plugin_run: expected 17, saw %d", result);
    must(dlclose(plugin) == 0, "dlclose: %s", dlerror());
    return 0;
}
