/* learn.h - the learner: fits the policy to the program, from what slow paths count, and says why.
 *
 * Threads count for themselves (struct tally), and hand their counts over about once in a window of time, in a slow
 * path. The first of them to find a window over looks at what all have handed in: that is all the learner there is;
 * no thread of its own, no clock on the fast path, nothing at all in a program that rarely gets to a slow path.
 *
 * A rule (policy.def) that finds its reason in two windows on end (thrift: in one) changes the policy by one step,
 * at most one for each class at a time. The trial's effect is measured over the same number of windows afterwards; a
 * trial that gains nothing is taken back, and the rule then rests for that class, twice as long each time. The state
 * machine of a rule for a class:
 *
 *   waiting -> seen     its reason holds in a window              resting -> waiting  when its rest is over
 *   seen    -> trial    it holds in the next one too: a decision
 *   seen    -> waiting  it does not
 *   trial   -> resting  the effect was measured: kept (a short rest) or taken back (longer and longer ones)
 *
 * "apart" is measured otherwise, since what it does shows only when the blocks that are kept apart die: when the class
 * has been at least half as large again as its pages, and then about as empty as when it was decided.
 *
 * learner_step is a function of the learner and of what was seen: the same windows give the same decisions. */
#ifndef HAK_LEARN_H
#define HAK_LEARN_H

#include "base/atomic.h"
#include "policy/policy.h"

enum learn_rule {
#define X(id, name, judged, what, reason, unit_a, unit_b, measure) RULE_##id,
#include "policy/policy.def"
#undef X
    RULE_COUNT
};

/* What is counted for each class. */
#define LEARN_COUNTS(X)                                                                           \
    X(misses)          /* refills */                                                              \
    X(fetched)         /* blocks they brought */                                                  \
    X(overflows)       /* full rings that passed blocks on */                                     \
    X(to_pages)        /* blocks returned to pages */                                             \
    X(bounced)         /* blocks fetched by a thread that had passed as many on before */         \
    X(refused)         /* times a ring might not grow for its thread's bytes */                   \
    X(pages)           /* pages made */                                                           \
    X(dense)           /* of them such that probably will be full, as those before */             \
    X(neighbours)      /* times a page was made while a neighbouring class had a block at hand */ \
    X(substitutes)     /* blocks of other classes that stood in */                                \
    X(batches_refused) /* by the depot, which was full */                                         \
    X(batches_taken)   /* from the depot */

struct tally_class {
#define X(name) uint32_t name;
    LEARN_COUNTS(X)
#undef X
    uint32_t owed; /* blocks passed on in this window that have not been needed again */
};

/* A thread's own counts; only it looks at them. */
struct tally {
    uint64_t hand_in_at; /* milliseconds */
    uint64_t slice;      /* the stretch of time in which the thread was last active */
    struct tally_class class[CLASS_SLOTS];
};

/* What all threads counted in a window. */
struct seen_class {
#define X(name) uint64_t name;
    LEARN_COUNTS(X)
#undef X
};

/* What a class that may be apart holds, in KiB. */
struct seen_memory {
    uint64_t live;
    uint64_t kept; /* pages of memory with a live block, if these lie anywhere in the class's pages */
    uint64_t made; /* in pages that there ever were */
    bool differs;  /* blocks of some call sites stay where those of others go, as samples tell */
};

struct seen {
    uint64_t milliseconds; /* the window's length */
    /* Of processor time in it, of all threads: rates are for 100 of them, however busy the machine is. */
    uint64_t cpu_milliseconds;
    uint64_t threads; /* that have a tally */
    uint64_t active;  /* sum over slices of the threads active in each */
    uint64_t reach;   /* bytes that all rings could hold */
    uint64_t asked,
        asked_share; /* the size most often asked for when pages were made, 0 if none; its share in hundredths */
    struct seen_class class[CLASS_SLOTS];
    struct seen_memory memory[CLASS_SLOTS];
};

enum { LEARN_SLICE_MS = 4, LEARN_LOG = 64 };

enum learn_outcome { OUTCOME_TRIAL, OUTCOME_KEPT, OUTCOME_TAKEN_BACK, OUTCOME_SHADOW };

struct decision {
    uint64_t milliseconds;           /* since the learner began */
    uint64_t from, to;               /* what was changed */
    uint64_t a, b;                   /* the reason's numbers (policy.def) */
    uint64_t before, after;          /* the measure */
    uint8_t rule, outcome, class_id; /* class 0: for all */
};

struct rule_state {
    uint32_t rests_until; /* window */
    uint8_t streak;       /* windows in which its reason held */
    uint8_t failures;     /* trials taken back */
};

/* A change on trial. */
struct trial {
    uint8_t rule;
    uint8_t shown;    /* "apart": windows in which its effect could be measured */
    uint16_t windows; /* left; 0: none is on trial */
    uint32_t number;  /* of the decision */
    uint64_t before; /* the measure */
    uint64_t undo;   /* the value to go back to */
    uint64_t sum;    /* of the measure, so far */
};

/* Of what a class held before. KiB */
struct learner_memory {
    uint64_t made;                   /* as of the window before */
    uint64_t low;                    /* least that was live lately */
    uint64_t peak;                   /* most that was live, lately or in a trial of "apart"; or was made in a window */
    uint64_t trial_live, trial_kept; /* when that began */
    uint64_t trial_after;            /* least that pages kept for nothing when its effect could be measured */
};

struct learner {
    bool shadow;
    uint32_t window;       /* number of windows seen */
    uint64_t milliseconds; /* their length */
    uint32_t decisions;    /* made so far; the newest LEARN_LOG are in the log */
    struct policy base;    /* before anything was learned */
    struct policy policy;
    struct decision log[LEARN_LOG];
    struct rule_state state[RULE_COUNT][CLASS_SLOTS];
    struct trial trial[CLASS_SLOTS];            /* of each class; 0: of rules for all */
    struct trial apart[CLASS_SLOTS];            /* of "apart" */
    struct learner_memory memory[CLASS_SLOTS];
    uint64_t asks;                              /* classes that might be apart, if sites differ */
    uint64_t measured[RULE_COUNT][CLASS_SLOTS]; /* the measure while the reason held for the first time */
};

void learner_begin(struct learner *learner, const struct policy *base, const struct policy *policy, bool shadow);

/* One window. True when the policy changed. */
bool learner_step(struct learner *learner, const struct seen *seen);

/* ---- In the process ---------------------------------------------------------------------------------------------- */

/* Begins, as the options say. Under the lock. */
void learn_start(void);

/* A thread begins and ends to count: `tally` is zeroed here. */
void learn_join(struct tally *tally);
void learn_leave(void);

/* Called by slow paths now and then: notes that the thread is active, hands its counts in and looks at them, when it
 * is time. `reach`: bytes that all rings could hold. */
void learn_tick(struct tally *tally, uint64_t now, size_t reach);

/* A page of the class is made for a request of `size` bytes. */
void learn_note_size(unsigned class_id, size_t size);

/* Classes of which the learner would know whether blocks of some call sites stay where those of others go (1 << class);
 * and of these, those of which it is so. Between them lies a look at all samples (lives.h). */
uint64_t learn_asks(void);
void learn_answer(uint64_t classes);

/* In the child of a fork: the others are gone. */
void learn_after_fork(bool self_counts);

/* What was learned so far, for reports: a copy, of one moment as far as that can be had. False when nothing was to
 * be learned. */
bool learn_copy(struct learner *out);

/* Whether threads are to count. */
extern _Atomic(bool) learn_counts;
INLINE bool learn_is_on(void) { return load_relaxed(&learn_counts); }

#endif
