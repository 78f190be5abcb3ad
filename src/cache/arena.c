#include "cache/arena.h"

#include "cache/group.h"
#include "cache/remote.h"
#include "cache/ring.h"
#include "cache/thread.h"
#include "heap/large.h"
#include "heap/meta.h"
#include "heap/purge.h"
#include "system/error.h"
#include "system/os_map.h"

enum {
    SHELF_BYTES = 64 << 10, /* of blocks on a shelf, but one at least may be there */
    TABLE_FIRST = 64        /* entries */
};
#define NOBODY UINT32_MAX         /* the end of a list of entries */
#define UNLISTED (UINT32_MAX - 1) /* the entry's page is on no list */

static SPARSE struct hak_heap *_Atomic arenas[ARENA_MOST + 1]; /* [heap's lock to write] by number; each for good */
static _Atomic(unsigned) arenas_last; /* [heap's lock to write] the highest number that any ever had */

/* ---- Names and numbers ------------------------------------------------------------------------------------------- */

/* Relaxed: who looks at all of them sees those of the moment. */
unsigned arena_last(void) { return load_relaxed(&arenas_last); }

struct hak_heap *arena_at(unsigned number)
{
    struct hak_heap *arena = load_acquire(&arenas[number]); /* pairs with arena_enter_number */
    return arena && load_relaxed(&arena->is_used) ? arena : NULL; /* relaxed: it may go at any time */
}

INLINE struct hak_heap *arena_of_page(const struct page *page)
{
    unsigned number = page ? load_relaxed(&page->arena) : 0u;
    return number ? load_acquire(&arenas[number]) : NULL; /* as arena_at */
}

struct hak_heap *arena_of(const void *block) { return arena_of_page(map_page(block)); }

COLD void arena_name(const struct hak_heap *arena, char out[HAK_HEAP_NAME_MAX + 1])
{
    for (unsigned i = 0; i < ARENA_NAME_WORDS; i++) {
        uint64_t word = load_relaxed(&arena->name[i]);
        __builtin_memcpy(out + i * sizeof word, &word, sizeof word);
    }
    out[HAK_HEAP_NAME_MAX] = '\0';
}

COLD void arena_stat(const struct hak_heap *arena, hak_heap_stat_t *out)
{
    *out = (hak_heap_stat_t){
        .live = load_relaxed(&arena->live), /* relaxed, as the others: of the moment */
        .blocks = load_relaxed(&arena->blocks),
        .peak = load_relaxed(&arena->peak),
        .limit = load_relaxed(&arena->limit),
        .held = load_relaxed(&arena->held),
        .refused = load_relaxed(&arena->refused),
    };
}

static COLD void name_set(struct hak_heap *arena, const char *name)
{
    char padded[HAK_HEAP_NAME_MAX + 1] = {0};
    for (unsigned i = 0; name[i] && i < HAK_HEAP_NAME_MAX; i++)
        padded[i] = name[i];
    for (unsigned i = 0; i < ARENA_NAME_WORDS; i++) {
        uint64_t word;
        __builtin_memcpy(&word, padded + i * sizeof word, sizeof word);
        store_relaxed(&arena->name[i], word); /* relaxed: views may see two names mixed for once */
    }
}

/* Under the heap's lock: a number that no arena has; 0: all are taken. */
static COLD unsigned number_find(void)
{
    for (unsigned number = 1; number <= ARENA_MOST; number++)
        if (!arena_at(number))
            return number;
    return 0;
}

static COLD void arena_reset(struct hak_heap *arena)
{
    arena->used = 0;
    arena->vacant = NOBODY;
    for (unsigned c = 0; c < ARENA_CLASSES; c++) {
        store_relaxed(&arena->shelf[c].count, 0);
        arena->shelf[c].first = NOBODY;
    }
    for (unsigned i = 0; i < ARENA_MAPPINGS; i++)
        store_relaxed(&arena->mapped[i].start, 0);
    store_relaxed(&arena->held, 0);
}

/* Under the heap's lock: the arena of the number, all of it as it begins; NULL when memory is out. */
static COLD struct hak_heap *arena_enter_number(unsigned number)
{
    struct hak_heap *arena = load_relaxed(&arenas[number]);
    if (arena)
        return arena;
    arena = meta_alloc(META_OTHER, sizeof *arena);
    if (!arena)
        return NULL;
    __builtin_memset(arena, 0, sizeof *arena);
    arena->number = (uint16_t)number;
    arena_reset(arena);
    store_release(&arenas[number], arena); /* pairs with arena_at */
    store_relaxed(&arenas_last, number); /* numbers are given out from the lowest on */
    return arena;
}

COLD struct hak_heap *arena_make(const char *name, bool *is_full)
{
    *is_full = false;
    thread_check_fork();
    if (!meta_acquire(META_OTHER, sizeof(struct hak_heap)))
        return NULL;
    unsigned number = number_find();
    struct hak_heap *arena = number ? arena_enter_number(number) : NULL;
    *is_full = number == 0;
    if (arena) {
        name_set(arena, name);
        store_relaxed(&arena->is_used, true);
    }
    lock_release();
    return arena;
}

/* ---- The table --------------------------------------------------------------------------------------------------- */

/* Room for so many entries; false when memory is out. */
static COLD bool table_reserve(struct hak_heap *arena, uint32_t entries)
{
    uint32_t capacity = arena->capacity ? arena->capacity : TABLE_FIRST;
    while (capacity < entries)
        capacity *= 2;
    if (capacity == arena->capacity)
        return true;
    if (!meta_acquire(META_OTHER, capacity * sizeof(struct arena_entry)))
        return false;
    struct arena_entry *table = meta_alloc(META_OTHER, capacity * sizeof *table), *old = arena->table;
    if (table) {
        if (old)
            __builtin_memcpy(table, old, arena->used * sizeof *table);
        arena->table = table;
        signal_fence(); /* the child of a fork never finds more capacity than there is */
        if (old)
            meta_free(META_OTHER, old, arena->capacity * sizeof *table);
        arena->capacity = capacity;
    }
    lock_release();
    return table != NULL;
}

static size_t arena_bytes_in(const struct page *page)
{
    return page->class_id ? class_info[page->class_id].units * UNIT_SIZE : load_relaxed(&page->bytes);
}

static void held_add(struct hak_heap *arena, size_t bytes) { counter_add(&arena->held, bytes); }

/* A block that is a mapping lies at `start` now instead of `before`; 0: it is new, or gone. Of more than there is room
 * for some are not noted. */
static void mapping_note(struct hak_heap *arena, const struct page *page, const void *before, const void *start)
{
    if (page->class_id || page->slab)
        return;
    for (unsigned i = 0; i < ARENA_MAPPINGS; i++)
        if (load_relaxed(&arena->mapped[i].start) == (uintptr_t)before) {
            store_relaxed(&arena->mapped[i].size, arena_bytes_in(page));
            store_relaxed(&arena->mapped[i].start, (uintptr_t)start);
            return;
        }
}

/* False when memory is out. */
static bool table_add(struct hak_heap *arena, struct page *page)
{
    uint32_t place = arena->vacant;
    if (place != NOBODY) {
        arena->vacant = arena->table[place].next;
    } else {
        if (arena->used == arena->capacity && !table_reserve(arena, arena->used + 1))
            return false;
        place = arena->used++;
    }
    arena->table[place] = (struct arena_entry){.page = page, .next = UNLISTED};
    page->place = place;
    held_add(arena, arena_bytes_in(page));
    mapping_note(arena, page, NULL, page->start);
    store_relaxed(&page->arena, arena->number);
    return true;
}

static void table_remove(struct hak_heap *arena, struct page *page)
{
    arena->table[page->place] = (struct arena_entry){.next = arena->vacant};
    arena->vacant = page->place;
    held_add(arena, -arena_bytes_in(page));
    mapping_note(arena, page, page->start, NULL);
    store_relaxed(&page->arena, 0);
}

static void page_list_in(struct hak_heap *arena, struct page *page)
{
    struct arena_entry *entry = &arena->table[page->place];
    uint32_t *first = &arena->shelf[page->class_id].first;
    if (entry->next != UNLISTED)
        return;
    *entry = (struct arena_entry){.page = page, .next = *first, .previous = NOBODY};
    if (*first != NOBODY)
        arena->table[*first].previous = page->place;
    *first = page->place;
}

static void page_unlist(struct hak_heap *arena, const struct page *page)
{
    struct arena_entry *entry = &arena->table[page->place];
    if (entry->next == UNLISTED)
        return;
    if (entry->previous == NOBODY)
        arena->shelf[page->class_id].first = entry->next;
    else
        arena->table[entry->previous].next = entry->next;
    if (entry->next != NOBODY)
        arena->table[entry->next].previous = entry->previous;
    entry->next = UNLISTED;
}

/* ---- Entering and leaving ---------------------------------------------------------------------------------------- */

struct mending {
    struct hak_heap *arena;
    uint32_t count;
};

static COLD void mend_count(struct page *page, void *argument)
{
    struct mending *mending = argument;
    mending->count += load_relaxed(&page->arena) == mending->arena->number;
}

static COLD void mend_add(struct page *page, void *argument)
{
    struct hak_heap *arena = ((struct mending *)argument)->arena;
    if (load_relaxed(&page->arena) != arena->number || !table_add(arena, page))
        return;
    if (page->class_id && !page_is_drained(page))
        page_list_in(arena, page);
}

/* In the child of a fork: makes the table anew, from the pages and large blocks that name the arena. What was on
 * shelves is lost, until the arena goes. Stays torn when memory is out. */
static COLD void arena_mend(struct hak_heap *arena)
{
    struct mending mending = {.arena = arena};
    page_each(mend_count, &mending);
    large_each(mend_count, &mending);
    arena_reset(arena);
    if (!table_reserve(arena, mending.count))
        return;
    page_each(mend_add, &mending);
    large_each(mend_add, &mending);
    arena->is_torn = false;
}

/* False in a signal handler that interrupted this very thread in here, or under one of the heap's locks; and when
 * memory is out. */
INLINE bool arena_enter(struct hak_heap *arena)
{
    thread_check_fork();
    if (UNLIKELY(lock_is_held() || lock_growth_is_held())) /* who has the arena may be waiting for these */
        return false;
    if (!lock_own_acquire(&arena->lock))
        return false;
    if (UNLIKELY(arena->is_torn))
        arena_mend(arena);
    if (LIKELY(!arena->is_torn))
        return true;
    lock_own_release(&arena->lock);
    return false;
}

/* Memory may have been handed out or freed past the rings. */
INLINE void arena_leave(struct hak_heap *arena)
{
    lock_own_release(&arena->lock);
    purge_if_due(0);
    ring_note_large();
}

COLD void arena_after_fork(void)
{
    for (unsigned number = 1; number <= arena_last(); number++) {
        struct hak_heap *arena = load_relaxed(&arenas[number]);
        if (!arena || load_relaxed(&arena->lock.word) == 0)
            continue; /* nothing is written, so that the child does not copy it */
        bool was_torn = arena->is_torn;
        arena->is_torn = true; /* before the lock can be another thread's */
        if (lock_own_after_fork(&arena->lock) != LOCK_WAS_HELD)
            arena->is_torn = was_torn;
    }
}

/* ---- Accounts ---------------------------------------------------------------------------------------------------- */

INLINE bool arena_fits(const struct hak_heap *arena, size_t bytes)
{
    size_t limit = load_relaxed(&arena->limit), live = load_relaxed(&arena->live);
    return LIKELY(limit == 0) || (live <= limit && bytes <= limit - live);
}

INLINE bool arena_refuses(struct hak_heap *arena, size_t bytes)
{
    if (LIKELY(arena_fits(arena, bytes)))
        return false;
    fetch_add_relaxed(&arena->refused, 1);
    return true;
}

/* `bytes` and `blocks` modulo 2^64. */
INLINE void arena_account(struct hak_heap *arena, size_t bytes, size_t blocks)
{
    counter_add(&arena->live, bytes);
    counter_add(&arena->blocks, blocks);
    if (load_relaxed(&arena->live) > load_relaxed(&arena->peak))
        store_relaxed(&arena->peak, load_relaxed(&arena->live));
}

/* ---- Blocks of pages --------------------------------------------------------------------------------------------- */

INLINE uint32_t shelf_room(unsigned c)
{
    return (uint32_t)max_size(1, min_size(ARENA_SHELF, SHELF_BYTES / class_size(c)));
}

/* A page of the class with free blocks; NULL when memory is out. */
static struct page *page_get(struct hak_heap *arena, unsigned c)
{
    uint32_t first = arena->shelf[c].first;
    if (first != NOBODY)
        return arena->table[first].page;
    struct page *page = page_acquire_group(c, GROUP_ARENA, PAGE_HELD_BY_ARENA);
    if (page && !table_add(arena, page)) {
        page_release(page);
        return NULL;
    }
    if (page)
        page_list_in(arena, page);
    return page;
}

/* How many blocks are on the shelf, which was empty; 0 when memory is out. */
static NOINLINE uint32_t shelf_refill(struct hak_heap *arena, unsigned c)
{
    struct arena_shelf *shelf = &arena->shelf[c];
    unsigned got = 0;
    page_visit_begin();
    for (struct page *page; got == 0 && (page = page_get(arena, c)) != NULL;) {
        got = page_take(page, shelf->block, shelf_room(c));
        if (got == 0)
            page_unlist(arena, page);
    }
    page_visit_end();
    store_relaxed(&shelf->count, got);
    return got;
}

/* The page is no arena's any more, and goes if all of its blocks are free. */
static void page_drop(struct hak_heap *arena, struct page *page)
{
    page_unlist(arena, page);
    table_remove(arena, page);
    store_relaxed(&page->holder, PAGE_HELD_BRIEFLY); /* the child of a fork may have to let it go */
    page_release(page);
}

/* A block of it was freed: others are to be had from it, or it goes, unless it is the last that has any. */
static void page_note_free(struct hak_heap *arena, struct page *page)
{
    const struct arena_entry *entry = &arena->table[page->place];
    page_list_in(arena, page);
    bool is_last = entry->next == NOBODY && entry->previous == NOBODY;
    if (!is_last && page_is_unused(page))
        page_drop(arena, page);
}

/* The older `count` blocks of the shelf go to their pages. */
static NOINLINE void shelf_shorten(struct hak_heap *arena, unsigned c, uint32_t count, const char *call)
{
    struct arena_shelf *shelf = &arena->shelf[c];
    uint32_t rest = load_relaxed(&shelf->count) - count;
    page_visit_begin();
    page_return(shelf->block, count, call);
    for (uint32_t i = 0; i < count; i++) {
        struct page *page = map_page(shelf->block[i]);
        if (arena_of_page(page) == arena) /* else an earlier block of these was its last */
            page_note_free(arena, page);
    }
    page_visit_end();
    __builtin_memmove(shelf->block, shelf->block + count, rest * sizeof shelf->block[0]);
    store_relaxed(&shelf->count, rest);
}

static void *paged_malloc(struct hak_heap *arena, unsigned c)
{
    void *block = NULL;
    if (!arena_enter(arena))
        return NULL;
    struct arena_shelf *shelf = &arena->shelf[c];
    if (LIKELY(!arena_refuses(arena, class_size(c)))) {
        uint32_t count = load_relaxed(&shelf->count);
        if (count == 0)
            count = shelf_refill(arena, c);
        if (LIKELY(count > 0)) {
            block = shelf->block[count - 1];
            store_relaxed(&shelf->count, count - 1);
            arena_account(arena, class_size(c), 1);
        }
    }
    arena_leave(arena);
    return block;
}

static void arena_check_block(const struct arena_shelf *shelf, const struct page *page, const void *block,
                              const char *call)
{
    enum error_id error;
    if (UNLIKELY(!page_has_live(page, block, &error)))
        error_fatal(error, call, block, class_size(page->class_id));
    uint32_t count = load_relaxed(&shelf->count);
    for (uint32_t i = 0; i < count; i++)
        if (UNLIKELY(shelf->block[i] == block))
            error_fatal(ERROR_DOUBLE_FREE, call, block, class_size(page->class_id));
}

static void paged_free(struct hak_heap *arena, const struct page *page, void *block, const char *call)
{
    unsigned c = page->class_id;
    struct arena_shelf *shelf = &arena->shelf[c];
    arena_check_block(shelf, page, block, call);
    if (load_relaxed(&shelf->count) == shelf_room(c))
        shelf_shorten(arena, c, (shelf_room(c) + 1) / 2, call);
    uint32_t count = load_relaxed(&shelf->count);
    shelf->block[count] = block;
    store_relaxed(&shelf->count, count + 1);
    arena_account(arena, -class_size(c), (size_t)-1);
}

/* ---- Large blocks ------------------------------------------------------------------------------------------------ */

/* Bytes of a large block of the size. */
static size_t large_bytes(size_t size)
{
    return align_up(max_size(size, 1), size <= RUN_MAX_SIZE ? UNIT_SIZE : os_page_size());
}

/* The block, which is nobody's yet, becomes the arena's; false at its limit, and when memory is out. */
static bool large_enter_arena(struct hak_heap *arena, void *block)
{
    struct page *page = map_page(block);
    size_t bytes = large_size(block);
    if (!arena_enter(arena))
        return false;
    bool done = !arena_refuses(arena, bytes) && table_add(arena, page);
    if (done) {
        large_set_sampled(block, LARGE_OF_ARENA);
        arena_account(arena, bytes, 1);
    }
    arena_leave(arena);
    return done;
}

static void *unpaged_malloc(struct hak_heap *arena, size_t size, size_t align, bool *zeroed)
{
    if (arena_refuses(arena, large_bytes(size)))
        return NULL;
    void *block = large_malloc(max_size(size, 1), align, 0, zeroed);
    if (!block || large_enter_arena(arena, block))
        return block;
    large_free(block);
    return NULL;
}

/* The block is no arena's any more, and to be freed when the arena has been left. */
static void large_leave_arena(struct hak_heap *arena, struct page *page)
{
    arena_account(arena, -arena_bytes_in(page), (size_t)-1);
    table_remove(arena, page);
    large_set_sampled(page->start, LARGE_UNSAMPLED);
}

void *arena_resize(struct hak_heap *arena, void *block, size_t size, bool may_move)
{
    void *moved = NULL;
    if (!arena_enter(arena))
        return NULL;
    size_t before = large_size(block), wanted = large_bytes(size);
    if (wanted <= before || !arena_refuses(arena, wanted - before)) {
        moved = large_resize(block, size) ? block : may_move ? large_move(block, size) : NULL;
        size_t change = large_size(moved ? moved : block) - before;
        arena_account(arena, change, 0);
        held_add(arena, change);
        if (moved)
            mapping_note(arena, map_page(moved), block, moved);
    }
    arena_leave(arena);
    return moved;
}

/* ---- Any blocks -------------------------------------------------------------------------------------------------- */

/* 0: a block of a run or mapping. */
static unsigned arena_class(size_t size, size_t align)
{
    if (align > BLOCK_ALIGN)
        size = align <= UNIT_SIZE ? class_aligned_size(size, align) : SIZE_MAX;
    return size <= CLASS_TABLE_MAX ? class_host(class_of(size)) : 0;
}

void *arena_malloc(struct hak_heap *arena, size_t size, size_t align, bool *zeroed)
{
    *zeroed = false;
    if (size > PTRDIFF_MAX)
        return NULL;
    unsigned c = arena_class(size, align);
    void *block = c ? paged_malloc(arena, c) : unpaged_malloc(arena, size, align, zeroed);
    if (LIKELY(block) || !arena_fits(arena, c ? class_size(c) : large_bytes(size)))
        return block;
    ring_collect(); /* what is cached may be what is missing */
    arena_trim_all();
    thread_close_left();
    remote_flush();
    return c ? paged_malloc(arena, c) : unpaged_malloc(arena, size, align, zeroed);
}

/* What a signal handler frees that has interrupted this thread in here stays until the arena goes. */
void arena_free(void *block, const char *call)
{
    struct hak_heap *arena = arena_of(block);
    if (UNLIKELY(!arena))
        error_fatal(ERROR_NOT_LIVE, call, block, 0);
    if (!arena_enter(arena))
        return;
    struct page *page = map_page(block);
    if (UNLIKELY(arena_of_page(page) != arena)) /* another thread has freed it, too */
        error_fatal(ERROR_NOT_LIVE, call, block, 0);
    bool is_large = page->class_id == 0;
    if (is_large)
        large_leave_arena(arena, page);
    else
        paged_free(arena, page, block, call);
    arena_leave(arena);
    if (is_large)
        large_free(block);
}

/* Ends the program when the block is one of a page that is on a shelf. */
static void arena_check_live(struct hak_heap *arena, const void *block)
{
    const struct page *page = map_page(block);
    if (!page || page->class_id == 0 || !arena_enter(arena))
        return;
    arena_check_block(&arena->shelf[page->class_id], page, block, "realloc");
    arena_leave(arena);
}

/* A better block would be of another class, or half as large. */
static bool arena_stays(size_t have, size_t size)
{
    if (size > have)
        return false;
    return size > have / 2 || (have <= CLASS_TABLE_MAX && class_size(arena_class(size, BLOCK_ALIGN)) == have);
}

void *arena_realloc(struct hak_heap *arena, void *block, size_t have, size_t size)
{
    bool zeroed;
    arena_check_live(arena, block);
    if (arena_stays(have, size))
        return block;
    if (have > CLASS_TABLE_MAX && size > CLASS_TABLE_MAX) {
        void *moved = arena_resize(arena, block, size, true);
        if (moved)
            return moved;
    }
    void *other = arena_malloc(arena, size, BLOCK_ALIGN, &zeroed);
    if (!other)
        return size <= have ? block : NULL;
    copy_bytes(other, block, min_size(have, size));
    arena_free(block, "realloc");
    return other;
}

/* ---- All of an arena --------------------------------------------------------------------------------------------- */

static COLD void entry_clear(struct page *page)
{
    store_relaxed(&page->arena, 0);
    if (page->class_id == 0) {
        large_set_sampled(page->start, LARGE_UNSAMPLED);
        large_free(page->start);
        return;
    }
    page_free_all(page);
    store_relaxed(&page->holder, PAGE_HELD_BRIEFLY); /* as in page_drop */
    page_release(page);
}

COLD void arena_clear(struct hak_heap *arena)
{
    thread_check_fork(); /* whoever was purging may not be in this process */
    if (!purge_hold())
        return;
    if (!arena_enter(arena)) {
        purge_let_go();
        return;
    }
    page_visit_begin();
    for (uint32_t i = 0; i < arena->used; i++)
        if (arena->table[i].page)
            entry_clear(arena->table[i].page);
    page_visit_end();
    arena_reset(arena);
    store_relaxed(&arena->live, 0);
    store_relaxed(&arena->blocks, 0);
    purge_let_go();
    arena_leave(arena);
}

COLD void arena_unmake(struct hak_heap *arena)
{
    arena_clear(arena);
    if (!arena_enter(arena))
        return;
    lock_acquire(); /* it is not this thread's: arena_enter would have said so */
    if (arena->table)
        meta_free(META_OTHER, arena->table, arena->capacity * sizeof *arena->table);
    arena->table = NULL;
    arena->capacity = 0;
    store_relaxed(&arena->peak, 0);
    store_relaxed(&arena->limit, 0);
    store_relaxed(&arena->refused, 0);
    store_relaxed(&arena->is_used, false);
    lock_release();
    arena_leave(arena);
}

static COLD void arena_trim(struct hak_heap *arena)
{
    if (!arena_enter(arena))
        return;
    page_visit_begin();
    for (unsigned c = 1; c < ARENA_CLASSES; c++)
        if (load_relaxed(&arena->shelf[c].count) > 0)
            shelf_shorten(arena, c, load_relaxed(&arena->shelf[c].count), "free");
    for (uint32_t i = 0; i < arena->used; i++) {
        struct page *page = arena->table[i].page;
        if (page && page->class_id && page_is_unused(page))
            page_drop(arena, page);
    }
    page_visit_end();
    arena_leave(arena);
}

COLD void arena_trim_all(void)
{
    for (unsigned number = 1; number <= arena_last(); number++) {
        struct hak_heap *arena = arena_at(number);
        if (arena)
            arena_trim(arena);
    }
}

COLD size_t arena_shelved(unsigned class_id)
{
    size_t count = 0;
    for (unsigned number = 1; class_id < ARENA_CLASSES && number <= arena_last(); number++) {
        const struct hak_heap *arena = arena_at(number);
        count += arena ? load_relaxed(&arena->shelf[class_id].count) : 0; /* relaxed: of the moment */
    }
    return count;
}

/* ---- Checking ---------------------------------------------------------------------------------------------------- */

static bool list_is_valid(const struct hak_heap *arena, unsigned c)
{
    uint32_t previous = NOBODY;
    for (uint32_t place = arena->shelf[c].first; place != NOBODY; place = arena->table[place].next) {
        const struct arena_entry *entry = &arena->table[place];
        if (!entry->page || entry->previous != previous || entry->page->class_id != c)
            return false;
        previous = place;
    }
    return true;
}

static bool entry_is_valid(const struct hak_heap *arena, uint32_t place)
{
    const struct page *page = arena->table[place].page;
    if (!page)
        return true;
    if (page->place != place || load_relaxed(&page->arena) != arena->number || map_page(page->start) != page)
        return false;
    return page->class_id == 0 || (page_is_valid(page) && load_relaxed(&page->state) == PAGE_OWNED);
}

COLD bool arena_is_valid(struct hak_heap *arena)
{
    size_t live = 0, held = 0;
    for (uint32_t i = 0; i < arena->used; i++) {
        const struct page *page = arena->table[i].page;
        if (!entry_is_valid(arena, i))
            return false;
        held += page ? arena_bytes_in(page) : 0;
        if (page)
            live += page->class_id ? page_used_blocks(page) * class_size(page->class_id) : arena_bytes_in(page);
    }
    for (unsigned c = 1; c < ARENA_CLASSES; c++) {
        live -= load_relaxed(&arena->shelf[c].count) * class_size(c);
        if (!list_is_valid(arena, c) || load_relaxed(&arena->shelf[c].count) > shelf_room(c))
            return false;
    }
    return live == load_relaxed(&arena->live) && held == load_relaxed(&arena->held);
}
