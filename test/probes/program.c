/* program.c - allocates, frees, resizes and forks in a known way, for tracers: program FILE. It says "begun" and waits
 * for a line, works, writes its live blocks and their sizes to FILE, says "done BYTES", the bytes that it has allocated
 * in total, and waits for another. Nothing else stays allocated.
 * SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BLOCKS = 30000, RESIZED = 4 };

static void *block[BLOCKS], *resized[RESIZED];
static size_t total;

static void *counted(void *made)
{
    if (!made)
        abort();
    total += malloc_usable_size(made);
    return made;
}

/* Where a debugger stops. */
__attribute__((noinline)) void wait_here(void)
{
    char line;
    while (read(STDIN_FILENO, &line, 1) == 1 && line != '\n')
        continue;
}

static void work(void)
{
    static const size_t sizes[] = {24, 100, 300, 1000, 3000, 9000};
    for (unsigned i = 0; i < BLOCKS; i++)
        block[i] = counted(malloc(sizes[i % 6]));
    for (unsigned i = 0; i < BLOCKS; i += 1 + i % 3) {
        free(block[i]);
        block[i] = NULL;
    }
    for (unsigned i = 0; i < RESIZED; i++) { /* each is a sample, its size being many times the distance */
        resized[i] = counted(malloc((size_t)(1 + i) << 20));
        resized[i] = counted(realloc(resized[i], (size_t)(2 + i) << 20));
    }
}

/* A child frees what it has of its parent, and ends. */
static void fork_and_free(void)
{
    pid_t child = fork();
    if (child == 0) {
        for (unsigned i = 0; i < BLOCKS; i++)
            free(block[i]);
        _exit(0);
    }
    if (child < 0 || waitpid(child, NULL, 0) != child)
        abort();
}

static void tell(int file, void *const *blocks, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (blocks[i])
            dprintf(file, "%zu %zu\n", (size_t)(uintptr_t)blocks[i], malloc_usable_size(blocks[i]));
}

int main(int argc, char **argv)
{
    int file = argc == 2 ? open(argv[1], O_WRONLY | O_CREAT | O_TRUNC, 0600) : -1;
    if (file < 0)
        return 2;
    dprintf(STDOUT_FILENO, "begun\n");
    wait_here();
    work();
    fork_and_free();
    tell(file, block, BLOCKS);
    tell(file, resized, RESIZED);
    dprintf(STDOUT_FILENO, "done %zu\n", total);
    wait_here();
    return 0;
}
