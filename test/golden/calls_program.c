/* calls_program.c - usage: calls_program SITUATION: brings hakmem to make its system calls, for calls_test.py.
 * SPDX-License-Identifier: MIT */
#include "churn.h"
#include "filter.h"

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void small(void) { churn_run(1, 1000, 500); }

static void *thread_body(void *argument)
{
    churn_run((uint64_t)(size_t)argument, 100000, 3000);
    return NULL;
}

static void threads(void)
{
    pthread_t list[4];
    for (size_t i = 0; i < COUNT_OF(list); i++) {
        must(pthread_create(&list[i], NULL, thread_body, (void *)(i + 1)) == 0, "pthread_create failed");
    }
    for (size_t i = 0; i < COUNT_OF(list); i++) {
        pthread_join(list[i], NULL);
    }
}

static void children(void)
{
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        small();
        _exit(0);
    }
    must(waitpid(child, &status, 0) == child && status == 0, "the child ended with status %#x", (unsigned)status);
}

static void very_large(void)
{
    char *wall;
    size_t size = 40 * MIB;
    char *block = malloc(size);
    for (size_t round = 0; round < 4; round++) {
        wall = malloc(35 * MIB); /* blocks lie one behind the other, mostly: the next has to move */
        size += 20 * MIB;
        block = realloc(block, size);
        must(block != NULL && wall != NULL, "no memory");
        free(wall);
    }
    block = realloc(block, 36 * MIB);
    free(block);
}

/* What lies apart goes back in one call, what lies together by itself. */
static void purges(void)
{
    static void *blocks[400];
    for (unsigned round = 0; round < 3; round++) {
        for (size_t i = 0; i < COUNT_OF(blocks); i++) {
            blocks[i] = malloc(70000);
            must(blocks[i] != NULL, "no memory");
            memset(blocks[i], 1, 70000);
        }
        for (size_t i = 0; i < COUNT_OF(blocks); i += 1 + round % 2) {
            free(blocks[i]);
            blocks[i] = NULL;
        }
        malloc_trim(0);
        for (size_t i = 0; i < COUNT_OF(blocks); i++) {
            free(blocks[i]);
        }
        malloc_trim(0);
    }
}

static void locked(void)
{
    enum { NOT_ALLOWED = 77 };
    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
        exit(NOT_ALLOWED);
    }
    purges();
}

/* Until the learner has looked often enough to ask what is resident. */
static void learning(void)
{
    double begin = clock_seconds();
    while (clock_seconds() - begin < 1.5) {
        purges();
    }
}

static void foreign_free(void)
{
    static char foreign[64];
    small();
    free(hidden(foreign + 16));
}

/* Ends at the first block behind which nobody may touch anything. */
static void overflow(void)
{
    for (size_t i = 0; i < 100000; i++) {
        volatile char *block = malloc(64);
        must(block != NULL, "no memory");
        if ((uintptr_t)block % 4096 == 4096 - 64) {
            block[64] = 1;
        }
    }
    must(false, "no overflow was noticed");
}

static void ignore_the_end(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGABRT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGABRT, SIG_IGN);
    foreign_free();
}

static void filtered(char *program)
{
    static const long none[] = {SYS_mincore, SYS_process_madvise};
    char *const again[] = {program, (char *)"learning", NULL};
    filter_these(FILTER_UNSEEN, SECCOMP_RET_KILL_PROCESS, none, COUNT_OF(none));
    execv(program, again);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } situations[] = {{"small", small},   {"threads", threads},   {"children", children},  {"very-large", very_large},
                      {"purges", purges}, {"learning", learning}, {"fatal", foreign_free}, {"ignored", ignore_the_end},
                      {"locked", locked}, {"overflow", overflow}};
    must(argc == 2, "usage: calls_program SITUATION");
    if (strcmp(argv[1], "filtered") == 0) {
        filtered(argv[0]);
    }
    for (size_t i = 0; i < COUNT_OF(situations); i++) {
        if (strcmp(situations[i].name, argv[1]) == 0) {
            situations[i].run();
            return 0;
        }
    }
    must(false, "no situation %s", argv[1]);
    return 1;
}
