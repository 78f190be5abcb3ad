/* fork_test.c - fork in every situation: the parent never hangs, the child can allocate, free what it inherited, start
 * threads and fork again. Each case has a time limit of its own, so that a deadlock is a failure with a name.
 * SPDX-License-Identifier: MIT */
#include "churn.h"
#include "hakmem.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#ifndef sigev_notify_thread_id /* musl has the name, glibc 2.36 not */
#define sigev_notify_thread_id _sigev_un._tid
#endif

enum { CHURNERS = 3, CHILD_SECONDS = 10, CASE_SECONDS = 60 };

/* ---- Threads that keep the allocator busy ------------------------------------------------------------------------ */

/* How often to do what is done `count` times with nothing turned on; a hardened allocator is slower, and forks alike. */
static size_t times(size_t count) { return getenv("HAKMEM_HARDEN") ? count / 4 : count; }

static atomic_bool g_stop;
static size_t g_churners_limit = 300000;

static void *churner(void *argument)
{
    struct churn churn;
    churn_begin(&churn, (uint64_t)(size_t)argument, g_churners_limit);
    while (!atomic_load(&g_stop)) {
        churn_steps(&churn, 50);
    }
    churn_end(&churn);
    return NULL;
}

static void churners_start(pthread_t *threads)
{
    atomic_store(&g_stop, false);
    for (size_t i = 0; i < CHURNERS; i++) {
        must(pthread_create(&threads[i], NULL, churner, (void *)(i + 1)) == 0, "pthread_create failed");
    }
}

static void churners_end(pthread_t *threads)
{
    atomic_store(&g_stop, true);
    for (size_t i = 0; i < CHURNERS; i++) {
        pthread_join(threads[i], NULL);
    }
}

/* Waits for a child that ends itself by SIGALRM when it hangs. */
static void child_wait(pid_t child, const char *what)
{
    struct child_result result = {.status = 0};
    pid_t ended;
    do {
        ended = waitpid(child, &result.status, 0);
    } while (ended < 0 && errno == EINTR);
    must(ended == child, "%s: waitpid: %s", what, strerror(errno));
    bool hung = WIFSIGNALED(result.status) && WTERMSIG(result.status) == SIGALRM;
    must(result.status == 0, "%s: expected the child to end with status 0, saw %s%s", what, child_ending(&result),
         hung ? ": it hung" : "");
}

/* A case runs in a process of its own, which is killed when it hangs. */
static void case_run(void (*body)(void *), void *argument, const char *what)
{
    struct child_result result;
    child_run(body, argument, CASE_SECONDS, &result);
    must_end_well(&result, what);
}

/* A child, by `call`, does its work and ends well, or else fails the test. */
static void child_does(pid_t (*call)(void), void (*work)(void *), void *argument, const char *what)
{
    pid_t child = call();
    must(child >= 0, "%s: fork failed: %s", what, strerror(errno));
    if (child == 0) {
        alarm(CHILD_SECONDS);
        work(argument);
        _exit(0);
    }
    child_wait(child, what);
}

/* ---- fork and its relatives against busy threads ----------------------------------------------------------------- */

static pid_t call_fork(void) { return fork(); }

static pid_t call_fork_without_handlers(void) { return _Fork(); }

static pid_t call_clone(void) { return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); }

struct forks {
    pid_t (*fork)(void);
    size_t count;
    const char *what;
};

/* Blocks of every kind that the child finds and must be able to check, resize and free. */
static void forks_body(void *argument)
{
    const struct forks *forks = argument;
    pthread_t threads[CHURNERS];
    struct churn churn;
    churners_start(threads);
    churn_begin(&churn, 77, 300000);
    for (size_t i = 0; i < times(forks->count); i++) {
        churn_steps(&churn, 100);
        pid_t child = forks->fork();
        must(child >= 0, "fork number %zu failed: %s", i, strerror(errno));
        if (child == 0) {
            alarm(CHILD_SECONDS);
            churn_steps(&churn, 120);
            churn_end(&churn);
            churn_run(i + 1, 5 * MIB, 20);
            _exit(0);
        }
        child_wait(child, forks->what);
    }
    churn_end(&churn);
    churners_end(threads);
}

static void test_fork_with_busy_threads(void **state)
{
    (void)state;
    struct forks forks = {call_fork, 200, "a child of fork, 3 threads allocating"};
    case_run(forks_body, &forks, "forks with 3 threads allocating");
}

static void test_fork_without_handlers(void **state)
{
    (void)state;
    struct forks forks = {call_fork_without_handlers, 60, "a child of _Fork, 3 threads allocating"};
    case_run(forks_body, &forks, "_Fork with 3 threads allocating");
}

static void test_clone_without_libc(void **state)
{
    (void)state;
    struct forks forks = {call_clone, 60, "a child of the system call clone, 3 threads allocating"};
    case_run(forks_body, &forks, "clone with 3 threads allocating");
}

enum { LARGE_SLOTS = 40 };

struct large_block {
    char *block;
    size_t size;
};

/* Writes the first and the last bytes only: the time is to go into the allocator, which holds its lock for such
 * blocks. */
static void large_put(struct large_block *slot, uint64_t *random)
{
    slot->size = 40000 + random_size(random, 2 * MIB);
    slot->block = malloc(slot->size);
    must(slot->block != NULL, "malloc(%zu) failed", slot->size);
    pattern_fill(slot->block, 64, (uint64_t)(uintptr_t)slot->block);
    pattern_fill(slot->block + slot->size - 64, 64, (uint64_t)(uintptr_t)slot->block + 1);
}

static void large_free(struct large_block *slot)
{
    uint64_t seed = (uint64_t)(uintptr_t)slot->block;
    must(slot->block == NULL || (pattern_check(slot->block, 64, seed) == 64 &&
                                 pattern_check(slot->block + slot->size - 64, 64, seed + 1) == 64),
         "a block of %zu bytes at %p was changed", slot->size, (void *)slot->block);
    free(slot->block);
    slot->block = NULL;
}

static void *large_churner(void *argument)
{
    struct large_block slots[LARGE_SLOTS] = {{NULL, 0}};
    uint64_t random = (uint64_t)(size_t)argument;
    while (!atomic_load(&g_stop)) {
        struct large_block *slot = &slots[random_next(&random) % LARGE_SLOTS];
        large_free(slot);
        large_put(slot, &random);
    }
    for (size_t i = 0; i < LARGE_SLOTS; i++) {
        large_free(&slots[i]);
    }
    return NULL;
}

/* Whatever the other threads were doing to the address space when fork copied it: the child's blocks are its own. */
static void large_body(void *argument)
{
    struct large_block slots[LARGE_SLOTS] = {{NULL, 0}};
    uint64_t random = 99;
    pthread_t threads[CHURNERS];
    atomic_store(&g_stop, false);
    for (size_t i = 0; i < CHURNERS; i++) {
        must(pthread_create(&threads[i], NULL, large_churner, (void *)(i + 1)) == 0, "pthread_create failed");
    }
    for (size_t i = 0; i < (size_t)argument; i++) {
        for (size_t k = 0; k < LARGE_SLOTS; k++) {
            large_free(&slots[k]);
            large_put(&slots[k], &random);
        }
        pid_t child = fork();
        must(child >= 0, "fork number %zu failed: %s", i, strerror(errno));
        if (child == 0) {
            alarm(CHILD_SECONDS);
            struct large_block more[LARGE_SLOTS];
            for (size_t k = 0; k < 3 * LARGE_SLOTS; k++) {
                large_free(&slots[k % LARGE_SLOTS]);
                large_put(&slots[k % LARGE_SLOTS], &random);
            }
            for (size_t k = 0; k < LARGE_SLOTS; k++) {
                large_put(&more[k], &random);
            }
            for (size_t k = 0; k < LARGE_SLOTS; k++) {
                large_free(&slots[k]);
                large_free(&more[k]);
            }
            churn_run(i + 1, 5 * MIB, 20);
            _exit(0);
        }
        child_wait(child, "a child of fork, 3 threads allocating large blocks");
    }
    for (size_t k = 0; k < LARGE_SLOTS; k++) {
        large_free(&slots[k]);
    }
    churners_end(threads);
}

static void test_fork_with_large_blocks(void **state)
{
    (void)state;
    case_run(large_body, (void *)times(100), "forks with 3 threads allocating large blocks");
}

/* ---- fork in a signal handler ------------------------------------------------------------------------------------ */

static volatile sig_atomic_t g_is_child;
static atomic_uint g_handler_forks;
static pid_t (*g_handler_fork)(void);

/* The child returns from the handler into the middle of whatever allocation was interrupted, and goes on from there. */
static void fork_handler(int number)
{
    (void)number;
    int saved = errno;
    pid_t child = g_handler_fork();
    if (child == 0) {
        g_is_child = 1;
        alarm(CHILD_SECONDS);
    } else if (child > 0) {
        int status = 0;
        while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
        }
        must(status == 0, "fork in a signal handler: the child ended with status %#x (0xe is a hang)",
             (unsigned)status);
        atomic_fetch_add(&g_handler_forks, 1);
    }
    errno = saved;
}

/* A signal to this thread soon: after 20 to 500 microseconds of whatever it does then. */
static void signal_soon(timer_t timer, uint64_t *random)
{
    struct itimerspec once = {.it_value = {0, (long)(20000 + random_next(random) % 480000)}};
    timer_settime(timer, 0, &once, NULL);
}

static void fork_in_handler_body(void *argument)
{
    const struct forks *forks = argument;
    pthread_t threads[CHURNERS];
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
    struct sigaction action = {.sa_handler = fork_handler, .sa_flags = SA_RESTART};
    g_handler_fork = forks->fork;
    sigaction(SIGUSR1, &action, NULL);
    churners_start(threads);
    event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
    must(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0, "timer_create: %s", strerror(errno));
    struct churn churn;
    uint64_t random = 1;
    unsigned seen = UINT32_MAX;
    churn_begin(&churn, 5, 300000);
    while (atomic_load(&g_handler_forks) < times(forks->count) && !g_is_child) {
        if (seen != atomic_load(&g_handler_forks)) {
            seen = atomic_load(&g_handler_forks);
            signal_soon(timer, &random);
        }
        churn_steps(&churn, 20);
    }
    if (g_is_child) {
        churn_steps(&churn, 120);
        churn_end(&churn);
        _exit(0);
    }
    timer_delete(timer);
    churn_end(&churn);
    churners_end(threads);
}

static void test_fork_in_signal_handler(void **state)
{
    (void)state;
    struct forks forks = {call_fork, 100, ""};
    case_run(fork_in_handler_body, &forks, "forks in a signal handler that interrupts allocations");
}

static void test_fork_without_handlers_in_signal_handler(void **state)
{
    (void)state;
    struct forks forks = {call_fork_without_handlers, 60, ""};
    case_run(fork_in_handler_body, &forks, "_Fork in a signal handler that interrupts allocations");
}

/* ---- fork against stdio ------------------------------------------------------------------------------------------ */

/* Opening and closing holds stdio's list lock while allocating. */
static void *stdio_opener(void *argument)
{
    (void)argument;
    while (!atomic_load(&g_stop)) {
        FILE *file = fopen("/proc/self/maps", "r");
        must(file != NULL, "fopen: %s", strerror(errno));
        char *line = NULL;
        size_t capacity = 0;
        while (getline(&line, &capacity, file) > 0) {
        }
        free(line);
        fclose(file);
    }
    return NULL;
}

/* Flushing all walks the list, taking each stream's lock; memory streams allocate under it. */
static void *stdio_flusher(void *argument)
{
    (void)argument;
    while (!atomic_load(&g_stop)) {
        char *text = NULL;
        size_t length = 0;
        FILE *stream = open_memstream(&text, &length);
        must(stream != NULL, "open_memstream: %s", strerror(errno));
        for (int i = 0; i < 300; i++) {
            fprintf(stream, "line %d\n", i);
            fflush(NULL);
        }
        fclose(stream);
        free(text);
    }
    return NULL;
}

static void *stdio_runner(void *argument)
{
    (void)argument;
    while (!atomic_load(&g_stop)) {
        FILE *pipe = popen("true", "r");
        must(pipe != NULL, "popen: %s", strerror(errno));
        pclose(pipe);
    }
    return NULL;
}

static void stdio_body(void *argument)
{
    (void)argument;
    void *(*const bodies[])(void *) = {stdio_opener, stdio_flusher, stdio_flusher, stdio_runner};
    pthread_t threads[COUNT_OF(bodies)];
    for (size_t i = 0; i < COUNT_OF(bodies); i++) {
        must(pthread_create(&threads[i], NULL, bodies[i], NULL) == 0, "pthread_create failed");
    }
    for (size_t i = 0; i < times(300); i++) {
        pid_t child = fork();
        must(child >= 0, "fork number %zu failed: %s", i, strerror(errno));
        if (child == 0) {
            alarm(CHILD_SECONDS);
            FILE *file = fopen("/dev/null", "w");
            must(file != NULL, "fopen in the child: %s", strerror(errno));
            fprintf(file, "child %zu\n", i);
            fclose(file);
            churn_run(i + 1, 100000, 200);
            _exit(0);
        }
        child_wait(child, "a child of fork, threads in stdio");
    }
    atomic_store(&g_stop, true);
    for (size_t i = 0; i < COUNT_OF(bodies); i++) {
        pthread_join(threads[i], NULL);
    }
}

static void test_fork_against_stdio(void **state)
{
    (void)state;
    case_run(stdio_body, NULL, "forks while threads open, flush and run through stdio");
}

/* ---- vfork, spawn, popen, system --------------------------------------------------------------------------------- */

static void exec_body(void *argument)
{
    (void)argument;
    pthread_t threads[CHURNERS];
    churners_start(threads);
    char *const arguments[] = {(char *)"true", NULL};
    for (size_t i = 0; i < times(60); i++) {
        pid_t child = vfork();
        if (child == 0) {
            execv("/bin/true", arguments);
            _exit(127);
        }
        child_wait(child, "a child of vfork and exec");
        int failed = posix_spawn(&child, "/bin/true", NULL, NULL, arguments, environ);
        must(failed == 0, "posix_spawn: %s", strerror(failed));
        child_wait(child, "a child of posix_spawn");
        must(system("true") == 0, "system(\"true\") failed");
        FILE *pipe = popen("echo word", "r");
        char line[32] = "";
        must(pipe != NULL && fgets(line, sizeof line, pipe) != NULL && strcmp(line, "word\n") == 0, "popen: saw '%s'",
             line);
        must(pclose(pipe) == 0, "pclose failed");
    }
    churners_end(threads);
}

static void test_vfork_spawn_popen_system(void **state)
{
    (void)state;
    case_run(exec_body, NULL, "vfork, posix_spawn, system and popen with 3 threads allocating");
}

/* A child of vfork shares the memory: what it allocates and frees must leave the parent whole. */
static void vfork_body(void *argument)
{
    (void)argument;
    struct churn churn;
    churn_begin(&churn, 9, 300000);
    for (size_t i = 0; i < times(100); i++) {
        churn_steps(&churn, 100);
        pid_t child = vfork();
        if (child == 0) {
            free(hidden(malloc(1000)));
            free(hidden(malloc(100000)));
            _exit(0);
        }
        child_wait(child, "a child of vfork that allocates");
    }
    churn_end(&churn);
}

static void test_vfork_child_that_allocates(void **state)
{
    (void)state;
    case_run(vfork_body, NULL, "children of vfork that allocate");
}

/* ---- Handlers ---------------------------------------------------------------------------------------------------- */

static void *g_handler_blocks[3];

static void handler_allocates(size_t which)
{
    free(g_handler_blocks[which]);
    g_handler_blocks[which] = malloc(5000 + which);
    must(g_handler_blocks[which] != NULL, "malloc in a handler of pthread_atfork failed");
    memset(g_handler_blocks[which], 1, 5000);
    churn_run(which + 1, 100000, 50);
}

static void handler_prepare(void) { handler_allocates(0); }

static void handler_parent(void) { handler_allocates(1); }

static void handler_child(void)
{
    alarm(CHILD_SECONDS);
    handler_allocates(2);
}

static void handlers_body(void *argument)
{
    struct forks forks = {call_fork, 100, "a child of fork, handlers allocating"};
    (void)argument;
    must(pthread_atfork(handler_prepare, handler_parent, handler_child) == 0, "pthread_atfork failed");
    forks_body(&forks);
}

static void test_handlers_that_allocate(void **state)
{
    (void)state;
    case_run(handlers_body, NULL, "forks with handlers of pthread_atfork that allocate");
}

/* ---- Children that do more --------------------------------------------------------------------------------------- */

static void *few_steps(void *argument)
{
    churn_run((uint64_t)(size_t)argument, 300000, 500);
    return NULL;
}

static void child_with_threads(size_t seed)
{
    pthread_t threads[4];
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        must(pthread_create(&threads[i], NULL, few_steps, (void *)(seed + i)) == 0, "pthread_create in a child failed");
    }
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        pthread_join(threads[i], NULL);
    }
}

static void child_threads_work(void *number)
{
    child_with_threads((size_t)number + 1);
    churn_run((size_t)number, 300000, 200);
}

static void child_threads_body(void *argument)
{
    (void)argument;
    pthread_t threads[CHURNERS];
    churners_start(threads);
    for (size_t i = 0; i < times(60); i++)
        child_does(call_fork, child_threads_work, (void *)i, "a child that starts threads");
    churners_end(threads);
}

static void test_children_that_start_threads(void **state)
{
    (void)state;
    case_run(child_threads_body, NULL, "children that start threads");
}

static pthread_barrier_t g_together;

static void *steps_together(void *argument)
{
    pthread_barrier_wait(&g_together);
    return few_steps(argument);
}

/* All threads, the one that forked among them or not, get to their first slow path at once. */
static void child_threads_together_work(void *argument)
{
    size_t number = (size_t)argument;
    pthread_t others[4];
    pthread_barrier_init(&g_together, NULL, COUNT_OF(others) + 1);
    for (size_t k = 0; k < COUNT_OF(others); k++) {
        must(pthread_create(&others[k], NULL, steps_together, (void *)(number + k)) == 0, "pthread_create failed");
    }
    if (number % 2) {
        steps_together((void *)(number + 100));
    } else {
        pthread_barrier_wait(&g_together);
    }
    for (size_t k = 0; k < COUNT_OF(others); k++) {
        pthread_join(others[k], NULL);
    }
    churn_run(number, 300000, 200);
}

static void child_threads_together_body(void *argument)
{
    const struct forks *forks = argument;
    pthread_t threads[CHURNERS];
    churners_start(threads);
    for (size_t i = 0; i < times(forks->count); i++)
        child_does(forks->fork, child_threads_together_work, (void *)i, forks->what);
    churners_end(threads);
}

static void test_children_whose_threads_come_first(void **state)
{
    (void)state;
    struct forks forks = {call_fork, 100, "a child of fork whose threads allocate at once"};
    case_run(child_threads_together_body, &forks, "children whose threads allocate at once");
}

static void test_children_without_handlers_whose_threads_come_first(void **state)
{
    (void)state;
    struct forks forks = {call_fork_without_handlers, 60, "a child of _Fork whose threads allocate at once"};
    case_run(child_threads_together_body, &forks, "children of _Fork whose threads allocate at once");
}

/* Each generation has busy threads when it forks the next. */
static void descend(size_t generations)
{
    pthread_t threads[CHURNERS];
    churners_start(threads);
    churn_run(generations + 1, 300000, 300);
    if (generations > 0) {
        pid_t child = fork();
        must(child >= 0, "fork failed: %s", strerror(errno));
        if (child == 0) {
            alarm(CHILD_SECONDS * 3);
            descend(generations - 1);
            _exit(0);
        }
        child_wait(child, "a descendant");
    }
    churners_end(threads);
}

static void generations_body(void *argument) { descend((size_t)argument); }

static void test_generations(void **state)
{
    (void)state;
    case_run(generations_body, (void *)12, "12 generations, each with 3 threads allocating");
}

enum { INHERITED = 40000 };

static void *g_inherited[INHERITED];

static void *allocate_for_child(void *argument)
{
    for (size_t i = (size_t)argument; i < INHERITED; i += CHURNERS) {
        g_inherited[i] = malloc(1000);
        pattern_fill(g_inherited[i], 1000, i);
    }
    for (;;) {
        pause();
    }
    return NULL;
}

static size_t count_inherited(void)
{
    size_t count = 0;
    for (size_t i = 0; i < INHERITED; i++) {
        count += __atomic_load_n(&g_inherited[i], __ATOMIC_ACQUIRE) != NULL;
    }
    return count;
}

/* The child alone frees what the parent's other threads allocated; the memory must be of use to it, and go back. */
static void inherit_body(void *argument)
{
    (void)argument;
    for (size_t i = 0; i < CHURNERS; i++) {
        pthread_t thread;
        must(pthread_create(&thread, NULL, allocate_for_child, (void *)i) == 0, "pthread_create failed");
    }
    while (count_inherited() < INHERITED) {
        usleep(1000);
    }
    usleep(20000);
    pid_t child = fork();
    must(child >= 0, "fork failed: %s", strerror(errno));
    if (child == 0) {
        alarm(CHILD_SECONDS);
        size_t before = process_anonymous();
        for (size_t i = 0; i < INHERITED; i++) {
            must(pattern_check(g_inherited[i], 1000, i) == 1000, "an inherited block has other contents");
            free(g_inherited[i]);
        }
        malloc_trim(0);
        size_t after = process_anonymous();
        must(after + 30 * MIB <= before,
             "a child freed 40 MB that its parent's threads allocated, and called malloc_trim: "
             "expected RSS to fall by 30 MiB, from %zu to %zu KiB",
             before / KIB, after / KIB);
        _exit(0);
    }
    child_wait(child, "a child that frees what it inherited");
}

static void test_child_frees_what_it_inherited(void **state)
{
    (void)state;
    case_run(inherit_body, NULL, "a child that frees blocks of its parent's threads");
}

/* A daemon's life: each child goes on where its parent ended. What the vanished threads had allocated is lost, a little
 * here; beyond that nothing may grow with the generations. */
static void chain_body(void *argument)
{
    size_t generations = (size_t)argument;
    size_t first = 0;
    g_churners_limit = 1000;
    for (size_t i = 0; i < generations; i++) {
        pthread_t threads[CHURNERS];
        churners_start(threads);
        usleep(2000);
        pid_t child = fork();
        must(child >= 0, "fork failed: %s", strerror(errno));
        if (child > 0) {
            churners_end(threads);
            child_wait(child, "the next generation");
            return;
        }
        alarm(CASE_SECONDS);
        churn_run(i, 300000, 300);
        malloc_trim(0);
        size_t now = process_anonymous();
        first = i == 9 ? now : first;
        must(i <= 9 || now <= first + 16 * MIB, "generation %zu: RSS %zu KiB; it was %zu KiB in the tenth", i + 1,
             now / KIB, first / KIB);
    }
}

static void test_nothing_grows_with_generations(void **state)
{
    (void)state;
    case_run(chain_body, (void *)40, "40 generations, each the child of the one before");
}

/* ---- What fork costs, and what the child has --------------------------------------------------------------------- */

static pthread_barrier_t g_idle;

/* Uses blocks of all sizes, frees all of them, and waits: what is left of that is in its rings. */
static void *use_and_idle(void *argument)
{
    uint64_t random = (uint64_t)(size_t)argument;
    void *blocks[600] = {NULL};
    for (size_t i = 0; i < 60000; i++) {
        void **block = &blocks[random_next(&random) % COUNT_OF(blocks)];
        free(*block);
        *block =
            malloc(random_next(&random) % 64 ? 16 + random_next(&random) % 2000 : 4096 + random_next(&random) % 28000);
        *(char *)*block = 1;
    }
    for (size_t i = 0; i < COUNT_OF(blocks); i++) {
        free(blocks[i]);
    }
    pthread_barrier_wait(&g_idle);
    for (;;) {
        pause();
    }
    return NULL;
}

#pragma weak hak_stats /* the preloaded library's */

/* Pages of blocks that the allocator has. */
static size_t pages_of_blocks(void)
{
    static hak_stat_t stats[100];
    size_t count = hak_stats(stats, COUNT_OF(stats));
    for (size_t i = 0; i < count && i < COUNT_OF(stats); i++) {
        if (strcmp(stats[i].name, "pages") == 0) {
            return (size_t)stats[i].value;
        }
    }
    must(false, "hak_stats does not tell the number of pages");
    return 0;
}

/* Threads that are in no slow path leave the child what is in their rings; its own threads use it. So the pages of the
 * first generation do for all: 340, and 336 more in each if the rings were lost. Not by what is resident: which memory
 * in these pages the rings' blocks lie in differs, by up to 4 MB from one generation to the next. */
static void idle_chain_body(void *argument)
{
    enum { IDLE_THREADS = 8 };
    size_t generations = (size_t)argument;
    size_t first = 0;
    for (size_t i = 0; i < generations; i++) {
        pthread_barrier_init(&g_idle, NULL, IDLE_THREADS + 1);
        for (size_t k = 0; k < IDLE_THREADS; k++) {
            pthread_t thread;
            must(pthread_create(&thread, NULL, use_and_idle, (void *)(k + 1)) == 0, "pthread_create failed");
        }
        pthread_barrier_wait(&g_idle);
        size_t pages = pages_of_blocks();
        first = i == 0 ? pages : first;
        must(pages <= first + first / 10, "generation %zu: %zu pages of blocks; there were %zu in the first", i, pages,
             first);
        pid_t child = fork();
        must(child >= 0, "fork failed: %s", strerror(errno));
        if (child > 0) {
            child_wait(child, "the next generation");
            return;
        }
        alarm(CASE_SECONDS);
    }
}

static void test_rings_of_idle_threads_are_inherited(void **state)
{
    (void)state;
    case_run(idle_chain_body, (void *)30, "30 generations with 8 idle threads each");
}

static size_t minor_faults(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (size_t)usage.ru_minflt;
}

/* 512 MiB of little blocks, which nobody touches: their pages' descriptors take 1.6 MB. */
static void many_blocks_make(void)
{
    for (size_t i = 0; i < 512 * MIB / 64; i++) {
        must(hidden(malloc(64)) != NULL, "malloc failed");
    }
}

/* Page faults of a child from fork to behind its first slow path; none were its own before it was forked. */
static void faults_work(void *most)
{
    free(hidden(malloc(200000)));
    size_t faults = minor_faults();
    must(faults <= (size_t)most, "a child's first slow path: expected at most %zu page faults, saw %zu", (size_t)most,
         faults);
}

static void faults_body(void *most)
{
    many_blocks_make();
    for (size_t i = 0; i < 20; i++)
        child_does(call_fork, faults_work, most, "a child of a large process");
}

static void faults_idle_body(void *argument)
{
    pthread_t thread;
    pthread_barrier_init(&g_idle, NULL, 2);
    must(pthread_create(&thread, NULL, use_and_idle, argument) == 0, "pthread_create failed");
    pthread_barrier_wait(&g_idle);
    faults_body((void *)100);
}

static void faults_busy_body(void *argument)
{
    (void)argument;
    pthread_t threads[CHURNERS];
    churners_start(threads);
    faults_body((void *)200);
    churners_end(threads);
}

/* The repair writes to what differs only. */
static void test_a_childs_first_call_writes_little(void **state)
{
    (void)state;
    case_run(faults_idle_body, (void *)1, "children of a process with an idle thread");
    case_run(faults_busy_body, NULL, "children of a process with busy threads");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fork_with_busy_threads),
        cmocka_unit_test(test_fork_without_handlers),
        cmocka_unit_test(test_fork_with_large_blocks),
        cmocka_unit_test(test_clone_without_libc),
        cmocka_unit_test(test_fork_in_signal_handler),
        cmocka_unit_test(test_fork_without_handlers_in_signal_handler),
        cmocka_unit_test(test_fork_against_stdio),
        cmocka_unit_test(test_vfork_spawn_popen_system),
        cmocka_unit_test(test_vfork_child_that_allocates),
        cmocka_unit_test(test_handlers_that_allocate),
        cmocka_unit_test(test_children_that_start_threads),
        cmocka_unit_test(test_generations),
        cmocka_unit_test(test_child_frees_what_it_inherited),
        cmocka_unit_test(test_nothing_grows_with_generations),
        cmocka_unit_test(test_children_whose_threads_come_first),
        cmocka_unit_test(test_children_without_handlers_whose_threads_come_first),
        cmocka_unit_test(test_rings_of_idle_threads_are_inherited),
        cmocka_unit_test(test_a_childs_first_call_writes_little),
    };
    return RUN_TESTS(tests);
}
