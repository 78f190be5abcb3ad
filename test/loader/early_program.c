/* early_program.c - allocates before every constructor and frees after every destructor, in the program, in a library
 * that it links and in one that it loads; leaves in the way its argument says.
 * SPDX-License-Identifier: MIT */
#include "churn.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Of early_object.c, which is linked. */
void *early_object_block(void);

static char *g_blocks[6];

static void take(size_t slot)
{
    g_blocks[slot] = malloc(1000 + slot);
    must(g_blocks[slot] != NULL, "malloc before main failed");
    pattern_fill(g_blocks[slot], 1000, slot);
}

static void give(size_t slot)
{
    must(pattern_check(g_blocks[slot], 1000, slot) == 1000, "block %zu, allocated before main, has other contents",
         slot);
    free(g_blocks[slot]);
    g_blocks[slot] = NULL;
}

static void at_preinit(void)
{
    take(0);
    take(1);
    give(1);
}

__attribute__((section(".preinit_array"), used)) static void (*const g_first)(void) = at_preinit;

__attribute__((constructor(101))) static void at_first_constructor(void)
{
    give(0);
    take(2);
}

__attribute__((constructor)) static void at_constructor(void)
{
    take(3);
    churn_run(1, 3 * MIB, 500);
}

__attribute__((destructor)) static void at_destructor(void)
{
    give(3);
    take(4);
    churn_run(2, 3 * MIB, 500);
}

__attribute__((destructor(101))) static void at_last_destructor(void)
{
    give(2);
    give(4);
    take(5);
    churn_run(3, 3 * MIB, 500);
}

static void at_exit(void)
{
    free(malloc(5000));
    churn_run(4, 3 * MIB, 500);
}

/* An object that is loaded, allocates in its constructor and frees in its destructor; its block is freed here. */
static void *use_plugin(void *argument)
{
    for (size_t i = 0; i < 20; i++) {
        void *plugin = dlopen(EARLY_PLUGIN, RTLD_NOW | RTLD_LOCAL);
        must(plugin != NULL, "dlopen: %s", dlerror());
        void *(*block)(void) = (void *(*)(void))dlsym(plugin, "early_object_block");
        must(block != NULL, "dlsym: %s", dlerror());
        free(block());
        void *kept = block();
        must(dlclose(plugin) == 0, "dlclose: %s", dlerror());
        free(kept);
    }
    return argument;
}

int main(int argc, char **argv)
{
    must(argc == 2, "usage: early_program WAY");
    pthread_t thread;
    atexit(at_exit);
    at_quick_exit(at_exit);
    free(early_object_block());
    use_plugin(NULL);
    must(pthread_create(&thread, NULL, use_plugin, NULL) == 0, "pthread_create failed");
    pthread_join(thread, NULL);
    if (strcmp(argv[1], "exit") == 0) {
        exit(0);
    }
    if (strcmp(argv[1], "quick_exit") == 0) {
        quick_exit(0);
    }
    if (strcmp(argv[1], "_exit") == 0) {
        _exit(0);
    }
    return 0;
}
