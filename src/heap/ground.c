#include "heap/ground.h"

#include "base/atomic.h"
#include "heap/huge.h"
#include "system/lock.h"
#include "system/os_map.h"
#include "system/os_process.h"

#include <errno.h>

#define GIB ((size_t)1 << 30)

enum {
    CHUNK = 64 << 10,     /* bytes by which a table grows at least, */
    CHUNK_PART = 8,       /* and that part of what it has, */
    CHUNK_MAX = 1 << 20,  /* at most so much */
    AHEAD = 2,            /* superslabs that are mapped to see whether a place is free, and stay */
    SMALLEST = 256 << 20 /* bytes of room that are worth a plan */
};

struct table {
    char *base;
    size_t first;  /* offset of the first byte that is writable: the class table of low addresses is only read */
    _Atomic(size_t) extent; /* to here it is writable; relaxed: who reads it without the lock only tells of it */
    size_t next;   /* to here somebody is making it so: the child of a fork does not know whether that came about */
    size_t most;
};

/* [growth lock] Read without it only what is set before the first superslab is known to anybody. */
static struct {
    char *heap;
    size_t heap_most; /* bytes */
    struct table table[GROUND_TABLES];
    _Atomic(size_t) bytes; /* of all tables; relaxed: for statistics */
    bool is_made;
    bool is_for_system;            /* to choose */
    uint32_t ahead;                /* the first superslabs, which are mapped and nobody has asked for yet */
    uint32_t coming_first, coming; /* superslabs that are being mapped */
} plan;

/* ---- The plan ---------------------------------------------------------------------------------------------------- */

/* Each table has a stretch of address space to itself, and begins somewhere in its first half; the last, for
 * descriptors, goes on for as long as there is room. */
static void tables_place(char *start, size_t stretch, size_t last)
{
    for (unsigned i = 0; i < GROUND_TABLES; i++) {
        size_t offset = (size_t)os_random() % (stretch / 2) & ~(os_page_size() - 1);
        size_t most = i == GROUND_META ? last : stretch;
        plan.table[i] = (struct table){.base = start + i * stretch + offset, .most = most - offset};
    }
}

/* The end of the addresses that a program may have, a power of two: its stack lies, as a rule, just below it. */
static uintptr_t address_end(void)
{
    uintptr_t stack = (uintptr_t)__builtin_frame_address(0), data = (uintptr_t)&plan;
    return (uintptr_t)2 << highest_bit(stack > data ? stack : data);
}

/* Where the heap begins, in GiB, and 64 more at random: low, if nothing is there; the shadow of AddressSanitizer lies
 * below 16 TiB. */
static const uint16_t heap_places[] = {64, 64, 17 << 10, 40 << 10};
enum { HEAP_PLACES = sizeof heap_places / sizeof *heap_places };

/* False where there are too few addresses. */
static bool plan_choose(unsigned place)
{
    enum { PARTS = 2048, TABLES_AT = PARTS / 16 * 9 };
    uintptr_t end = address_end(), part = end / PARTS;
    uintptr_t heap = heap_places[place] * GIB + ((uintptr_t)os_random() % (64 * GIB) & ~(RUN_MAX_SIZE - 1));
    if (end < 512 * GIB || heap > part * TABLES_AT / 2)
        return false;
    /* One of eight places, of the size that one entry of the highest page table stands for. */
    uintptr_t tables = part * TABLES_AT + (uintptr_t)os_random() % 8 * part * 8;
    plan.heap = (char *)heap;
    plan.heap_most = part * TABLES_AT - heap;
    tables_place((char *)tables, part, part * 64);
    return true;
}

/* As much room as the system has in one piece: half of it for the heap. */
static COLD bool plan_ask(void)
{
    enum { PARTS = 32 };
    for (size_t size = 128 * GIB; size >= SMALLEST; size /= 2) {
        char *room = os_find_room(size + RUN_MAX_SIZE);
        if (!room)
            continue;
        plan.heap = (char *)align_up((uintptr_t)room, RUN_MAX_SIZE);
        plan.heap_most = size / 2;
        tables_place(plan.heap + size / 2, size / PARTS, size / 4);
        return true;
    }
    return false;
}

/* A table that has something is given more than is asked for, if that is to be had. */
int ground_extend(enum ground_table which, size_t size)
{
    HAK_ASSERT(lock_growth_is_held());
    struct table *table = &plan.table[which];
    size_t extent = load_relaxed(&table->extent);
    if (size <= extent)
        return 0;
    size_t least = align_up(size - extent, CHUNK), ahead = min_size((extent - table->first) / CHUNK_PART, CHUNK_MAX);
    for (size_t step = max_size(least, align_up(ahead, CHUNK));; step = least) {
        int error = ENOMEM;
        if (step <= table->most - extent) {
            table->next = extent + step;
            signal_fence(); /* the child of a fork finds it said before it is done */
            error = os_map_at(table->base + extent, step, true);
            signal_fence();
        }
        if (!error)
            huge_tell_table(table->base + extent, step);
        counter_add(&table->extent, error ? 0 : step);
        table->next = load_relaxed(&table->extent);
        counter_add(&plan.bytes, error ? 0 : step);
        if (!error || step == least)
            return error;
    }
}

/* The table of classes is read wherever an address points that somebody frees: what lies below the heap is nobody's. */
static bool classes_begin(void)
{
    struct table *classes = &plan.table[GROUND_CLASSES];
    uintptr_t heap_end = (uintptr_t)plan.heap + plan.heap_most;
    size_t below = ((uintptr_t)plan.heap >> UNIT_SHIFT) & ~(os_page_size() - 1);
    if (heap_end >> UNIT_SHIFT > classes->most || (below > 0 && os_map_at(classes->base, below, false)))
        return false;
    classes->first = classes->next = below;
    store_relaxed(&classes->extent, below);
    return true;
}

/* Maps the heap's beginning, or as much of it as is to be had. */
static int heap_begin(void)
{
    int error = ENOMEM;
    for (uint32_t ahead = AHEAD; ahead > 0 && error == ENOMEM; ahead--) {
        error = os_map_at(plan.heap, (size_t)ahead << SUPERSLAB_SHIFT, true);
        plan.ahead = error ? 0 : ahead;
    }
    return error;
}

/* Whether the system lets us choose, and nobody else has, shows when memory is mapped. EEXIST: not so. */
static int plan_try(void)
{
    struct table *meta = &plan.table[GROUND_META];
    int error = ground_extend(GROUND_META, CHUNK);
    if (error)
        return error;
    error = heap_begin();
    if (!error && classes_begin())
        return 0;
    if (!error)
        os_unmap(plan.heap, (size_t)plan.ahead << SUPERSLAB_SHIFT);
    os_unmap(meta->base, CHUNK);
    counter_add(&plan.bytes, -(size_t)CHUNK);
    plan.ahead = 0;
    return error ? error : EEXIST;
}

void ground_let_system_choose(void) { plan.is_for_system = true; }

COLD bool ground_start(void)
{
    HAK_ASSERT(lock_growth_is_held());
    int error = plan.is_made ? 0 : EEXIST;
    for (unsigned place = 0; place < HEAP_PLACES && error == EEXIST && !plan.is_for_system; place++)
        if (plan_choose(place))
            error = plan_try();
    if (error == EEXIST && plan_ask())
        error = plan_try();
    plan.is_made = error == 0;
    return plan.is_made;
}

char *ground_heap(void) { return plan.heap; }
uint32_t ground_slabs_most(void) { return (uint32_t)(plan.heap_most >> SUPERSLAB_SHIFT); }

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

static char *slab_start(uint32_t number) { return plan.heap + ((size_t)number << SUPERSLAB_SHIFT); }

int ground_map_slabs(uint32_t first, uint32_t count)
{
    HAK_ASSERT(lock_growth_is_held() && count <= ground_slabs_most() && first <= ground_slabs_most() - count);
    uint32_t ahead = first == 0 ? (uint32_t)min_size(plan.ahead, count) : 0;
    int error = 0;
    if (ahead < count) {
        plan.coming_first = first + ahead;
        plan.coming = count - ahead;
        signal_fence(); /* as in ground_extend */
        error = os_map_at(slab_start(plan.coming_first), (size_t)plan.coming << SUPERSLAB_SHIFT, true);
        signal_fence();
        plan.coming = 0;
    }
    plan.ahead -= error ? 0 : ahead;
    if (!error)
        huge_tell(slab_start(first), (size_t)count << SUPERSLAB_SHIFT);
    return error;
}

char *ground_table(enum ground_table which) { return plan.table[which].base; }
size_t ground_extent(enum ground_table which) { return load_relaxed(&plan.table[which].extent); }
size_t ground_bytes(void) { return load_relaxed(&plan.bytes); }

COLD void ground_after_fork(void)
{
    if (plan.coming > 0)
        os_unmap(slab_start(plan.coming_first), (size_t)plan.coming << SUPERSLAB_SHIFT);
    plan.coming = 0;
    for (struct table *table = plan.table; table < plan.table + GROUND_TABLES; table++) {
        if (table->next > load_relaxed(&table->extent))
            os_unmap(table->base + load_relaxed(&table->extent), table->next - load_relaxed(&table->extent));
        table->next = load_relaxed(&table->extent);
    }
}
