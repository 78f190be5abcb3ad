#include "insight/ledger.h"

#include "base/atomic.h"
#include "cache/count.h"
#include "cache/counted.h"
#include "cache/draw.h"
#include "cache/thread.h"
#include "heap/class.h"
#include "heap/limit.h"
#include "heap/page.h"
#include "heap/retain.h"
#include "insight/recorder.h"
#include "insight/unwind.h"
#include "system/lock.h"
#include "system/options.h"
#include "system/os_clock.h"

enum {
    TABLE_PROBES = 8,    /* places in each table that an entry may be at */
    SAMPLES_FIRST = 64,  /* entries of the first table; each is twice as large as the one before */
    SAMPLES_LEVELS = 10,
    STACKS_FIRST = 64,
    STACKS_LEVELS = 8,
    FRAMES_FIRST = 1024,
    FRAMES_LEVELS = 9,
    LOOKS_AT_ONCE = 16,  /* samples that are looked at under the lock, a part of SAMPLES_FIRST, */
    LOOK_TIMES = 8       /* and so many times in one go */
};

#define STACKS_BYTES ((size_t)16 << 20) /* in use: with less, samples have one address */
#define BUSY 1u /* an entry that is being written */

/* Tables of one kind, that come one after the other when they are needed. */
struct tables {
    enum record_piece_kind kind;
    uint32_t first;              /* entries of the first */
    uint32_t most;               /* tables */
    uint32_t entry;              /* bytes */
    _Atomic(uint32_t) claimed;   /* tables that somebody makes or has made */
    void *_Atomic table[SAMPLES_LEVELS]; /* release when it is all zero; pairs with table_at */
};
static struct tables samples = {RECORD_SAMPLES, SAMPLES_FIRST, SAMPLES_LEVELS, sizeof(struct record_sample), 0, {NULL}};
static struct tables stacks = {RECORD_STACKS, STACKS_FIRST, STACKS_LEVELS, sizeof(struct record_stack), 0, {NULL}};
static struct tables frames = {RECORD_FRAMES, FRAMES_FIRST, FRAMES_LEVELS, sizeof(uint64_t), 0, {NULL}};
static struct tables allocated = {
    RECORD_ALLOCATED, STACKS_FIRST, STACKS_LEVELS, sizeof(struct record_allocated), 0, {NULL}};
static _Atomic(uint32_t) frames_used; /* indices given out; relaxed: who gets one writes there alone */

/* ---- Tables ------------------------------------------------------------------------------------------------------ */

static uint32_t table_size(const struct tables *all, uint32_t level) { return all->first << level; }

/* The number of its first entry. */
static uint32_t table_base(const struct tables *all, uint32_t level) { return all->first * ((1u << level) - 1); }

/* NULL: there is none yet. */
static void *table_at(const struct tables *all, uint32_t level)
{
    return level < all->most ? load_acquire(&all->table[level]) : NULL; /* pairs with table_make */
}

/* The table after the last; NULL when there is no room, or another thread is making it. */
static COLD void *table_make(struct tables *all, uint32_t level)
{
    uint32_t expected = level;
    if (level >= all->most || !cas_seq(&all->claimed, &expected, level + 1)) /* elects one thread */
        return NULL;
    void *table = recorder_add(all->kind, table_size(all, level), all->entry);
    if (table)
        store_release(&all->table[level], table); /* pairs with table_at */
    else
        store_relaxed(&all->claimed, level);
    return table;
}

static void *table_get(struct tables *all, uint32_t level)
{
    void *table = table_at(all, level);
    return LIKELY(table) ? table : table_make(all, level);
}

/* ---- Stacks ------------------------------------------------------------------------------------------------------ */

static uint64_t stack_hash(const uintptr_t *from, unsigned depth)
{
    uint64_t hash = depth;
    for (unsigned i = 0; i < depth; i++)
        hash = hash_mix(hash ^ from[i]);
    return hash > BUSY ? hash : hash + 2;
}

/* Where `depth` frames in a row go: their index in *index, or NULL. */
static COLD uint64_t *frames_take(unsigned depth, uint32_t *index)
{
    for (unsigned tries = 0; tries < 2; tries++) { /* the first may lie across the end of a table */
        uint32_t last = load_relaxed(&frames_used) + depth - 1;
        if (!table_get(&frames, highest_bit(last / FRAMES_FIRST + 1)))
            return NULL;
        uint32_t at = fetch_add_relaxed(&frames_used, depth);
        uint32_t level = highest_bit(at / FRAMES_FIRST + 1);
        if (level != highest_bit((at + depth - 1) / FRAMES_FIRST + 1))
            continue;
        uint64_t *table = table_get(&frames, level);
        *index = at;
        return table ? table + (at - table_base(&frames, level)) : NULL;
    }
    return NULL;
}

/* Fills in a stack that is BUSY. */
static COLD bool stack_write(struct record_stack *stack, uint64_t hash, const uintptr_t *from, unsigned depth)
{
    uint32_t index;
    uint64_t *to = frames_take(depth, &index);
    if (!to) {
        store_relaxed(&stack->hash, 0);
        return false;
    }
    for (unsigned i = 0; i < depth; i++)
        to[i] = from[i];
    store_relaxed(&stack->frames, index);
    store_relaxed(&stack->depth, depth);
    store_release(&stack->hash, hash); /* written; pairs with ledger_visit_stacks, and readers are other processes */
    return true;
}

static struct record_stack *stack_at(uint32_t number)
{
    uint32_t level = highest_bit(number / STACKS_FIRST + 1);
    return (struct record_stack *)table_at(&stacks, level) + (number - table_base(&stacks, level));
}

/* The stack's number; 0, which stands for all others, when there is no room for another. */
static uint32_t stack_find(const uintptr_t *from, unsigned depth)
{
    uint64_t hash = stack_hash(from, depth);
    for (uint32_t level = 0; level < STACKS_LEVELS; level++) {
        struct record_stack *table = table_get(&stacks, level);
        for (uint32_t probe = 0; table && probe < TABLE_PROBES; probe++) {
            uint32_t at = (uint32_t)(hash + probe) % table_size(&stacks, level);
            uint64_t seen = load_relaxed(&table[at].hash); /* relaxed: nothing of it is read here */
            if (level + at == 0)
                continue;
            if (seen == hash)
                return table_base(&stacks, level) + at;
            if (seen == 0 && cas_seq(&table[at].hash, &seen, BUSY))
                return stack_write(&table[at], hash, from, depth) ? table_base(&stacks, level) + at : 0;
        }
        if (!table)
            break;
    }
    return 0;
}

/* ---- Samples ----------------------------------------------------------------------------------------------------- */

static struct record_sample *sample_place(struct record_sample *table, uint32_t level, uint64_t block, uint32_t probe)
{
    return &table[(hash_mix(block >> 4) + probe) % table_size(&samples, level)];
}

/* An entry for the block, BUSY; NULL when there is no room. */
static struct record_sample *sample_claim(uint64_t block)
{
    for (uint32_t level = 0; level < SAMPLES_LEVELS; level++) {
        struct record_sample *table = table_get(&samples, level);
        for (uint32_t probe = 0; table && probe < TABLE_PROBES; probe++) {
            struct record_sample *sample = sample_place(table, level, block, probe);
            uint64_t free = 0;
            /* Pairs with ledger_end. */
            if (load_relaxed(&sample->block) == 0 && cas_acquire(&sample->block, &free, BUSY))
                return sample;
        }
        if (!table)
            break;
    }
    draw_widen();
    return NULL;
}

struct record_sample *ledger_find(const void *block)
{
    for (uint32_t level = 0; level < SAMPLES_LEVELS; level++) {
        struct record_sample *table = table_at(&samples, level);
        for (uint32_t probe = 0; table && probe < TABLE_PROBES; probe++) {
            struct record_sample *sample = sample_place(table, level, (uintptr_t)block, probe);
            if (load_acquire(&sample->block) == (uintptr_t)block) /* pairs with ledger_begin */
                return sample;
        }
        if (!table)
            break;
    }
    return NULL;
}

/* The first address alone while the process is small, for to read the tables of all its code would be much of its
 * memory; and with sites, which are that address, and need many samples. */
static unsigned way_find(uintptr_t from, uintptr_t way[static UNWIND_DEPTH])
{
    bool is_large = draw_is_told() || count_is_on() || retain_used() + limit_mapped() >= STACKS_BYTES;
    if (is_large && !option(OPTION_SITES))
        return unwind_stack(from, way);
    way[0] = from;
    return 1;
}

const struct record_sample *ledger_begin(const void *block, const struct ledger_entry *entry)
{
    uintptr_t way[UNWIND_DEPTH];
    bool has_stacks = table_get(&stacks, 0) != NULL; /* the one of all others at least */
    struct record_sample *sample = has_stacks ? sample_claim((uintptr_t)block) : NULL;
    if (!sample)
        return NULL;
    uint64_t now = os_milliseconds();
    uint32_t number = stack_find(way, way_find(entry->from, way));
    store_relaxed(&sample->size, entry->size);
    store_relaxed(&sample->bytes, entry->bytes);
    store_relaxed(&sample->born, now);
    store_relaxed(&sample->pinned, 0);
    store_relaxed(&sample->companion, (uintptr_t)entry->companion);
    store_relaxed(&sample->stack, number);
    store_relaxed(&sample->thread, lock_own_thread());
    store_relaxed(&sample->site, entry->from);
    fetch_add_relaxed(&stack_at(number)->live, entry->bytes);
    store_release(&sample->block, (uintptr_t)block); /* written; pairs with ledger_find */
    draw_note(now, table_at(&samples, SAMPLES_LEVELS - 1) == NULL);
    return sample;
}

uint64_t ledger_end(struct record_sample *sample)
{
    enum { MIB_SHIFT = 20 };
    uint64_t bytes = load_relaxed(&sample->bytes), life = os_milliseconds() - load_relaxed(&sample->born);
    struct record_stack *stack = stack_at(load_relaxed(&sample->stack));
    fetch_sub_relaxed(&stack->live, bytes);
    fetch_add_relaxed(&stack->ended, bytes);
    fetch_add_relaxed(&stack->life, bytes * life >> MIB_SHIFT);
    store_release(&sample->block, 0); /* read; pairs with sample_claim */
    return life;
}

/* Its tables come one after the other as well, each when the first of its stacks is counted. */
static COLD struct record_allocated *allocated_at(uint32_t number)
{
    uint32_t level = highest_bit(number / STACKS_FIRST + 1);
    for (uint32_t before = 0; before < level; before++)
        if (!table_get(&allocated, before))
            return NULL;
    struct record_allocated *table = table_get(&allocated, level);
    return table ? table + (number - table_base(&allocated, level)) : NULL;
}

COLD void ledger_count(size_t size, uint64_t bytes, uintptr_t from)
{
    uintptr_t way[UNWIND_DEPTH];
    thread_check_fork(); /* a short call may be a child's first, whose record is its parent's yet */
    if (!table_get(&stacks, 0))
        return;
    uint32_t number = stack_find(way, way_find(from, way));
    struct record_allocated *sums = allocated_at(number);
    if (!sums)
        sums = allocated_at(0);
    if (!sums)
        return;
    fetch_add_relaxed(&sums->bytes, bytes);
    fetch_add_relaxed(&sums->block_parts, bytes * RECORD_BLOCK_PARTS / size);
}

NOINLINE void ledger_count_block(size_t size, uintptr_t from)
{
    uint64_t bytes = counted_note(size);
    if (bytes > 0)
        ledger_count(size, bytes, from);
}

COLD uint32_t ledger_stack(uintptr_t from)
{
    uintptr_t way[UNWIND_DEPTH];
    return table_get(&stacks, 0) ? stack_find(way, unwind_stack(from, way)) : 0;
}

COLD unsigned ledger_frames(uint32_t number, uintptr_t out[static RECORD_DEPTH])
{
    const struct record_stack *stack = number > 0 ? stack_at(number) : NULL;
    if (!stack || load_acquire(&stack->hash) <= BUSY) /* pairs with stack_write */
        return 0;
    unsigned depth = load_relaxed(&stack->depth);
    for (unsigned i = 0; i < depth; i++)
        out[i] = ledger_frame(load_relaxed(&stack->frames) + i);
    return depth;
}

uint64_t ledger_frame(uint32_t index)
{
    uint32_t level = highest_bit(index / FRAMES_FIRST + 1);
    const uint64_t *table = index < load_relaxed(&frames_used) ? table_at(&frames, level) : NULL;
    return table ? table[index - table_base(&frames, level)] : 0;
}

/* ---- Looks ------------------------------------------------------------------------------------------------------- */

static COLD void pinned_note(struct record_sample *sample)
{
    const void *companion = (const void *)load_relaxed(&sample->companion);
    uint64_t size = load_relaxed(&sample->size), bytes = load_relaxed(&sample->bytes);
    if (load_relaxed(&sample->block) <= BUSY || size == 0)
        return;
    size_t kept = companion && size <= CLASS_MAX_SIZE ? page_bytes_kept(companion, class_of(size)) : 0;
    store_relaxed(&sample->pinned, max_size(bytes, bytes * kept / size));
}

/* Looks at so many samples from `number` on, under the lock, and so not at too many: where to go on; 0 at the end. */
static COLD uint32_t look_from(uint32_t number)
{
    uint32_t level = highest_bit(number / SAMPLES_FIRST + 1), at = number - table_base(&samples, level);
    struct record_sample *table = table_at(&samples, level);
    if (!table || !lock_acquire())
        return 0;
    for (uint32_t i = 0; i < LOOKS_AT_ONCE; i++) /* a part of all tables' sizes */
        pinned_note(&table[at + i]);
    lock_release();
    return number + LOOKS_AT_ONCE;
}

COLD void ledger_look(void)
{
    static _Atomic(uint32_t) next; /* relaxed: where the last look ended */
    uint32_t number = load_relaxed(&next);
    for (unsigned i = 0; i < LOOK_TIMES; i++)
        number = look_from(number);
    store_relaxed(&next, number);
}

COLD void ledger_visit(void (*visit)(const struct record_sample *))
{
    for (uint32_t level = 0; table_at(&samples, level); level++) {
        struct record_sample *table = table_at(&samples, level);
        for (uint32_t i = 0; i < table_size(&samples, level); i++) {
            if (load_acquire(&table[i].block) > BUSY) /* pairs with ledger_begin */
                visit(&table[i]);
        }
    }
}

COLD void ledger_each(void (*visit)(const struct record_sample *))
{
    for (uint32_t number = 0; (number = look_from(number)) != 0;)
        continue;
    ledger_visit(visit);
}

COLD void ledger_visit_stacks(void (*visit)(const struct record_stack *, uintptr_t from))
{
    for (uint32_t level = 0; table_at(&stacks, level); level++) {
        struct record_stack *table = table_at(&stacks, level);
        for (uint32_t i = 0; i < table_size(&stacks, level); i++)
            if (load_acquire(&table[i].hash) > BUSY) /* pairs with stack_write */
                visit(&table[i], ledger_frame(load_relaxed(&table[i].frames)));
    }
}

COLD void ledger_note_peak(void)
{
    for (uint32_t level = 0; table_at(&stacks, level); level++) {
        struct record_stack *table = table_at(&stacks, level);
        for (uint32_t i = 0; i < table_size(&stacks, level); i++)
            if (load_relaxed(&table[i].live) | load_relaxed(&table[i].at_peak))
                store_relaxed(&table[i].at_peak, load_relaxed(&table[i].live));
    }
}

/* A table that a vanished thread was about to make is there, and nobody knows, or is not. */
static COLD void tables_after_fork(struct tables *all)
{
    uint32_t level = 0;
    while (table_at(all, level))
        level++;
    void *table = level < all->most ? recorder_piece(all->kind, level) : NULL;
    if (table)
        store_relaxed(&all->table[level++], table); /* relaxed: there are no other threads */
    store_relaxed(&all->claimed, level);
}

COLD void ledger_after_fork(void)
{
    tables_after_fork(&samples);
    tables_after_fork(&stacks);
    tables_after_fork(&frames);
    tables_after_fork(&allocated);
    for (uint32_t level = 0; table_at(&samples, level); level++) {
        struct record_sample *table = table_at(&samples, level);
        for (uint32_t i = 0; i < table_size(&samples, level); i++)
            if (load_relaxed(&table[i].block) == BUSY)
                store_relaxed(&table[i].block, 0);
    }
    for (uint32_t level = 0; table_at(&stacks, level); level++) {
        struct record_stack *table = table_at(&stacks, level);
        for (uint32_t i = 0; i < table_size(&stacks, level); i++)
            if (load_relaxed(&table[i].hash) == BUSY)
                store_relaxed(&table[i].hash, 0);
    }
}
