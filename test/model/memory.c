/* memory.c - what the threads of a model share: the compiler tells of every access (-fsanitize=thread, whose run-time
 * library this file replaces), std/stdatomic.h of every atomic one. From that follows
 *
 *   - what has to be put back before the next interleaving, and what the state of the model is: every word accessed;
 *   - where a thread has to wait for its turn: at atomic objects that more than one thread uses and one of them writes;
 *   - races: two accesses, one of them a write and one of them not atomic, that no chain of releases and acquires puts
 *     in order. This is where the orders that the source asks for are checked.
 *
 * Stores that are not sequentially consistent wait in a buffer, as on x86-64, until the explorer lets them out.
 * SPDX-License-Identifier: MIT */
#include "engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOINLINE __attribute__((noinline))

enum { CELLS = 1 << 12, INDEX_SLOTS = 4 * CELLS, LOG_ENTRIES = 1 << 16 };

struct access { /* by each thread, the latest: its clock then */
    clocks plain_write, plain_read, atomic_write, atomic_read;
    clocks sync; /* what an acquire of the atomic object that begins here learns */
};

/* Eight bytes of memory. */
static struct cell {
    uint64_t *word;
    uint64_t logged; /* the epoch in which it was logged last */
    uint64_t mixed;  /* its part of the state's hash; 0 if it was never accessed */
    bool stale;      /* `mixed` is to be computed again */
    uint8_t readers[8], writers[8]; /* threads that ever used the atomic object that begins at the byte */
    struct access access[8];
} cells[CELLS];
static unsigned cell_count;
static uint16_t cell_index[INDEX_SLOTS]; /* number + 1 */
static uint16_t stale[CELLS];
static unsigned stale_count;
static uint64_t hash;
static bool learnt;

/* What cells were when an epoch began, so that memory_undo can go back there. */
static struct logged {
    struct cell *cell;
    uint64_t value, mixed;
    struct access access[8];
} cell_log[LOG_ENTRIES];
static size_t log_length;
uint64_t epoch = 1;

static void give_up(const char *why)
{
    fprintf(stderr, "the explorer: %s\n", why);
    exit(2);
}

static struct cell *cell_at(const volatile void *address)
{
    uint64_t *word = (uint64_t *)((uintptr_t)address & ~(uintptr_t)7);
    unsigned slot = (unsigned)((uintptr_t)word * UINT64_C(0x9E3779B97F4A7C15) >> 40) % INDEX_SLOTS;
    for (; cell_index[slot]; slot = (slot + 1) % INDEX_SLOTS)
        if (cells[cell_index[slot] - 1].word == word)
            return &cells[cell_index[slot] - 1];
    if (cell_count == CELLS)
        give_up("too many words are shared");
    cells[cell_count].word = word;
    cell_index[slot] = (uint16_t)++cell_count;
    return &cells[cell_count - 1];
}

/* Called before the cell changes. */
static void cell_touch(struct cell *cell)
{
    if (cell->logged != epoch) {
        if (log_length == LOG_ENTRIES)
            give_up("an interleaving is too long");
        struct logged *entry = &cell_log[log_length++];
        entry->cell = cell;
        entry->value = *cell->word;
        entry->mixed = cell->mixed;
        memcpy(entry->access, cell->access, sizeof entry->access);
        cell->logged = epoch;
    }
    if (!cell->stale) {
        cell->stale = true;
        stale[stale_count++] = (uint16_t)(cell - cells);
    }
}

uint64_t memory_hash(void)
{
    while (stale_count > 0) {
        struct cell *cell = &cells[stale[--stale_count]];
        uint64_t parts[sizeof cell->access / 8], mixed = mix((uintptr_t)cell->word, *cell->word);
        memcpy(parts, cell->access, sizeof parts);
        for (unsigned i = 0; i < sizeof parts / sizeof *parts; i++)
            mixed = mix(mixed, parts[i]);
        hash ^= cell->mixed ^ mixed;
        cell->mixed = mixed;
        cell->stale = false;
    }
    return hash;
}

struct memory_mark memory_mark(void)
{
    struct memory_mark mark = {.log_length = log_length, .hash = memory_hash()};
    epoch++;
    return mark;
}

void memory_undo(struct memory_mark mark)
{
    while (stale_count > 0)
        cells[stale[--stale_count]].stale = false;
    while (log_length > mark.log_length) {
        const struct logged *entry = &cell_log[--log_length];
        if (*entry->cell->word != entry->value) /* tables of constants cannot be written */
            *entry->cell->word = entry->value;
        entry->cell->mixed = entry->mixed;
        memcpy(entry->cell->access, entry->access, sizeof entry->access);
    }
    hash = mark.hash;
    epoch++;
}

void memory_forget_users(void)
{
    for (unsigned i = 0; i < cell_count; i++) {
        memset(cells[i].readers, 0, sizeof cells[i].readers);
        memset(cells[i].writers, 0, sizeof cells[i].writers);
    }
}

bool memory_learnt(void)
{
    bool result = learnt;
    learnt = false;
    return result;
}

/* The explorer works on the stack of the thread that calls it. What it leaves there is different each time, and would
 * make a difference between states when a later call does not write over all of it. */
static NOINLINE void stack_clean(void)
{
    char rests[1024];
    memset(rests, 0, sizeof rests);
    __asm__ volatile("" : : "r"(rests) : "memory");
}

/* ---- Accesses ---------------------------------------------------------------------------------------------------- */

enum kind { PLAIN_READ, PLAIN_WRITE, ATOMIC_READ, ATOMIC_WRITE };

static bool is_ordered(const struct access *access, enum kind kind, clocks clock)
{
    clocks seen = access->plain_write;
    if (kind == PLAIN_WRITE || kind == ATOMIC_WRITE)
        seen = clocks_join(seen, access->plain_read);
    if (kind == PLAIN_WRITE)
        seen = clocks_join(seen, access->atomic_read);
    if (kind == PLAIN_READ || kind == PLAIN_WRITE)
        seen = clocks_join(seen, access->atomic_write);
    return clocks_cover(clock, seen);
}

static void note(struct access *access, enum kind kind, clocks mine)
{
    clocks *noted[] = {[PLAIN_READ] = &access->plain_read, [PLAIN_WRITE] = &access->plain_write,
                       [ATOMIC_READ] = &access->atomic_read, [ATOMIC_WRITE] = &access->atomic_write};
    *noted[kind] = clocks_join(*noted[kind], mine);
}

static void trace_race(const struct cell *cell, unsigned byte, enum kind kind, const void *place)
{
    printf("  T%u  %s byte %u of word [%u]; for the place in the source: addr2line -fipe PROGRAM %p\n", running,
           kind == PLAIN_WRITE ? "writes" : "reads", byte, (unsigned)(cell - cells), place);
}

static void cell_access(struct cell *cell, unsigned first, size_t size, enum kind kind, const void *place)
{
    clocks clock = threads[running].clock, mine = clock & (clocks)0xFF << running * 8;
    for (unsigned byte = first; byte < first + size; byte++) {
        if (!is_ordered(&cell->access[byte], kind, clock)) {
            if (explore_is_tracing() && place)
                trace_race(cell, byte, kind, place);
            model_fail("no two threads race for memory that is not atomic");
        }
        note(&cell->access[byte], kind, mine);
    }
}

/* A plain access, before it happens. */
static NOINLINE void access_plain(const volatile void *address, size_t size, enum kind kind, const void *place)
{
    if (turns_is_private(address))
        return;
    for (const volatile char *at = address, *end = at + size; at < end;) {
        struct cell *cell = cell_at(at);
        unsigned first = (uintptr_t)at % 8;
        size_t part = (size_t)(end - at) < 8 - first ? (size_t)(end - at) : 8 - first;
        cell_touch(cell);
        if (running != ALONE)
            cell_access(cell, first, part, kind, place);
        at += part;
    }
}

static uint64_t object_read(const volatile void *object, size_t size)
{
    uint64_t value = 0;
    memcpy(&value, (const void *)object, size); /* both supported processors are little-endian */
    return value;
}

static void object_write(volatile void *object, size_t size, uint64_t value) { memcpy((void *)object, &value, size); }

/* ---- Store buffers ----------------------------------------------------------------------------------------------- */

static void store_now(const struct buffered *store)
{
    struct cell *cell = cell_at(store->object);
    cell_touch(cell);
    object_write(store->object, store->size, store->value);
    cell->access[(uintptr_t)store->object % 8].sync = store->sync;
}

void memory_flush_one(unsigned index)
{
    struct thread *thread = &threads[index];
    store_now(&thread->buffer[0]);
    thread->buffered--;
    memmove(thread->buffer, thread->buffer + 1, thread->buffered * sizeof *thread->buffer);
}

static void flush_all(unsigned index)
{
    while (threads[index].buffered > 0)
        memory_flush_one(index);
}

static void store_buffer(struct buffered store)
{
    struct thread *thread = &threads[running];
    if (thread->buffered == BUFFER_SLOTS)
        give_up("too many stores are buffered");
    thread->buffer[thread->buffered++] = store;
}

/* The thread's own latest store to the object that is still buffered, or NULL. */
static const struct buffered *store_pending(const volatile void *object)
{
    const struct thread *thread = &threads[running];
    for (unsigned i = thread->buffered; i > 0; i--)
        if (thread->buffer[i - 1].object == object)
            return &thread->buffer[i - 1];
    return NULL;
}

/* ---- Atomic operations ------------------------------------------------------------------------------------------- */

static const char *const action_names[] = {"load",      "store",     "exchange",  "fetch_or",
                                           "fetch_and", "fetch_add", "fetch_sub", "cas"};

static const char *order_name(memory_order order)
{
    return order == memory_order_seq_cst ? "seq" : order == memory_order_acquire ? "acquire"
         : order == memory_order_release ? "release" : order == memory_order_relaxed ? "relaxed" : "acq_rel";
}

struct operation {
    enum model_action action;
    volatile void *object;
    size_t size;
    uint64_t value;
    const uint64_t *expected; /* NULL: any */
    memory_order order, failure;
    const struct model_site *site;
};

static bool may_wait_in_buffer(const struct operation *op)
{
    return op->action == MODEL_STORE && op->order != memory_order_seq_cst;
}

static void trace(const struct operation *op, uint64_t before, uint64_t after, bool buffered)
{
    const char *slash = strrchr(op->site->file, '/');
    printf("  T%u  %-18s %s:%d  %s_%s(%s) [%u]  %#llx", running, op->site->function, slash ? slash + 1 : op->site->file,
           op->site->line, action_names[op->action], order_name(op->order), op->site->object,
           (unsigned)(cell_at(op->object) - cells), (unsigned long long)before);
    if (after != before)
        printf(" -> %#llx", (unsigned long long)after);
    printf("%s\n", buffered ? "  (buffered)" : "");
}

/* Whether the object is one where threads have to take turns; notes that this one uses it. */
static bool object_is_shared(struct cell *cell, unsigned byte, bool writes)
{
    uint8_t me = (uint8_t)(1u << running);
    unsigned before = cell->readers[byte] | cell->writers[byte];
    bool was_written = cell->writers[byte];
    *(writes ? &cell->writers[byte] : &cell->readers[byte]) |= me;
    unsigned users = before | me;
    bool is_shared = cell->writers[byte] && (users & (users - 1));
    if (is_shared && !(was_written && users == before))
        learnt = true;
    return is_shared;
}

static uint64_t result_of(enum model_action action, uint64_t before, uint64_t value)
{
    switch (action) {
    case MODEL_OR: return before | value;
    case MODEL_AND: return before & value;
    case MODEL_ADD: return before + value;
    case MODEL_SUB: return before - value;
    case MODEL_LOAD: return before;
    default: return value;
    }
}

static uint64_t truncated(uint64_t value, size_t size)
{
    return size == 8 ? value : value & (((uint64_t)1 << size * 8) - 1);
}

static void clock_tick(struct thread *thread)
{
    clocks lane = (clocks)0x7F << running * 8;
    if ((thread->clock & lane) == lane)
        give_up("a thread takes too many steps");
    thread->clock += (clocks)1 << running * 8;
}

/* Makes others' stores known that the operation acquires, and hands on what it releases. */
static void synchronise(struct access *access, const struct operation *op, bool writes)
{
    struct thread *thread = &threads[running];
    memory_order order = writes ? op->order : op->failure;
    if (op->action != MODEL_STORE && order & memory_order_acquire)
        thread->clock = clocks_join(thread->clock, access->sync);
    if (!writes)
        return;
    if (op->action == MODEL_STORE)
        access->sync = 0; /* a read-modify-write goes on with the release it found, a store does not */
    if (order & memory_order_release) {
        access->sync = clocks_join(access->sync, thread->clock);
        clock_tick(thread);
    }
}

/* A store that others need not see yet. */
static void store_later(const struct operation *op)
{
    struct thread *thread = &threads[running];
    bool releases = op->order & memory_order_release;
    cell_access(cell_at(op->object), (uintptr_t)op->object % 8, op->size, ATOMIC_WRITE, NULL);
    store_buffer((struct buffered){op->object, op->size, op->value, releases ? thread->clock : 0});
    if (releases)
        clock_tick(thread);
}

/* The thread has its turn: performs the operation and returns the value from before. */
static uint64_t step(const struct operation *op, bool shared)
{
    struct cell *cell = cell_at(op->object);
    unsigned byte = (uintptr_t)op->object % 8;
    const struct buffered *own = op->action == MODEL_LOAD || may_wait_in_buffer(op) ? store_pending(op->object) : NULL;
    cell_touch(cell);
    if (op->action != MODEL_LOAD && !may_wait_in_buffer(op))
        flush_all(running);
    uint64_t before = own ? own->value : object_read(op->object, op->size);
    bool writes = op->action != MODEL_LOAD && (!op->expected || before == *op->expected);
    uint64_t after = writes ? truncated(result_of(op->action, before, op->value), op->size) : before;
    if (explore_is_tracing() && shared)
        trace(op, before, after, may_wait_in_buffer(op));
    if (shared && may_wait_in_buffer(op)) {
        store_later(op);
        return before;
    }
    if (running != ALONE) {
        cell_access(cell, byte, op->size, writes ? ATOMIC_WRITE : ATOMIC_READ, NULL);
        if (!own)
            synchronise(&cell->access[byte], op, writes);
    }
    if (writes)
        object_write(op->object, op->size, after);
    return before;
}

static NOINLINE uint64_t operate(const struct operation *op)
{
    struct thread *thread = &threads[running];
    bool shared = false;
    if (turns_is_private(op->object))
        give_up("an atomic object is on a stack");
    if (running != ALONE) {
        shared = object_is_shared(cell_at(op->object), (uintptr_t)op->object % 8, op->action != MODEL_LOAD);
        if (shared || thread->awaited)
            turns_yield();
        thread->awaited = NULL;
    }
    return step(op, shared);
}

uint64_t model_atomic(enum model_action action, const volatile void *object, size_t size, uint64_t value,
                      memory_order order, const struct model_site *site)
{
    value = truncated(value, size);
    struct operation op = {action, (volatile void *)object, size, value, NULL, order, order, site};
    uint64_t before = operate(&op);
    stack_clean();
    return before;
}

bool model_cas(const volatile void *object, size_t size, void *expected, uint64_t value, memory_order order,
               memory_order failure, const struct model_site *site)
{
    uint64_t wanted = object_read(expected, size);
    value = truncated(value, size);
    struct operation op = {MODEL_CAS, (volatile void *)object, size, value, &wanted, order, failure, site};
    uint64_t before = operate(&op);
    stack_clean();
    object_write(expected, size, before);
    return before == wanted;
}

/* ---- What a futex does ------------------------------------------------------------------------------------------- */

static NOINLINE void await(_Atomic(uint32_t) *word, uint32_t value)
{
    object_is_shared(cell_at(word), (uintptr_t)word % 8, false);
    threads[running].awaited = word;
    threads[running].awaited_value = value;
}

/* The system looks at the word and puts the thread to sleep in one step, which is a full fence. */
static NOINLINE void fall_asleep(_Atomic(uint32_t) *word, uint32_t value)
{
    struct thread *thread = &threads[running];
    object_is_shared(cell_at(word), (uintptr_t)word % 8, false);
    turns_yield();
    flush_all(running);
    uint64_t seen = object_read(word, sizeof *word);
    if (explore_is_tracing())
        printf("  T%u  sleeps if %#x is %#x\n", running, (unsigned)seen, value);
    if (seen != value)
        return;
    thread->sleeping = true;
    thread->woken = false;
    turns_yield();
    if (explore_is_tracing())
        printf("  T%u  %s\n", running, thread->woken ? "was woken" : "wakes by itself");
    thread->sleeping = false;
}

static NOINLINE void wake_one(void)
{
    unsigned sleepers[MODEL_THREADS], count = 0;
    turns_yield();
    flush_all(running);
    for (unsigned i = 0; i < MODEL_THREADS; i++)
        if (threads[i].sleeping && !threads[i].woken)
            sleepers[count++] = i;
    if (count > 0)
        threads[sleepers[explore_choose(count)]].woken = true;
    if (explore_is_tracing())
        printf("  T%u  wakes one of %u\n", running, count);
}

void model_await(_Atomic(uint32_t) *word, uint32_t value)
{
    if (running == ALONE)
        return;
    await(word, value);
    stack_clean();
}

void model_sleep(_Atomic(uint32_t) *word, uint32_t value)
{
    fall_asleep(word, value);
    stack_clean();
}

void model_wake_one(_Atomic(uint32_t) *word)
{
    (void)word; /* the only one that anybody sleeps on */
    wake_one();
    stack_clean();
}

/* ---- What the compiler calls ------------------------------------------------------------------------------------- */

void __tsan_init(void);
void __tsan_init(void) {}
void __tsan_func_entry(void *caller);
void __tsan_func_entry(void *caller) { (void)caller; }
void __tsan_func_exit(void);
void __tsan_func_exit(void) {}

static inline void hook(const volatile void *address, size_t size, enum kind kind, const void *place)
{
    access_plain(address, size, kind, place);
    stack_clean();
}

#define CALLER __builtin_return_address(0)
#define HOOK(name, size, kind)               \
    void __tsan_##name##size(void *address); \
    void __tsan_##name##size(void *address) { hook(address, size, kind, CALLER); }
#define HOOKS(size)                          \
    HOOK(read, size, PLAIN_READ)             \
    HOOK(write, size, PLAIN_WRITE)           \
    HOOK(unaligned_read, size, PLAIN_READ)   \
    HOOK(unaligned_write, size, PLAIN_WRITE)
HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)

void __tsan_read_range(void *address, unsigned long size);
void __tsan_read_range(void *address, unsigned long size) { hook(address, size, PLAIN_READ, CALLER); }
void __tsan_write_range(void *address, unsigned long size);
void __tsan_write_range(void *address, unsigned long size) { hook(address, size, PLAIN_WRITE, CALLER); }
