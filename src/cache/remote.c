#include "cache/remote.h"

#include "base/atomic.h"
#include "system/os_clock.h"
#include "heap/page.h"

enum {
    SLOTS = POLICY_DEPOT_SLOTS_MAX,
    INTERVAL_MILLISECONDS = 250,
    SPARED_MOST = 256 << 10 /* bytes that a depot keeps of what it may hold, to be filled again */
};

/* In cache lines of its own, as a depot is: who writes one batch is not disturbed by who reads the next. */
struct batch {
    _Atomic(uint32_t) count; /* relaxed: ordered by the slot's bits; atomic for remote_count */
    void *block[REMOTE_BATCH_MAX];
} CACHE_ALIGNED;

/* For each class, and `granted` for all: bytes that depots hold or may hold without asking, which are bounded. What a
 * depot is granted and does not hold is `spared`; so a class whose batches come and go writes to its own line alone. */
static SPARSE struct {
    struct depot {
        _Atomic(uint32_t) claimed; /* slots that are not free */
        _Atomic(uint32_t) full;    /* slots whose batch may be taken */
        _Atomic(uint32_t) resting; /* slots full since the interval began */
        _Atomic(int64_t) spared;   /* bytes; relaxed, as `granted`: a bound, not a condition */
    } CACHE_ALIGNED of[CLASS_SLOTS];
    _Atomic(size_t) granted CACHE_ALIGNED;
} depots;

/* Apart from the masks, which are looked at often: memory of a class that never hands over is never touched. */
static SPARSE struct batch batches[CLASS_LAST + 1][SLOTS];

static _Atomic(uint64_t) interval_end; /* milliseconds */

static struct batch *slot_batch(const struct depot *depot, uint32_t bit)
{
    return &batches[depot - depots.of][lowest_bit(bit)];
}

/* ---- Bytes ------------------------------------------------------------------------------------------------------- */

static bool has_room(const struct depot *depot, size_t bytes, const struct policy *policy)
{
    return load_relaxed(&depot->spared) >= (int64_t)bytes || load_relaxed(&depots.granted) < policy->depot_bytes;
}

/* The depot comes to hold so many bytes more, of what it has spared, if that is enough. */
static void bytes_come(struct depot *depot, size_t bytes)
{
    int64_t more = (int64_t)bytes;
    if (load_relaxed(&depot->spared) >= more) {
        if (fetch_sub_relaxed(&depot->spared, more) >= more)
            return;
        fetch_add_relaxed(&depot->spared, more); /* another thread was faster */
    }
    fetch_add_relaxed(&depots.granted, bytes);
}

/* What the depot has spared is granted to others. */
static void bytes_give_up(struct depot *depot)
{
    int64_t spared = atomic_exchange_explicit(&depot->spared, 0, memory_order_relaxed);
    fetch_sub_relaxed(&depots.granted, (size_t)spared); /* modulo 2^64 */
}

/* The depot holds so many bytes less. */
static void bytes_go(struct depot *depot, size_t bytes)
{
    if (fetch_add_relaxed(&depot->spared, (int64_t)bytes) + (int64_t)bytes > SPARED_MOST)
        bytes_give_up(depot);
}

/* ---- Batches ----------------------------------------------------------------------------------------------------- */

bool remote_give(unsigned class_id, void *const *blocks, unsigned count)
{
    struct depot *depot = &depots.of[class_id];
    const struct policy *policy = policy_now();
    HAK_ASSERT(count >= 1 && count <= REMOTE_BATCH_MAX);
    size_t bytes = count * class_size(class_id);
    if (!has_room(depot, bytes, policy))
        return false;
    for (uint32_t free; (free = ~load_relaxed(&depot->claimed) & low_mask32(policy->depot_slots)) != 0;) {
        uint32_t bit = free & -free;
        /* Acquire: the slot's last reader is done with it; pairs with the release at the end of slot_take. */
        if (atomic_fetch_or_explicit(&depot->claimed, bit, memory_order_acquire) & bit)
            continue;
        struct batch *batch = slot_batch(depot, bit);
        store_relaxed(&batch->count, count);
        for (unsigned i = 0; i < count; i++)
            batch->block[i] = blocks[i];
        bytes_come(depot, bytes);
        fetch_or_release(&depot->full, bit); /* the batch is written; pairs with the acquire in slot_take */
        return true;
    }
    return false;
}

/* Takes the batch of a slot seen full; 0 when another thread was faster. */
static unsigned slot_take(unsigned class_id, uint32_t bit, void **out)
{
    struct depot *depot = &depots.of[class_id];
    if (!(fetch_and_acquire(&depot->full, ~bit) & bit)) /* pairs with the release in remote_give */
        return 0;
    struct batch *batch = slot_batch(depot, bit);
    unsigned count = load_relaxed(&batch->count);
    bytes_go(depot, count * class_size(class_id));
    for (unsigned i = 0; i < count; i++)
        out[i] = batch->block[i];
    if (load_relaxed(&depot->resting) & bit)
        atomic_fetch_and_explicit(&depot->resting, ~bit, memory_order_relaxed);
    /* The batch is read; pairs with the acquire in remote_give. */
    atomic_fetch_and_explicit(&depot->claimed, ~bit, memory_order_release);
    return count;
}

bool remote_has(unsigned class_id) { return load_relaxed(&depots.of[class_id].full) != 0; /* relaxed: a hint */ }

unsigned remote_take(unsigned class_id, void **out)
{
    struct depot *depot = &depots.of[class_id];
    /* The highest slot: slots fill from the lowest, so it is probably the newest and its blocks are warm. */
    for (uint32_t full; (full = load_relaxed(&depot->full)) != 0;) {
        unsigned count = slot_take(class_id, (uint32_t)1 << highest_bit(full), out);
        if (count > 0)
            return count;
    }
    return 0;
}

static void flush_slots(unsigned class_id, uint32_t slots)
{
    void *blocks[REMOTE_BATCH_MAX];
    if (!slots)
        return;
    page_visit_begin();
    for (; slots; slots &= slots - 1) {
        unsigned count = slot_take(class_id, slots & -slots, blocks);
        page_return(blocks, count, "free");
    }
    page_visit_end();
}

bool remote_flush_resting(void)
{
    uint64_t now = os_milliseconds();
    uint64_t end = load_relaxed(&interval_end);
    /* Relaxed: the swap only elects one thread; what it does is ordered by the slots' own bits. */
    if (now < end || !atomic_compare_exchange_strong_explicit(&interval_end, &end, now + INTERVAL_MILLISECONDS,
                                                              memory_order_relaxed, memory_order_relaxed))
        return false;
    for (unsigned c = 1; c <= CLASS_LAST; c++) {
        struct depot *depot = &depots.of[c];
        if (load_relaxed(&depot->spared) > 0)
            bytes_give_up(depot);
        if (load_relaxed(&depot->claimed) == 0)
            continue;
        flush_slots(c, load_relaxed(&depot->resting) & load_relaxed(&depot->full));
        store_relaxed(&depot->resting, load_relaxed(&depot->full));
    }
    return true;
}

void remote_flush(void)
{
    for (unsigned c = 1; c <= CLASS_LAST; c++)
        flush_slots(c, load_relaxed(&depots.of[c].full));
}

size_t remote_count(unsigned class_id)
{
    struct depot *depot = &depots.of[class_id];
    size_t count = 0;
    for (uint32_t full = load_acquire(&depot->full); full; full &= full - 1)
        count += load_relaxed(&slot_batch(depot, full & -full)->count);
    return count;
}

void remote_after_fork(void)
{
    size_t bytes = 0;
    for (unsigned c = 1; c <= CLASS_LAST; c++) {
        struct depot *depot = &depots.of[c];
        uint32_t full = load_relaxed(&depot->full); /* relaxed, all of it: nobody else is there */
        if (load_relaxed(&depot->claimed) != full)
            store_relaxed(&depot->claimed, full);
        if (load_relaxed(&depot->resting) & ~full)
            store_relaxed(&depot->resting, full);
        if (load_relaxed(&depot->spared) != 0)
            store_relaxed(&depot->spared, 0);
        bytes += remote_count(c) * class_size(c);
    }
    if (load_relaxed(&depots.granted) != bytes)
        store_relaxed(&depots.granted, bytes);
}
