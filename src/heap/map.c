#include "heap/map.h"

#include "heap/ground.h"
#include "heap/meta.h"
#include "system/lock.h"

#define LEAF_SHIFT 13u /* superslabs of a leaf: 16 GiB */
#define LEAF_SLABS (1u << LEAF_SHIFT)
#define ROOT_LEAVES (1u << (48 - SUPERSLAB_SHIFT - LEAF_SHIFT))

struct map_window map_window[VIEW_COUNT];
struct map_pages map_pages;
static unsigned open_views = VIEW_COUNT; /* [growth lock] */

struct leaf {
    _Atomic(struct page *) page[LEAF_SLABS];
};
static SPARSE struct leaf *_Atomic root[ROOT_LEAVES];

void map_open_views(unsigned count)
{
    HAK_ASSERT(lock_growth_is_held() && (!map_window[VIEW_OWN].classes || count == open_views));
    open_views = count;
}

/* ---- The heap ---------------------------------------------------------------------------------------------------- */

static COLD void window_open(void)
{
    map_pages.of = (_Atomic(struct page *) *)ground_table(GROUND_PAGES);
    map_pages.first = (uintptr_t)ground_heap() >> UNIT_SHIFT;
    for (unsigned view = 0; view < open_views; view++) {
        map_window[view].classes = (_Atomic(uint8_t) *)ground_table(GROUND_CLASSES);
        store_relaxed(&map_window[view].size_end, CLASS_TABLE_MAX + 1);
    }
}

bool map_cover(uint32_t slabs)
{
    HAK_ASSERT(lock_growth_is_held());
    size_t units = (size_t)slabs * SUPERSLAB_UNITS, end = ((uintptr_t)ground_heap() >> UNIT_SHIFT) + units;
    if (ground_extend(GROUND_CLASSES, end) || ground_extend(GROUND_PAGES, units * sizeof *map_pages.of))
        return false;
    if (!map_pages.of)
        window_open();
    store_relaxed(&map_pages.count, ground_extent(GROUND_PAGES) / sizeof *map_pages.of);
    for (unsigned view = 0; view < open_views; view++)
        store_relaxed(&map_window[view].end, ground_extent(GROUND_CLASSES) * MAP_UNIT_STEPS);
    return true;
}

void map_set(const void *start, size_t units, unsigned entry, struct page *page)
{
    HAK_ASSERT(lock_is_held());
    size_t first = (uintptr_t)start >> UNIT_SHIFT;
    for (size_t unit = first; unit < first + units; unit++) {
        store_relaxed(&map_window[VIEW_OWN].classes[unit], (uint8_t)entry);
        /* Who finds the page finds it set up: pairs with map_page. */
        store_release(&map_pages.of[unit - map_pages.first], page);
    }
}

/* ---- Mappings of their own --------------------------------------------------------------------------------------- */

static size_t slab_of(const void *address) { return (uintptr_t)address >> SUPERSLAB_SHIFT; }

/* NULL where nothing was ever mapped near by. */
static _Atomic(struct page *) *entry_of(size_t slab)
{
    size_t index = slab >> LEAF_SHIFT;
    struct leaf *leaf = index < ROOT_LEAVES ? load_acquire(&root[index]) : NULL; /* pairs with map_cover_mapping */
    return leaf ? &leaf->page[slab % LEAF_SLABS] : NULL;
}

struct page *map_page_elsewhere(const void *address)
{
    bool is_first = (uintptr_t)address % SUPERSLAB_SIZE < UNIT_SIZE;
    _Atomic(struct page *) *entry = is_first ? entry_of(slab_of(address)) : NULL;
    return entry ? load_acquire(entry) : NULL; /* pairs with map_set_large */
}

bool map_cover_mapping(const void *start)
{
    HAK_ASSERT(lock_growth_is_held());
    size_t index = slab_of(start) >> LEAF_SHIFT;
    if (index >= ROOT_LEAVES || load_relaxed(&root[index]))
        return index < ROOT_LEAVES;
    struct leaf *leaf = NULL;
    if (meta_acquire(META_OTHER, sizeof *leaf)) {
        leaf = meta_alloc(META_OTHER, sizeof *leaf);
        lock_release();
    }
    if (!leaf)
        return false;
    __builtin_memset(leaf, 0, sizeof *leaf);
    store_release(&root[index], leaf); /* pairs with entry_of */
    return true;
}

void map_set_large(const void *start, struct page *page)
{
    HAK_ASSERT(lock_is_held());
    size_t unit = ((uintptr_t)start >> UNIT_SHIFT) - map_pages.first;
    _Atomic(struct page *) *entry =
        is_below(unit, &map_pages.count) ? &map_pages.of[unit] : entry_of(slab_of(start));
    store_release(entry, page); /* as map_set */
}

COLD struct page *map_mapping_below(const void *address)
{
    size_t slab = slab_of(address);
    for (size_t index = min_size(slab >> LEAF_SHIFT, ROOT_LEAVES - 1) + 1; index-- > 0;) {
        struct leaf *leaf = load_acquire(&root[index]); /* pairs with map_cover_mapping */
        size_t last = index == slab >> LEAF_SHIFT ? slab % LEAF_SLABS : LEAF_SLABS - 1;
        for (size_t i = leaf ? last + 1 : 0; i-- > 0;)
            if (load_acquire(&leaf->page[i])) /* as map_page_elsewhere */
                return load_acquire(&leaf->page[i]);
    }
    return NULL;
}
