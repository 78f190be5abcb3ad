/* policy.h - what slow paths may choose, in one place: how large rings grow, how much a refill takes, which larger
 * block may stand in for one that is not at hand, which way blocks travel between threads, how many bytes all of that
 * may hold, and how much free memory stays resident to begin with.
 *
 * A policy is immutable. Slow paths read the current one; the fast path knows nothing of it. Another one is
 * published whole, by the options at the start or by the learner (learn.h), and the old one is never changed or
 * unmapped, since a thread may stand still in the middle of reading it. So there is a limit to their number; the
 * learner rests when it is reached. */
#ifndef HAK_POLICY_H
#define HAK_POLICY_H

#include "base/atomic.h"
#include "heap/class.h"

struct class_policy {
    uint16_t capacity; /* blocks to which a ring may grow, 1 .. POLICY_RING_MAX */
    uint16_t first;    /* capacity of a new ring */
    uint8_t batch;     /* a refill from a page takes up to so many quarters of the ring's capacity */
    uint8_t wmax;    /* a substitute may be so many hundredths larger than asked for; 0: only the class itself serves */
    bool hands_over; /* overflow goes to the depot, where it has room, and not to its pages */
    bool apart;      /* call sites have pages of their own (site.h) */
    bool huge;       /* new pages lie in huge ones sooner, when threads fill page after page */
};

struct policy {
    uint32_t version;        /* 0: the static one */
    bool thrift;             /* rings are kept as small as they come, because most threads are idle */
    uint32_t fitted;         /* size of CLASS_FITTED, 0: none */
    bool rests;              /* a ring that is idle gives its capacity up, too */
    size_t all_bytes;        /* rings may grow while those of the thread could hold no more than its share of this, */
    size_t thread_bytes_min; /* or than this, if that is more, */
    size_t thread_bytes_max; /* and no more than this */
    size_t depot_bytes;      /* in all depots */
    uint32_t depot_slots;    /* batches in one depot, up to POLICY_DEPOT_SLOTS_MAX */
    size_t retained;         /* free memory that may stay resident before there is any experience (retain.h) */
    struct class_policy class[CLASS_SLOTS];
};

enum {
    POLICY_RING_MAX = 8190,
    POLICY_WMAX_MAX = 100,
    POLICY_BATCH_MAX = 4,
    POLICY_DEPOT_SLOTS_MAX = 32,
    POLICY_CHANGES_MAX = 255
};
#define POLICY_THREAD_BYTES_MAX ((size_t)32 << 20)
#define POLICY_DEPOT_BYTES_MAX ((size_t)128 << 20)
#define POLICY_RETAINED_MAX ((size_t)1 << 40)

/* The classes of the options for medium sizes, above this and up to CLASS_TABLE_MAX; small ones are below, large
 * ones above. */
#define POLICY_MID_MIN ((size_t)1 << 10)
INLINE bool policy_is_mid(unsigned class_id)
{
    return class_size(class_id) > POLICY_MID_MIN && class_size(class_id) <= CLASS_TABLE_MAX;
}
/* Call sites may have pages of their own for blocks of up to so many bytes. */
#define POLICY_APART_MAX ((size_t)1 << 10)
INLINE bool policy_is_large(unsigned class_id) { return class_size(class_id) > CLASS_TABLE_MAX; }

extern const struct policy policy_static; /* without options */
extern const struct policy *_Atomic policy_current;
/* Acquire: what it points to has been written; pairs with policy_publish. */
INLINE const struct policy *policy_now(void) { return load_acquire(&policy_current); }

/* Applies the options, at the start. */
void policy_start(void);

/* What there is before anything is learned: policy_static, with the options applied. */
void policy_base(struct policy *out);

/* Changes to thrift and back, all that depends on it included: from what `base` says. */
void policy_set_thrift(struct policy *policy, const struct policy *base, bool thrift);

/* The most that may be learned for a ring of the class. */
uint16_t policy_capacity_limit(unsigned class_id);

/* Makes CLASS_FITTED serve requests of up to `size` bytes, with its host's policy; false when it cannot. By one
 * thread at a time. */
bool policy_fit(struct policy *policy, size_t size);

/* Makes a copy of it the current policy, with the next version. False when there have been too many, or memory is
 * out. */
bool policy_publish(const struct policy *policy);

/* Whether every value is within its bounds. */
bool policy_is_valid(const struct policy *policy);

#endif
