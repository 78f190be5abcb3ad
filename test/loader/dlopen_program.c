/* dlopen_program.c - loads the library at run time, as a plugin of a program that keeps its own malloc.
 * SPDX-License-Identifier: MIT */
#include "hakmem.h"
#include "support.h"

#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct library {
    void *handle;
    void *(*allocate)(size_t);
    void *(*resize)(void *, size_t);
    void (*release)(void *);
    size_t (*usable)(const void *);
};

static void library_find(struct library *library)
{
    const char *(*version)(void) = (const char *(*)(void))dlsym(library->handle, "hak_version");
    library->allocate = (void *(*)(size_t))dlsym(library->handle, "hak_malloc");
    library->resize = (void *(*)(void *, size_t))dlsym(library->handle, "hak_realloc");
    library->release = (void (*)(void *))dlsym(library->handle, "hak_free");
    library->usable = (size_t(*)(const void *))dlsym(library->handle, "hak_usable_size");
    must(version != NULL && strlen(version()) > 0, "hak_version was not found: %s", dlerror());
    must(library->allocate != NULL && library->resize != NULL && library->release != NULL && library->usable != NULL,
         "a function was not found: %s", dlerror());
}

static void library_open(struct library *library, int flags)
{
    library->handle = dlopen(HAKMEM_LIBRARY, flags);
    must(library->handle != NULL, "dlopen: %s", dlerror());
    library_find(library);
}

static void library_close(struct library *library) { must(dlclose(library->handle) == 0, "dlclose: %s", dlerror()); }

/* The plugin's blocks and the program's own, side by side. */
static void library_use(const struct library *library, uint64_t seed)
{
    static _Thread_local unsigned char *blocks[200];
    for (size_t i = 0; i < COUNT_OF(blocks); i++) {
        size_t size = random_size(&seed, i % 40 == 0 ? 3 * MIB : 5000);
        blocks[i] = library->allocate(size);
        must(blocks[i] != NULL && library->usable(blocks[i]) >= size, "hak_malloc(%zu) of the loaded library failed",
             size);
        pattern_fill(blocks[i], size, i);
        char *own = malloc(size);
        memset(own, 1, size);
        blocks[i] = library->resize(blocks[i], size + 100);
        must(pattern_check(blocks[i], size, i) == size, "hak_realloc of the loaded library lost data");
        free(own);
    }
    for (size_t i = 0; i < COUNT_OF(blocks); i++) {
        library->release(blocks[i]);
    }
}

static struct library g_library;
static sem_t g_used;
static sem_t g_closed;

static void *outliving_thread(void *argument)
{
    library_use(&g_library, (uint64_t)(size_t)argument);
    sem_post(&g_used);
    sem_wait(&g_closed);
    return NULL;
}

/* The threads end, and their key destructors run, after dlclose. */
static void threads_outlive_it(void)
{
    pthread_t threads[4];
    sem_init(&g_used, 0, 0);
    sem_init(&g_closed, 0, 0);
    library_open(&g_library, RTLD_NOW | RTLD_LOCAL);
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        must(pthread_create(&threads[i], NULL, outliving_thread, (void *)(i + 1)) == 0, "pthread_create failed");
    }
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        sem_wait(&g_used);
    }
    library_use(&g_library, 9);
    library_close(&g_library);
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        sem_post(&g_closed);
    }
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        pthread_join(threads[i], NULL);
    }
}

static void many_times(void)
{
    size_t mappings = 0;
    for (size_t i = 0; i < 200; i++) {
        library_open(&g_library, RTLD_NOW | RTLD_LOCAL);
        library_use(&g_library, i + 1);
        library_close(&g_library);
        mappings = i == 5 ? process_mappings() : mappings;
    }
    must(process_mappings() <= mappings + 8, "200 x dlopen and dlclose: mappings grew from %zu to %zu", mappings,
         process_mappings());
}

/* A second C library comes with the namespace: nothing of this process may be mixed up with it. */
static void in_a_namespace(void)
{
    g_library.handle = dlmopen(LM_ID_NEWLM, HAKMEM_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    must(g_library.handle != NULL, "dlmopen: %s", dlerror());
    library_find(&g_library);
    library_use(&g_library, 1);
    struct library second;
    library_open(&second, RTLD_NOW | RTLD_LOCAL);
    library_use(&second, 2);
    library_use(&g_library, 3);
}

int main(int argc, char **argv)
{
    must(argc == 2, "usage: dlopen_program WAY");
    must(dlsym(RTLD_DEFAULT, "hak_version") == NULL, "the library is in this program already: this tests nothing");
    const char *way = argv[1];
    if (strcmp(way, "threads_outlive_it") == 0) {
        threads_outlive_it();
    } else if (strcmp(way, "many_times") == 0) {
        many_times();
    } else if (strcmp(way, "namespace") == 0) {
        in_a_namespace();
    } else {
        int scope = way[0] == 'l' ? RTLD_LOCAL : way[0] == 'g' ? RTLD_GLOBAL : RTLD_LOCAL | RTLD_DEEPBIND;
        void *before = malloc(100);
        library_open(&g_library, RTLD_NOW | scope);
        library_use(&g_library, 1);
        free(before);
        free(malloc(100));
        library_close(&g_library);
    }
    return 0;
}
