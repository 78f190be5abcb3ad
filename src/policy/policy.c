#include "policy/policy.h"

#include "system/lock.h"
#include "heap/meta.h"
#include "system/options.h"

/* ---- The static policy ------------------------------------------------------------------------------------------- */

enum {
    RING_SLOTS = 4094,           /* most blocks in a ring; with two words of its own its array is a power of two */
    RING_BYTES = 256 << 10,      /* most bytes of blocks in a ring of a class up to CLASS_TABLE_MAX, */
    RING_LEAST = 64,             /* which may hold this many in any case */
    RING_BYTES_MEDIUM = 2 << 20, /* and of a larger class, */
    RING_LEAST_MEDIUM = 2,       /* which may hold this many in any case */
    RING_FIRST = 14,             /* capacity of a new ring */
    RING_FIRST_BYTES = 16 << 10, /* and most bytes of blocks in it, if there is room for RING_LEAST_MEDIUM */
    HANDS_OVER_MIN = 1024,       /* classes of this size and above use the depot */
    REFILL_QUARTERS = 2
};

#define LESSER(a, b) ((a) < (b) ? (a) : (b))
#define GREATER(a, b) ((a) > (b) ? (a) : (b))
/* The casts tell clang that what it warns of is in the branch that is not taken. */
#define CAPACITY(size)                                                                                      \
    ((size) <= CLASS_TABLE_MAX ? (uint16_t)GREATER(RING_LEAST, LESSER(RING_SLOTS, RING_BYTES / (size)))     \
                               : (uint16_t)GREATER(RING_LEAST_MEDIUM, RING_BYTES_MEDIUM / (size)))
#define STATIC(size)                                                                                                  \
    {                                                                                                                 \
        .capacity = CAPACITY(size),                                                                                   \
        .first = GREATER(RING_LEAST_MEDIUM, LESSER(RING_FIRST, RING_FIRST_BYTES / (size))), .batch = REFILL_QUARTERS, \
        .wmax = 0, .hands_over = (size) >= HANDS_OVER_MIN                                                             \
    }

const struct policy policy_static = {
    .thread_bytes_min = (size_t)32 << 10,
    .thread_bytes_max = (size_t)8 << 20,
    .all_bytes = (size_t)64 << 20,
    .depot_bytes = (size_t)32 << 20,
    .depot_slots = 16,
    .class =
        {
#define X(id, from, size, units) [id] = STATIC(size),
#include "heap/classes.def"
#undef X
            [CLASS_FITTED] = STATIC(CLASS_TABLE_MAX),
        },
};

const struct policy *_Atomic policy_current = &policy_static;

/* ---- The options ------------------------------------------------------------------------------------------------- */

enum { LIST_ITEMS = 5 };

/* Which of a list's five items is for the class: they stand for doublings, the first of which ends at `first`. */
static unsigned list_index(size_t size, size_t first)
{
    unsigned index = 0;
    while (size > first << index && index < LIST_ITEMS - 1)
        index++;
    return index;
}

static void capacity_set(struct class_policy *class, size_t capacity)
{
    class->capacity = (uint16_t)capacity;
    class->first = (uint16_t)min_size(class->first, capacity);
}

static void class_base(struct class_policy *class, unsigned c)
{
    size_t size = class_size(c);
    bool mid = policy_is_mid(c);
    class->batch = (uint8_t)option(OPTION_POOL_REFILL_BATCH);
    if (!mid && !policy_is_large(c))
        return;
    uint64_t capacity = mid ? option_item(OPTION_CAP_MID, list_index(size, 2 * POLICY_MID_MIN))
                            : option_item(OPTION_CAP_LARGE, list_index(size, 2 * CLASS_TABLE_MAX));
    uint64_t most = mid ? option(OPTION_CAP_MAX_MID) : 0;
    if (capacity > 0)
        capacity_set(class, capacity);
    if (most > 0)
        capacity_set(class, min_size(class->capacity, most));
    class->wmax = (uint8_t)(option(mid ? OPTION_WMAX_MID : OPTION_WMAX_LARGE) - 100);
}

COLD void policy_base(struct policy *out)
{
    *out = policy_static;
    out->fitted = class_is_fitted() ? (uint32_t)class_size(CLASS_FITTED) : 0;
    for (unsigned c = 1; c <= class_last(); c++)
        class_base(&out->class[c], c);
}

uint16_t policy_capacity_limit(unsigned c)
{
    enum { MOST_BYTES = 1 << 20, MOST_BYTES_LARGE = 8 << 20 };
    size_t most = policy_is_large(c) ? MOST_BYTES_LARGE / class_size(c) : MOST_BYTES / class_size(c);
    size_t limit = max_size(policy_static.class[c].capacity, min_size(POLICY_RING_MAX, most));
    if (policy_is_mid(c) && option(OPTION_CAP_MAX_MID) > 0)
        limit = min_size(limit, option(OPTION_CAP_MAX_MID));
    return (uint16_t)limit;
}

/* ---- Changes ----------------------------------------------------------------------------------------------------- */

void policy_set_thrift(struct policy *policy, const struct policy *base, bool thrift)
{
    enum { THRIFT_FIRST_BYTES = 2 << 10, THRIFT_THREAD_BYTES = 16 << 10, THRIFT_ALL_BYTES = 4 << 20 };
    policy->thrift = thrift;
    policy->thread_bytes_min = thrift ? THRIFT_THREAD_BYTES : base->thread_bytes_min;
    policy->all_bytes = thrift ? THRIFT_ALL_BYTES : base->all_bytes;
    for (unsigned c = 1; c <= class_last(); c++) {
        size_t first = max_size(1, THRIFT_FIRST_BYTES / class_size(c));
        policy->class[c].first = thrift ? (uint16_t)min_size(first, base->class[c].first) : base->class[c].first;
        /* Rings that hold less than a batch cannot take one. */
        policy->class[c].hands_over = !thrift && base->class[c].hands_over;
    }
}

bool policy_fit(struct policy *policy, size_t size)
{
    if (!class_fit(size))
        return false;
    policy->fitted = (uint32_t)size;
    policy->class[CLASS_FITTED] = policy->class[class_host(CLASS_FITTED)];
    return true;
}

bool policy_publish(const struct policy *policy)
{
    static uint32_t versions; /* [lock] */
    if (!meta_acquire(META_OTHER, sizeof *policy))
        return false;
    struct policy *copy = versions < POLICY_CHANGES_MAX ? meta_alloc(META_OTHER, sizeof *copy) : NULL;
    if (copy) {
        *copy = *policy;
        copy->version = ++versions;
        store_release(&policy_current, copy); /* pairs with policy_now */
    }
    lock_release();
    return copy != NULL;
}

static bool class_policy_is_same(const struct class_policy *a, const struct class_policy *b)
{
    return a->capacity == b->capacity && a->first == b->first && a->batch == b->batch && a->wmax == b->wmax &&
           a->hands_over == b->hands_over && a->huge == b->huge && a->apart == b->apart;
}

COLD void policy_start(void)
{
    struct policy base;
    policy_base(&base);
    bool changed = false;
    if (option(OPTION_MID_DYN1) > 0) {
        changed = policy_fit(&base, option(OPTION_MID_DYN1));
        if (!changed)
            option_warn_set(WARNING_OPTION_VALUE, OPTION_MID_DYN1, "a multiple of 16 between two size classes");
    }
    for (unsigned c = 1; c <= CLASS_FIXED_LAST; c++)
        changed |= !class_policy_is_same(&base.class[c], &policy_static.class[c]);
    if (changed)
        policy_publish(&base);
}

static bool class_policy_is_valid(const struct class_policy *class)
{
    return class->capacity >= 1 && class->capacity <= POLICY_RING_MAX && class->first >= 1 &&
           class->first <= class->capacity && class->batch >= 1 && class->batch <= POLICY_BATCH_MAX &&
           class->wmax <= POLICY_WMAX_MAX;
}

bool policy_is_valid(const struct policy *policy)
{
    for (unsigned c = 1; c <= class_last(); c++)
        if (!class_policy_is_valid(&policy->class[c]))
            return false;
    return policy->thread_bytes_min <= policy->thread_bytes_max &&
           policy->thread_bytes_max <= POLICY_THREAD_BYTES_MAX && policy->depot_bytes <= POLICY_DEPOT_BYTES_MAX &&
           policy->depot_slots >= 1 && policy->depot_slots <= POLICY_DEPOT_SLOTS_MAX &&
           policy->retained <= POLICY_RETAINED_MAX;
}
