/* unwind_test.c - stacks are what libgcc's _Unwind_Backtrace says: for all kinds of frames, in handlers that interrupt
 * any instruction, in threads, coroutines, libraries that come and go, children. Where libgcc knows nothing, in code
 * that was made at run time, frame pointers lead on; and where they may lie, nothing happens.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#include "insight/registers.h"
#include "insight/unwind.h"
#include "system/os_stack.h"
#include "unwind_shapes.h"

/* ---- What libgcc says -------------------------------------------------------------------------------------------- */

enum { TRACE_MAX = 128 };

struct trace {
    uintptr_t address[TRACE_MAX];
    unsigned count;
};

static _Unwind_Reason_Code trace_add(struct _Unwind_Context *context, void *argument)
{
    struct trace *trace = argument;
    int is_exact;
    uintptr_t address = _Unwind_GetIPInfo(context, &is_exact);
    if (address != 0 && trace->count < TRACE_MAX)
        trace->address[trace->count++] = address;
    return _URC_NO_REASON;
}

/* The frames from the one on that `from` is in. */
static __attribute__((noinline)) void trace_take(struct trace *trace, uintptr_t from)
{
    struct trace all = {.count = 0};
    _Unwind_Backtrace(trace_add, &all);
    unsigned first = 0;
    while (first < all.count && all.address[first] != from)
        first++;
    trace->count = all.count - first;
    memcpy(trace->address, all.address + first, trace->count * sizeof *all.address);
}

static _Atomic(unsigned) g_compared, g_frames;
static bool g_may_go_on; /* frame pointers may lead farther than libgcc gets */

/* Without output or allocation, for it is also called in handlers. */
static void compare_from(uintptr_t from)
{
    struct trace want;
    uintptr_t have[UNWIND_DEPTH];
    errno = 77;
    unsigned count = unwind_stack(from, have);
    must(errno == 77, "errno was changed");
    trace_take(&want, from);
    if (want.count > UNWIND_DEPTH)
        want.count = UNWIND_DEPTH;
    for (unsigned i = 0; i < want.count; i++)
        must(i < count && have[i] == want.address[i], "frame %u of %u is %#lx and not %#lx", i, want.count,
             i < count ? (unsigned long)have[i] : 0, (unsigned long)want.address[i]);
    must(count == want.count || g_may_go_on, "%u frames and not %u", count, want.count);
    atomic_fetch_add(&g_compared, 1);
    atomic_fetch_add(&g_frames, count);
}

static __attribute__((noinline)) void compare(void)
{
    compare_from((uintptr_t)__builtin_return_address(0));
    __asm__ volatile("" : : : "memory");
}

/* At least so many stacks have been compared since the last time, and so many frames in each, on the average. */
static void must_have_compared(unsigned stacks, unsigned frames)
{
    unsigned compared = atomic_exchange(&g_compared, 0), seen = atomic_exchange(&g_frames, 0);
    must(compared >= stacks, "%u stacks were compared, %u expected", compared, stacks);
    must(seen >= compared * frames, "%u frames in %u stacks", seen, compared);
}

/* ---- Kinds of frames --------------------------------------------------------------------------------------------- */

static void all_shapes(leaf_call *leaf)
{
    const struct shape *const tables[] = {shapes_o0, shapes_o3, shapes_pointer, shapes_no_pointer};
    for (size_t i = 0; i < COUNT_OF(tables); i++)
        for (const struct shape *shape = tables[i]; shape->name; shape++)
            shape->run(leaf);
}

static void test_shapes(void **state)
{
    (void)state;
    all_shapes(compare);
    must_have_compared(36, 8);
    all_shapes(compare); /* by the rows that are kept */
    must_have_compared(36, 8);
}

static void test_cxx(void **state)
{
    (void)state;
#ifdef WITH_CXX
    cxx_catch(compare);
    cxx_unwind(compare);
    must_have_compared(2, 6);
#else
    skip_because("a build with a sanitizer has no C++");
    skip();
#endif
}

static void test_from(void **state)
{
    (void)state;
    uintptr_t out[UNWIND_DEPTH];
    assert_int_equal(unwind_stack(12345, out), 1); /* not among the frames */
    assert_int_equal(out[0], 12345);
}

/* ---- Registers that calls preserve ------------------------------------------------------------------------------- */

/* anchored_REGISTER(call, argument): a frame that is found by that register alone, which has to be followed through
 * all that the call leads to. */
typedef void anchored(void (*call)(leaf_call *), leaf_call *argument);
#if defined(__x86_64__)
#define ANCHORED(X) X(rbx) X(rbp) X(r12) X(r13) X(r14) X(r15)
#define ANCHOR(name)                                                          \
    __asm__(".text\nanchored_" #name ":\n\t.cfi_startproc\n\t"                \
            "push %" #name "\n\t.cfi_def_cfa_offset 16\n\t"                   \
            ".cfi_offset %" #name ", -16\n\t"                                 \
            "mov %rsp, %" #name "\n\t.cfi_def_cfa %" #name ", 16\n\t"         \
            "mov %rdi, %rax\n\tmov %rsi, %rdi\n\tcall *%rax\n\t"              \
            "pop %" #name "\n\t.cfi_def_cfa %rsp, 8\n\tret\n\t.cfi_endproc"); \
    extern anchored anchored_##name;
#elif defined(__aarch64__)
#define ANCHORED(X) X(x19) X(x20) X(x21) X(x22) X(x23) X(x24) X(x25) X(x26) X(x27) X(x28) X(x29)
#define ANCHOR(name)                                                                   \
    __asm__(".text\nanchored_" #name ":\n\t.cfi_startproc\n\t"                         \
            "stp " #name ", x30, [sp, -16]!\n\t.cfi_def_cfa_offset 16\n\t"             \
            ".cfi_offset " #name ", -16\n\t.cfi_offset x30, -8\n\t"                    \
            "mov " #name ", sp\n\t.cfi_def_cfa " #name ", 16\n\t"                      \
            "mov x2, x0\n\tmov x0, x1\n\tblr x2\n\t"                                   \
            "ldp " #name ", x30, [sp], 16\n\t.cfi_def_cfa sp, 0\n\tret\n\t.cfi_endproc"); \
    extern anchored anchored_##name;
#elif defined(__riscv)
#define ANCHORED(X) X(s0) X(s1) X(s2) X(s3) X(s4) X(s5) X(s6) X(s7) X(s8) X(s9) X(s10) X(s11)
#define ANCHOR(name)                                                                  \
    __asm__(".text\nanchored_" #name ":\n\t.cfi_startproc\n\t"                        \
            "addi sp, sp, -16\n\t.cfi_def_cfa_offset 16\n\t"                         \
            "sd " #name ", 0(sp)\n\tsd ra, 8(sp)\n\t"                                \
            ".cfi_offset " #name ", -16\n\t.cfi_offset ra, -8\n\t"                   \
            "mv " #name ", sp\n\t.cfi_def_cfa " #name ", 16\n\t"                     \
            "mv a2, a0\n\tmv a0, a1\n\tjalr a2\n\t"                                  \
            "ld " #name ", 0(sp)\n\tld ra, 8(sp)\n\t.cfi_def_cfa sp, 16\n\t"         \
            "addi sp, sp, 16\n\t.cfi_def_cfa_offset 0\n\tret\n\t.cfi_endproc");      \
    extern anchored anchored_##name;
#elif defined(__powerpc64__)
#define ANCHORED(X) \
    X(14) X(15) X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29) X(30) X(31)
#define ANCHOR(name)                                                                       \
    __asm__(".text\nanchored_" #name ":\n\t.cfi_startproc\n\t"                             \
            "mflr 0\n\tstd 0, 16(1)\n\tstd " #name ", -16(1)\n\tstdu 1, -64(1)\n\t"         \
            ".cfi_def_cfa_offset 64\n\t.cfi_offset 65, 16\n\t.cfi_offset " #name ", -16\n\t" \
            "mr " #name ", 1\n\t.cfi_def_cfa " #name ", 64\n\t"                           \
            "mr 12, 3\n\tmr 3, 4\n\tmtctr 12\n\tbctrl\n\t"                              \
            "addi 1, 1, 64\n\t.cfi_def_cfa 1, 0\n\t"                                      \
            "ld " #name ", -16(1)\n\tld 0, 16(1)\n\tmtlr 0\n\tblr\n\t.cfi_endproc");    \
    extern anchored anchored_##name;
#elif defined(__s390x__)
#define ANCHORED(X) X(r6) X(r7) X(r8) X(r9) X(r10) X(r11) X(r12) X(r13)
#define ANCHOR(name)                                                                           \
    __asm__(".text\nanchored_" #name ":\n\t.cfi_startproc\n\t"                                 \
            "stmg %r6, %r15, 48(%r15)\n\t"                                                     \
            ".cfi_offset 6, -112\n\t.cfi_offset 7, -104\n\t.cfi_offset 8, -96\n\t"             \
            ".cfi_offset 9, -88\n\t.cfi_offset 10, -80\n\t.cfi_offset 11, -72\n\t"             \
            ".cfi_offset 12, -64\n\t.cfi_offset 13, -56\n\t.cfi_offset 14, -48\n\t.cfi_offset 15, -40\n\t" \
            "aghi %r15, -160\n\t.cfi_def_cfa_offset 320\n\t"                                  \
            "lgr %" #name ", %r15\n\t.cfi_def_cfa %" #name ", 320\n\t"                        \
            "lgr %r1, %r2\n\tlgr %r2, %r3\n\tbasr %r14, %r1\n\t"                              \
            "lmg %r6, %r15, 208(%r15)\n\t.cfi_def_cfa %r15, 160\n\tbr %r14\n\t.cfi_endproc"); \
    extern anchored anchored_##name;
#endif
ANCHORED(ANCHOR)

static void test_registers(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) { /* by the tables, and by the rows that are kept */
#define CALL(name) anchored_##name(shapes_o3[SHAPE_BUSY].run, compare);
        ANCHORED(CALL)
#undef CALL
    }
    must_have_compared(12, 10);
}

/* ---- Signals ----------------------------------------------------------------------------------------------------- */

static void handler(int number)
{
    (void)number;
    int saved = errno;
    uintptr_t from = (uintptr_t)__builtin_return_address(0);
#if !defined(__x86_64__)
    if (os_signal_return == 0) /* an emulator's, which has no library of the kernel's */
        os_signal_return = from;
#endif
    compare_from(from);
    errno = saved;
}

/* On ppc64le stacks end at a signal's handler (docs/architectures.md), libgcc's too where an emulator has made the
 * frame. */
#if defined(__powerpc64__)
enum { ENDS_AT_SIGNALS = true };
#else
enum { ENDS_AT_SIGNALS = false };
#endif

static void skip_without_signals(void)
{
    if (ENDS_AT_SIGNALS) {
        skip_because("stacks end at signals on this machine");
        skip();
    }
}

static void raise_signal(void) { raise(SIGUSR1); }

static void handler_set(int number, int flags)
{
    /* s390x has another frame without. */
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags | SA_SIGINFO};
    assert_int_equal(sigaction(number, &action, NULL), 0);
}

static void test_signal(void **state)
{
    (void)state;
    skip_without_signals();
    handler_set(SIGUSR1, 0);
    all_shapes(raise_signal);
    must_have_compared(36, 8);
}

#if defined(__x86_64__)
/* Has saved a register below the stack pointer when it is interrupted. */
__asm__(".text\nbelow_stack:\n\t.cfi_startproc\n\t"
        "mov %rbx, -112(%rsp)\n\t.cfi_offset %rbx, -120\n\t"
        "xor %ebx, %ebx\n\tint3\n\tnop\n\t"
        "mov -112(%rsp), %rbx\n\t.cfi_restore %rbx\n\tret\n\t.cfi_endproc");
extern void below_stack(leaf_call *);

static void test_red_zone(void **state)
{
    (void)state;
    handler_set(SIGTRAP, 0);
    anchored_rbx(below_stack, NULL);
    must_have_compared(1, 8);
}
#endif

static char *memory_map(size_t size)
{
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(memory != MAP_FAILED, "no memory");
    return memory;
}

static void test_signal_stack(void **state)
{
    (void)state;
    skip_without_signals();
    enum { SIZE = 256 << 10 };
    stack_t stack = {.ss_sp = memory_map(SIZE), .ss_size = SIZE}, none = {.ss_flags = SS_DISABLE};
    assert_int_equal(sigaltstack(&stack, NULL), 0);
    handler_set(SIGUSR1, SA_ONSTACK);
    all_shapes(raise_signal);
    assert_int_equal(sigaltstack(&none, NULL), 0);
    munmap(stack.ss_sp, SIZE);
    must_have_compared(36, 8);
}

static void nothing(void) { __asm__ volatile("" : : : "memory"); }

/* Interrupts anything: prologues, stubs of the linker, libc's assembler code. What has no tables is left by its frame
 * pointer. */
static void test_timer(void **state)
{
    (void)state;
    skip_without_signals();
    enum { STACKS = 400, ROUNDS = 1000000 };
    struct itimerval often = {{0, 500}, {0, 500}}, never = {{0, 0}, {0, 0}};
    char from[300], to[300];
    memset(from, 'x', sizeof from);
    handler_set(SIGALRM, SA_RESTART);
    g_may_go_on = true;
    setitimer(ITIMER_REAL, &often, NULL);
    for (size_t i = 0; atomic_load(&g_compared) < STACKS && i < ROUNDS; i++) {
        memcpy(hidden(to), hidden(from), hidden_size(i % sizeof to));
        all_shapes(nothing);
    }
    setitimer(ITIMER_REAL, &never, NULL);
    signal(SIGALRM, SIG_IGN); /* an emulator may have one left */
    g_may_go_on = false;
    must_have_compared(STACKS / 4, 5);
}

/* ---- Other stacks ------------------------------------------------------------------------------------------------ */

static void *thread_body(void *argument)
{
    for (unsigned i = 0; i < *(unsigned *)argument; i++)
        all_shapes(compare);
    return NULL;
}

/* Several at once, so that they read the rows that others write. */
static void test_threads(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    unsigned rounds = UNDER_SHADOW ? 3 : 30;
    pthread_t thread[THREADS];
    g_may_go_on = true; /* a libc may have no table for a thread's first function (riscv64) */
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, thread_body, &rounds), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    g_may_go_on = false;
    must_have_compared(THREADS * rounds * 36, 8);
}

static ucontext_t g_caller, g_coroutine;
static void (*g_body)(void);
static void coroutine_start(void) { g_body(); }

/* Runs on a stack behind which nothing can be read. */
static void in_coroutine(void (*body)(void))
{
    enum { SIZE = 2 << 20, GUARD = 64 << 10 };
    char *stack = memory_map(SIZE + GUARD);
    assert_int_equal(mprotect(stack + SIZE, GUARD, PROT_NONE), 0);
    assert_int_equal(getcontext(&g_coroutine), 0);
    g_coroutine.uc_stack = (stack_t){.ss_sp = stack, .ss_size = SIZE};
    g_coroutine.uc_link = &g_caller;
    g_body = body;
    makecontext(&g_coroutine, coroutine_start, 0);
    assert_int_equal(swapcontext(&g_caller, &g_coroutine), 0);
    munmap(stack, SIZE + GUARD);
}

static void all_shapes_compared(void) { all_shapes(compare); }
static void all_shapes_raised(void) { all_shapes(raise_signal); }

static void test_coroutine(void **state)
{
    (void)state;
    in_coroutine(all_shapes_compared);
    must_have_compared(36, 5);
    skip_without_signals();
    handler_set(SIGUSR1, 0);
    in_coroutine(all_shapes_raised);
    must_have_compared(36, 5);
}

static void test_child(void **state)
{
    (void)state;
    pid_t child = child_fork(60);
    if (child == 0) {
        all_shapes(compare);
        must_have_compared(36, 8);
        _exit(0);
    }
    child_join(child, "the child that looks at its stack");
}

/* ---- Libraries that come and go ---------------------------------------------------------------------------------- */

/* Where the library's function was. */
static uintptr_t module_use(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    must(library, "%s", dlerror());
    module_run *run = (module_run *)(uintptr_t)dlsym(library, "module_run");
    must(run, "%s", dlerror());
    run(compare);
    uintptr_t address = (uintptr_t)run;
    assert_int_equal(dlclose(library), 0);
    return address;
}

static void test_module(void **state)
{
    (void)state;
    uintptr_t first = module_use(MODULE_A), second = module_use(MODULE_B);
    must_have_compared(2, 5);
    if (first != second) {
        skip_because("the loader has put the second library elsewhere");
        skip();
    }
}

#if !defined(__powerpc64__) && !defined(__s390x__) /* nobody keeps frame pointers there (registers.h) */
/* ---- Code without tables ----------------------------------------------------------------------------------------- */

/* code(call, pointer): calls with a frame of its own, and its frame pointer being that, or `pointer`. */
typedef void code(void (*call)(void), uintptr_t pointer);
#if defined(__x86_64__)
static const unsigned char g_code[][8] = {
    {0x55, 0x48, 0x89, 0xE5, 0xFF, 0xD7, 0x5D, 0xC3}, /* push rbp; mov rbp, rsp; call rdi; pop rbp; ret */
    {0x55, 0x48, 0x89, 0xF5, 0xFF, 0xD7, 0x5D, 0xC3}, /* ... mov rbp, rsi ... */
};
#elif defined(__riscv)
static const unsigned g_code[][9] = {
    /* addi sp, sp, -16; sd ra, 8(sp); sd s0, 0(sp); addi s0, sp, 16; jalr a0; ld ra, 8(sp); ld s0, 0(sp); addi sp, sp,
     * 16; ret */
    {0xFF010113, 0x00113423, 0x00813023, 0x01010413, 0x000500E7, 0x00813083, 0x00013403, 0x01010113, 0x00008067},
    {0xFF010113, 0x00113423, 0x00813023, 0x00058413, 0x000500E7, 0x00813083, 0x00013403, 0x01010113, 0x00008067}, /* ... mv s0, a1 ... */
};
#elif defined(__aarch64__)
static const unsigned g_code[][5] = {
    /* stp x29, x30, [sp, -16]!; mov x29, sp; blr x0; ldp x29, x30, [sp], 16; ret */
    {0xA9BF7BFD, 0x910003FD, 0xD63F0000, 0xA8C17BFD, 0xD65F03C0},
    {0xA9BF7BFD, 0xAA0103FD, 0xD63F0000, 0xA8C17BFD, 0xD65F03C0}, /* ... mov x29, x1 ... */
};
#endif

static code *g_honest, *g_lying;
static uintptr_t g_stack[UNWIND_DEPTH];
static unsigned g_stack_count;

static int code_make(void **state)
{
    (void)state;
    char *memory = memory_map(4096);
    memcpy(memory, g_code, sizeof g_code);
    __builtin___clear_cache(memory, memory + sizeof g_code);
    g_honest = (code *)(uintptr_t)memory;
    g_lying = (code *)(uintptr_t)(memory + sizeof *g_code);
    return mprotect(memory, 4096, PROT_READ | PROT_EXEC);
}

static __attribute__((noinline)) void stack_note(void)
{
    g_stack_count = unwind_stack((uintptr_t)__builtin_return_address(0), g_stack);
}

/* Behind the frames of the code and of this function come those of who called this. */
static __attribute__((noinline)) void code_followed(void)
{
    struct trace want;
    g_honest(stack_note, 0);
    trace_take(&want, (uintptr_t)__builtin_return_address(0));
    bool is_right = g_stack_count == want.count + 2 || (g_may_go_on && g_stack_count > want.count + 2);
    must(want.count >= 2 && is_right, "%u frames, %u in libgcc's trace of the caller", g_stack_count, want.count);
    must(memcmp(g_stack + 2, want.address, want.count * sizeof *want.address) == 0, "other frames");
    assert_in_range(g_stack[0], (uintptr_t)g_honest, (uintptr_t)g_lying);
}

static void *code_followed_in_thread(void *argument)
{
    g_may_go_on = true; /* as in test_threads */
    code_followed();
    g_may_go_on = false;
    return argument;
}

static void test_code(void **state)
{
    (void)state;
    pthread_t thread;
    code_followed();
    assert_int_equal(pthread_create(&thread, NULL, code_followed_in_thread, NULL), 0);
    pthread_join(thread, NULL);
}

static void code_run(void) { g_honest(stack_note, 0); }

/* Where nobody knows the stack's end, no frame pointer is believed. */
static void test_code_in_coroutine(void **state)
{
    (void)state;
    in_coroutine(code_run);
    assert_int_equal(g_stack_count, 1);
}

static void test_code_that_lies(void **state)
{
    (void)state;
    uintptr_t here[8] = {0}, end = os_stack_end((uintptr_t)here);
    assert_int_not_equal(end, 0);
    char *unreadable = memory_map(4096);
    mprotect(unreadable, 4096, PROT_NONE);
    uintptr_t pointers[] = {
        0,       1,        8,   (uintptr_t)here, (uintptr_t)here + 4, (uintptr_t)here - 65536, (uintptr_t)unreadable,
        end - 8, end - 16, end, end + 8,         ~(uintptr_t)0,       ~(uintptr_t)7,           (uintptr_t)1 << 63};
    for (unsigned i = 0; i < COUNT_OF(pointers); i++) {
        here[0] = (uintptr_t)here;               /* leads to itself, */
        here[1] = i % 2 ? (uintptr_t)here : 0x10000; /* and to what is no code */
        g_lying(stack_note, pointers[i]);
        must(g_stack_count == 1, "%u frames behind the frame pointer %#lx", g_stack_count, (unsigned long)pointers[i]);
    }
    munmap(unreadable, 4096);
}

/* Such a chain of frame pointers is followed from nearby, and not from far away. */
static void test_code_with_large_frame(void **state)
{
    (void)state;
    enum { WORDS = 6000, NEAR = 8, FAR = WORDS - 8 };
    uintptr_t words[WORDS];
    for (unsigned i = 0; i < WORDS; i += 2) {
        words[i] = 0;
        words[i + 1] = (uintptr_t)stack_note + 1;
    }
    g_lying(stack_note, (uintptr_t)hidden(&words[NEAR]));
    assert_true(g_stack_count > 1);
    g_lying(stack_note, (uintptr_t)hidden(&words[FAR]));
    assert_int_equal(g_stack_count, 1);
}
#endif

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),       cmocka_unit_test(test_cxx),
        cmocka_unit_test(test_from),         cmocka_unit_test(test_registers),
#if defined(__x86_64__)
        cmocka_unit_test(test_red_zone),
#endif
        cmocka_unit_test(test_signal),
        cmocka_unit_test(test_signal_stack), cmocka_unit_test(test_timer),
        cmocka_unit_test(test_threads),      cmocka_unit_test(test_coroutine),
        cmocka_unit_test(test_child),        cmocka_unit_test(test_module),
#if !defined(__powerpc64__) && !defined(__s390x__)
        cmocka_unit_test_setup(test_code, code_make),
        cmocka_unit_test_setup(test_code_in_coroutine, code_make),
        cmocka_unit_test_setup(test_code_that_lies, code_make),
        cmocka_unit_test_setup(test_code_with_large_frame, code_make),
#endif
    };
    return RUN_TESTS(tests);
}
