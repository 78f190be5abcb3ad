#include "cache/array.h"

#include "heap/meta.h"
#include "heap/page.h"
#include "system/lock.h"

void *const array_nothing[ARRAY_SENTINELS] = {NULL, NULL};

static size_t array_size(uint32_t capacity) { return (ARRAY_SENTINELS + capacity) * sizeof(void *); }

/* `slot` is an array's, or NULL. */
static void array_free(void **slot, uint32_t capacity)
{
    if (slot && lock_acquire()) {
        meta_free(META_OTHER, slot - (ARRAY_SENTINELS - 1), array_size(capacity));
        lock_release();
    }
}

void array_forget(struct block_array *array)
{
    array->slot = NULL;
    array->top = ARRAY_CLOSED;
    array->capacity = array->marks = 0;
    array->swept = ARRAY_NOT_SWEPT;
    array_publish(array);
}

bool array_resize(struct block_array *array, uint32_t capacity)
{
    if (!meta_acquire(META_OTHER, array_size(capacity)))
        return false;
    void **memory = meta_alloc(META_OTHER, array_size(capacity));
    lock_release();
    if (!memory)
        return false;
    void **slot = memory + ARRAY_SENTINELS - 1, **old = array->slot;
    uint32_t old_capacity = array->capacity;
    size_t used = old ? array_entries(array) : 0;
    HAK_ASSERT(used <= capacity && capacity > 0);
    memory[0] = slot[0] = NULL;
    for (size_t i = 1; i <= used; i++)
        slot[i] = old[i];
    array->slot = slot;
    array->capacity = (uint16_t)capacity;
    array->swept = ARRAY_NOT_SWEPT;
    array->top = slot + used;
    array_free(old, old_capacity);
    return true;
}

void array_close(struct block_array *array)
{
    void **slot = array->slot;
    uint32_t capacity = array->capacity;
    HAK_ASSERT(array_is_open(array) && array_is_empty(array) && array->marks == 0);
    array_forget(array);
    array_free(slot, capacity);
}

COLD unsigned array_unmark_some(struct block_array *array, unsigned count)
{
    void **to = array->slot + 1, **end = to + count;
    HAK_ASSERT(count <= array_entries(array));
    for (void **from = to; from != end; from++)
        if (*from)
            *to++ = *from;
    __builtin_memmove(to, end, (size_t)(array->top + 1 - end) * sizeof *to);
    array->top -= end - to;
    array->marks = (uint16_t)(array->marks - (end - to));
    return (unsigned)(to - (array->slot + 1));
}

void array_drop_oldest(struct block_array *array, size_t count)
{
    void **first = array->slot + 1;
    HAK_ASSERT(count <= array_entries(array));
    array->top -= count;
    __builtin_memmove(first, first + count, array_entries(array) * sizeof *first);
}

void array_return_oldest(struct block_array *array, size_t count, const char *call)
{
    unsigned blocks = array_unmark(array, (unsigned)count);
    page_return(array->slot + 1, blocks, call);
    array_drop_oldest(array, blocks);
}

bool array_is_valid(const struct block_array *array, void *const *top)
{
    if (!array_is_open(array))
        return top == ARRAY_CLOSED && array->capacity == 0 && array->marks == 0;
    if (array->slot[0] || array->slot[-1] || top < array->slot || top > array->slot + array->capacity)
        return false;
    unsigned marks = 0;
    for (; top != array->slot; top--)
        marks += *top == NULL;
    return marks == array->marks;
}
