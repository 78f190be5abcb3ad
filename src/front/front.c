/* front.c - in the shared library only: functions of libc that hakmem stands in front of, since what they do is the
 * allocator's business. Each passes its call on to libc's.
 *
 * dlopen, dlmopen: with RTLD_DEEPBIND an object's references are bound to the libraries that it needs itself before
 * those of the process, so its malloc is libc's, and whatever is allocated on one side and freed on the other ends the
 * process. PHP opens its extensions so, Apache its modules. So the flag goes; HAKMEM_DEEPBIND=1 keeps it.
 *
 * prctl, syscall: a program that makes system calls fatal to itself does it by one of these. From then on hakmem makes
 * no other calls than libc's malloc (os_sandbox.h).
 *
 * mlockall, munlockall: what is mapped for later would all become resident (os_lock_memory).
 *
 * mprotect: a program may protect a large block and free it so, since glibc unmaps it (large_note_protected).
 *
 * The loader looks at the address that it is going to return to, to learn who calls: whose RPATH, $ORIGIN and namespace
 * count. So all that may be asked end in a jump, in debug builds, too. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "hakmem.h"
#include "cache/thread.h"
#include "heap/large.h"
#include "system/options.h"
#include "system/os_call.h"
#include "system/os_clock.h"
#include "system/os_map.h"
#include "system/os_sandbox.h"

#include <dlfcn.h>
#include <errno.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#if defined(__clang__)
#define TAIL_CALL __attribute__((musttail))
#define TAIL_CALLS
#else
#define TAIL_CALL
#define TAIL_CALLS __attribute__((optimize("O2")))
#endif

/* Before glibc 2.34 it is in a library of its own, which not every process has. */
__attribute__((weak)) void *dlsym(void *handle, const char *name);

static void *next_function(const char *name) { return dlsym ? dlsym(RTLD_NEXT, name) : NULL; }

/* ---- dlopen ------------------------------------------------------------------------------------------------------ */

/* On ppc64le compilers cannot end a function in a jump to another object, and a loader that takes hakmem for the caller
 * would break more programs than RTLD_DEEPBIND does: both are left to libc there. */
#if !defined(__powerpc64__)

#ifndef RTLD_DEEPBIND
#define RTLD_DEEPBIND 0 /* musl knows no such thing */
#endif

static int mode_allowed(int mode) { return option(OPTION_DEEPBIND) ? mode : mode & ~RTLD_DEEPBIND; }

HAK_PUBLIC TAIL_CALLS void *dlopen(const char *file, int mode)
{
    void *(*next)(const char *, int) = (void *(*)(const char *, int))next_function("dlopen");
    if (!next)
        return NULL;
    mode = mode_allowed(mode);
    TAIL_CALL return next(file, mode);
}

#ifdef LM_ID_BASE

/* Other namespaces have a libc, and so a malloc, of their own. */
HAK_PUBLIC TAIL_CALLS void *dlmopen(Lmid_t space, const char *file, int mode)
{
    void *(*next)(Lmid_t, const char *, int) = (void *(*)(Lmid_t, const char *, int))next_function("dlmopen");
    if (!next)
        return NULL;
    mode = space == LM_ID_BASE ? mode_allowed(mode) : mode;
    TAIL_CALL return next(space, file, mode);
}

#endif
#endif

/* ---- Filters of system calls ------------------------------------------------------------------------------------- */

#define SIX_MORE long a, long b, long c, long d, long e, long f

/* As libc's, where that is not found. */
static long plain_syscall(long number, SIX_MORE)
{
    long result = os_call_of_program(number, a, b, c, d, e, f);
    if (result < 0 && result > -4096) {
        errno = (int)-result;
        return -1;
    }
    return result;
}

static int plain_prctl(int option, long a, long b, long c, long d)
{
    return (int)plain_syscall(SYS_prctl, option, a, b, c, d, 0);
}

static int plain_mprotect(void *address, size_t size, int rights)
{
    return (int)plain_syscall(SYS_mprotect, (long)address, (long)size, rights, 0, 0, 0);
}

/* Found at the start: at other times the caller may be a signal handler, or share its memory with its parent. */
__attribute__((used)) static long (*next_syscall)(long number, SIX_MORE) __asm__("front_next_syscall") = plain_syscall;
static int (*next_prctl)(int option, long a, long b, long c, long d) = plain_prctl;
static int (*next_mprotect)(void *address, size_t size, int rights) = plain_mprotect;

/* The program's prctl and syscall may be others: its own, or libc's where this library was opened by dlopen. */
#define OWN(name)                                                                  \
    __asm__(".hidden front_own_" #name "\n\t.set front_own_" #name ", " #name);     \
    extern const char front_own_##name[] __attribute__((visibility("hidden")));      \
    extern const char front_any_##name[] __asm__(#name) __attribute__((visibility("default")));
OWN(prctl)
OWN(syscall)

static bool is_own(const char *any, const char *own)
{
    FORGET_ORIGIN(any);
    FORGET_ORIGIN(own);
    return any == own;
}

__attribute__((constructor)) static void front_constructor(void)
{
    void *next = next_function("syscall");
    if (next)
        next_syscall = (long (*)(long, SIX_MORE))next;
    next = next_function("prctl");
    if (next)
        next_prctl = (int (*)(int, long, long, long, long))next;
    next = next_function("mprotect");
    if (next)
        next_mprotect = (int (*)(void *, size_t, int))next;
    if (is_own(front_any_prctl, front_own_prctl) && is_own(front_any_syscall, front_own_syscall))
        os_sandbox_watch();
}

enum { MODE_STRICT = 1 }; /* SECCOMP_MODE_STRICT, of a header that not every libc comes with */

/* Only what succeeded shuts the thread: in a process with a filter it does not. */
static COLD NOINLINE int strict_begin(int option, long a, long b, long c, long d)
{
    os_sandbox_shut();
    int result = next_prctl(option, a, b, c, d);
    if (result == 0) {
        os_counter_shut();
        os_thread_shut();
    }
    return result;
}

HAK_PUBLIC TAIL_CALLS int front_prctl(int option, long a, long b, long c, long d) __asm__("prctl");
int front_prctl(int option, long a, long b, long c, long d)
{
    if (UNLIKELY(option == PR_SET_SECCOMP && a == MODE_STRICT))
        return strict_begin(option, a, b, c, d);
    if (option == PR_SET_SECCOMP)
        os_sandbox_shut();
    if (option == PR_SET_TSC && a == PR_TSC_SIGSEGV)
        os_counter_shut();
    TAIL_CALL return next_prctl(option, a, b, c, d);
}

#if defined(__x86_64__)

/* The seventh argument lies on the caller's stack, or something of the caller's does that is no argument, and that
 * another thread may be writing to: it is not to be touched, and compilers copy it. */
__asm__("    .text\n"
        "    .globl syscall\n"
        "    .type syscall, @function\n"
        "syscall:\n"
        "    .cfi_startproc\n"
        "    cmpq $317, %rdi\n" /* SYS_seccomp */
        "    je 1f\n"
        "    cmpq $157, %rdi\n" /* SYS_prctl */
        "    jne 2f\n"
        "    cmpq $22, %rsi\n" /* PR_SET_SECCOMP */
        "    jne 2f\n"
        "1:  movb $0, os_sandbox(%rip)\n" /* os_sandbox_shut */
        "2:  jmpq *front_next_syscall(%rip)\n"
        "    .cfi_endproc\n"
        "    .size syscall, . - syscall\n");
_Static_assert(SYS_seccomp == 317 && SYS_prctl == 157 && PR_SET_SECCOMP == 22, "as above");

#else

/* By its name in the object: in C it takes any number of arguments, which have to be passed on where they are. */
HAK_PUBLIC TAIL_CALLS long front_syscall(long number, SIX_MORE) __asm__("syscall");
long front_syscall(long number, SIX_MORE)
{
    if (UNLIKELY(number == SYS_seccomp || (number == SYS_prctl && a == PR_SET_SECCOMP)))
        os_sandbox_shut();
    TAIL_CALL return next_syscall(number, a, b, c, d, e, f);
}

#endif

/* ---- Locked memory ----------------------------------------------------------------------------------------------- */

HAK_PUBLIC int mlockall(int flags)
{
    thread_check_fork(); /* the repair of a child takes back what its parent had locked */
    int (*next)(int) = (int (*)(int))next_function("mlockall");
    int result = next ? next(flags) : (int)plain_syscall(SYS_mlockall, flags, 0, 0, 0, 0, 0);
    if (result == 0)
        os_lock_memory((flags & MCL_FUTURE) && !(flags & MCL_ONFAULT));
    return result;
}

HAK_PUBLIC int munlockall(void)
{
    thread_check_fork();
    int (*next)(void) = (int (*)(void))next_function("munlockall");
    int result = next ? next() : (int)plain_syscall(SYS_munlockall, 0, 0, 0, 0, 0, 0);
    if (result == 0)
        os_lock_memory(false);
    return result;
}

/* ---- Protected memory -------------------------------------------------------------------------------------------- */

static COLD NOINLINE void rights_note(const void *address)
{
    thread_check_fork(); /* who had the lock may have vanished */
    large_note_protected(address);
}

HAK_PUBLIC int mprotect(void *address, size_t size, int rights)
{
    if (UNLIKELY(rights != (PROT_READ | PROT_WRITE)) && large_may_have(address))
        rights_note(address);
    return next_mprotect(address, size, rights);
}

#if defined(__aarch64__)

/* For libgcc, which asks at the start whether the processor has atomic instructions. glibc's function of the name is
 * no more than this, and not every libc has it. */
unsigned long __getauxval(unsigned long type) __attribute__((visibility("hidden")));
unsigned long __getauxval(unsigned long type) { return getauxval(type); }

#endif
