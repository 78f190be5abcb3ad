#include "heap/map.h"

#include "system/lock.h"
#include "system/os.h"

#define WINDOW_MIN ((size_t)1 << 38) /* bytes; its table takes 4 MiB of address space */
#define WINDOW_MAX ((size_t)1 << 40)
#define WINDOW_PER_MEMORY 8

static unsigned open_views = VIEW_COUNT; /* [lock] */
static _Atomic(uint8_t) no_classes;
#define EMPTY {.classes = &no_classes, .unit_mask = 0, .size_end = 0}
struct map_window map_window[VIEW_COUNT] = {EMPTY, EMPTY, EMPTY};

SPARSE struct map_leaf *_Atomic map_root[MAP_ROOTS];

/* Makes page entries for [start, start + size) writable; false when memory is out. */
static COLD bool leaves_make(const char *start, size_t size)
{
    uintptr_t first = (uintptr_t)start >> 32, last = ((uintptr_t)start + size - 1) >> 32;
    if (last >= MAP_ROOTS)
        return false;
    for (uintptr_t i = first; i <= last; i++) {
        void *leaf;
        if (load_relaxed(&map_root[i]))
            continue;
        if (os_map(sizeof(struct map_leaf), 1, NULL, &leaf))
            return false;
        store_release(&map_root[i], leaf); /* pairs with map_page_entry */
    }
    return true;
}

static bool entries_claim(const char *start, size_t entries)
{
    for (size_t offset = 0; offset < entries; offset += UNIT_SIZE)
        if (map_class(start + offset) != 0)
            return false;
    for (size_t offset = 0; offset < entries; offset += UNIT_SIZE)
        store_relaxed(map_class_entry(start + offset), CLASS_RESERVED);
    return true;
}

void map_open_views(unsigned count)
{
    HAK_ASSERT(lock_is_held() && (map_window[VIEW_OWN].unit_mask == 0 || count == open_views));
    open_views = count;
}

static COLD bool window_make(void)
{
    if (map_window[VIEW_OWN].unit_mask != 0)
        return true;
    size_t window = WINDOW_MIN;
    while (window < WINDOW_MAX && window / WINDOW_PER_MEMORY < os_memory_size())
        window *= 2;
    void *table;
    if (os_map(window >> UNIT_SHIFT, 1, NULL, &table))
        return false;
    for (unsigned view = 0; view < open_views; view++)
        map_window[view] = (struct map_window){
            .classes = table, .unit_mask = (window >> UNIT_SHIFT) - 1, .size_end = CLASS_TABLE_MAX + 1};
    store_relaxed(map_class_entry(NULL), CLASS_RESERVED); /* NULL is never taken for a block, wherever the heap lies */
    return true;
}

COLD bool map_obtain(size_t size, size_t align, size_t entries, void *hint, void **out)
{
    HAK_ASSERT(lock_is_held());
    enum { TRIES = 20 };
    /* What would share entries is kept until a place is found, so that the system does not offer it again; and it is
     * asked for places twice as far away each time, since what lies beside it would share entries, too. */
    void *refused[TRIES];
    unsigned tries = 0;
    bool found = false;
    while (!found && tries < TRIES && window_make() && os_map(size, align, hint, out) == 0) {
        found = leaves_make(*out, entries) && entries_claim(*out, entries);
        if (!found) {
            hint = (char *)((uintptr_t)*out - (SUPERSLAB_SIZE << tries));
            refused[tries++] = *out;
        }
    }
    while (tries > 0)
        os_unmap(refused[--tries], size);
    return found;
}

void map_give_up(const void *start, size_t entries)
{
    HAK_ASSERT(lock_is_held());
    for (size_t offset = 0; offset < entries; offset += UNIT_SIZE)
        store_relaxed(map_class_entry((const char *)start + offset), 0);
}

void map_set(const void *start, size_t units, unsigned entry, struct page *page)
{
    HAK_ASSERT(lock_is_held());
    const char *address = start;
    for (size_t i = 0; i < units; i++, address += UNIT_SIZE) {
        store_relaxed(map_class_entry(address), (uint8_t)entry);
        store_release(map_page_entry(address), page); /* who finds the page finds it set up: pairs with map_page */
    }
}

void map_set_large(const void *start, struct page *page)
{
    HAK_ASSERT(lock_is_held());
    store_release(map_page_entry(start), page); /* as map_set */
}
