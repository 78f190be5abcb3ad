/* day.c - a day of a server in some seconds: what it allocates changes from hour to hour, and so does how much.
 * SPDX-License-Identifier: MIT */
#include "workloads.h"

enum {
    HOURS = 24,
    BAG_CAPACITY = 1 << 20,
    SESSION_CAPACITY = 1 << 17,
    SESSION_HOURS = 6,
    BLOCKS_PER_SESSION = 20,
    STEPS_PER_SAMPLE = 4096
};

#define MIB ((size_t)1 << 20)

/* What is alive at most in each hour, in MiB: little at night, most in the afternoon. */
static const unsigned char hour_mib[HOURS] = {20, 15, 12, 10, 10, 15, 25, 40, 60, 75, 80, 80,
                                              70, 75, 90, 90, 85, 70, 60, 50, 45, 40, 30, 25};

/* Each lasts for an hour, then the next one comes. */
static const struct sizes mixes[] = {
    {.kind = SIZES_UNIFORM, .min = 16, .max = 256},
    {.kind = SIZES_APP},
    {.kind = SIZES_LOG, .min = 1024, .max = 8192},
    {.kind = SIZES_LOG, .min = 4096, .max = 65536},
};

/* Blocks from which a random one can be taken. */
struct bag {
    struct block *blocks;
    size_t count, capacity, bytes;
};

struct day {
    struct bag bag;                     /* to be freed at random */
    struct bag sessions[SESSION_HOURS]; /* to be freed together, some hours later */
    double resident_sum, live_sum;      /* over all samples */
};

static void bag_init(struct bag *bag, size_t capacity)
{
    *bag = (struct bag){.blocks = own_alloc(capacity * sizeof(struct block)), .capacity = capacity};
}

static void bag_add(struct bag *bag, struct block block)
{
    if (bag->count == bag->capacity)
        fail("a bag is full");
    bag->blocks[bag->count++] = block;
    bag->bytes += block.size;
}

static void bag_free(struct worker *worker, struct bag *bag, size_t number)
{
    struct block block = bag->blocks[number];
    bag->blocks[number] = bag->blocks[--bag->count];
    bag->bytes -= block.size;
    block_free(worker, &block);
}

static void bag_empty(struct worker *worker, struct bag *bag)
{
    while (bag->count > 0)
        bag_free(worker, bag, bag->count - 1);
}

static size_t day_live(const struct day *day)
{
    size_t bytes = day->bag.bytes;
    for (unsigned i = 0; i < SESSION_HOURS; i++)
        bytes += day->sessions[i].bytes;
    return bytes;
}

static void day_sample(struct day *day)
{
    rss_sample();
    day->resident_sum += (double)(rss_now() - run.rss[RSS_START]);
    day->live_sum += (double)day_live(day);
}

/* Blocks come and go until twice as much was allocated as may live. One in twenty belongs to a session, which stays. */
static void hour_work(struct worker *worker, struct day *day, unsigned hour)
{
    const struct sizes *mix = &mixes[hour % (sizeof mixes / sizeof *mixes)];
    struct bag *session = &day->sessions[hour % SESSION_HOURS];
    size_t limit = hour_mib[hour] * MIB;
    bag_empty(worker, session);
    uint64_t steps = 0;
    for (size_t allocated = 0; allocated < 2 * limit; steps++) {
        while (day->bag.count > 0 && day->bag.bytes >= limit)
            bag_free(worker, &day->bag, random_below(&worker->random, day->bag.count));
        size_t size = size_draw(&worker->random, mix);
        bag_add(steps % BLOCKS_PER_SESSION == 0 ? session : &day->bag, block_make(worker, size));
        allocated += size;
        if (steps % STEPS_PER_SAMPLE == 0)
            day_sample(day);
    }
    worker->operations += steps;
}

static void day_work(struct worker *worker)
{
    struct day day = {0};
    bag_init(&day.bag, BAG_CAPACITY);
    for (unsigned i = 0; i < SESSION_HOURS; i++)
        bag_init(&day.sessions[i], SESSION_CAPACITY);
    worker->counted = UINT64_MAX;
    worker_start(worker);
    rss_note(RSS_START);
    steady_begin();
    for (unsigned hour = 0; hour < HOURS; hour++) {
        uint64_t begin = clock_ns();
        hour_work(worker, &day, hour);
        double left = run.seconds / HOURS - (double)(clock_ns() - begin) * 1e-9;
        rss_sleep(left > 0 ? left : 0);
        day_sample(&day);
    }
    steady_end();
    run.value = day.resident_sum / day.live_sum;
    bag_empty(worker, &day.bag);
    for (unsigned i = 0; i < SESSION_HOURS; i++)
        bag_empty(worker, &day.sessions[i]);
    rss_settle();
}

static void day_run(void) { workers_run(day_work); }

const struct workload fragmentation = {
    .name = "day",
    .group = "memory",
    .title = "A day of fragmentation",
    .about = "Twenty-four phases of a server's day: the mix of sizes changes every hour, the amount of live memory "
             "goes from 10 MB at night "
             "to 90 MB and back, and some blocks of each hour stay for six. Blocks are freed in random order, so that "
             "holes of "
             "one mix have to serve the next. The value is resident memory divided by live memory, on average.",
    .kind = "memory",
    .unit = "bytes resident per byte alive",
    .better = "lower",
    .run = day_run,
};
