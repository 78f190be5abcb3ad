#include "heap/cell.h"

#include "heap/class.h"
#include "system/os_advise.h"
#include "system/os_map.h"

enum { CELL_FREE, CELL_BUSY, CELL_LIVE };

enum { CELL_MARK = 0xC7 }; /* a byte that few programs write by mistake */

struct cell {
    _Atomic(uint32_t) state;    /* release when it is LIVE or FREE, after the rest; pairs with cell_claim, cell_take */
    _Atomic(uint64_t) ended;    /* number of its last end, among all; 0: no block was ever here */
    _Atomic(uintptr_t) block;   /* relaxed, as the next: who reads them has the block, or tells of a misuse */
    _Atomic(size_t) size;
};
static struct cell cells[CELLS] SPARSE;

_Atomic(uintptr_t) cell_room;
static _Atomic(uint64_t) cells_ended;   /* relaxed, as the next: counts */
static _Atomic(uint32_t) cells_live;   /* cells that are not free */
static _Atomic(size_t) cells_bytes;
static _Atomic(bool) room_is_refused; /* relaxed: a hint that the system has refused the room */

/* ---- Where they lie ---------------------------------------------------------------------------------------------- */

/* Of a cell: the lower half is out of reach, the upper has the block. A multiple of the size and the alignment of the
 * largest block that a page of blocks has. */
static size_t area_size(void) { return max_size(CLASS_TABLE_MAX, os_page_size()); }
static size_t cell_stride(void) { return 2 * area_size(); }

size_t cell_largest(void) { return CLASS_TABLE_MAX; }
size_t cell_room_size(void) { return CELLS * cell_stride() + area_size(); /* the last part is out of reach, too */ }

static char *area_end(const struct cell *cell)
{
    return (char *)load_relaxed(&cell_room) + (size_t)(cell - cells + 1) * cell_stride();
}

static size_t pages_size(size_t size) { return align_up(size, os_page_size()); }
static char *pages_start(const struct cell *cell, size_t size) { return area_end(cell) - pages_size(size); }

/* The cell whose area, or the part out of reach before it, the address lies in; what lies behind the last belongs to
 * it. */
static struct cell *cell_at(const void *address)
{
    size_t number = ((uintptr_t)address - load_relaxed(&cell_room)) / cell_stride();
    return &cells[min_size(number, CELLS - 1)];
}

/* Two threads at once: one keeps what it got. */
static COLD bool cells_reserve(void)
{
    void *room;
    size_t size = cell_room_size();
    if (load_relaxed(&room_is_refused))
        return false;
    if (os_reserve(size, area_size(), &room)) {
        store_relaxed(&room_is_refused, true);
        return false;
    }
    uintptr_t none = 0;
    if (!cas_seq(&cell_room, &none, (uintptr_t)room)) /* elects one */
        os_unmap(room, size);
    return true;
}

/* ---- Making ------------------------------------------------------------------------------------------------------ */

/* The free cell whose block ended first. */
static struct cell *cell_oldest(void)
{
    struct cell *oldest = NULL;
    for (struct cell *cell = cells; cell < cells + CELLS; cell++)
        if (load_relaxed(&cell->state) == CELL_FREE &&
            (!oldest || load_relaxed(&cell->ended) < load_relaxed(&oldest->ended)))
            oldest = cell;
    return oldest;
}

/* NULL when there are enough. */
static struct cell *cell_take(void)
{
    if (fetch_add_relaxed(&cells_live, 1) < CELLS_LIVE)
        for (struct cell *cell; (cell = cell_oldest());) {
            uint32_t expected = CELL_FREE;
            if (cas_acquire(&cell->state, &expected, CELL_BUSY)) /* pairs with cell_give_back */
                return cell;
        }
    fetch_sub_relaxed(&cells_live, 1);
    return NULL;
}

static void cell_give_back(struct cell *cell)
{
    store_release(&cell->state, CELL_FREE); /* pairs with cell_take */
    fetch_sub_relaxed(&cells_live, 1);
}

COLD void *cell_make(size_t size, bool at_start)
{
    struct cell *cell = load_relaxed(&cell_room) || cells_reserve() ? cell_take() : NULL;
    if (!cell)
        return NULL;
    char *pages = pages_start(cell, size), *end = area_end(cell), *block = at_start ? pages : end - size;
    if (os_protect(pages, pages_size(size), true)) {
        cell_give_back(cell);
        return NULL;
    }
    __builtin_memset(pages, CELL_MARK, (size_t)(block - pages));
    __builtin_memset(block + size, CELL_MARK, (size_t)(end - block) - size);
    store_relaxed(&cell->block, (uintptr_t)block);
    store_relaxed(&cell->size, size);
    fetch_add_relaxed(&cells_bytes, pages_size(size));
    store_release(&cell->state, CELL_LIVE); /* pairs with cell_claim */
    return block;
}

/* ---- Ending ------------------------------------------------------------------------------------------------------ */

COLD bool cell_claim(const void *block)
{
    struct cell *cell = cell_at(block);
    uint32_t expected = CELL_LIVE;
    return load_relaxed(&cell->block) == (uintptr_t)block &&
           cas_acquire(&cell->state, &expected, CELL_BUSY); /* pairs with cell_make */
}

static bool is_marked(const char *start, const char *end)
{
    while (start < end && *start == (char)CELL_MARK)
        start++;
    return start == end;
}

COLD bool cell_front_is_whole(const void *block)
{
    const struct cell *cell = cell_at(block);
    return is_marked(pages_start(cell, load_relaxed(&cell->size)), block);
}

COLD bool cell_rear_is_whole(const void *block)
{
    const struct cell *cell = cell_at(block);
    return is_marked((const char *)block + load_relaxed(&cell->size), area_end(cell));
}

/* The memory goes while it may be touched, since the system is watched (os_purge). Where the system will not shut the
 * pages, or keeps the memory (it is locked), the cell is as good as ever for the next block. */
COLD void cell_end(void *block)
{
    struct cell *cell = cell_at(block);
    size_t size = load_relaxed(&cell->size);
    os_purge(pages_start(cell, size), pages_size(size));
    os_protect(pages_start(cell, size), pages_size(size), false);
    fetch_sub_relaxed(&cells_bytes, pages_size(size));
    store_relaxed(&cell->ended, fetch_add_relaxed(&cells_ended, 1) + 1);
    cell_give_back(cell);
}

/* ---- Telling ----------------------------------------------------------------------------------------------------- */

/* From the address to the cell's block; SIZE_MAX: there was none. */
static size_t cell_distance(const struct cell *cell, uintptr_t address)
{
    uintptr_t block = load_relaxed(&cell->block), end = block + load_relaxed(&cell->size);
    if (block == 0)
        return SIZE_MAX;
    return address < block ? block - address : address < end ? 0 : address - end + 1;
}

COLD struct cell_view cell_look(const void *address)
{
    const struct cell *cell = cell_at(address), *before = cell > cells ? cell - 1 : cell;
    if (cell_distance(before, (uintptr_t)address) < cell_distance(cell, (uintptr_t)address))
        cell = before;
    return (struct cell_view){.number = (unsigned)(cell - cells),
                              .block = (char *)load_relaxed(&cell->block),
                              .size = load_relaxed(&cell->size),
                              .is_live = load_relaxed(&cell->state) == CELL_LIVE,
                              .start = area_end(cell) - cell_stride(),
                              .end = area_end(cell) + area_size()};
}

COLD unsigned cell_count(void) { return load_relaxed(&cells_live); }
size_t cell_bytes(void) { return load_relaxed(&cells_bytes); }

COLD void cell_after_fork(void)
{
    uint32_t count = 0;
    size_t bytes = 0;
    for (struct cell *cell = cells; load_relaxed(&cell_room) && cell < cells + CELLS; cell++) {
        bool is_live = load_relaxed(&cell->state) == CELL_LIVE;
        if (load_relaxed(&cell->state) == CELL_BUSY) {
            store_relaxed(&cell->ended, fetch_add_relaxed(&cells_ended, 1) + 1);
            store_relaxed(&cell->state, CELL_FREE); /* relaxed: there are no other threads */
        }
        count += is_live;
        bytes += is_live ? pages_size(load_relaxed(&cell->size)) : 0;
    }
    store_relaxed(&cells_live, count);
    store_relaxed(&cells_bytes, bytes);
}
