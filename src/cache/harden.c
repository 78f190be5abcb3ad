#include "cache/harden.h"

#include "cache/hold.h"
#include "cache/ring.h"
#include "cache/thread.h"
#include "heap/check.h"
#include "heap/map.h"
#include "heap/page.h"

static bool enter(struct cache *cache) { return cache->hold && cache_enter_as_fast(cache); }

NOINLINE void *harden_malloc(size_t size)
{
    size_t room = size + CHECK_MARK;
    struct cache *cache = cache_self;
    if (UNLIKELY(room > CLASS_TABLE_MAX || room < size || !enter(cache)))
        return NULL;
    unsigned c = class_of_table(room);
    struct block_array *array = &cache->ring[c].array; /* hidden for good */
    bool has_block = array_is_open(array) && !array_is_empty(array);
    array_note_use(array);
    void *block = LIKELY(has_block) ? hold_pop(cache->hold, array->slot, &array->top) : NULL;
    cache_leave_short(cache);
    if (LIKELY(block))
        check_begin(block, class_size(c), size, "malloc");
    return block;
}

/* Whether a block of the class begins at the address, which is in one of its pages. */
static bool is_start(const struct page *page, const void *block, const struct class_info *info)
{
    /* A page of one unit need not be asked where it begins. */
    size_t offset = info->units == 1 ? (uintptr_t)block % UNIT_SIZE : (size_t)((const char *)block - page->start);
    uint32_t index = class_offset_index(info, offset);
    return index < info->blocks && offset == (size_t)index * info->size;
}

NOINLINE bool harden_free(void *block, unsigned c)
{
    struct cache *cache = cache_self;
    const struct page *page = map_page(block);
    const struct class_info *info = &class_info[c];
    if (UNLIKELY(!page || !is_start(page, block, info) || !page->checked || !enter(cache)))
        return false;
    struct block_array *array = &cache->ring[c].array;
    bool has_room = array_is_open(array) && !array_is_full(array);
    array_note_use(array);
    void *oldest = NULL;
    if (LIKELY(has_room)) {
        check_end(block, info->size, "free", thread_count() > 1);
        oldest = hold_swap(cache->hold, c, block);
        if (LIKELY(oldest))
            array_push(array, oldest);
    }
    cache_leave_short(cache);
    if (oldest && !check_looks_at(info->size))
        check_free(oldest, info->size, "free");
    return has_room;
}
