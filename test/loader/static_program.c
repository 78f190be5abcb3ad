/* static_program.c - linked with libhakmem.a: statically, as static-pie, or into a dynamic program. Proves that the
 * program's malloc is hakmem's (its statistics move), and uses what of the C library allocates.
 * SPDX-License-Identifier: MIT */
#include "churn.h"
#include "hakmem.h"

#include <errno.h>
#include <locale.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static uint64_t live_bytes(void)
{
    static hak_stat_t stats[512];
    size_t count = hak_stats(stats, COUNT_OF(stats));
    for (size_t i = 0; i < count && i < COUNT_OF(stats); i++) {
        if (strcmp(stats[i].name, "bytes.live") == 0) {
            return stats[i].value;
        }
    }
    must(false, "hak_stats has no entry bytes.live");
    return 0;
}

static void prove(void)
{
    enum { BLOCKS = 1000 };
    static void *blocks[BLOCKS];
    uint64_t before = live_bytes();
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(1000);
    }
    uint64_t after = live_bytes();
    for (size_t i = 0; i < BLOCKS; i++) {
        free(blocks[i]);
    }
    must(strlen(hak_version()) > 0 && after >= before + BLOCKS * 1000,
         "malloc is not hakmem's: bytes.live went from %zu to %zu", (size_t)before, (size_t)after);
}

static void every_function(void)
{
    void *placed = NULL;
    free(aligned_alloc(64, 100));
    free(memalign(64, 100));
    must(posix_memalign(&placed, 64, 100) == 0, "posix_memalign failed");
    free(placed);
    free(valloc(100));
    free(pvalloc(100));
    free(reallocarray(calloc(10, 10), 20, 10));
    must(malloc_usable_size(NULL) == 0, "malloc_usable_size(NULL): expected 0");
    must(mallinfo2().arena > 0, "mallinfo2().arena: expected more than 0");
    must(mallopt(M_MMAP_THRESHOLD, 1000000) == 1, "mallopt: expected 1");
    malloc_trim(0);
}

static int compare(const void *a, const void *b) { return memcmp(a, b, 16); }

/* Functions of the C library that allocate. */
static void the_c_library(void)
{
    char *line = NULL;
    size_t capacity = 0;
    setlocale(LC_ALL, "");
    FILE *file = fopen("/proc/self/maps", "r");
    must(file != NULL && getline(&line, &capacity, file) > 0, "/proc/self/maps: %s", strerror(errno));
    fclose(file);
    free(line);
    free(strdup("a word"));
    char *text = NULL;
    must(asprintf(&text, "%d", 42) == 2, "asprintf failed");
    free(text);
    char *rows = calloc(10000, 16);
    for (size_t i = 0; i < 10000; i++) {
        snprintf(rows + i * 16, 16, "%zu", 10000 - i);
    }
    qsort(rows, 10000, 16, compare);
    free(rows);
}

static void *thread_body(void *argument)
{
    churn_run((uint64_t)(size_t)argument, 300000, 2000);
    return NULL;
}

static void threads_and_fork(void)
{
    pthread_t threads[3];
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        must(pthread_create(&threads[i], NULL, thread_body, (void *)(i + 1)) == 0, "pthread_create failed");
    }
    pid_t child = fork();
    if (child == 0) {
        churn_run(9, 300000, 1000);
        _exit(0);
    }
    int status = -1;
    must(waitpid(child, &status, 0) == child && status == 0, "the child ended with status %#x", (unsigned)status);
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        pthread_join(threads[i], NULL);
    }
}

int main(void)
{
    prove();
    every_function();
    the_c_library();
    threads_and_fork();
    churn_run(1, 5 * MIB, 3000);
    return 0;
}
