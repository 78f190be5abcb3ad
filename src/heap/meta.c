#include "heap/meta.h"

#include "heap/ground.h"
#include "system/lock.h"

enum {
    LINE = 64,
    FINE_MAX = 1024,
    FINE_LISTS = FINE_MAX / LINE,
    LISTS = FINE_LISTS + 32
};

/* [lock] */
static struct {
    size_t next, end;              /* in the table: what was never given out. end: [growth lock to write, too] */
    void *free[META_KINDS][LISTS]; /* by rounded size; linked through the first word */
} store;

/* Whole cache lines, so that none is shared; powers of two above FINE_MAX, so that blocks of one list are
 * interchangeable. */
static size_t meta_round(size_t size)
{
    if (size <= FINE_MAX)
        return align_up(size, LINE);
    return (size_t)2 << highest_bit(size - 1);
}

static void **list_of(enum meta_kind kind, size_t rounded)
{
    return &store.free[kind][rounded <= FINE_MAX ? rounded / LINE - 1 : FINE_LISTS + lowest_bit(rounded)];
}

/* Room for `size` more bytes; false when memory is out. `end` is written under both locks. */
static COLD bool meta_grow(size_t size)
{
    bool is_ours = lock_growth_is_held();
    if (!is_ours && !lock_growth_acquire())
        return false;
    bool done = ground_start() && ground_extend(GROUND_META, store.end + size) == 0 && lock_acquire();
    if (done) {
        store.end = ground_extent(GROUND_META);
        lock_release();
    }
    if (!is_ours)
        lock_growth_release();
    return done;
}

bool meta_acquire(enum meta_kind kind, size_t size)
{
    size_t rounded = meta_round(size);
    bool is_out = false;
    for (;;) {
        if (!lock_acquire())
            return false;
        if (*list_of(kind, rounded) || store.end - store.next >= rounded || is_out)
            return true;
        lock_release();
        is_out = !meta_grow(rounded);
    }
}

void *meta_alloc(enum meta_kind kind, size_t size)
{
    HAK_ASSERT(lock_is_held());
    size_t rounded = meta_round(size);
    void **list = list_of(kind, rounded);
    if (*list) {
        void *block = *list;
        *list = *(void **)block;
        return block;
    }
    if (store.end - store.next < rounded)
        return NULL;
    void *block = ground_table(GROUND_META) + store.next;
    store.next += rounded;
    return block;
}

void meta_free(enum meta_kind kind, void *block, size_t size)
{
    HAK_ASSERT(lock_is_held());
    void **list = list_of(kind, meta_round(size));
    *(void **)block = *list;
    *list = block;
}

/* What is between was a vanished thread's to give out. */
void meta_after_fork(void)
{
    for (unsigned kind = 0; kind < META_KINDS; kind++)
        for (unsigned i = 0; i < LISTS; i++)
            store.free[kind][i] = NULL;
}
