/* deepbind.c - loads ./plugin.so with RTLD_DEEPBIND, as PHP does with its extensions, and passes blocks both ways.
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 1500000 }; /* for a second or two, so that the process is seen */

int main(void)
{
    void *plugin = dlopen("./plugin.so", RTLD_NOW | RTLD_DEEPBIND);
    if (plugin == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    char *(*make)(const char *) = (char *(*)(const char *))dlsym(plugin, "plugin_make");
    void *(*resize)(void *, size_t) = (void *(*)(void *, size_t))dlsym(plugin, "plugin_resize");
    void (*plugin_free)(void *) = (void (*)(void *))dlsym(plugin, "plugin_free");
    size_t sum = 0;
    for (size_t i = 0; i < ROUNDS; i++) {
        char *text = make("made by the plugin");
        text = realloc(text, 100 + i % 5000);
        sum += strlen(text);
        plugin_free(text);
        void *block = resize(malloc(50), i % 70000 + 1);
        free(resize(block, 20));
    }
    printf("%zu\n", sum);
    return dlclose(plugin);
}
