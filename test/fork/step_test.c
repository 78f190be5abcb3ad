/* step_test.c - the process is copied between two instructions of the allocator, in turn at all of them: whatever one
 * thread was in the middle of, the child can check, free and allocate. And a signal handler that comes in between can.
 *
 * A thread runs an operation in single steps (the processor's trap flag); in the signal of a step the process is
 * copied, either by another thread, so that the child does not have the one that was interrupted, or by the handler
 * itself, whose child then finishes the operation first. Or else the handler allocates and frees, which is allowed by
 * no standard, and done by many a crash reporter: unless it interrupts the few instructions of the fast path, it must
 * not harm. Links the separate files, with every invariant checked.
 *
 * The child counts: of what the vanished thread had in its rings, nothing is lost but the block that was on its way,
 * and, if it was in a slow path, the ring that this had hidden and a refill. In every fourth child the repair itself is
 * stepped through, and a handler calls the allocator meanwhile.
 *
 *   step_test [test [distance]]    distance between the instructions that are tried in one run of an operation; 1: all
 *
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "hakmem.h"
#include "heap/large.h"
#include "system/lock.h"
#include "heap/map.h"
#include "cache/remote.h"
#include "cache/ring.h"
#include "heap/span.h"
#include "cache/thread.h"

enum { CHILD_SECONDS = 20, TEST_SECONDS = 120, COPIES = 12, CALLS = 2000, KEPT = 60, BLOCKS = 200, REFILL_MOST = 64 };

/* ---- Blocks that are there throughout ---------------------------------------------------------------------------- */

struct block {
    char *start;
    size_t size;
};

static struct block block_make(size_t size, uint64_t seed)
{
    struct block block = {.start = hak_malloc(size), .size = size};
    must(block.start, "no memory for %zu bytes", size);
    pattern_fill(block.start, size < 512 ? size : 512, seed);
    return block;
}

static void block_end(struct block *block, uint64_t seed)
{
    size_t size = block->size < 512 ? block->size : 512, good = pattern_check(block->start, size, seed);
    must(good == size, "a block of %zu bytes: byte %zu was changed", block->size, good);
    hak_free(block->start);
    block->start = NULL;
}

static struct block g_kept[2][KEPT]; /* of the thread that copies, and of the one that is interrupted */

static void kept_make(unsigned whose)
{
    uint64_t random = whose + 1;
    for (size_t i = 0; i < KEPT; i++)
        g_kept[whose][i] = block_make(random_size(&random, i % 10 ? 4000 : 300000), i);
}

static void kept_end(unsigned whose)
{
    for (size_t i = 0; i < KEPT; i++)
        block_end(&g_kept[whose][i], i);
}

/* ---- The child --------------------------------------------------------------------------------------------------- */

/* Of every size, so that what is handed out twice is noticed; the first bytes only, for page faults take the time. */
static void child_uses_heap(uint64_t *random)
{
    static struct block blocks[300];
    for (size_t i = 0; i < COUNT_OF(blocks); i++)
        blocks[i] = block_make(random_size(random, i % 50 ? 3000 : 500000), i);
    for (size_t i = 0; i < COUNT_OF(blocks); i++)
        block_end(&blocks[i], i);
}

/* The first call of a child is any call. */
static void child_first_call(uint64_t choice)
{
    switch (choice % 6) {
    case 0:
        hak_free(hak_malloc(100));
        break;
    case 1:
        hak_free(hak_malloc(3 * MIB));
        break;
    case 2:
        block_end(&g_kept[1][0], 0);
        g_kept[1][0] = block_make(2000, 0);
        break;
    case 3:
        hak_free(hak_calloc(3, 10000));
        break;
    case 4:
        hak_collect();
        break;
    default:
        hak_trim(0);
    }
}

static struct block g_blocks[BLOCKS]; /* what the operation allocates or frees; its own, also in the child */
static struct block g_handlers[40];   /* what handlers have allocated */
static const struct block *g_resized; /* the one that is being moved, and may be freed already */

static void add_used_blocks(struct page *page, void *sum) { *(size_t *)sum += page_used_blocks(page); }

/* Those that lie in a page, and not in a run of their own; none is free. */
static size_t count_live(const struct block *blocks, size_t count)
{
    size_t live = 0;
    for (size_t i = 0; i < count; i++) {
        enum error_id error;
        if (!blocks[i].start || !class_is_paged(map_class(blocks[i].start)))
            continue;
        bool is_live = page_check_block(blocks[i].start, &error);
        must(is_live || &blocks[i] == g_resized, "a block of %zu bytes is live, and free", blocks[i].size);
        live += is_live;
    }
    return live;
}

/* Before the repair. */
static size_t most_that_may_be_lost(void)
{
    size_t most = 1;
    for (const struct cache *cache = thread_caches(); cache; cache = cache->next) {
        if (cache == cache_self || !cache->busy)
            continue;
        most += REFILL_MOST;
        for (unsigned c = 1; c <= CLASS_LAST; c++)
            if (cache->ring[c].array.slot && cache->top[c] == cache_none.top[c])
                most += cache->ring[c].array.capacity;
    }
    return most;
}

static void must_have_the_rest(size_t most)
{
    size_t used = 0, live = count_live(g_kept[0], KEPT) + count_live(g_kept[1], KEPT) + count_live(g_blocks, BLOCKS) +
                            count_live(g_handlers, COUNT_OF(g_handlers));
    hak_collect();
    thread_close_left();
    remote_flush();
    heap_each_page(add_used_blocks, &used);
    size_t known = live - (g_resized && live > used); /* which has gone back with the rest, if it was freed */
    must(used >= known && used - known <= most, "%zu blocks are live, and %zu not free: at most %zu may be lost", live,
         used, most);
}

static void repair_in_steps(uint64_t seed);

/* `loses`: blocks are lost, as they are while the memory under them goes back. */
static void child_work(uint64_t seed, bool loses)
{
    uint64_t random = seed + 1;
    size_t most = most_that_may_be_lost();
    if (seed / 6 % 4 == 0)
        repair_in_steps(seed);
    child_first_call(seed);
    thread_check_fork(); /* calls that find all they need in the thread's rings do not */
    heap_must_be_valid("in the child");
    must(cache_self == &cache_none || cache_is_valid(cache_self), "the cache of the child's thread is not valid");
    must_have_the_rest(loses ? SIZE_MAX : most);
    child_uses_heap(&random);
    kept_end(0);
    kept_end(1);
    hak_trim(0);
    span_unmap_free();
    heap_must_be_valid("in the child, after freeing");
    child_uses_heap(&random);
    heap_must_be_valid("in the child, in the end");
}

/* ---- Stepping ---------------------------------------------------------------------------------------------------- */

#define TRAP_FLAG 0x100

enum interruption { COPIED_BY_OTHER, COPIED_BY_HANDLER, CALLED_BY_HANDLER };
static const char *const g_interruptions[] = {"copied by another thread", "copied by the handler",
                                              "called by the handler"};

static struct {
    enum interruption interruption;
    unsigned long distance, next; /* steps between interruptions; the step of the next one */
    unsigned long steps;          /* of the operation so far */
    unsigned long interruptions;
    volatile sig_atomic_t is_child; /* of the handler: it has to finish the operation */
    int ask[2], answer[2];          /* pipes between the stepping thread and the one that copies: the address; anything */
    atomic_bool ended;
} g_step;

static void step_begin(void)
{
#ifdef __x86_64__
    __asm__ volatile("pushfq; orq %0, (%%rsp); popfq" ::"i"(TRAP_FLAG) : "memory", "cc");
#endif
}

static void step_end(void)
{
#ifdef __x86_64__
    __asm__ volatile("pushfq; andq %0, (%%rsp); popfq" ::"i"(~TRAP_FLAG) : "memory", "cc");
#endif
}

extern const char __executable_start[]; /* by the linker */

static void child_result_check(pid_t child, uintptr_t address)
{
    struct child_result result = {.status = 0};
    must(waitpid(child, &result.status, 0) == child, "waitpid: %s", strerror(errno));
    must(result.status == 0, "copied at step %lu (addr2line %#zx): the child ended with %s", g_step.steps,
         (size_t)(address - (uintptr_t)__executable_start), child_ending(&result));
}

/* ---- The handler's own calls ------------------------------------------------------------------------------------- */

static bool is_on_slow_path(void) { return cache_self->busy || lock_is_held(); }

static void handlers_block_end(struct block *block)
{
    if (block->start)
        block_end(block, block->size);
}

/* Blocks of all sizes, of the operation's too, that live from one signal to others: rings and pages change meanwhile.
 * It may be refused memory. */
static void handler_calls(void)
{
    static uint64_t random = 7;
    for (unsigned i = 0; i < 4; i++) {
        struct block *block = &g_handlers[random_next(&random) % COUNT_OF(g_handlers)];
        handlers_block_end(block);
        block->size = random_size(&random, i == 0 ? 500000 : 5000);
        block->start = hak_malloc(block->size);
        if (block->start)
            pattern_fill(block->start, block->size < 512 ? block->size : 512, block->size);
    }
}

static void handlers_blocks_end(void)
{
    for (size_t i = 0; i < COUNT_OF(g_handlers); i++)
        handlers_block_end(&g_handlers[i]);
}

/* A child's first call, interrupted every few instructions. */
static void repair_in_steps(uint64_t seed)
{
    g_step.interruption = CALLED_BY_HANDLER;
    g_step.steps = 0;
    g_step.distance = 3 + seed % 50;
    g_step.next = 1 + seed % g_step.distance;
    step_begin();
    thread_check_fork();
    step_end();
    handlers_blocks_end();
}

/* After a call that frees those that handlers could not. */
static size_t large_block_count(void)
{
    struct large_stats stats;
    hak_free(hak_malloc(3 * MIB));
    heap_lock();
    large_stats(&stats);
    lock_release();
    return stats.blocks;
}

/* In single steps so much time passes between two calls that each ring would be hidden in case anything comes to wait,
 * and each call be a look at the clock (tend.c). */
static void keep_no_watch(void)
{
    if (cache_self != &cache_none) {
        cache_self->fence_at = UINT64_MAX;
        cache_self->fence_calls = 0;
    }
}

static void on_step(int number, siginfo_t *info, void *data)
{
    ucontext_t *context = data;
    uintptr_t address = (uintptr_t)info->si_addr;
    int saved = errno;
    (void)number;
    keep_no_watch();
    if (++g_step.steps < g_step.next)
        return;
    g_step.next += g_step.distance;
    if (g_step.interruption == CALLED_BY_HANDLER && !is_on_slow_path())
        return;
    g_step.interruptions++;
    if (g_step.interruption == CALLED_BY_HANDLER) {
        handler_calls();
        errno = saved;
        return;
    }
    if (g_step.interruption == COPIED_BY_OTHER) {
        char answer;
        must(write(g_step.ask[1], &address, sizeof address) == sizeof address, "write: %s", strerror(errno));
        must(read(g_step.answer[0], &answer, 1) == 1, "read: %s", strerror(errno));
        errno = saved;
        return;
    }
    pid_t child = child_fork(CHILD_SECONDS);
    if (child == 0) {
        g_step.is_child = 1;
#ifdef __x86_64__
        context->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
#endif
    } else {
        child_result_check(child, address);
    }
    (void)context;
    errno = saved;
}

/* ---- Operations -------------------------------------------------------------------------------------------------- */

struct operation {
    void (*prepare)(void);
    void (*run)(void); /* in single steps */
    void (*finish)(void);
    bool until_exit; /* steps on into the thread's end */
    bool loses;      /* as in child_work */
    bool everywhere; /* copied at every instruction; else at some, others in each run of the test */
};

static const struct operation *g_operation;

static void blocks_make(size_t count, size_t size, size_t step)
{
    for (size_t i = 0; i < count; i++)
        g_blocks[i] = block_make(size + i * step, i);
}

static void blocks_end(void)
{
    for (size_t i = 0; i < BLOCKS; i++)
        if (g_blocks[i].start)
            block_end(&g_blocks[i], i);
}

static void blocks_free(void)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        char *start = g_blocks[i].start;
        g_blocks[i].start = NULL;
        hak_free(start);
    }
}

static void blocks_take(size_t count, size_t size, size_t step)
{
    for (size_t i = 0; i < count; i++) {
        g_blocks[i].size = 0; /* no contents to check */
        g_blocks[i].start = hak_malloc(size + i * step);
    }
}

static void empty_heap(void)
{
    hak_trim(0);
    span_unmap_free();
}

static void small_take(void) { blocks_take(30, 16, 160); }
static void medium_take(void) { blocks_take(12, 9000, 3000); }
static void large_take(void) { blocks_take(4, 100000, 900000); }
static void small_make(void) { blocks_make(BLOCKS, 200, 0); }
static void medium_make(void) { blocks_make(60, 5000, 100); }
static void large_make(void) { blocks_make(6, 100000, 900000); }

/* By moving its contents; shorter and longer in place; by moving its pages. */
static const size_t g_sizes[4][2] = {{40000, 3 * MIB}, {200000, 70000}, {40000, 250000}, {40 * MIB, 50 * MIB}};

static void resize_make(void)
{
    for (size_t i = 0; i < COUNT_OF(g_sizes); i++)
        g_blocks[i] = block_make(g_sizes[i][0], i);
}

static void resize(void)
{
    for (size_t i = 0; i < COUNT_OF(g_sizes); i++) {
        g_resized = &g_blocks[i];
        g_blocks[i].start = hak_realloc(g_blocks[i].start, g_sizes[i][1]);
        g_blocks[i].size = 0;
    }
    g_resized = NULL;
}

static void other_makes(void *unused)
{
    (void)unused;
    blocks_make(BLOCKS, 48, 1);
}

static void remote_make(void) { in_thread(other_makes, NULL); }

static void leave_dirty(void)
{
    large_make();
    blocks_free();
    blocks_make(BLOCKS, 30000, 0);
    blocks_free();
}

static void unmap(void) { span_unmap_free(); }

static void nothing(void) {}

/* The ring is open, and neither full nor empty. Nothing waits to be given back, for which it would be hidden. */
static void open_ring_make(void)
{
    hak_trim(0);
    for (unsigned round = 0; round < 3; round++) {
        blocks_make(BLOCKS / 2, 200, 0);
        blocks_free();
    }
    keep_no_watch();
    blocks_make(8, 200, 0);
    must(cache_self->top[class_of(200)] < cache_self->limit[class_of(200)], "the ring is not open");
}

static void push_and_pop(void)
{
    for (size_t i = 0; i < 3; i++) {
        char *start = g_blocks[i].start;
        g_blocks[i].start = NULL;
        hak_free(start);
    }
    for (size_t i = 20; i < 24; i++) {
        g_blocks[i].size = 0;
        g_blocks[i].start = hak_malloc(200);
    }
}

static pthread_key_t g_last_key; /* its destructor runs after the allocator's */

static void at_exit(void *unused)
{
    (void)unused;
    step_end();
    if (g_step.is_child) {
        blocks_end();
        child_work(g_step.steps, false);
        _exit(0);
    }
}

static void leave(void) { pthread_setspecific(g_last_key, &g_last_key); }

/* ---- A thread that is stepped through ---------------------------------------------------------------------------- */

static void *stepped(void *argument)
{
    const struct operation *operation = argument;
    operation->prepare();
    step_begin();
    operation->run();
    if (operation->until_exit)
        return NULL;
    step_end();
    if (g_step.is_child) {
        blocks_end();
        child_work(g_step.steps, false);
        _exit(0);
    }
    operation->finish();
    return NULL;
}

/* Copies as often as it is asked to, until the thread has ended. */
static void copy_on_demand(void)
{
    for (uintptr_t address; read(g_step.ask[0], &address, sizeof address) == sizeof address && address != 0;) {
        pid_t child = child_fork(CHILD_SECONDS);
        if (child == 0) {
            child_work(g_step.steps, g_operation->loses);
            _exit(0);
        }
        child_result_check(child, address);
        must(write(g_step.answer[1], "", 1) == 1, "write: %s", strerror(errno));
    }
}

static void *run_to_end(void *argument)
{
    static const uintptr_t none = 0;
    pthread_t thread;
    kept_make(1);
    must(pthread_create(&thread, NULL, stepped, argument) == 0, "pthread_create failed");
    pthread_join(thread, NULL);
    blocks_end();
    handlers_blocks_end();
    kept_end(1);
    must(write(g_step.ask[1], &none, sizeof none) == sizeof none, "write: %s", strerror(errno));
    return NULL;
}

static void run_once(const struct operation *operation)
{
    pthread_t thread;
    g_operation = operation;
    g_step.steps = 0;
    kept_make(0);
    must(pthread_create(&thread, NULL, run_to_end, (void *)(uintptr_t)operation) == 0, "pthread_create failed");
    copy_on_demand();
    pthread_join(thread, NULL);
    kept_end(0);
    heap_must_be_valid("in the parent");
}

static unsigned long g_distance; /* 0: COPIES or CALLS or somewhat fewer in a run */

static void interrupt_everywhere(void *operation)
{
    hak_free(hak_malloc(1)); /* the allocator's key is made */
    must(pthread_key_create(&g_last_key, at_exit) == 0, "pthread_key_create failed");
    g_step.next = ULONG_MAX;
    run_once(operation); /* counts */
    unsigned long steps = g_step.steps;
    for (enum interruption how = COPIED_BY_OTHER; how <= CALLED_BY_HANDLER; how++) {
        g_step.interruption = how;
        g_step.distance = g_distance ? g_distance : steps / (how == CALLED_BY_HANDLER ? CALLS : COPIES) + 1;
        if (g_operation->everywhere)
            g_step.distance = 1;
        g_step.next = 1 + (unsigned long)getpid() % g_step.distance; /* others each time */
        size_t large_blocks = large_block_count();
        run_once(operation);
        must(large_block_count() == large_blocks, "%zu large blocks before, %zu after", large_blocks,
             large_block_count());
        must(g_step.interruptions > 0 || g_operation->everywhere, "an operation of %lu steps was not interrupted",
             g_step.steps);
        printf("%s: %lu steps, %lu apart, %lu interruptions\n", g_interruptions[how], steps, g_step.distance,
               g_step.interruptions);
        g_step.interruptions = 0;
    }
    fflush(stdout); /* the child of child_run ends by _exit */
}

static void test_operation(const struct operation *operation)
{
#ifndef __x86_64__
    skip_because("this processor's trap flag is not known here");
    skip();
#endif
    struct child_result result;
    child_run(interrupt_everywhere, (void *)(uintptr_t)operation, TEST_SECONDS, &result);
    must_end_well(&result, "a thread in single steps");
    printf("%s", result.out);
}

/* ---- Tests ------------------------------------------------------------------------------------------------------- */

#define STEP_TEST(name, before, operated, after, ...)                                                                \
    static void name(void **state)                                                                                    \
    {                                                                                                                 \
        static const struct operation operation = {.prepare = before, .run = operated, .finish = after, __VA_ARGS__}; \
        (void)state;                                                                                                  \
        test_operation(&operation);                                                                                   \
    }

STEP_TEST(test_small_blocks_from_nothing, empty_heap, small_take, blocks_free)
STEP_TEST(test_medium_blocks_from_nothing, empty_heap, medium_take, blocks_free)
STEP_TEST(test_large_blocks_from_nothing, empty_heap, large_take, blocks_free)
STEP_TEST(test_freeing_small_blocks, small_make, blocks_free, nothing)
STEP_TEST(test_freeing_medium_blocks, medium_make, blocks_free, nothing)
STEP_TEST(test_freeing_large_blocks, large_make, blocks_free, nothing)
STEP_TEST(test_freeing_anothers_blocks, remote_make, blocks_free, nothing)
STEP_TEST(test_resizing, resize_make, resize, blocks_free)
STEP_TEST(test_giving_memory_back, leave_dirty, empty_heap, nothing, .loses = true)
STEP_TEST(test_unmapping_what_is_dirty, leave_dirty, unmap, nothing)
STEP_TEST(test_the_end_of_a_thread, small_make, leave, nothing, .until_exit = true)
STEP_TEST(test_fast_paths, open_ring_make, push_and_pop, blocks_free, .everywhere = true)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_blocks_from_nothing), cmocka_unit_test(test_medium_blocks_from_nothing),
        cmocka_unit_test(test_large_blocks_from_nothing), cmocka_unit_test(test_freeing_small_blocks),
        cmocka_unit_test(test_freeing_medium_blocks),     cmocka_unit_test(test_freeing_large_blocks),
        cmocka_unit_test(test_freeing_anothers_blocks),   cmocka_unit_test(test_resizing),
        cmocka_unit_test(test_giving_memory_back),        cmocka_unit_test(test_unmapping_what_is_dirty),
        cmocka_unit_test(test_the_end_of_a_thread),       cmocka_unit_test(test_fast_paths),
    };
    struct sigaction action = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};
    sigaction(SIGTRAP, &action, NULL);
    must(pipe(g_step.ask) == 0 && pipe(g_step.answer) == 0, "pipe: %s", strerror(errno));
    if (argc > 2)
        g_distance = strtoul(argv[2], NULL, 10);
    return RUN_TESTS(tests);
}
