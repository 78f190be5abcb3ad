/* memory.c - pages of memory, who would have which of them resident, and what that costs.
 * SPDX-License-Identifier: MIT */
#include "retention.h"

#include <stdlib.h>
#include <uthash.h>

enum { CHUNK_SHIFT = 21, CHUNK_PAGES = 1 << (CHUNK_SHIFT - MEMORY_PAGE_SHIFT), ALL_FOLLOWERS = (1 << FOLLOWERS) - 1 };

struct chunk {
    UT_hash_handle hh;
    uintptr_t number;
    struct page page[CHUNK_PAGES];
};

struct memory memory;
uintptr_t memory_moving_start, memory_moving_end;

static struct chunk *chunks;
static struct {
    uint64_t *us; /* lengths of gaps that have ended, in the order of that */
    size_t count, capacity;
} gaps;

void memory_start(void) { TAILQ_INIT(&memory.free); }

static struct chunk *chunk_find(uintptr_t number)
{
    static struct chunk *last;
    if (!last || last->number != number)
        HASH_FIND(hh, chunks, &number, sizeof number, last);
    return last;
}

struct page *memory_page_known(uintptr_t address)
{
    struct chunk *chunk = chunk_find(address >> CHUNK_SHIFT);
    return chunk ? &chunk->page[address >> MEMORY_PAGE_SHIFT & (CHUNK_PAGES - 1)] : NULL;
}

struct page *memory_page(uintptr_t address)
{
    struct page *known = memory_page_known(address);
    if (known)
        return known;
    struct chunk *chunk = calloc(1, sizeof *chunk);
    if (!chunk)
        fail("memory is out");
    chunk->number = address >> CHUNK_SHIFT;
    HASH_ADD(hh, chunks, number, sizeof chunk->number, chunk);
    return memory_page_known(address);
}

static void gap_note(uint64_t us)
{
    if (gaps.count == gaps.capacity) {
        gaps.capacity = gaps.capacity ? 2 * gaps.capacity : 1 << 16;
        gaps.us = realloc(gaps.us, gaps.capacity * sizeof *gaps.us);
        if (!gaps.us)
            fail("memory is out");
    }
    gaps.us[gaps.count++] = us;
}

void memory_pass(uint64_t us)
{
    for (unsigned i = 0; i < FOLLOWERS; i++)
        memory.follower[i].kept_us += memory.kept[i] * us;
    memory.in_use_us += memory.in_use * us;
}

/* The page is no longer free. */
static void page_unlist(struct page *page)
{
    struct page *next = TAILQ_NEXT(page, by_age);
    TAILQ_REMOVE(&memory.free, page, by_age);
    for (unsigned i = 0; i < FOLLOWERS; i++) {
        memory.kept[i] -= page->resident >> i & 1;
        if (memory.oldest[i] == page)
            memory.oldest[i] = next;
    }
}

static void page_wake(struct page *page)
{
    if (page->state == PAGE_FRESH)
        memory.first_touches++;
    if (page->state == PAGE_TOUCHED) {
        gap_note(now_us - page->free_since);
        page_unlist(page);
        for (unsigned i = 0; i < FOLLOWERS; i++)
            memory.follower[i].faults += !(page->resident >> i & 1);
    }
    page->state = PAGE_TOUCHED;
    page->resident = ALL_FOLLOWERS;
    memory.in_use++;
    size_t resident = memory.in_use + memory.kept[FOLLOWER_LAW];
    if (memory.in_use > memory.in_use_most)
        memory.in_use_most = memory.in_use;
    if (resident > memory.law_most)
        memory.law_most = resident;
}

static void page_rest(struct page *page)
{
    memory.in_use--;
    if (page->state == PAGE_FRESH) /* what was there has been moved */
        return;
    page->free_since = now_us;
    TAILQ_INSERT_TAIL(&memory.free, page, by_age);
    for (unsigned i = 0; i < FOLLOWERS; i++) {
        memory.kept[i] += page->resident >> i & 1;
        if (!memory.oldest[i])
            memory.oldest[i] = page;
    }
    peers_page_freed();
}

void memory_take(uintptr_t start, uintptr_t end)
{
    for (uintptr_t at = start & -(uintptr_t)MEMORY_PAGE; at < end; at += MEMORY_PAGE) {
        struct page *page = memory_page(at);
        if (page->blocks++ == 0)
            page_wake(page);
    }
}

void memory_give(uintptr_t start, uintptr_t end)
{
    for (uintptr_t at = start & -(uintptr_t)MEMORY_PAGE; at < end; at += MEMORY_PAGE) {
        struct page *page = memory_page(at);
        if (--page->blocks == 0)
            page_rest(page);
    }
}

void memory_drop(enum follower follower, struct page *page)
{
    if (!(page->resident >> follower & 1))
        return;
    page->resident &= (uint8_t) ~(1u << follower);
    memory.kept[follower] -= page->blocks == 0;
}

bool memory_drop_oldest(enum follower follower)
{
    struct page **oldest = &memory.oldest[follower];
    while (*oldest && !((*oldest)->resident >> follower & 1))
        *oldest = TAILQ_NEXT(*oldest, by_age);
    if (*oldest)
        memory_drop(follower, *oldest);
    return *oldest != NULL;
}

void memory_purged(uintptr_t start, size_t size)
{
    for (uintptr_t at = start; at < start + size; at += MEMORY_PAGE) {
        struct page *page = memory_page_known(at);
        if (!page || page->state == PAGE_FRESH)
            continue;
        if (page->blocks > 0 && (at < memory_moving_start || at >= memory_moving_end))
            fail("memory in use was purged, at %#zx", (size_t)at);
        memory_drop(FOLLOWER_LAW, page);
    }
}

void memory_moved(uintptr_t from, size_t size, uintptr_t to)
{
    for (size_t at = 0; at < size; at += MEMORY_PAGE) {
        struct page *old = memory_page(from + at), *new = memory_page(to + at);
        if (old->state == PAGE_FRESH)
            continue;
        if (new->state == PAGE_TOUCHED)
            page_unlist(new);
        new->state = PAGE_MOVED_IN;
        old->state = PAGE_FRESH;
        old->resident = 0;
    }
}

/* ---- Judged when all gaps are known ------------------------------------------------------------------------------ */

/* Where a gap is kept through for `delay_us` at most. */
static void delay_add(struct account *account, uint64_t gap_us, uint64_t delay_us, bool ended)
{
    account->kept_us += gap_us < delay_us ? gap_us : delay_us;
    account->faults += ended && gap_us >= delay_us;
}

struct account memory_by_delay(uint64_t delay_us)
{
    struct account account = {0};
    struct page *page;
    for (size_t i = 0; i < gaps.count; i++)
        delay_add(&account, gaps.us[i], delay_us, true);
    TAILQ_FOREACH(page, &memory.free, by_age)
        delay_add(&account, now_us - page->free_since, delay_us, false);
    return account;
}

struct account memory_in_hindsight(void)
{
    struct account account = {0};
    for (size_t i = 0; i < gaps.count; i++) {
        bool is_kept = gaps.us[i] <= options.price_us;
        account.kept_us += is_kept ? gaps.us[i] : 0;
        account.faults += !is_kept;
    }
    return account;
}

static int us_compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

struct account memory_with_faults(uint64_t faults)
{
    struct account account = {.faults = faults < gaps.count ? faults : gaps.count};
    qsort(gaps.us, gaps.count, sizeof *gaps.us, us_compare);
    for (size_t i = 0; i < gaps.count - account.faults; i++)
        account.kept_us += gaps.us[i];
    return account;
}
