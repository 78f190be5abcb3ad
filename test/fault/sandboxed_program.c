/* sandboxed_program.c - usage: sandboxed_program WAY LIST ACTION: a workload with small, medium, large and very large
 * blocks, purges, threads and children, in a process to which some system calls are forbidden.
 *
 *   WAY     prctl, syscall   the program forbids them to itself, after some use, by these functions
 *           early            by prctl, before any constructor has run
 *           exec             its parent did: they are forbidden from its first instruction on
 *   LIST    malloc           everything that neither libc's malloc nor this program needs
 *           service          what systemd's @system-service lacks, as of Debian 12, and process_madvise
 *           arguments        advice to madvise that libc's malloc never gives, mappings that it never asks for (OpenSSH)
 *           purges           madvise and process_madvise
 *   ACTION  kill, or the number of an error; 0: they say yes and do nothing
 *
 * sandboxed_program noproc: the workload where nothing is mounted at /proc. counter: where the processor's counter may
 * not be read. strict: blocks for as long as there are some, in a thread that may read and write only. after: such a
 * thread, and another, that has its memory, when it has ended.
 * SPDX-License-Identifier: MIT */
#include "churn.h"
#include "filter.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { STATUS_SKIPPED = 77 };

/* ---- What is forbidden ------------------------------------------------------------------------------------------- */

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif
#ifndef SYS_process_mrelease
#define SYS_process_mrelease 448
#endif

#ifdef __x86_64__
#define OLDER(...) __VA_ARGS__ /* calls that newer machines do not have */
#else
#define OLDER(...)
#endif

static const long g_malloc[] = {
    /* libc's malloc, threads, fork, abort, output */
    SYS_brk, SYS_mmap, SYS_munmap, SYS_mremap, SYS_mprotect, SYS_madvise, SYS_futex, SYS_getrandom, SYS_gettid, SYS_getpid,
    SYS_tgkill, SYS_rt_sigprocmask, SYS_rt_sigaction, SYS_rt_sigreturn, SYS_clone, SYS_clone3, SYS_set_robust_list, SYS_rseq,
    SYS_exit, SYS_exit_group, SYS_write, SYS_clock_gettime, SYS_wait4, SYS_restart_syscall,
};

/* From the first instruction on: the loader, too, and sysinfo, which hakmem calls at the start
 * (docs/system-calls.md). */
static const long g_loader[] = {
    SYS_execve, SYS_openat, SYS_read, SYS_pread64, SYS_close, SYS_fstat, SYS_newfstatat, SYS_faccessat, SYS_readlinkat,
    SYS_set_tid_address, SYS_prlimit64, SYS_sysinfo, OLDER(SYS_access, SYS_arch_prctl, SYS_readlink)
};

/* Of these, an allocator may want the first ones. (process_madvise is missing in older lists, and here.) */
static const long g_no_service[] = {
    SYS_mincore, SYS_process_madvise, SYS_perf_event_open, SYS_memfd_secret, SYS_process_mrelease, SYS_pkey_alloc,
    SYS_pkey_free, SYS_pkey_mprotect, SYS_seccomp, SYS_ptrace, SYS_pidfd_getfd, SYS_bpf, SYS_syslog, SYS_acct, SYS_chroot,
    SYS_mount, SYS_umount2, SYS_pivot_root, SYS_reboot, SYS_swapon, SYS_swapoff, SYS_init_module, SYS_delete_module,
    SYS_finit_module, SYS_kexec_load, SYS_quotactl, SYS_settimeofday, SYS_clock_settime, SYS_adjtimex, SYS_clock_adjtime,
    SYS_sethostname, SYS_setdomainname, SYS_vhangup, SYS_lookup_dcookie, SYS_fanotify_init, SYS_fanotify_mark,
    SYS_open_by_handle_at, OLDER(SYS_modify_ldt, SYS_iopl, SYS_ioperm, SYS_uselib, SYS_ustat, SYS_sysfs)
};

static void forbid_arguments(enum filter_way way, unsigned action)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MADV_DONTNEED, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, action),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 2),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, ~(unsigned)(PROT_READ | PROT_WRITE), 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mincore, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_madvise, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, action),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    filter_install(way, code, COUNT_OF(code));
}

static void forbid(enum filter_way way, const char *list, const char *action_text, bool from_start)
{
    bool kills = strcmp(action_text, "kill") == 0;
    unsigned action = kills ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ERRNO | (unsigned)atoi(action_text);
    if (strcmp(list, "purges") == 0) {
        static const long purges[] = {SYS_madvise, SYS_process_madvise};
        filter_these(way, action, purges, COUNT_OF(purges));
    } else if (strcmp(list, "service") == 0) {
        filter_these(way, action, g_no_service, COUNT_OF(g_no_service));
    } else if (strcmp(list, "arguments") == 0) {
        forbid_arguments(way, action);
    } else {
        long numbers[COUNT_OF(g_malloc) + COUNT_OF(g_loader)];
        memcpy(numbers, g_malloc, sizeof g_malloc);
        memcpy(numbers + COUNT_OF(g_malloc), g_loader, sizeof g_loader);
        filter_others(way, action, numbers, from_start ? COUNT_OF(numbers) : COUNT_OF(g_malloc));
    }
}

static void forbid_before_constructors(int argc, char **argv, char **environment)
{
    (void)environment;
    if (argc == 4 && strcmp(argv[1], "early") == 0) {
        forbid(FILTER_BY_PRCTL, argv[2], argv[3], true);
    }
}

__attribute__((section(".preinit_array"), used)) static void (*const g_first)(int, char **,
                                                                               char **) = forbid_before_constructors;

static void proc_hide(void)
{
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        umount2("/proc", MNT_DETACH) != 0) {
        _exit(STATUS_SKIPPED);
    }
}

static void counter_shut(void)
{
    if (prctl(PR_SET_TSC, PR_TSC_SIGSEGV) != 0) {
        _exit(STATUS_SKIPPED);
    }
}

/* ---- The work ---------------------------------------------------------------------------------------------------- */

static void churn(uint64_t seed, size_t limit, size_t steps)
{
    static _Thread_local struct churn churn;
    churn_begin(&churn, seed, limit);
    churn_steps(&churn, steps);
    churn_end(&churn);
}

static void very_large(void)
{
    size_t size = 40 * MIB;
    char *block = malloc(size);
    must(block != NULL, "malloc of %zu bytes failed", size);
    for (size_t to = 2 * size; to > 35 * MIB; to /= 2) {
        block[0] = block[size - 1] = 11;
        char *moved = realloc(block, to);
        must(moved != NULL && moved[0] == 11, "realloc to %zu lost the block", to);
        block = moved;
        size = to;
    }
    free(block);
}

/* All of it is written to before it goes, so what the learner learns of such blocks is that they are used
 * throughout. */
static void filled(void)
{
    static void *blocks[40];
    for (size_t i = 0; i < COUNT_OF(blocks); i++) {
        blocks[i] = malloc(150000);
        must(blocks[i] != NULL, "malloc failed");
        memset(blocks[i], 0xa5, 150000);
    }
    for (size_t i = 0; i < COUNT_OF(blocks); i++) {
        free(blocks[i]);
    }
    malloc_trim(0);
    for (size_t i = 0; i < COUNT_OF(blocks); i++) {
        blocks[i] = calloc(1, 150000);
        must(blocks[i] != NULL && bytes_check(blocks[i], 150000, 0) == 150000, "calloc's memory is not zero");
    }
    for (size_t i = 0; i < COUNT_OF(blocks); i++) {
        free(blocks[i]);
    }
}

static void *thread_work(void *argument)
{
    churn((uint64_t)(size_t)argument, 300000, 500);
    return NULL;
}

static void child_make(size_t seed)
{
    pid_t child = fork();
    must(child >= 0, "fork: errno %d", errno);
    if (child == 0) {
        churn(seed + 9, 300000, 300);
        filled();
        _exit(0);
    }
    int status = -1;
    must(waitpid(child, &status, 0) == child && status == 0, "the child ended with status %#x", (unsigned)status);
}

static void threads_and_children(size_t seed)
{
    pthread_t threads[3];
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        must(pthread_create(&threads[i], NULL, thread_work, (void *)(seed + i)) == 0, "pthread_create failed");
    }
    child_make(seed);
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        pthread_join(threads[i], NULL);
    }
}

static _Atomic(bool) g_children_made; /* relaxed: the threads only end by it */

static void *threads_work(void *argument)
{
    while (!atomic_load_explicit(&g_children_made, memory_order_relaxed)) {
        pthread_t thread;
        must(pthread_create(&thread, NULL, thread_work, argument) == 0, "pthread_create failed");
        pthread_join(thread, NULL);
    }
    return NULL;
}

/* While other threads come and go, so that one of them is likely to hold the allocator's lock when a child is made: two
 * hundred, or as many as 8 seconds are enough for. */
static void many_children(void)
{
    pthread_t threads[2];
    time_t end = time(NULL) + 8;
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        must(pthread_create(&threads[i], NULL, threads_work, (void *)(i + 1)) == 0, "pthread_create failed");
    }
    for (size_t i = 0; i < 200 && time(NULL) < end; i++) {
        child_make(i);
    }
    atomic_store_explicit(&g_children_made, true, memory_order_relaxed);
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        pthread_join(threads[i], NULL);
    }
}

static void work(unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++) {
        churn(i, 1000, 2000);
        churn(i, 50000, 500);
        churn(i, 3 * MIB, 300);
        filled();
        very_large();
        threads_and_children(i * 10 + 1);
    }
}

/* As many blocks as there are, of ever larger sizes; then all go. More memory cannot be had, and none goes back. */
static void use_what_there_is(void)
{
    static void *blocks[10000];
    for (size_t size = 16; size <= 4 * MIB; size *= 2) {
        size_t count = 0;
        while (count < COUNT_OF(blocks) && (blocks[count] = calloc(1, size)) != NULL) {
            memset(blocks[count++], 0x3c, size);
        }
        must(count > 0 || size > 16, "no block of %zu bytes", size);
        while (count > 0) {
            free(blocks[--count]);
        }
    }
}

static void strict_work(void)
{
    work(1);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) {
        _exit(STATUS_SKIPPED); /* there is a filter already */
    }
    for (size_t i = 0; i < 5; i++) {
        use_what_there_is();
    }
    syscall(SYS_exit, 0); /* the only end that is allowed */
}

static void *strict_run(void *unused)
{
    strict_work();
    return unused;
}

static void *next_run(void *self)
{
    void *block = malloc((size_t)64 << 20); /* by a system call */
    must(block != NULL, "a thread is refused memory for what another one may not do");
    free(block);
    *(pthread_t *)self = pthread_self();
    return NULL;
}

static void strict_thread_ends(void)
{
    pthread_t strict, next, next_self;
    must(pthread_create(&strict, NULL, strict_run, NULL) == 0 && pthread_join(strict, NULL) == 0, "no thread");
    must(pthread_create(&next, NULL, next_run, &next_self) == 0 && pthread_join(next, NULL) == 0, "no thread");
    must(next_self == strict, "the second thread has other memory: nothing is tested");
}

int main(int argc, char **argv)
{
    must(argc == 4 || argc == 2, "usage: sandboxed_program WAY LIST ACTION | noproc | counter | strict | after");
    if (argc == 2 && strcmp(argv[1], "strict") == 0) {
        strict_work();
    } else if (argc == 2 && strcmp(argv[1], "after") == 0) {
        strict_thread_ends();
    } else if (argc == 2 && strcmp(argv[1], "counter") == 0) {
        counter_shut();
    } else if (argc == 2) {
        proc_hide();
    } else if (strcmp(argv[1], "exec") == 0) {
        char *const again[] = {argv[0], (char *)"inside", argv[2], argv[3], NULL};
        forbid(FILTER_UNSEEN, argv[2], argv[3], true);
        execv(argv[0], again);
        _exit(127);
    } else if (strcmp(argv[1], "prctl") == 0 || strcmp(argv[1], "syscall") == 0) {
        work(2);
        forbid(strcmp(argv[1], "prctl") == 0 ? FILTER_BY_PRCTL : FILTER_BY_SYSCALL, argv[2], argv[3], false);
    }
    work(6);
    if (argc == 4 && strcmp(argv[2], "purges") == 0) {
        many_children(); /* that they are children they do not know by memory that is wiped on fork */
    }
    return 0;
}
