/* filter.c - see filter.h.
 * SPDX-License-Identifier: MIT */
#include "filter.h"

#include "support.h"
#include "system/machine.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NUMBERS_MAX = 500 };

void filter_install(enum filter_way way, struct sock_filter *code, size_t count)
{
    struct sock_fprog program = {(unsigned short)count, code};
    must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "PR_SET_NO_NEW_PRIVS: errno %d", errno);
    long result = 0;
    switch (way) {
    case FILTER_BY_PRCTL: result = prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0); break;
    case FILTER_BY_SYSCALL: result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program); break;
    case FILTER_UNSEEN: result = machine_call(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, (long)&program, 0, 0, 0); break;
    }
    must(result == 0, "the filter was refused: %ld, errno %d", result, errno);
}

static void install(enum filter_way way, unsigned listed, unsigned other, const long *numbers, size_t count)
{
    struct sock_filter code[2 * NUMBERS_MAX + 2];
    size_t length = 0;
    must(count <= NUMBERS_MAX, "a filter of %zu numbers", count);
    code[length++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < count; i++) {
        code[length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)numbers[i], 0, 1);
        code[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, listed);
    }
    code[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, other);
    filter_install(way, code, length);
}

void filter_these(enum filter_way way, unsigned action, const long *numbers, size_t count)
{
    install(way, action, SECCOMP_RET_ALLOW, numbers, count);
}

void filter_others(enum filter_way way, unsigned action, const long *numbers, size_t count)
{
    install(way, SECCOMP_RET_ALLOW, action, numbers, count);
}
