/* pool.c - the buffer pool of a database: pages that come and go, read by transactions that make copies of rows.
 * SPDX-License-Identifier: MIT */
#include "workloads.h"

enum {
    PAGES = 32768, /* of the database */
    HOT_PAGES = 6500,
    FRAMES = 8192, /* that the pool has room for */
    ACCESSES = 8,  /* of a transaction */
    ROWS_READ = 3, /* at each access */
    NO_FRAME = UINT16_MAX,
};

/* What the pool knows of a page that it holds; itself a block. */
struct descriptor {
    struct block_head head;
    struct block image, directory;
    uint32_t page;
    uint32_t reads;
    uint64_t tail;
};

struct frame {
    struct block descriptor;
    bool is_recent;
};

struct pool {
    struct frame frames[FRAMES];
    uint16_t frame_of[PAGES];
    uint32_t hand; /* of the clock that looks for a victim */
};

/* A row that a transaction has copied, in a list with the others. */
struct row {
    struct block_head head;
    struct block next;
    uint64_t content[];
};

static struct descriptor *descriptor_of(const struct frame *frame)
{
    block_check(&frame->descriptor);
    return frame->descriptor.data;
}

static void frame_empty(struct worker *worker, struct pool *pool, struct frame *frame)
{
    struct descriptor *descriptor = descriptor_of(frame);
    pool->frame_of[descriptor->page] = NO_FRAME;
    block_free(worker, &descriptor->image);
    block_free(worker, &descriptor->directory);
    block_free(worker, &frame->descriptor);
}

/* Compressed, so that no two pages need be of one size. */
static void frame_fill(struct worker *worker, struct pool *pool, struct frame *frame, uint32_t page)
{
    frame->descriptor = block_make(worker, sizeof(struct descriptor));
    struct descriptor *descriptor = frame->descriptor.data;
    descriptor->image = block_make(worker, size_draw(&worker->random, &run.variant->sizes));
    descriptor->directory = block_make(worker, size_between(&worker->random, 128, 512));
    descriptor->page = page;
    descriptor->reads = 0;
    pages_write(&descriptor->image, 0, descriptor->image.size);
    pool->frame_of[page] = (uint16_t)(frame - pool->frames);
}

/* The next frame that is empty, or was not read since the hand came by last. */
static struct frame *victim_find(struct pool *pool)
{
    for (;;) {
        struct frame *frame = &pool->frames[pool->hand];
        pool->hand = (pool->hand + 1) % FRAMES;
        if (frame->descriptor.data == NULL || !frame->is_recent)
            return frame;
        frame->is_recent = false;
    }
}

static struct frame *page_get(struct worker *worker, struct pool *pool, uint32_t page)
{
    if (pool->frame_of[page] != NO_FRAME)
        return &pool->frames[pool->frame_of[page]];
    struct frame *frame = victim_find(pool);
    if (frame->descriptor.data != NULL)
        frame_empty(worker, pool, frame);
    frame_fill(worker, pool, frame, page);
    return frame;
}

static void row_copy(struct worker *worker, const struct block *image, struct block *rows)
{
    size_t size = size_between(&worker->random, 40, 400);
    struct block block = block_make(worker, size);
    struct row *row = block.data;
    row->next = *rows;
    size_t words = (size - sizeof *row - 1) / sizeof(uint64_t);
    size_t offset = random_below(&worker->random, image->size - size + 1);
    memcpy(row->content, (char *)image->data + offset, words * sizeof(uint64_t));
    *rows = block;
}

/* Eight of ten reads go to a fifth of the pages. */
static void page_read(struct worker *worker, struct pool *pool, struct block *rows)
{
    bool is_hot = random_percent(&worker->random, 80);
    uint32_t page = (uint32_t)random_below(&worker->random, is_hot ? HOT_PAGES : PAGES);
    struct frame *frame = page_get(worker, pool, page);
    struct descriptor *descriptor = descriptor_of(frame);
    frame->is_recent = true;
    descriptor->reads++;
    block_check(&descriptor->directory);
    for (unsigned i = 0; i < ROWS_READ; i++)
        row_copy(worker, &descriptor->image, rows);
}

static void rows_drop(struct worker *worker, struct block *rows)
{
    while (rows->data != NULL) {
        block_check(rows);
        struct block next = ((struct row *)rows->data)->next;
        block_free(worker, rows);
        *rows = next;
    }
}

static void pool_work(struct worker *worker)
{
    struct pool *pool = own_alloc(sizeof *pool);
    memset(pool->frame_of, 0xFF, sizeof pool->frame_of);
    struct block rows = {0};
    for (uint32_t page = 0; page < FRAMES; page++)
        page_get(worker, pool, page);
    worker_start(worker);
    do {
        for (unsigned i = 0; i < ACCESSES; i++)
            page_read(worker, pool, &rows);
        rows_drop(worker, &rows);
    } while (worker_goes_on(worker, ACCESSES));
    for (unsigned i = 0; i < FRAMES; i++)
        frame_empty(worker, pool, &pool->frames[i]);
}

static void pool_run(void) { workers_run(pool_work); }

const struct workload buffer_pool = {
    .name = "locality-pool",
    .group = "locality",
    .title = "Buffer pool",
    .about =
        "A database's pool of 8,192 compressed pages (2 to 8 KiB, each with a descriptor and a directory) for a "
        "database "
        "four times as large. Transactions read hot and cold pages, copy rows from them and drop the copies; a page "
        "that is missing replaces one that was not read for long. An operation is one read of a page.",
    .kind = "throughput",
    .unit = "operations/s",
    .better = "higher",
    .run = pool_run,
};
