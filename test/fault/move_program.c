/* move_program.c - usage: move_program one | two: a block of 40 MiB, of one mapping or of two, grows by realloc where a
 * move of mappings behaves as on Linux up to 6.16: the target is unmapped first, and then looked at whether the source
 * can be moved. Here it never can, and what was the target is mapped by another thread before the call returns: its
 * data has to stay.
 * SPDX-License-Identifier: MIT */
#include "filter.h"
#include "support.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { OTHERS_SIZE = 65536 };
static char *g_others; /* what the other thread has mapped */

static void moved(int number, siginfo_t *info, void *argument)
{
    (void)number, (void)info;
    ucontext_t *context = argument;
#if defined(__x86_64__)
    greg_t *registers = context->uc_mcontext.gregs;
    char *target = (char *)registers[REG_R8];
    size_t size = (size_t)registers[REG_RDX];
    registers[REG_RAX] = -ENOMEM;
#else
    char *target = (char *)context->uc_mcontext.regs[4];
    size_t size = (size_t)context->uc_mcontext.regs[2];
    context->uc_mcontext.regs[0] = (unsigned long)-ENOMEM;
#endif
    munmap(target, size);
    g_others =
        mmap(target, OTHERS_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (g_others != MAP_FAILED) {
        memset(g_others, 'o', OTHERS_SIZE);
    }
}

static void moves_fail(void)
{
    struct sigaction action = {.sa_sigaction = moved, .sa_flags = SA_SIGINFO};
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mremap, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[3])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, MREMAP_FIXED, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    must(sigaction(SIGSYS, &action, NULL) == 0, "sigaction: errno %d", errno);
    filter_install(FILTER_UNSEEN, code, COUNT_OF(code));
}

int main(int argc, char **argv)
{
    size_t size = 40 * MIB, page = (size_t)sysconf(_SC_PAGESIZE);
    must(argc == 2, "usage: move_program one | two");
    bool two = strcmp(argv[1], "two") == 0;
    moves_fail();
    char *block = malloc(size);
    must(block != NULL, "no memory");
    pattern_fill(block, size, 1);
    char *middle = (char *)(((uintptr_t)block + size / 2) & ~(page - 1));
    must(!two || madvise(middle, 16 * page, MADV_DONTDUMP) == 0, "madvise: errno %d", errno);
    /* It has no room to grow in, wherever it lies. */
    char *behind = (char *)(((uintptr_t)block + size + page - 1) & ~(page - 1));
    for (size_t i = 0; i < 64; i++) {
        mmap(behind + i * page, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    }
    errno = 4242;
    block = realloc(block, size + 32 * MIB);
    must(block != NULL && errno == 4242, "realloc failed, or changed errno to %d", errno);
    must(pattern_check(block, size, 1) == size, "realloc lost what was in the block");
    memset(block + size, 7, 32 * MIB);
    must(two || g_others != NULL, "nothing was moved: nothing was tested");
    if (g_others != NULL) {
        must(bytes_check(g_others, OTHERS_SIZE, 'o') == OTHERS_SIZE, "another thread's memory is gone");
    }
    free(block);
    return 0;
}
