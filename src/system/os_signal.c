#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "system/os_signal.h"

#include "system/os_call.h"
#include "system/os_process.h"
#include "system/os_sandbox.h"
#include "system/os_thread.h"

#include <signal.h>
#include <sys/syscall.h>

/* As the kernel has it. */
struct sigaction_kernel {
    void (*handler)(int, siginfo_t *, void *);
    unsigned long flags;
    void (*restorer)(void);
    unsigned long mask;
};
static const struct sigaction_kernel signal_default; /* SIG_DFL is 0 */

static COLD int signal_set(int number, const struct sigaction_kernel *action, struct sigaction_kernel *before)
{
    return os_call4(SYS_rt_sigaction, number, (long)action, (long)before, sizeof action->mask);
}

void os_abort(void)
{
    /* Without libc's abort(), which takes a lock and may flush streams; a handler of the program still runs. */
    os_call4(SYS_tgkill, (long)os_process_id(), (long)os_thread_id(), SIGABRT, 0);
    unsigned long abort_signal = 1ul << (SIGABRT - 1);
    signal_set(SIGABRT, &signal_default, NULL);
    os_call4(SYS_rt_sigprocmask, SIG_UNBLOCK, (long)&abort_signal, 0, sizeof abort_signal);
    os_call4(SYS_tgkill, (long)os_process_id(), (long)os_thread_id(), SIGABRT, 0);
    for (;;)
        __builtin_trap();
}

/* Where handlers return to: on x86-64 the kernel has nothing for that. */
#if defined(__x86_64__)
enum { SIGNAL_RETURN_FLAG = 0x04000000 }; /* SA_RESTORER, which libc's headers do not have */
void signal_return(void) __asm__("hak_signal_return") __attribute__((visibility("hidden")));
__asm__(".pushsection .text\n"
        ".hidden hak_signal_return\n"
        "hak_signal_return: movq $15, %rax\n" /* rt_sigreturn */
        "syscall\n"
        ".popsection\n");
#else
enum { SIGNAL_RETURN_FLAG = 0 };
static void (*const signal_return)(void) = NULL;
#endif

static void (*fault_tell_to)(const void *address, const void *context); /* written before there is a handler */

/* What the kernel sent comes again, when the instruction is tried again; what a process sent is sent again. All is told
 * before another thread's fault can end the process. */
static COLD void fault_handle(int number, siginfo_t *info, void *context)
{
    if (info->si_code > 0)
        fault_tell_to(info->si_addr, context);
    signal_set(number, &signal_default, NULL);
    if (info->si_code <= 0)
        os_call4(SYS_tgkill, (long)os_process_id(), (long)os_thread_id(), number, 0);
}

COLD void os_watch_faults(void (*tell)(const void *address, const void *context))
{
    unsigned long flags = SA_SIGINFO | SA_ONSTACK | SIGNAL_RETURN_FLAG;
    struct sigaction_kernel before, own = {.handler = fault_handle, .flags = flags, .restorer = signal_return};
    if (os_is_shut() || signal_set(SIGSEGV, NULL, &before) || before.handler)
        return;
    fault_tell_to = tell;
    signal_set(SIGSEGV, &own, NULL);
}
