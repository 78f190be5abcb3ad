#include "heap/check.h"

#include "base/atomic.h"
#include "heap/class.h"
#include "heap/map.h"
#include "heap/page.h"
#include "system/error.h"
#include "system/os_process.h"

enum {
    PATTERN = 0xA5,
    PATTERN_MOST = 64 /* bytes of it under HAKMEM_HARDEN: an overflow begins at the first */
};
#define SCRAMBLE ((uint64_t)0x9E3779B97F4A7C15)

/* The size in the mark of a block that is being handed out or freed. */
#define SIZE_CHANGING UINT64_MAX

static uint64_t secret; /* so that a mark cannot be made up */

void check_start(void)
{
    if (check_mode != CHECK_OFF)
        secret = os_random();
}

bool check_has_mark(const void *block) { return map_page(block)->checked; }

static _Atomic(uint64_t) *mark_of(const void *block, size_t have)
{
    return (_Atomic(uint64_t) *)((char *)block + have - CHECK_MARK);
}

/* Differs from block to block, so that a mark copied from another one does not pass. */
static uint64_t scramble(const void *block, uint64_t size) { return size ^ ((uintptr_t)block ^ secret) * SCRAMBLE; }

/* `size` is a multiple of 8, and the block of BLOCK_ALIGN. */
INLINE bool is_zero(const void *block, size_t size)
{
    typedef uint64_t pair __attribute__((vector_size(16), may_alias)); /* a register of every machine there is */
    const uint64_t *word = block, *end = (const uint64_t *)((const char *)block + size);
    for (; end - word >= 16; word += 16) {
        const pair *pairs = (const pair *)word;
        pair any = (pairs[0] | pairs[1]) | (pairs[2] | pairs[3]) | ((pairs[4] | pairs[5]) | (pairs[6] | pairs[7]));
        if (UNLIKELY((any[0] | any[1]) != 0))
            return false;
    }
    for (; word < end; word++)
        if (UNLIKELY(*word != 0))
            return false;
    return true;
}

static void clear(void *block, size_t size)
{
    enum { SHORT = 256 }; /* bytes for which a call takes longer */
    if (size > SHORT) {
        __builtin_memset(block, 0, size);
        return;
    }
    volatile uint64_t *word = block, *end = (uint64_t *)((char *)block + size); /* or the compiler makes a call of it */
    for (; word < end; word++)
        *word = 0;
}

/* Where the pattern behind `size` bytes ends. */
static size_t pattern_end(size_t size, size_t have)
{
    size_t end = have - CHECK_MARK;
    return check_mode >= CHECK_HARDENED ? min_size(end, size + PATTERN_MOST) : end;
}

INLINE bool has_pattern(const void *block, size_t size, size_t have)
{
    const unsigned char *bytes = block;
    for (size_t i = size, end = pattern_end(size, have); i < end; i++)
        if (bytes[i] != PATTERN)
            return false;
    return true;
}

INLINE void mark_set(void *block, size_t size, size_t have)
{
    for (size_t i = size, end = pattern_end(size, have); i < end; i++)
        ((unsigned char *)block)[i] = PATTERN;
    store_release(mark_of(block, have), scramble(block, size)); /* pairs with look_live */
}

void check_free(const void *block, size_t have, const char *call)
{
    if (UNLIKELY(!is_zero(block, have)))
        error_fatal(ERROR_WRITE_AFTER_FREE, call, block, have);
}

void check_begin(void *block, size_t have, size_t size, const char *call)
{
    _Atomic(uint64_t) *mark = mark_of(block, have);
    uint64_t changing = scramble(block, SIZE_CHANGING), before;
    if (have > CHECK_SMALL) {
        before = exchange_acquire(mark, changing); /* fresh memory that is read first costs two page faults */
    } else {
        before = load_relaxed(mark);
        store_relaxed(mark, changing);
    }
    if (UNLIKELY(before != 0 || (check_looks_at(have) && !is_zero(block, have - CHECK_MARK))))
        error_fatal(ERROR_WRITE_AFTER_FREE, call, block, have);
    mark_set(block, size, have);
}

bool check_resize(void *block, size_t have, size_t size)
{
    if (size > have - CHECK_MARK)
        return false;
    store_relaxed(mark_of(block, have), scramble(block, SIZE_CHANGING));
    mark_set(block, size, have);
    return true;
}

static COLD void check_fail(const void *block, uint64_t mark, size_t have, const char *call)
{
    bool is_free = scramble(block, mark) == SIZE_CHANGING || (mark == 0 && is_zero(block, have - CHECK_MARK));
    error_fatal(is_free ? ERROR_DOUBLE_FREE : ERROR_OVERFLOW, call, block, have);
}

/* The size that the mark tells, which may stand in the block no more. */
INLINE size_t mark_verify(const void *block, uint64_t mark, size_t have, const char *call)
{
    uint64_t size = scramble(block, mark);
    if (UNLIKELY(size > have - CHECK_MARK || !has_pattern(block, size, have)))
        check_fail(block, mark, have, call);
    return size;
}

/* The mark goes first and comes last: pairs with look_live. */
void check_end(void *block, size_t have, const char *call, bool is_shared)
{
    _Atomic(uint64_t) *place = mark_of(block, have);
    uint64_t changing = scramble(block, SIZE_CHANGING), mark;
    if (is_shared) {
        mark = exchange_acquire(place, changing);
    } else {
        mark = load_relaxed(place);
        store_relaxed(place, changing);
    }
    mark_verify(block, mark, have, call);
    clear(block, have - CHECK_MARK);
    store_release(place, 0);
}

size_t check_verify(const void *block, unsigned class_id, const char *call)
{
    enum error_id error;
    size_t have = class_size(class_id);
    if (!page_check_block(block, &error))
        error_fatal(error, call, block, have);
    return check_has_mark(block) ? mark_verify(block, load_relaxed(mark_of(block, have)), have, call) : have;
}

/* ---- All blocks -------------------------------------------------------------------------------------------------- */

/* Other threads may be handing the block out or freeing it: a mark says so, or is another one afterwards. */
static bool look_live(const void *block, size_t have)
{
    _Atomic(uint64_t) *place = mark_of(block, have);
    uint64_t mark = load_acquire(place), size = scramble(block, mark); /* pairs with mark_set and check_end */
    if (size == SIZE_CHANGING || (mark == 0 && is_zero(block, have)) ||
        (size <= have - CHECK_MARK && has_pattern(block, size, have)))
        return true;
    atomic_thread_fence(memory_order_acquire);
    return load_relaxed(place) != mark;
}

static bool look_block(const struct page *page, const void *block, size_t have, bool *is_free)
{
    enum error_id error;
    *is_free = !page_has_live(page, block, &error);
    if (!*is_free)
        return look_live(block, have);
    /* Unless it was handed out meanwhile. */
    return is_zero(block, have) || page_has_live(page, block, &error);
}

static void check_block(const struct page *page, const void *block, const char *call)
{
    enum { LOOKS = 3 }; /* a block may have been freed and handed out again in between */
    size_t have = class_size(page->class_id);
    bool is_free, is_good = false;
    for (unsigned i = 0; i < LOOKS && !is_good; i++)
        is_good = look_block(page, block, have, &is_free);
    if (!is_good)
        error_fatal(is_free ? ERROR_WRITE_AFTER_FREE : ERROR_OVERFLOW, call, block, have);
}

static void check_page(struct page *page, void *call)
{
    const struct class_info *info = &class_info[page->class_id];
    for (unsigned i = 0; page->checked && i < load_relaxed(&page->virgin); i++)
        check_block(page, page->start + (size_t)i * info->size, call);
}

COLD void check_all(const char *call) { page_each(check_page, (void *)(uintptr_t)call); }
