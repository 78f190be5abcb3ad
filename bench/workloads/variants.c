/* variants.c - the table of what can be run. Fields that are not given are 0 and mean what struct variant says.
 * SPDX-License-Identifier: MIT */
#include "workloads.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

/* clang-format off */

#define UNIFORM(from, to) {.kind = SIZES_UNIFORM, .min = (from), .max = (to)}
#define DOUBLINGS(from, to) {.kind = SIZES_LOG, .min = (from), .max = (to)}
#define POWERS(from, to) {.kind = SIZES_POWERS, .min = (from), .max = (to)}
#define APP {.kind = SIZES_APP}

#define REMOTE(lane, top, name, percent, all, uses) \
    {.workload = &remote, .id = "remote-" lane "-" name, .title = lane " " name ", 4 threads", .use = (uses), \
     .threads = 4, .sizes = UNIFORM(16, top), .live = 400, .remote_percent = (percent), .to_all = (all)}

#define REMOTE_LANE(lane, top, uses_50, uses_90) \
    REMOTE(lane, top, "r0", 0, false, 0), \
    REMOTE(lane, top, "r50-next", 50, false, 0), \
    REMOTE(lane, top, "r50-any", 50, true, uses_50), \
    REMOTE(lane, top, "r90-next", 90, false, 0), \
    REMOTE(lane, top, "r90-any", 90, true, uses_90)

/* From so many producers to so many consumers. */
#define MESSAGES(from, to, uses) \
    {.workload = &messages, .id = "messages-" #from "-" #to "-small", .title = #from ":" #to ", 16 B to 1 KiB", \
     .use = (uses), .threads = (from) + (to), .producers = (from), .sizes = UNIFORM(16, KIB), .live = 1024, \
     .consumers_allocate = true}, \
    {.workload = &messages, .id = "messages-" #from "-" #to "-64k", .title = #from ":" #to ", 64 KiB", \
     .threads = (from) + (to), .producers = (from), .sizes = UNIFORM(64 * KIB, 64 * KIB), .live = 64, \
     .consumers_allocate = true, .touches_pages = true}

/* 276 MB made by one thread, and by four. */
#define MEMORY(name, what, whom, range, blocks, uses) \
    {.workload = &given_back, .id = "memory-" name "-1", .title = what ", 1 thread", .use = (uses), .threads = 1, \
     .sizes = range, .live = (blocks), .survivors = (whom), .extra_seconds = 1, .idles = true}, \
    {.workload = &given_back, .id = "memory-" name "-4", .title = what ", 4 threads", .threads = 4, \
     .sizes = range, .live = (blocks) / 4, .survivors = (whom), .extra_seconds = 1, .idles = true}

const struct variant variants[] = {
    {.workload = &larson, .id = "larson-mid-1", .title = "2 to 32 KiB, 1 thread", .use = USE_QUICK | USE_CHECK,
     .threads = 1, .sizes = UNIFORM(2 * KIB, 32 * KIB), .live = 10000, .rounds = 10000, .extra_seconds = 0.3},
    {.workload = &larson, .id = "larson-mid-4", .title = "2 to 32 KiB, 4 threads", .use = USE_QUICK, .threads = 4,
     .sizes = UNIFORM(2 * KIB, 32 * KIB), .live = 10000, .rounds = 10000, .extra_seconds = 0.6},
    {.workload = &larson, .id = "larson-small-2", .title = "8 to 1000 B, 2 threads", .use = USE_QUICK, .threads = 2,
     .sizes = UNIFORM(8, 1000), .live = 5000, .rounds = 100000},
    {.workload = &larson, .id = "larson-small-8", .title = "8 to 1000 B, 8 threads", .threads = 8,
     .sizes = UNIFORM(8, 1000), .live = 5000, .rounds = 100000},

    {.workload = &documents, .id = "burst-json-1", .title = "1 thread", .use = USE_QUICK | USE_CHECK, .threads = 1},
    {.workload = &documents, .id = "burst-json-4", .title = "4 threads", .threads = 4},
    {.workload = &requests, .id = "burst-requests-1", .title = "1 thread", .use = USE_QUICK, .threads = 1},
    {.workload = &requests, .id = "burst-requests-4", .title = "4 threads", .threads = 4},

    {.workload = &buffer_pool, .id = "locality-pool-1", .title = "1 thread", .use = USE_QUICK, .threads = 1,
     .sizes = UNIFORM(2 * KIB, 8 * KIB), .extra_seconds = 0.2},
    {.workload = &buffer_pool, .id = "locality-pool-4", .title = "4 threads, a pool each", .threads = 4,
     .sizes = UNIFORM(2 * KIB, 8 * KIB), .extra_seconds = 0.4},
    {.workload = &linked, .id = "locality-linked-fresh", .title = "fresh heap", .threads = 1},
    {.workload = &linked, .id = "locality-linked-aged", .title = "aged heap", .use = USE_QUICK | USE_CHECK,
     .threads = 1, .is_aged = true},
    {.workload = &linked, .id = "locality-linked-built", .title = "aged heap, building counts too", .threads = 1,
     .is_aged = true, .counts_building = true},

    MESSAGES(1, 1, USE_QUICK | USE_CHECK),
    MESSAGES(2, 2, 0),
    MESSAGES(4, 1, 0),
    MESSAGES(1, 4, 0),
    {.workload = &messages, .id = "messages-mute-small", .title = "1:1, 16 B to 1 KiB, the consumer never allocates",
     .threads = 2, .producers = 1, .sizes = UNIFORM(16, KIB), .live = 1024},
    {.workload = &messages, .id = "messages-mute-64k", .title = "1:1, 64 KiB, the consumer never allocates",
     .use = USE_QUICK, .threads = 2, .producers = 1, .sizes = UNIFORM(64 * KIB, 64 * KIB), .live = 64,
     .touches_pages = true},

    REMOTE_LANE("guard", 2 * KIB, USE_QUICK, 0),
    REMOTE_LANE("main", 32 * KIB, USE_CHECK, USE_QUICK),
    REMOTE_LANE("cross128", 128 * KIB, 0, 0),

    {.workload = &random_mixed, .id = "random-400", .title = "400 slots, 16 B to 2 KiB", .use = USE_QUICK, .threads = 1,
     .sizes = UNIFORM(16, 2 * KIB), .live = 400},
    {.workload = &random_mixed, .id = "random-8k", .title = "8,192 slots, 16 B to 1 KiB", .threads = 1,
     .sizes = UNIFORM(16, KIB), .live = 8192},
    {.workload = &random_mixed, .id = "random-256k", .title = "262,144 slots, 16 B to 1 KiB", .threads = 1,
     .sizes = UNIFORM(16, KIB), .live = 262144},
    {.workload = &random_mixed, .id = "random-app-1", .title = "4,096 slots, sizes of a typical program",
     .use = USE_QUICK | USE_CHECK, .threads = 1, .sizes = APP, .live = 4096},
    {.workload = &random_mixed, .id = "random-app-4", .title = "4,096 slots, sizes of a typical program, 4 threads",
     .threads = 4, .sizes = APP, .live = 4096},

    {.workload = &growth, .id = "realloc-vectors", .title = "64 vectors, to 1 MiB at most",
     .use = USE_QUICK | USE_CHECK, .threads = 1, .sizes = DOUBLINGS(KIB, MIB), .live = 64, .growth = GROW_DOUBLING},
    {.workload = &growth, .id = "realloc-huge", .title = "one vector, to 256 MiB", .threads = 1,
     .sizes = UNIFORM(256 * MIB, 256 * MIB), .live = 1, .growth = GROW_DOUBLING, .counted = 50, .extra_seconds = 0.3},
    {.workload = &growth, .id = "realloc-strings", .title = "256 strings, to 4 KiB at most", .threads = 1,
     .sizes = DOUBLINGS(64, 4 * KIB), .live = 256, .growth = GROW_BY_STEPS},
    {.workload = &zeroed, .id = "calloc-small", .title = "4,096 slots, 16 B to 2 KiB", .use = USE_QUICK, .threads = 1,
     .sizes = UNIFORM(16, 2 * KIB), .live = 4096, .allocation = CALL_CALLOC},
    {.workload = &zeroed, .id = "calloc-large", .title = "64 slots, 16 KiB to 4 MiB", .threads = 1,
     .sizes = DOUBLINGS(16 * KIB, 4 * MIB), .live = 64, .allocation = CALL_CALLOC, .counted = 100},
    {.workload = &large, .id = "large-ends", .title = "32 slots, ends touched", .threads = 1,
     .sizes = DOUBLINGS(64 * KIB, 32 * MIB), .live = 32, .counted = 100},
    {.workload = &large, .id = "large-pages", .title = "32 slots, every page touched", .use = USE_QUICK, .threads = 1,
     .sizes = DOUBLINGS(64 * KIB, 32 * MIB), .live = 32, .touches_pages = true, .counted = 100},
    {.workload = &aligned, .id = "aligned", .title = "4,096 slots, 16 B to 8 KiB", .use = USE_QUICK, .threads = 1,
     .sizes = DOUBLINGS(16, 8 * KIB), .live = 4096, .allocation = CALL_ALIGNED},

    {.workload = &thread_churn, .id = "thread-churn-1", .title = "one at a time", .use = USE_QUICK | USE_CHECK,
     .threads = 1, .sizes = UNIFORM(16, 2 * KIB)},
    {.workload = &thread_churn, .id = "thread-churn-4", .title = "four at a time", .threads = 4,
     .sizes = UNIFORM(16, 2 * KIB)},
    {.workload = &fork_server, .id = "fork-server-1", .title = "1 thread", .use = USE_QUICK, .threads = 1, .sizes = APP,
     .live = 50000, .extra_seconds = 0.1},
    {.workload = &fork_server, .id = "fork-server-3", .title = "2 other threads allocate", .threads = 3, .sizes = APP,
     .live = 50000, .extra_seconds = 0.1},
    {.workload = &false_sharing, .id = "sharing-active-2", .title = "active, 2 threads", .threads = 2,
     .sizes = UNIFORM(8, 8), .live = 8},
    {.workload = &false_sharing, .id = "sharing-passive-2", .title = "passive, 2 threads", .use = USE_QUICK,
     .threads = 2, .sizes = UNIFORM(8, 8), .live = 8, .is_passive = true},
    {.workload = &false_sharing, .id = "sharing-active-4", .title = "active, 4 threads", .threads = 4,
     .sizes = UNIFORM(8, 8), .live = 8},
    {.workload = &false_sharing, .id = "sharing-passive-4", .title = "passive, 4 threads", .threads = 4,
     .sizes = UNIFORM(8, 8), .live = 8, .is_passive = true},

    MEMORY("none", "nothing survives", SURVIVE_NONE, POWERS(512, 2 * KIB), 231000, 0),
    MEMORY("sparse", "1 block in 20 survives", SURVIVE_SPARSE, POWERS(512, 2 * KIB), 231000, USE_QUICK | USE_CHECK),
    MEMORY("pages", "a block for each 4 KiB survives", SURVIVE_PAGES, UNIFORM(512, 512), 540000, 0),
    MEMORY("newest", "the newest 5 % survive", SURVIVE_NEWEST, POWERS(512, 2 * KIB), 231000, 0),
    {.workload = &message_memory, .id = "messages-memory-592", .title = "4:1, 592 B", .use = USE_QUICK, .threads = 5,
     .producers = 4, .sizes = UNIFORM(592, 592), .live = 40000, .seconds = 5, .extra_seconds = 0.5},
    {.workload = &owners, .id = "owners-sleep", .title = "the owner sleeps", .use = USE_QUICK, .threads = 1,
     .sizes = UNIFORM(16, KIB), .live = 32000, .rounds = 20, .extra_seconds = 0.5},
    {.workload = &owners, .id = "owners-exit", .title = "the owner ends", .threads = 1,
     .sizes = UNIFORM(16, KIB), .live = 32000, .rounds = 20, .owner_exits = true, .extra_seconds = 0.5},
    {.workload = &thread_pool, .id = "thread-pool-200", .title = "200 threads", .use = USE_QUICK, .threads = 201,
     .sizes = APP, .live = 2000, .rounds = 4, .extra_seconds = 1, .idles = true},
    {.workload = &quiet, .id = "quiet-arrays", .title = "arrays", .use = USE_QUICK, .threads = 1, .rounds = 4,
     .busy = BUSY_ARRAYS, .extra_seconds = 3, .idles = true},
    {.workload = &quiet, .id = "quiet-queries", .title = "queries", .threads = 1, .rounds = 4,
     .busy = BUSY_QUERIES, .extra_seconds = 2, .idles = true},
    {.workload = &quiet, .id = "quiet-phases", .title = "phases of different sizes", .threads = 1, .rounds = 2,
     .busy = BUSY_KINDS, .extra_seconds = 5, .idles = true},
    {.workload = &fragmentation, .id = "day", .title = "half a second an hour", .use = USE_QUICK, .threads = 1,
     .seconds = 12, .extra_seconds = 1, .idles = true},
    {.workload = &mixed_lifetimes, .id = "mixed-lifetimes", .title = "a quarter of a second a phase",
     .use = USE_QUICK, .threads = 1, .seconds = 6, .extra_seconds = 1, .idles = true},

    {.workload = &latency_random, .id = "latency-random-1", .title = "1 thread", .use = USE_QUICK, .threads = 1,
     .sizes = APP, .live = 4096, .is_timed = true},
    {.workload = &latency_random, .id = "latency-random-4", .title = "4 threads", .threads = 4,
     .sizes = APP, .live = 4096, .is_timed = true},
    {.workload = &latency_remote, .id = "latency-remote-4", .title = "16 B to 32 KiB, 4 threads", .use = USE_QUICK,
     .threads = 4, .sizes = UNIFORM(16, 32 * KIB), .live = 400, .remote_percent = 50, .to_all = true, .is_timed = true},
    {.workload = &latency_requests, .id = "latency-requests-1", .title = "1 thread", .use = USE_QUICK, .threads = 1,
     .is_timed = true},
};

const size_t variant_count = sizeof variants / sizeof *variants;
