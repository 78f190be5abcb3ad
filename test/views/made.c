/* made.c - a program that makes code while it runs, as just-in-time compilers do, and tells perf of it: a function with
 * a frame pointer, which calls what allocates 32 MiB. It writes "ready", or "none" where it knows no code to make.
 * SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BLOCKS = 3200, SIZE = 10000, ROOM = 4096 };

#if defined(__x86_64__) /* push %rbp; mov %rsp, %rbp; call *%rdi; pop %rbp; ret */
static const unsigned char code[] = {0x55, 0x48, 0x89, 0xe5, 0xff, 0xd7, 0x5d, 0xc3};
#elif defined(__aarch64__) /* stp x29, x30, [sp, #-16]!; mov x29, sp; blr x0; ldp x29, x30, [sp], #16; ret */
static const unsigned char code[] = {0xfd, 0x7b, 0xbf, 0xa9, 0xfd, 0x03, 0x00, 0x91, 0x00, 0x00, 0x3f,
                                     0xd6, 0xfd, 0x7b, 0xc1, 0xa8, 0xc0, 0x03, 0x5f, 0xd6};
#else
static const unsigned char code[] = {0};
#endif

static void *volatile kept[BLOCKS];

static __attribute__((noinline)) void blocks_make(void)
{
    for (int i = 0; i < BLOCKS; i++)
        kept[i] = memset(malloc(SIZE), 1, SIZE);
}

static char path[64];
static void map_remove(void) { unlink(path); }

int main(void)
{
    void *room = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED)
        return 3;
    memcpy(room, code, sizeof code);
    if (sizeof code == 1 || mprotect(room, ROOM, PROT_READ | PROT_EXEC) != 0) {
        puts("none");
        return 0;
    }
    __builtin___clear_cache(room, (char *)room + ROOM);
    snprintf(path, sizeof path, "/tmp/perf-%d.map", (int)getpid());
    FILE *map = fopen(path, "wex");
    if (!map || fprintf(map, "%lx %zx JS:*makeAll /srv/app.js:12:7\n", (unsigned long)room, sizeof code) < 0 ||
        fclose(map) != 0)
        return 3;
    atexit(map_remove);
    void (*made)(void (*)(void));
    memcpy(&made, &room, sizeof made);
    made(blocks_make);
    puts("ready");
    fflush(stdout);
    return getchar() == EOF ? 0 : 1;
}
