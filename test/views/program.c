/* program.c - a process with a record that it did not make with hakmem, as the note says: program [fork|FILE]. It says
 * a word when it is ready, and waits until it is killed. With FILE the record is that file, mapped; with fork there is
 * a child, whose id goes to the descriptor PIPE. With REQUESTS in the environment there is room for requests, which
 * nobody looks at; "sealed": nobody can write there.
 * SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fixture.h"

__attribute__((used, visibility("hidden"))) void *fixture_record;

/* Owner, type and contents as src/insight/record.h says. */
__asm__(".pushsection .note.hakmem, \"a\", %note\n"
        ".balign 4\n"
        ".long 7, 8, 1\n"
        ".asciz \"hakmem\"\n"
        ".balign 4\n"
        ".quad fixture_record - .\n"
        ".popsection\n");

static void *memory_get(const char *path)
{
    int fd = path ? open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
    if (path && (fd < 0 || ftruncate(fd, FIXTURE_SIZE) != 0))
        exit(3);
    void *memory =
        mmap(NULL, FIXTURE_SIZE, PROT_READ | PROT_WRITE, path ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, fd, 0);
    if (memory == MAP_FAILED)
        exit(3);
    return memory;
}

/* Waits, too, and has the record that its parent wrote. */
static void child_make(void)
{
    pid_t child = fork();
    if (child > 0)
        dprintf(atoi(getenv("PIPE")), "%d", (int)child);
    while (child == 0)
        pause();
}

static void requests_add(struct record_header *header, const char *how)
{
    unsigned i = 0;
    while (header->piece[i].kind != 0)
        i++;
    header->piece[i] =
        (struct record_piece){RECORD_REQUESTS, 1, FIXTURE_SIZE - sizeof(struct record_requests)};
    if (strcmp(how, "sealed") == 0 && mprotect(header, FIXTURE_SIZE, PROT_READ) != 0)
        exit(3);
}

int main(int argc, char **argv)
{
    const char *requests = getenv("REQUESTS");
    bool forks = argc > 1 && strcmp(argv[1], "fork") == 0;
    void *memory = memory_get(argc > 1 && !forks ? argv[1] : NULL);
    fixture_fill(memory);
    if (requests)
        requests_add(memory, requests);
    fixture_record = memory;
    if (forks)
        child_make();
    puts("ready");
    fflush(stdout);
    for (;;)
        pause();
}
