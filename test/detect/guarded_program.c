/* guarded_program.c - usage: guarded_program MISUSE: misuses a guarded sample; or uses all that it may of many. It
 * exports the functions that make, free and use the block, so that stacks name them.
 * SPDX-License-Identifier: MIT */
#include "support.h"

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BLOCKS = 20000, SIZE = 100 };

/* Each does something after its call, so that it stands on the stack. */
__attribute__((noinline)) char *block_make(size_t size)
{
    char *block = hidden(malloc(size));
    must(block != NULL, "no memory");
    return block;
}

__attribute__((noinline)) void block_drop(char *block)
{
    free(block);
    hidden(NULL);
}

__attribute__((noinline)) void block_use(volatile char *block, ptrdiff_t at)
{
    block[at] = 1;
    hidden(NULL);
}

/* Whether memory that nobody may touch begins at the address. */
static bool is_shut(const char *address)
{
    char line[256], rights[5];
    bool found = false;
    FILE *maps = fopen("/proc/self/maps", "r");
    must(maps != NULL, "no /proc/self/maps");
    while (!found && fgets(line, sizeof line, maps)) {
        unsigned long start, end;
        found = sscanf(line, "%lx-%lx %4s", &start, &end, rights) == 3 && start <= (unsigned long)address &&
                (unsigned long)address < end;
    }
    fclose(maps);
    return found && rights[0] == '-';
}

/* A block of SIZE bytes that ends where its pages do, or begins where they do, beside memory that nobody may touch. */
static char *guarded_make(bool at_start)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (unsigned i = 0; i < BLOCKS; i++) {
        char *block = block_make(SIZE);
        char *beside = at_start ? block - 1 : block + malloc_usable_size(block);
        bool is_near = at_start ? (uintptr_t)block % page == 0 : (uintptr_t)beside % page == 0;
        if (is_near && is_shut(beside)) {
            printf("%p\n", (void *)beside);
            fflush(stdout);
            return block;
        }
    }
    must(false, "no block is guarded");
    return NULL;
}

static void overflow(void)
{
    char *block = guarded_make(false);
    block_use(block, (ptrdiff_t)malloc_usable_size(block));
}

static void underflow(void) { block_use(guarded_make(true), -1); }

static void use_after_free(void)
{
    char *block = guarded_make(false);
    block_drop(block);
    block_use(block, 5);
}

static void double_free(void)
{
    char *block = guarded_make(false);
    block_drop(block);
    block_drop(block);
}

static void *drop_body(void *block)
{
    block_drop(block);
    return NULL;
}

/* Another thread frees it. */
static void use_after_others_free(void)
{
    pthread_t other;
    char *block = guarded_make(false);
    must(pthread_create(&other, NULL, drop_body, block) == 0, "no thread");
    pthread_join(other, NULL);
    block_use(block, 5);
}

static void use_in_child(void)
{
    char *block = guarded_make(false);
    if (fork() == 0) {
        block_use(block, (ptrdiff_t)malloc_usable_size(block));
        _exit(0);
    }
    wait(NULL);
    raise(SIGKILL);
}

static void handle(int number)
{
    static const char text[] = "the program's own\n";
    (void)number;
    if (write(STDOUT_FILENO, text, sizeof text - 1)) {}
    _exit(3);
}

/* For who looks at it meanwhile. */
static void be_looked_at(void)
{
    guarded_make(false);
    pause();
}

/* A program that handles the signal itself. */
static void handled(void)
{
    signal(SIGSEGV, handle);
    overflow();
}

/* The signal as a process sends it. */
static void sent(void)
{
    guarded_make(false);
    raise(SIGSEGV);
    must(false, "still alive");
}

/* Another fault than that of a guarded sample. */
static void elsewhere(void)
{
    guarded_make(false);
    block_use(hidden((void *)64), 0);
}

/* All that may be used of many blocks, some of which are guarded: in every way, at every size. */
static void good(void)
{
    static char *blocks[BLOCKS];
    uint64_t random = 1;
    for (unsigned i = 0; i < 10 * BLOCKS; i++) {
        char **block = &blocks[random_next(&random) % BLOCKS];
        size_t size = random_size(&random, 40000);
        if (i % 3 == 0) {
            *block = realloc(*block, size + 1);
        } else {
            free(*block);
            *block = i % 3 == 1 ? malloc(size) : aligned_alloc(64, size & (size_t)-64);
        }
        must(*block != NULL, "no memory");
        memset(*block, (int)i, malloc_usable_size(*block));
    }
    for (unsigned i = 0; i < BLOCKS; i++) {
        free(blocks[i]);
    }
    must(guarded_make(false) != NULL, "nothing was guarded");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } ways[] = {{"overflow", overflow},
                {"underflow", underflow},
                {"use_after_free", use_after_free},
                {"double_free", double_free},
                {"use_after_others_free", use_after_others_free},
                {"use_in_child", use_in_child},
                {"wait", be_looked_at},
                {"handled", handled},
                {"sent", sent},
                {"elsewhere", elsewhere},
                {"good", good}};
    must(argc == 2, "usage: guarded_program MISUSE");
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        if (strcmp(ways[i].name, argv[1]) == 0) {
            ways[i].run();
            return 0;
        }
    }
    must(false, "no misuse %s", argv[1]);
    return 1;
}
