/* burst.c - much is allocated in a short time and dropped together: documents of a JSON parser, and requests with idle
 * gaps between them.
 * SPDX-License-Identifier: MIT */
#include "workloads.h"

/* ---- A document -------------------------------------------------------------------------------------------------- */

enum { RECORDS = 500, FIRST_CAPACITY = 4, DEPTH_MAX = 2 };

/* A value of a list. Strings and numbers are plain blocks; a member of an array has no key. */
struct member {
    struct block key;
    struct block value;
    bool is_list;
};

/* The content of a block: an object or an array, whose members are in a block of their own that grows by realloc. */
struct list {
    struct block_head head;
    uint32_t count, capacity;
    struct block members;
    uint64_t tail;
};

static struct list *list_of(const struct block *block)
{
    block_check(block);
    return block->data;
}

static struct member *list_members(const struct list *list)
{
    block_check(&list->members);
    return (struct member *)((char *)list->members.data + sizeof(struct block_head));
}

static struct block list_make(struct worker *worker)
{
    struct block block = block_make(worker, sizeof(struct list));
    struct list *list = block.data;
    list->count = list->capacity = 0;
    return block;
}

static void list_grow(struct worker *worker, struct list *list)
{
    uint32_t capacity = list->capacity == 0 ? FIRST_CAPACITY : 2 * list->capacity;
    size_t size = sizeof(struct block_head) + capacity * sizeof(struct member) + sizeof list->tail;
    if (list->capacity == 0)
        list->members = block_make(worker, size);
    else
        block_resize(worker, &list->members, size);
    list->capacity = capacity;
}

static void list_add(struct worker *worker, const struct block *block, struct member member)
{
    struct list *list = list_of(block);
    if (list->count == list->capacity)
        list_grow(worker, list);
    list_members(list)[list->count++] = member;
}

static void list_drop(struct worker *worker, struct block *block)
{
    struct list *list = list_of(block);
    struct member *members = list->count > 0 ? list_members(list) : NULL;
    for (uint32_t i = 0; i < list->count; i++) {
        if (members[i].key.data != NULL)
            block_free(worker, &members[i].key);
        if (members[i].is_list)
            list_drop(worker, &members[i].value);
        else
            block_free(worker, &members[i].value);
    }
    if (members != NULL)
        block_free(worker, &list->members);
    block_free(worker, block);
}

/* As long as the words and sentences in such documents; the parser copies all of it. */
static struct block text_make(struct worker *worker)
{
    uint64_t percent = random_below(&worker->random, 100);
    size_t length = percent < 75   ? size_between(&worker->random, 8, 30)
                    : percent < 95 ? size_between(&worker->random, 31, 120)
                                   : size_between(&worker->random, 121, 1000);
    struct block block = block_make(worker, length + 1);
    if (length > sizeof(struct block_head))
        memset((char *)block.data + sizeof(struct block_head), 'a', length - sizeof(struct block_head));
    return block;
}

static struct block record_make(struct worker *worker, unsigned depth);

static struct member member_make(struct worker *worker, bool has_key, unsigned depth)
{
    enum { NUMBER_SIZE = 24 };
    struct member member = {0};
    if (has_key)
        member.key = block_make(worker, size_between(&worker->random, 8, 20));
    uint64_t percent = random_below(&worker->random, 100);
    member.is_list = percent >= 80 && depth < DEPTH_MAX;
    if (member.is_list)
        member.value = record_make(worker, depth + 1);
    else
        member.value = percent < 50 ? text_make(worker) : block_make(worker, NUMBER_SIZE);
    return member;
}

static struct block record_make(struct worker *worker, unsigned depth)
{
    bool is_object = random_percent(&worker->random, 70);
    uint64_t count = 2 + random_below(&worker->random, 11);
    struct block block = list_make(worker);
    for (uint64_t i = 0; i < count; i++)
        list_add(worker, &block, member_make(worker, is_object, depth));
    return block;
}

static void documents_work(struct worker *worker)
{
    worker_start(worker);
    uint64_t made;
    do {
        made = worker->made;
        struct block document = list_make(worker);
        for (unsigned i = 0; i < RECORDS; i++)
            list_add(worker, &document, (struct member){.value = record_make(worker, 0), .is_list = true});
        list_drop(worker, &document);
    } while (worker_goes_on(worker, worker->made - made));
}

static void documents_run(void) { workers_run(documents_work); }

const struct workload documents = {
    .name = "burst-json",
    .group = "burst",
    .title = "JSON documents",
    .about = "Builds the tree of a JSON document of some 20,000 values (objects, arrays that grow by realloc, keys, "
             "strings, "
             "numbers), drops the whole tree, and builds the next one. An operation is one block made and dropped.",
    .kind = "throughput",
    .unit = "operations/s",
    .better = "higher",
    .run = documents_run,
};

/* ---- Requests ---------------------------------------------------------------------------------------------------- */

enum { REQUEST_MIN = 50, REQUEST_DOUBLINGS = 6, REQUEST_MAX = REQUEST_MIN << REQUEST_DOUBLINGS };
enum { GAP_NS = 500000, LONG_GAP_NS = 20000000, REQUESTS_PER_LONG_GAP = 32 };

/* Of each three blocks, one is temporary; the others live until the answer is sent. Returns how many were made. */
static size_t request_serve(struct worker *worker, struct block *blocks)
{
    static const struct sizes sizes = {.kind = SIZES_APP};
    size_t base = (size_t)REQUEST_MIN << random_below(&worker->random, REQUEST_DOUBLINGS);
    size_t count = size_between(&worker->random, base, 2 * base);
    for (size_t i = 0; i < count; i++) {
        blocks[i] = block_make(worker, size_draw(&worker->random, &sizes));
        if (i % 3 == 2)
            block_free(worker, &blocks[i]);
    }
    for (size_t i = 0; i < count; i++)
        if (blocks[i].data != NULL)
            block_free(worker, &blocks[i]);
    return count;
}

static void requests_work(struct worker *worker)
{
    struct block *blocks = own_alloc(REQUEST_MAX * sizeof *blocks);
    uint64_t served = 0;
    size_t count;
    worker_start(worker);
    do {
        uint64_t begin = clock_ns();
        count = request_serve(worker, blocks);
        worker->busy_ns += clock_ns() - begin;
        sleep_ns(++served % REQUESTS_PER_LONG_GAP == 0 ? LONG_GAP_NS : GAP_NS);
    } while (worker_goes_on(worker, count));
}

static void requests_run(void) { workers_run(requests_work); }

const struct workload requests = {
    .name = "burst-requests",
    .group = "burst",
    .title = "Requests",
    .about = "Each request makes 50 to 3,200 blocks in the sizes of a typical program, frees a third at once and the "
             "rest when it "
             "is answered; then the thread sleeps, half a millisecond or, at times, 20. Only the time of the requests "
             "counts. An operation is one block made and freed.",
    .kind = "throughput",
    .unit = "operations/s while busy",
    .better = "higher",
    .run = requests_run,
};

const struct workload latency_requests = {
    .name = "latency-requests",
    .group = "latency",
    .title = "Latency in requests",
    .about = "The requests with idle gaps, where every malloc and every free is timed by itself with the cycle "
             "counter. Shows what "
             "it costs to wake up after a gap in which memory may have been given back.",
    .kind = "latency",
    .unit = "ns, 99.9th percentile of malloc",
    .better = "lower",
    .run = requests_run,
};
