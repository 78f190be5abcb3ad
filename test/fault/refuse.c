/* refuse.c - see refuse.h. To count, the filter traps the call; the handler of SIGSYS either puts the error in the
 * result or makes the call itself, from the one instruction that the filter lets through.
 * SPDX-License-Identifier: MIT
 */
#include "refuse.h"

#include "filter.h"
#include "support.h"

#include <errno.h>
#include <linux/audit.h>
#include <signal.h>
#include <ucontext.h>
#include <unistd.h>

/* The call that the filter lets through: refuse_passed is where the kernel sees it come from. */
long refuse_call(long number, const long arguments[6]);
extern const char refuse_passed[];

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
__asm__(".text\n"
        ".globl refuse_call\n"
        "refuse_call:\n"
        "    mov %rdi, %rax\n"
        "    mov %rsi, %r11\n"
        "    mov (%r11), %rdi\n"
        "    mov 8(%r11), %rsi\n"
        "    mov 16(%r11), %rdx\n"
        "    mov 24(%r11), %r10\n"
        "    mov 32(%r11), %r8\n"
        "    mov 40(%r11), %r9\n"
        "    syscall\n"
        ".globl refuse_passed\n"
        "refuse_passed:\n"
        "    ret\n");

static void registers_read(const ucontext_t *context, long arguments[6])
{
    static const int registers[6] = {REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9};
    for (int i = 0; i < 6; i++) {
        arguments[i] = (long)context->uc_mcontext.gregs[registers[i]];
    }
}

static void result_write(ucontext_t *context, long result) { context->uc_mcontext.gregs[REG_RAX] = result; }
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
__asm__(".text\n"
        ".globl refuse_call\n"
        "refuse_call:\n"
        "    mov x8, x0\n"
        "    mov x9, x1\n"
        "    ldp x0, x1, [x9]\n"
        "    ldp x2, x3, [x9, #16]\n"
        "    ldp x4, x5, [x9, #32]\n"
        "    svc #0\n"
        ".globl refuse_passed\n"
        "refuse_passed:\n"
        "    ret\n");

static void registers_read(const ucontext_t *context, long arguments[6])
{
    for (int i = 0; i < 6; i++) {
        arguments[i] = (long)context->uc_mcontext.regs[i];
    }
}

static void result_write(ucontext_t *context, long result) { context->uc_mcontext.regs[0] = (unsigned long)result; }
#else
#error "these tests know x86-64 and aarch64"
#endif

static int g_error;
static size_t g_first;
static size_t g_count;
static size_t g_seen;
static size_t g_refused;

size_t refuse_seen(void) { return __atomic_load_n(&g_seen, __ATOMIC_RELAXED); }

size_t refuse_refused(void) { return __atomic_load_n(&g_refused, __ATOMIC_RELAXED); }

static void trap_handler(int number, siginfo_t *info, void *argument)
{
    (void)number;
    ucontext_t *context = argument;
    int saved = errno;
    size_t index = __atomic_fetch_add(&g_seen, 1, __ATOMIC_RELAXED);
    if (index >= g_first && index - g_first < g_count) {
        __atomic_fetch_add(&g_refused, 1, __ATOMIC_RELAXED);
        result_write(context, -g_error);
    } else {
        long arguments[6];
        registers_read(context, arguments);
        result_write(context, refuse_call(info->si_syscall, arguments));
    }
    errno = saved;
}

static void calls_filter(long number, unsigned action)
{
    uint64_t passed = (uint64_t)(uintptr_t)refuse_passed;
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 0, 7),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 5),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)passed, 0, 2),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer) + 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)(passed >> 32), 1, 0),
        BPF_STMT(BPF_RET | BPF_K, action),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    filter_install(FILTER_UNSEEN, code, COUNT_OF(code));
}

void refuse_always(long number, int error) { calls_filter(number, SECCOMP_RET_ERRNO | (unsigned)error); }

void refuse_counted(long number, int error, size_t first, size_t count)
{
    struct sigaction action = {.sa_sigaction = trap_handler, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART};
    g_error = error;
    g_first = first;
    g_count = count;
    must(sigaction(SIGSYS, &action, NULL) == 0, "sigaction: errno %d", errno);
    calls_filter(number, SECCOMP_RET_TRAP);
}
