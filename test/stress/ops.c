/* ops.c - see ops.h.
 *
 * An instruction is: which call; which of three threads makes it; which slot; and, where one is needed, a size (its
 * order of magnitude, and a byte that chooses within it: borders of size classes are as likely as all else
 * together).
 * SPDX-License-Identifier: MIT */
#include "ops.h"

#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "heap/class.h"
#include "hakmem.h"
#include "cache/ring.h"
#include "insight/stats.h"

enum { SLOTS = 128, THREADS = 3, MOST_BYTES = 192 << 20, UNTOUCHED = 4242 };

/* must() ends a forked or threaded test by _exit, which a fuzzer does not notice. */
#define check(condition, ...)                                              \
    do {                                                                   \
        if (!(condition)) {                                                \
            fprintf(stderr, "ops.c:%d: ", __LINE__);                       \
            fprintf(stderr, __VA_ARGS__);                                  \
            fputc('\n', stderr);                                           \
            abort();                                                       \
        }                                                                  \
    } while (0)

static struct slot {
    char *block; /* NULL: nothing */
    size_t size; /* as asked for: so much must keep its contents */
    uint64_t seed;
} g_slots[SLOTS];
static size_t g_bytes;
static uint64_t g_seed;

/* ---- Reading a program ------------------------------------------------------------------------------------------- */

static const uint8_t *g_next, *g_end;

static unsigned next_byte(void) { return g_next < g_end ? *g_next++ : 0; }

static size_t next_size(void)
{
    unsigned order = next_byte(), within = next_byte();
    if (order % 2) {
        size_t border = class_size(1 + within % CLASS_FIXED_LAST); /* of a class, and its neighbours */
        return border + order / 2 % 3 - 1;
    }
    unsigned shift = order / 2 % 27; /* up to 64 MiB, and those above 1 MiB more seldom */
    if (shift > 20 && order % 16)
        shift %= 14;
    return ((size_t)1 << shift) + ((size_t)within << shift) / 256;
}

/* ---- The shadow -------------------------------------------------------------------------------------------------- */

/* Of large blocks, both ends. */
enum { PART = 4096 };

static void slot_fill(struct slot *slot)
{
    slot->seed = ++g_seed * UINT64_C(0x9E3779B97F4A7C15);
    pattern_fill(slot->block, slot->size < PART ? slot->size : PART, slot->seed);
    if (slot->size > 2 * PART)
        pattern_fill(slot->block + slot->size - PART, PART, ~slot->seed);
}

/* The first `length` bytes of a block are those of the slot. */
static void contents_check(const char *block, size_t length, const struct slot *slot, const char *when)
{
    size_t head = length < PART ? length : PART;
    check(pattern_check(block, head, slot->seed) == head, "%s: a block of %zu bytes at %p: byte %zu is wrong", when,
          slot->size, (const void *)block, pattern_check(block, head, slot->seed));
    if (slot->size > 2 * PART && length >= slot->size)
        check(pattern_check(block + slot->size - PART, PART, ~slot->seed) == PART,
              "%s: the end of a block of %zu is wrong", when, slot->size);
}

static void slot_check(const struct slot *slot, const char *when)
{
    if (slot->block)
        contents_check(slot->block, slot->size, slot, when);
}

/* A block just got, for `size` bytes. */
static void slot_set(struct slot *slot, char *block, size_t size, size_t align, const char *call)
{
    check(block && (uintptr_t)block % align == 0 && (uintptr_t)block % 16 == 0,
          "%s(%zu), alignment %zu: saw %p, errno %d", call, size, align, (void *)block, errno);
    check(errno == UNTOUCHED, "%s(%zu) succeeded and set errno to %d", call, size, errno);
    size_t usable = hak_usable_size(block);
    check(usable >= size, "%s(%zu): %zu usable bytes", call, size, usable);
    if (usable > 0) /* where blocks end with the request it may be 0 */
        block[usable - 1] = 1;
    *slot = (struct slot){block, size, 0};
    g_bytes += size;
    slot_fill(slot);
}

static void slot_free(struct slot *slot, bool sized)
{
    slot_check(slot, "before free");
    g_bytes -= slot->block ? slot->size : 0;
    if (sized && slot->block)
        hak_free_at(slot->block, slot->size, 5);
    else
        hak_free(slot->block);
    check(errno == UNTOUCHED, "free changed errno to %d", errno);
    slot->block = NULL;
    slot->size = 0;
}

/* ---- Instructions ------------------------------------------------------------------------------------------------ */

static void do_malloc(struct slot *slot)
{
    size_t size = next_size();
    slot_free(slot, false);
    slot_set(slot, hak_malloc_at(size, 5), size, 16, "malloc");
}

static void do_good_size(struct slot *slot)
{
    size_t size = next_size(), usable = 0;
    slot_free(slot, false);
    slot_set(slot, hak_malloc_usable(size, &usable), size, 16, "malloc_usable");
    bool as_good = size <= 32768 ? usable == hak_good_size(size) : usable >= hak_good_size(size);
    check(as_good, "malloc_usable(%zu) gives %zu, and hak_good_size says %zu", size, usable,
          hak_good_size(size));
    check(hak_good_size(usable) == usable, "hak_good_size(%zu) is %zu", usable, hak_good_size(usable));
}

static void do_calloc(struct slot *slot)
{
    size_t size = next_size(), count = 1 + next_byte() % 5;
    slot_free(slot, false);
    char *block = hak_calloc(count, size / count);
    size = size / count * count;
    check(block && bytes_check(block, size, 0) == size, "calloc(%zu, %zu): byte %zu is not zero", count, size / count,
          block ? bytes_check(block, size, 0) : 0);
    slot_set(slot, block, size, 16, "calloc");
}

static void do_aligned(struct slot *slot)
{
    size_t size = next_size(), align = (size_t)1 << next_byte() % 24;
    slot_free(slot, false);
    slot_set(slot, hak_aligned_alloc(align, size), size, align, "aligned_alloc");
}

static void do_realloc(struct slot *slot)
{
    size_t size = next_size(), count = 1 + next_byte() % 2;
    struct slot old = *slot;
    slot_check(slot, "before realloc");
    char *block = count == 1 ? hak_realloc(old.block, size) : hak_reallocarray(old.block, 2, size / 2);
    size = count == 1 ? size : size / 2 * 2;
    g_bytes -= old.size;
    if (old.block && size == 0) {
        check(block == NULL && errno == UNTOUCHED, "realloc(p, 0): saw %p, errno %d", (void *)block, errno);
        *slot = (struct slot){NULL, 0, 0};
        return;
    }
    check(block != NULL, "realloc from %zu to %zu refused", old.size, size);
    if (old.block)
        contents_check(block, old.size < size ? old.size : size, &old, "after realloc");
    slot_set(slot, block, size, 16, "realloc");
}

static void do_expand(struct slot *slot)
{
    if (!slot->block)
        return;
    size_t usable = hak_usable_size(slot->block), size = next_size();
    char *block = hak_expand(slot->block, size);
    check(block == NULL || block == slot->block, "hak_expand moved %p to %p", (void *)slot->block, (void *)block);
    check(block != NULL || size > usable, "hak_expand refused %zu of %zu usable bytes", size, usable);
    slot_check(slot, "after expand");
    if (!block) {
        check(hak_usable_size(slot->block) == usable, "a refused hak_expand changed the usable size");
        return;
    }
    check(hak_usable_size(block) >= size && hak_usable_size(block) >= usable, "hak_expand to %zu: %zu usable", size,
          hak_usable_size(block));
    if (size > slot->size) {
        g_bytes += size - slot->size;
        slot->size = size;
        slot_fill(slot);
    }
}

static void do_free(struct slot *slot) { slot_free(slot, next_byte() % 2); }

/* The usable size stays, may be written to its end, and realloc keeps all of it. */
static void do_use_all(struct slot *slot)
{
    if (!slot->block)
        return;
    slot_check(slot, "before use of all of it");
    size_t usable = hak_usable_size(slot->block);
    g_bytes += usable - slot->size;
    slot->size = usable;
    slot_fill(slot);
    check(hak_usable_size(slot->block) == usable, "the usable size changed from %zu to %zu", usable,
          hak_usable_size(slot->block));
    check(usable == 0 || hak_realloc(slot->block, usable) == slot->block, "realloc to the usable size moved the block");
    slot_check(slot, "after realloc to the usable size");
}

static void do_refused(struct slot *slot)
{
    size_t huge = hidden_size((size_t)PTRDIFF_MAX + 1 + next_byte());
    errno = 0;
    check(hak_malloc(huge) == NULL && errno == ENOMEM, "malloc(%zu): errno %d", huge, errno);
    errno = 0;
    check(hak_calloc(huge, 4) == NULL && errno == ENOMEM, "calloc(%zu, 4): errno %d", huge, errno);
    errno = 0;
    check(hak_aligned_alloc(48, 100) == NULL && errno == EINVAL, "aligned_alloc(48, 100): errno %d", errno);
    errno = 0;
    check(hak_realloc(slot->block, huge) == NULL && errno == ENOMEM, "realloc(p, %zu): errno %d", huge, errno);
    slot_check(slot, "after a refused realloc");
    check(hak_good_size(huge) == 0, "hak_good_size(%zu) is %zu", huge, hak_good_size(huge));
}

static void stats_check(void)
{
    struct stats s;
    uint64_t asked = 0;
    stats_gather(&s);
    for (size_t i = 0; i < SLOTS; i++)
        asked += g_slots[i].size;
    check(asked == g_bytes, "the shadow does not add up");
    uint64_t sum = s.live + s.ring + s.depot + s.page_free + s.page_rest + s.large + s.free_dirty + s.free_clean;
    check(s.mapped == sum, "mapped %zu, the sum of all states %zu", (size_t)s.mapped, (size_t)sum);
}

static void do_give_back(struct slot *slot)
{
    (void)slot;
    switch (next_byte() % 4) {
    case 0:
        hak_trim(0);
        break;
    case 1:
        hak_trim((size_t)next_byte() << 16);
        break;
    default:
        hak_collect();
    }
    check(errno == UNTOUCHED, "giving memory back changed errno to %d", errno);
}

static void do_check_all(struct slot *slot)
{
    (void)slot;
    for (size_t i = 0; i < SLOTS; i++)
        slot_check(&g_slots[i], "while others were used");
    check(cache_is_valid(cache_self), "the thread's cache is not valid");
    heap_must_be_valid("while in use");
    stats_check();
}

static void (*const g_calls[16])(struct slot *) = {
    do_malloc, do_malloc, do_malloc,  do_calloc,    do_aligned, do_realloc,   do_realloc,   do_expand,
    do_free,   do_free,   do_use_all, do_good_size, do_refused, do_give_back, do_check_all, do_free,
};

/* ---- Threads ----------------------------------------------------------------------------------------------------- */

/* Only one thread runs at a time: the one whose turn it is; 0 is the caller of ops_run. */
static struct helper {
    pthread_t thread;
    bool started;
    sem_t turn, done;
    void (*call)(struct slot *);
    struct slot *slot;
} g_helpers[THREADS];

static void *helper_run(void *argument)
{
    struct helper *helper = argument;
    for (;;) {
        while (sem_wait(&helper->turn) != 0)
            continue;
        if (!helper->call)
            return NULL;
        errno = UNTOUCHED;
        helper->call(helper->slot);
        sem_post(&helper->done);
    }
}

static void helper_end(struct helper *helper)
{
    if (!helper->started)
        return;
    helper->call = NULL;
    sem_post(&helper->turn);
    pthread_join(helper->thread, NULL);
    sem_destroy(&helper->turn);
    sem_destroy(&helper->done);
    helper->started = false;
}

static void run_in(unsigned thread, void (*call)(struct slot *), struct slot *slot)
{
    struct helper *helper = &g_helpers[thread];
    if (thread == 0) {
        errno = UNTOUCHED;
        call(slot);
        return;
    }
    if (!helper->started) {
        sem_init(&helper->turn, 0, 0);
        sem_init(&helper->done, 0, 0);
        helper->started = true;
        check(pthread_create(&helper->thread, NULL, helper_run, helper) == 0, "pthread_create failed");
    }
    helper->call = call;
    helper->slot = slot;
    sem_post(&helper->turn);
    while (sem_wait(&helper->done) != 0)
        continue;
}

void ops_run(const uint8_t *program, size_t length)
{
    g_next = program;
    g_end = program + length;
    while (g_next < g_end) {
        unsigned code = next_byte(), thread = next_byte();
        struct slot *slot = &g_slots[next_byte() % SLOTS];
        if (thread == 255) /* now and then a thread ends; the next call that is its makes a new one */
            helper_end(&g_helpers[1 + code % (THREADS - 1)]);
        else
            run_in(thread % THREADS, g_calls[code % 16], slot);
        if (g_bytes > MOST_BYTES)
            for (size_t i = 0; i < SLOTS; i += 2)
                run_in(0, do_free, &g_slots[i]);
    }
    for (unsigned i = 0; i < SLOTS; i++)
        run_in(i % THREADS, do_free, &g_slots[i]);
    for (unsigned i = 1; i < THREADS; i++)
        helper_end(&g_helpers[i]);
    errno = UNTOUCHED;
    do_check_all(NULL);
    struct stats s;
    hak_collect();
    stats_gather(&s);
    check(s.live == 0 && s.large == 0, "all was freed, and %zu + %zu bytes are live", (size_t)s.live, (size_t)s.large);
}
