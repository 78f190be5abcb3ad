/* work_program.c - usage: work_program [threads | exit | thread-exit | quick]: what of a libc matters to an allocator:
 * threads by the thousand, children of threads, modules, and all ways to end. Without an argument all but the ends.
 * SPDX-License-Identifier: MIT */
#include "churn.h"
#include "hakmem.h"

#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static uint64_t stat_value(const char *name)
{
    static hak_stat_t stats[512];
    size_t count = hak_stats(stats, COUNT_OF(stats));
    for (size_t i = 0; i < count && i < COUNT_OF(stats); i++) {
        if (strcmp(stats[i].name, name) == 0) {
            return stats[i].value;
        }
    }
    must(false, "no statistic %s", name);
    return 0;
}

static void *short_life(void *argument)
{
    void *block = malloc(1000 + (size_t)argument % 5000);
    must(block != NULL, "no memory");
    memset(block, 1, 1000);
    free(block);
    return malloc(100); /* for who joins */
}

/* Their caches are given back when they end: memory does not grow with the number of threads that were. */
static void thousands_of_threads(void)
{
    size_t rss = 0;
    for (size_t i = 0; i < 4000; i++) {
        pthread_t thread;
        void *block;
        must(pthread_create(&thread, NULL, short_life, (void *)i) == 0, "pthread_create failed");
        pthread_join(thread, &block);
        free(block);
        if (i == 500) {
            rss = process_rss();
        }
    }
    must(process_rss() < rss + 2 * MIB, "after 500 threads %zu bytes were resident, after 4000 %zu", rss,
         process_rss());
    must(getenv("HAKMEM_CHECK") != NULL || stat_value("threads") < 10, "%zu threads have caches",
         (size_t)stat_value("threads"));
}

static void *forking(void *argument)
{
    for (size_t i = 0; i < 10; i++) {
        churn_run((size_t)argument, 100000, 200);
        int status = -1;
        pid_t child = fork();
        if (child == 0) {
            churn_run((size_t)argument + i, 100000, 200);
            _exit(0);
        }
        must(waitpid(child, &status, 0) == child && status == 0, "a thread's child ended with status %#x",
             (unsigned)status);
    }
    return NULL;
}

static void children_of_threads(void)
{
    pthread_t threads[4];
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        must(pthread_create(&threads[i], NULL, forking, (void *)(i + 1)) == 0, "pthread_create failed");
    }
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        pthread_join(threads[i], NULL);
    }
}

static void modules(void)
{
#ifdef MODULE
    for (size_t i = 0; i < 50; i++) {
        void *module = dlopen(MODULE, i % 2 ? RTLD_NOW : RTLD_LAZY);
        must(module != NULL, "dlopen: %s", dlerror());
        char *(*copy)(const char *) = (char *(*)(const char *))dlsym(module, "module_copy");
        char *text = copy("of a module");
        must(text != NULL && strcmp(text, "of a module") == 0 && malloc_usable_size(text) >= 12,
             "the module's block is wrong");
        dlclose(module);
        free(text);
    }
    must(dlopen("/nonexistent.so", RTLD_NOW) == NULL && dlerror() != NULL, "what is not there was opened");
#endif
}

static char *g_left;

static void at_exit(void)
{
    free(g_left);
    churn_run(3, 50000, 200);
}

static void *ends_the_process(void *argument)
{
    churn_run(2, 50000, 500);
    exit(*(int *)argument);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    int zero = 0;
    must(strlen(hak_version()) > 0, "no version");
    g_left = malloc(3000);
    must(stat_value("bytes.mapped") > 0, "malloc is not hakmem's");
    atexit(at_exit);
    if (strcmp(what, "exit") == 0) {
        exit(0);
    } else if (strcmp(what, "quick") == 0) {
        quick_exit(0);
    } else if (strcmp(what, "thread-exit") == 0) {
        pthread_t thread;
        pthread_create(&thread, NULL, ends_the_process, &zero);
        pthread_exit(NULL);
    }
    thousands_of_threads();
    children_of_threads();
    modules();
    churn_run(1, 5 * MIB, 3000);
    return 0;
}
