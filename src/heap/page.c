#include "heap/page.h"

#include "heap/fill.h"
#include "heap/guard.h"
#include "system/lock.h"
#include "heap/map.h"
#include "heap/meta.h"
#include "system/options.h"
#include "system/os_map.h"
#include "heap/prefault.h"
#include "heap/retain.h"
#include "heap/span.h"

/* ---- Bitmaps ----------------------------------------------------------------------------------------------------- */

static uint64_t full_word(const struct class_info *info, unsigned word)
{
    return low_mask64((unsigned)min_size(64, info->blocks - word * 64u));
}

static bool bitmap_is_full(const _Atomic(uint64_t) *bits, const struct class_info *info)
{
    for (unsigned word = 0; word < info->words; word++)
        if (load_seq(&bits[word]) != full_word(info, word))
            return false;
    return true;
}

/* Sequentially consistent: the holder's second look, which pairs with the fetch_or in page_put. */
static bool bitmap_is_empty(const _Atomic(uint64_t) *bits, const struct class_info *info)
{
    for (unsigned word = 0; word < info->words; word++)
        if (load_seq(&bits[word]) != 0)
            return false;
    return true;
}

static char *block_at(const struct page *page, uint32_t index)
{
    return page->start + (size_t)index * class_size(page->class_id);
}

static uint32_t page_unit(const struct page *page)
{
    return (uint32_t)((uintptr_t)page->start >> UNIT_SHIFT) % SUPERSLAB_UNITS;
}

/* What the page map says of its units. */
static unsigned page_entry_class(const struct page *page)
{
    return load_relaxed(&page->group) ? CLASS_GROUPED : page->class_id;
}

static unsigned listing_set(unsigned class_id, unsigned group)
{
    return group ? SET_OF_GROUP + group : SET_OF_CLASS + class_id;
}

/* ---- Purged memory ----------------------------------------------------------------------------------------------- */

/* For each unit of the page a mask of its pages of memory: bit set = purged, and no block in it handed out since.
 * Relaxed: a bit is written by whoever has all blocks of that page of memory in hand. */
static _Atomic(uint16_t) *page_purged(const struct page *page)
{
    return (_Atomic(uint16_t) *)&page->free[class_info[page->class_id].words];
}

static uint16_t memory_bit(size_t offset) { return (uint16_t)(1u << offset % UNIT_SIZE / os_page_size()); }

bool page_memory_is_purged(const struct page *page, size_t offset)
{
    return load_relaxed(&page_purged(page)[offset >> UNIT_SHIFT]) & memory_bit(offset);
}

void page_memory_note_purged(struct page *page, size_t begin, size_t end)
{
    store_relaxed(&page->has_purged, true);
    store_relaxed(&page->slab->purged_at, retain_now());
    for (; begin < end; begin += os_page_size())
        atomic_fetch_or_explicit(&page_purged(page)[begin >> UNIT_SHIFT], memory_bit(begin), memory_order_relaxed);
}

/* A part of a page whose blocks were taken, and which is still purged. */
struct stretch {
    struct page *page;
    size_t begin, end; /* offsets */
    size_t before;     /* bytes of stretches before it */
};

static void stretch_end(struct stretch *stretch, size_t next)
{
    size_t size = stretch->end - stretch->begin;
    if (size > 0 && stretch->page->ahead > 0)
        prefault(stretch->page->start + stretch->begin, size);
    *stretch = (struct stretch){.page = stretch->page, .begin = next, .end = next, .before = stretch->before + size};
}

/* A block that was taken makes what was purged of it resident. Blocks come in the order of their addresses. */
static void block_unpurge(struct stretch *stretch, uint32_t index)
{
    struct page *page = stretch->page;
    size_t size = class_size(page->class_id), memory_page = os_page_size();
    for (size_t offset = index * size & ~(memory_page - 1); offset < (index + 1) * size; offset += memory_page)
        if (page_memory_is_purged(page, offset)) {
            atomic_fetch_and_explicit(&page_purged(page)[offset >> UNIT_SHIFT], (uint16_t)~memory_bit(offset),
                                      memory_order_relaxed);
            if (offset != stretch->end)
                stretch_end(stretch, offset);
            stretch->end = offset + memory_page;
        }
}

/* ---- Fresh memory ------------------------------------------------------------------------------------------------ */

static size_t virgin_bytes(const struct page *page)
{
    return (size_t)load_relaxed(&page->virgin) * class_size(page->class_id);
}

/* What blocks that were just taken lie in, and what is going to be taken next. */
static COLD void page_prefault(struct page *page)
{
    const struct class_info *info = &class_info[page->class_id];
    size_t memory_page = os_page_size(), ready = page->ready * memory_page;
    size_t end = max_size(virgin_bytes(page), ready + page->ahead * memory_page);
    end = align_up(min_size(end, (size_t)info->blocks * info->size), memory_page);
    page->ready = (uint16_t)(end / memory_page);
    prefault(page->start + ready, end - ready);
}

static bool is_ready(const struct page *page)
{
    return page->ahead == 0 || !page->zeroed || !prefault_is_worth_it() ||
           virgin_bytes(page) <= page->ready * os_page_size();
}

void page_note_loose(struct superslab *slab)
{
    if (LIKELY(load_relaxed(&slab->is_loose)))
        return;
    store_relaxed(&slab->is_loose, true); /* relaxed: a hint; of two threads both may add it */
    slabset_add(SET_LOOSE, slab->number);
}

/* Blocks of the page that were freed since holes were last looked for, `change` more or, at most, fewer. Threads may
 * do that at the same time and lose sight of some: retain_purged makes that good. */
static void note_loose(struct page *page, int change)
{
    int freed = load_relaxed(&page->freed);
    int now = freed + change < 0 ? 0 : (int)min_size((size_t)(freed + change), UINT16_MAX);
    if (now == freed)
        return;
    store_relaxed(&page->freed, (uint16_t)now);
    page_note_loose(page->slab);
    retain_loosen((ptrdiff_t)(now - freed) * (ptrdiff_t)load_relaxed(&page->weight));
}

size_t page_loose(const struct page *page) { return (size_t)load_relaxed(&page->freed) * load_relaxed(&page->weight); }

/* ---- Listing ----------------------------------------------------------------------------------------------------- */

/* The state is LISTED already, or the caller holds the page: nobody else can list it. */
static void page_enlist(struct page *page)
{
    struct superslab *slab = page->slab;
    unsigned set = listing_set(page->class_id, load_relaxed(&page->group));
    uint32_t bit = (uint32_t)1 << page_unit(page);
    store_seq(&page->state, PAGE_LISTED);
    /* From here on the page is the next claimer's. Pairs with the fetch_and in unit_claim. */
    fetch_or_seq(&slab->listed, bit);
    slabset_add(set, slab->number);
}

/* Makes the caller the holder of the page listed at a unit. NULL when there is none, or somebody else was faster. */
static struct page *unit_claim(struct superslab *slab, uint32_t unit)
{
    uint32_t bit = (uint32_t)1 << unit;
    if (!(fetch_and_seq(&slab->listed, ~bit) & bit)) /* pairs with the fetch_or in page_enlist */
        return NULL;
    struct page *page = map_page(slab_unit_start(slab, unit));
    store_relaxed(&page->holder, PAGE_HELD_BRIEFLY);
    store_seq(&page->state, PAGE_OWNED);
    return page;
}

/* ---- Counts ------------------------------------------------------------------------------------------------------ */

/* Of each class: its pages, and free blocks in their bitmaps, as pieces of sums that are added up by whoever asks; a
 * thread has one piece, which it shares with a sixteenth of the others. Relaxed: nothing depends on them. */
enum { COUNT_PIECES = 16 };
static _Atomic(size_t) page_counts[CLASS_SLOTS], pages_made[CLASS_SLOTS]; /* [lock to write] */
static SPARSE struct {
    _Atomic(size_t) free_blocks[CLASS_SLOTS];
} CACHE_ALIGNED free_counts[COUNT_PIECES];

/* The same of groups that were given out, so that it is known what each keeps of its pages. Their blocks come and go in
 * batches of a ring of theirs: one piece will do. Of the other groups only pages are counted. */
static SPARSE struct {
    _Atomic(size_t) pages; /* [lock to write] */
    _Atomic(size_t) free_blocks;
    _Atomic(uint8_t) class_id;
} group_counts[GROUP_COUNT];

static bool group_has_counts(unsigned group) { return group > CLASS_LAST; }

static void count_apart(const struct page *page, size_t blocks)
{
    unsigned group = load_relaxed(&page->group); /* const: blocks of the page are the caller's */
    if (UNLIKELY(group_has_counts(group)))
        fetch_add_relaxed(&group_counts[group].free_blocks, blocks);
}

/* `blocks` more are free, or fewer: modulo 2^64. Threads are told apart by where their stacks lie. */
static void count_free(const struct page *page, size_t blocks)
{
    enum { STACK_SHIFT = 16, HASH_SHIFT = 28 };
    uint32_t stack = (uint32_t)((uintptr_t)__builtin_frame_address(0) >> STACK_SHIFT);
    unsigned piece = (uint32_t)(stack * UINT32_C(2654435769)) >> HASH_SHIFT; /* Knuth's multiplicative hash */
    count_apart(page, blocks);
    fetch_add_relaxed(&free_counts[piece % COUNT_PIECES].free_blocks[page->class_id], blocks);
}

/* The page comes (1), with so many free blocks, or goes (-1). */
static void count_page(const struct page *page, size_t pages, size_t free_blocks)
{
    unsigned group = load_relaxed(&page->group);
    counter_add(&page_counts[page->class_id], pages);
    if (group)
        counter_add(&group_counts[group].pages, pages);
    if (group_has_counts(group))
        store_relaxed(&group_counts[group].class_id, page->class_id);
    count_free(page, pages * free_blocks);
}

/* ---- Visitors ---------------------------------------------------------------------------------------------------- */

static _Atomic(uint32_t) visits; /* relaxed: the child of a fork reads it, which sees how far each thread has come */
static __thread uint32_t own_visits __attribute__((tls_model("initial-exec")));

void page_visit_begin(void)
{
    own_visits++;
    fetch_add_relaxed(&visits, 1);
    /* Who sees any of what follows sees the visit, as a signal handler would: pairs with page_forget_visitors. */
    signal_fence();
}

void page_visit_end(void)
{
    signal_fence(); /* as in page_visit_begin */
    fetch_sub_relaxed(&visits, 1);
    own_visits--;
}

void page_visit_return(void *block, const char *call)
{
    page_visit_begin();
    page_return(&block, 1, call);
    page_visit_end();
}

bool page_is_visited(void) { return own_visits > 0; }

COLD bool page_forget_visitors(void)
{
    bool any = load_relaxed(&visits) > own_visits;
    store_relaxed(&visits, own_visits);
    return any;
}

/* ---- Making and unmaking ----------------------------------------------------------------------------------------- */

/* A free block of a checked page is all zero. Until it is, none is in the bitmap, for the child of a fork gets the page
 * as it is. The caller holds the page, and nobody has a block of it. */
static COLD void page_clear(struct page *page)
{
    const struct class_info *info = &class_info[page->class_id];
    __builtin_memset(page->start, 0, info->units * UNIT_SIZE);
    signal_fence();
    for (unsigned word = 0; word < info->words; word++)
        store_relaxed(&page->free[word], full_word(info, word));
}

static bool must_be_cleared(const struct page *page) { return page->checked && !page->zeroed; }

/* All of it was touched by whoever had it before: its blocks are like such as came back, and go if they are not needed.
 * Of what had been purged before, the first touch is regretted, which needs `virgin`; and a huge page is not to end for
 * its rest. */
static bool is_used_up(struct run run)
{
    return run.clean == 0 && !run.zeroed && run.missed == 0 && load_relaxed(&run.slab->backing) != BACKING_HUGE;
}

static void page_init(struct page *page, unsigned class_id, unsigned group, size_t ahead, struct run run)
{
    const struct class_info *info = &class_info[class_id];
    page->start = run_start(run);
    page->slab = run.slab;
    page->class_id = (uint8_t)class_id;
    store_relaxed(&page->group, (uint8_t)group);
    store_relaxed(&page->arena, 0);
    page->zeroed = run.zeroed;
    page->missed = run.missed > 0;
    page->checked = check_is_on() && group == 0;
    page->guarded = false;
    store_relaxed(&page->protected, false);
    page->ahead = (uint16_t)((ahead + os_page_size() - 1) / os_page_size());
    page->ready = (uint16_t)(run.clean > 0 ? 0 : info->units * (UNIT_SIZE / os_page_size()));
    store_relaxed(&page->holder, PAGE_HELD_BRIEFLY);
    store_relaxed(&page->has_purged, false);
    store_relaxed(&page->freed, 0);
    store_relaxed(&page->weight, info->size);
    store_relaxed(&page->low_word, 0);
    /* What must be cleared first is nobody's until then: check_all, which another thread may call, is not to look at
     * it. */
    store_relaxed(&page->virgin, !page->checked && is_used_up(run) ? info->blocks : 0);
    for (unsigned word = 0; word < info->words; word++)
        store_relaxed(&page->free[word], UNLIKELY(must_be_cleared(page)) ? 0 : full_word(info, word));
    for (unsigned unit = 0; unit < info->units; unit++)
        store_relaxed(&page_purged(page)[unit], 0);
    store_seq(&page->state, PAGE_OWNED);
}

static size_t descriptor_size(unsigned class_id)
{
    return offsetof(struct page, free) + class_info[class_id].words * sizeof(uint64_t) +
           class_info[class_id].units * sizeof(uint16_t);
}

/* Where its units end, and its guard lies, if it has one. */
static char *page_end(const struct page *page) { return page->start + class_info[page->class_id].units * UNIT_SIZE; }

struct page *page_make(unsigned class_id, unsigned group, uint32_t holder, bool dense, size_t ahead)
{
    const struct class_info *info = &class_info[class_id];
    bool guarded = !dense && guard_reserve_page();
    struct run run;
    struct page *page = span_obtain(&run, info->units + guarded, 1, dense, descriptor_size(class_id));
    if (!page) {
        guard_release_page(guarded);
        return NULL;
    }
    page_init(page, class_id, group, ahead, run);
    page->guarded = guarded;
    retain_vacate((ptrdiff_t)info->blocks * info->size);
    note_loose(page, load_relaxed(&page->virgin));
    count_page(page, 1, info->blocks);
    counter_add(&pages_made[class_id], 1);
    map_set(page->start, info->units, page_entry_class(page), page);
    lock_release();
    span_settle(run, info->units + guarded);
    if (UNLIKELY(guarded)) {
        guard_prepare(page->start);
        guard_shut(page_end(page), UNIT_SIZE);
    }
    if (UNLIKELY(must_be_cleared(page)))
        page_clear(page);
    store_relaxed(&page->holder, holder);
    return page;
}

enum destroyed {
    DESTROYED,
    IN_USE, /* under the lock not every block was free any more: somebody has taken free blocks to purge their memory */
    KEPT    /* the lock is this thread's already; or it is the last page of samples; or the page is checked, and a write
               to its freed blocks is to be noticed, however late */
};

/* Opens the unit behind a page that may go, or shuts it again if the page stays. The system may refuse the former: then
 * the unit is lost when the page goes. Not under the lock. */
static COLD bool page_unguard(const struct page *page) { return guard_open(page_end(page), UNIT_SIZE); }
static COLD void page_guard_again(const struct page *page) { guard_shut(page_end(page), UNIT_SIZE); }

/* Under the lock, if every block is free still: the page is no more, and `behind` units behind it are the heap's,
 * too. */
static bool page_try_destroy(struct page *page, size_t behind)
{
    unsigned class_id = page->class_id;
    const struct class_info *info = &class_info[class_id];
    if (!bitmap_is_full(page->free, info))
        return false;
    size_t used = max_size(virgin_bytes(page), page->ready * os_page_size());
    note_loose(page, -UINT16_MAX);
    retain_vacate(-(ptrdiff_t)info->blocks * info->size);
    count_page(page, (size_t)-1, info->blocks);
    map_set(page->start, info->units, 0, NULL);
    /* What a fresh page never handed out is as clean as it was. */
    span_free((struct run){.slab = page->slab, .unit = page_unit(page)}, info->units + behind,
              page->zeroed ? units_for(used) : info->units + behind);
    meta_free(META_PAGE, page, descriptor_size(class_id));
    return true;
}

/* Samples of a class come one by one, and most live shortly: their last page is empty now, and needed for the next.
 * Relaxed: of two threads that end a page each, both may see two, and none stays; then the next sample makes one. */
static bool is_last_of_samples(const struct page *page)
{
    unsigned group = load_relaxed(&page->group);
    return group == page->class_id && group != GROUP_ARENA && load_relaxed(&group_counts[group].pages) == 1;
}

/* The caller holds the page and found every block free. Unless DESTROYED, nothing was done. */
static enum destroyed page_destroy(struct page *page)
{
    HAK_ASSERT(load_relaxed(&page->state) == PAGE_OWNED);
    if ((page->checked && !check_is_hardened()) || is_last_of_samples(page))
        return KEPT;
    bool guarded = page->guarded, is_open = UNLIKELY(guarded) && page_unguard(page), destroyed = false;
    if (UNLIKELY(load_relaxed(&page->protected)))
        os_protect(page->start, (size_t)(page_end(page) - page->start), true);
    bool tried = lock_acquire();
    if (tried) {
        destroyed = page_try_destroy(page, is_open);
        lock_release();
    }
    if (UNLIKELY(guarded) && !destroyed)
        page_guard_again(page);
    guard_release_page(is_open && destroyed);
    return destroyed ? DESTROYED : tried ? IN_USE : KEPT;
}

/* If all blocks of the page listed at this unit are free, it goes back to the spans. */
static void unit_retire(struct superslab *slab, uint32_t unit)
{
    for (;;) {
        struct page *page = unit_claim(slab, unit);
        if (!page)
            return;
        const struct class_info *info = &class_info[page->class_id];
        enum destroyed outcome = bitmap_is_full(page->free, info) ? page_destroy(page) : IN_USE;
        if (outcome == DESTROYED)
            return;
        page_enlist(page);
        /* Whoever freed the last block meanwhile found the page not listed, and left it to us. */
        if (outcome == KEPT || !bitmap_is_full(page->free, info))
            return;
    }
}

/* page_enlist, and a second look: a page whose last block came back while nobody could claim it is to go. */
static void page_list(struct page *page)
{
    const struct class_info *info = &class_info[page->class_id];
    struct superslab *slab = page->slab;
    uint32_t unit = page_unit(page);
    page_enlist(page);
    if (bitmap_is_full(page->free, info))
        unit_retire(slab, unit);
}

/* ---- Holding and letting go -------------------------------------------------------------------------------------- */

/* Whether the page listed at a unit is probably one of the class and group. */
static bool unit_may_serve(struct superslab *slab, uint32_t unit, unsigned class_id, unsigned group)
{
    char *start = slab_unit_start(slab, unit);
    if (!group)
        return map_class(start) == class_id;
    const struct page *page = map_class(start) == CLASS_GROUPED ? map_page(start) : NULL;
    return page && load_relaxed(&page->group) == group; /* it may be another page by now: the claimer looks again */
}

/* Claims a page of the class and group in one superslab; NULL when none is listed there. */
static struct page *slab_claim(struct superslab *slab, unsigned class_id, unsigned group)
{
    for (uint32_t listed = load_seq(&slab->listed); listed; listed &= listed - 1) {
        uint32_t unit = lowest_bit(listed);
        if (!unit_may_serve(slab, unit, class_id, group))
            continue;
        struct page *page = unit_claim(slab, unit);
        if (!page)
            continue;
        if (page->class_id == class_id && load_relaxed(&page->group) == group)
            return page;
        page_list(page); /* another page by now */
    }
    return NULL;
}

struct page *page_find(unsigned class_id, unsigned group, uint32_t holder)
{
    unsigned set = listing_set(class_id, group);
    struct page *page = NULL;
    for (uint32_t n = slabset_next(set, 0); n != SLAB_NONE; n = slabset_next(set, n + 1)) {
        page = slab_claim(slab_at(n), class_id, group);
        if (page)
            break;
        /* The set is a hint: correct it, then look again, for a page listed meanwhile relies on it. */
        slabset_remove(set, n);
        page = slab_claim(slab_at(n), class_id, group);
        if (page) {
            slabset_add(set, n);
            break;
        }
    }
    if (page)
        store_relaxed(&page->holder, holder);
    return page;
}

struct page *page_acquire_group(unsigned class_id, unsigned group, uint32_t holder)
{
    struct page *page = page_find(class_id, group, holder);
    return page ? page : page_make(class_id, group, holder, false, 0);
}

void *page_take_one(unsigned class_id, unsigned group)
{
    void *block = NULL;
    for (struct page *page; !block && (page = page_acquire_group(class_id, group, PAGE_HELD_BRIEFLY)) != NULL;) {
        page_take(page, &block, 1);
        page_release(page);
    }
    return block;
}

bool page_is_unused(const struct page *page) { return bitmap_is_full(page->free, &class_info[page->class_id]); }

bool page_is_drained(const struct page *page) { return bitmap_is_empty(page->free, &class_info[page->class_id]); }

void page_look(struct page *page)
{
    if (!page->zeroed)
        return;
    page->zeroed = false; /* none of it is any more, and what is resident later shows nothing */
    if (page->ahead == 0 && fill_wants_look(page->class_id))
        fill_note(page->class_id, fill_look(page->start, virgin_bytes(page) & ~(os_page_size() - 1)));
}

void page_release(struct page *page)
{
    const struct class_info *info = &class_info[page->class_id];
    HAK_ASSERT(load_relaxed(&page->state) == PAGE_OWNED);
    if (bitmap_is_full(page->free, info) && page_destroy(page) == DESTROYED)
        return;
    if (!bitmap_is_empty(page->free, info)) {
        page_list(page);
        return;
    }
    /* FULL, then a second look: pairs with page_put, which sets a bit and then reads the state. */
    store_seq(&page->state, PAGE_FULL);
    uint8_t full = PAGE_FULL;
    if (!bitmap_is_empty(page->free, info) && cas_seq(&page->state, &full, PAGE_LISTED))
        page_list(page);
}

/* ---- Taking blocks ----------------------------------------------------------------------------------------------- */

/* Clears up to `count` of the word's bits, the lowest; returns those that this thread cleared. */
static uint64_t word_take(_Atomic(uint64_t) *word, unsigned count)
{
    uint64_t seen = load_relaxed(word);
    uint64_t mask = seen;
    if (count_bits(seen) > count)
        for (mask = 0; count > 0; count--, seen &= seen - 1)
            mask |= seen & -seen;
    return mask ? fetch_and_acquire(word, ~mask) & mask : 0; /* pairs with the fetch_or in page_put */
}

/* Of the words [first, end) of a page's bitmap, the bits that were taken. */
struct taking {
    unsigned first, end, count;
    uint64_t bits[PAGE_MAX_BLOCKS / 64];
};

static void words_take(struct taking *taking, struct page *page, unsigned first, unsigned count)
{
    unsigned word = first, taken = 0;
    for (; word < class_info[page->class_id].words && taken < count; word++) {
        uint64_t bits = word_take(&page->free[word], count - taken);
        taking->bits[word] = bits;
        if (!bits)
            continue;
        taken += count_bits(bits);
        store_relaxed(&page->low_word, (uint8_t)word);
    }
    taking->first = first;
    taking->end = word;
    taking->count = taken;
}

/* What was never handed out before is so no longer. Returns how many of the blocks that is. */
static unsigned virgin_advance(struct page *page, const struct taking *taking)
{
    uint32_t virgin = load_relaxed(&page->virgin), end = virgin;
    unsigned fresh = 0;
    for (unsigned word = virgin / 64; word < taking->end; word++) {
        uint64_t bits = word < taking->first ? 0 : taking->bits[word];
        if (word == virgin / 64)
            bits &= ~low_mask64(virgin % 64);
        fresh += count_bits(bits);
        end = bits ? word * 64 + highest_bit(bits) + 1 : end;
    }
    if (end > virgin)
        store_relaxed(&page->virgin, (uint16_t)end);
    return fresh;
}

static COLD void taking_unpurge(struct page *page, const struct taking *taking)
{
    struct stretch stretch = {.page = page};
    for (unsigned word = taking->first; word < taking->end; word++)
        for (uint64_t bits = taking->bits[word]; bits; bits &= bits - 1)
            block_unpurge(&stretch, word * 64 + lowest_bit(bits));
    stretch_end(&stretch, 0);
    if (stretch.before > 0)
        retain_regret(stretch.before, load_relaxed(&page->slab->purged_at));
}

/* In a page that was made of purged memory: the pages of memory that are touched for the first time, from block
 * `virgin` on, are missed. What was never handed out was never touched. */
static COLD void fresh_regret(const struct page *page, uint32_t virgin)
{
    size_t size = class_size(page->class_id), memory_page = os_page_size();
    size_t before = align_up(virgin * size, memory_page),
           now = align_up(load_relaxed(&page->virgin) * size, memory_page);
    if (now > before)
        retain_regret(now - before, load_relaxed(&page->slab->purged_at));
}

/* The addresses of what was taken, and what the page has to know of it. */
INLINE unsigned taking_end(struct page *page, const struct taking *taking, void **out)
{
    size_t size = class_size(page->class_id);
    void **next = out + taking->count;
    for (unsigned word = taking->first; word < taking->end; word++) {
        char *base = block_at(page, word * 64);
        for (uint64_t bits = taking->bits[word]; bits; bits &= bits - 1)
            *--next = base + lowest_bit(bits) * size;
    }
    if (UNLIKELY(load_relaxed(&page->has_purged)))
        taking_unpurge(page, taking);
    uint32_t virgin = load_relaxed(&page->virgin);
    note_loose(page, (int)virgin_advance(page, taking) - (int)taking->count);
    if (UNLIKELY(page->missed))
        fresh_regret(page, virgin);
    if (UNLIKELY(!is_ready(page)))
        page_prefault(page);
    retain_vacate(-(ptrdiff_t)(taking->count * size));
    count_free(page, -(size_t)taking->count);
    return taking->count;
}

unsigned page_take(struct page *page, void **out, unsigned count)
{
    struct taking taking;
    unsigned low = load_relaxed(&page->low_word);
    words_take(&taking, page, low, count);
    /* The hint may be too high: of two threads, one lowered it and the other took no notice. */
    if (taking.count == 0 && low > 0)
        words_take(&taking, page, 0, count);
    return taking.count > 0 ? taking_end(page, &taking, out) : 0;
}

/* Up to `count` of the bits, of about half of them: those that `random` has, too, or else the others. */
static uint64_t bits_choose(uint64_t bits, unsigned count, uint64_t random)
{
    uint64_t mask = bits & random ? bits & random : bits, chosen = 0;
    if (count_bits(mask) <= count)
        return mask;
    /* From a random place on, and round. */
    for (unsigned turn = (unsigned)(random >> 58); count > 0; count--) {
        uint64_t rest = mask & ~low_mask64(turn) ? mask & ~low_mask64(turn) : mask;
        chosen |= rest & -rest;
        mask &= ~(rest & -rest);
    }
    return chosen;
}

/* Writes to blocks that were never handed out, from number `virgin` on: who is going to get them reads them first, and
 * fresh memory that is read before it is written to costs two page faults. */
static void blocks_touch(const struct page *page, void *const *blocks, unsigned count, uint32_t virgin)
{
    const char *fresh = block_at(page, virgin);
    for (unsigned i = 0; i < count; i++)
        if ((const char *)blocks[i] >= fresh)
            *(volatile uint64_t *)blocks[i] = 0;
}

NOINLINE unsigned page_take_random(struct page *page, void **out, unsigned count, uint64_t random)
{
    uint32_t virgin = load_relaxed(&page->virgin);
    unsigned words = class_info[page->class_id].words, taken = 0;
    struct taking taking = {.first = 0, .end = words};
    __builtin_memset(taking.bits, 0, words * sizeof taking.bits[0]);
    unsigned start = (unsigned)((random >> 32) * words >> 32);
    /* The second round takes what the first has left in the words. */
    for (unsigned i = 0; i < 2 * words && taken < count; i++) {
        unsigned word = (start + i) % words;
        uint64_t seen = load_relaxed(&page->free[word]), mask = bits_choose(seen, count - taken, random);
        random = random * 0xD1342543DE82EF95 + 1;
        if (!mask)
            continue;
        mask &= fetch_and_acquire(&page->free[word], ~mask); /* pairs with the fetch_or in page_put */
        taking.bits[word] |= mask;
        taken += count_bits(mask);
    }
    taking.count = taken;
    if (taken > 0)
        taking_end(page, &taking, out);
    blocks_touch(page, out, taken, virgin);
    return taken;
}

void *page_take_zeroed(struct page *page)
{
    uint32_t index = load_relaxed(&page->virgin);
    if (!page->zeroed || index >= class_info[page->class_id].blocks)
        return NULL;
    uint64_t bit = (uint64_t)1 << index % 64;
    if (!(fetch_and_acquire(&page->free[index / 64], ~bit) & bit)) /* pairs with the fetch_or in page_put */
        return NULL;
    store_relaxed(&page->virgin, (uint16_t)(index + 1));
    if (UNLIKELY(page->missed))
        fresh_regret(page, index);
    if (UNLIKELY(!is_ready(page)))
        page_prefault(page);
    retain_vacate(-(ptrdiff_t)class_size(page->class_id));
    count_free(page, (size_t)-1);
    return block_at(page, index);
}

static COLD void page_seal(struct page *page, void *unused)
{
    (void)unused;
    const struct class_info *info = &class_info[page->class_id];
    if (page->checked || load_relaxed(&page->group) != 0)
        return;
    size_t count = info->blocks - page_used_blocks(page);
    for (unsigned word = 0; word < info->words; word++)
        store_relaxed(&page->free[word], 0);
    store_relaxed(&page->virgin, info->blocks);
    retain_vacate(-(ptrdiff_t)(count * info->size));
    count_free(page, -count);
}

COLD void page_seal_unchecked(void) { page_each(page_seal, NULL); }

/* ---- Freeing blocks ---------------------------------------------------------------------------------------------- */

/* Blocks of one word of one bitmap, on their way back. */
struct returning {
    struct page *page;
    uint64_t mask;
    unsigned word;
};

static void fail_at(struct page *page, unsigned word, uint64_t bits, const char *call)
{
    error_fatal(ERROR_DOUBLE_FREE, call, block_at(page, word * 64 + lowest_bit(bits)), class_size(page->class_id));
}

static void page_put(struct page *page, unsigned word, uint64_t mask, const char *call)
{
    const struct class_info *info = &class_info[page->class_id];
    struct superslab *slab = page->slab;
    uint32_t unit = page_unit(page);
    if (word < load_relaxed(&page->low_word))
        store_relaxed(&page->low_word, (uint8_t)word);

    /* Pairs with the takers' acquire (contents) and with the holder's second look in page_release (order). */
    uint64_t before = fetch_or_seq(&page->free[word], mask);
    if (UNLIKELY(before & mask))
        fail_at(page, word, before & mask, call);

    /* The page may be gone and *page another page's descriptor: nothing but the state may be looked at. */
    uint8_t full = PAGE_FULL;
    if (load_seq(&page->state) == PAGE_FULL && cas_seq(&page->state, &full, PAGE_LISTED))
        page_list(page);
    if ((before | mask) == full_word(info, word) && load_seq(&slab->listed) >> unit & 1 &&
        bitmap_is_full(page->free, info))
        unit_retire(slab, unit);
}

void page_put_back(struct page *page, unsigned word, uint64_t mask) { page_put(page, word, mask, "malloc_trim"); }

/* What the program has freed. */
static void page_put_freed(const struct returning *item, const char *call)
{
    unsigned count = count_bits(item->mask);
    note_loose(item->page, (int)count);
    retain_vacate((ptrdiff_t)(count * class_size(item->page->class_id)));
    count_free(item->page, count);
    page_put(item->page, item->word, item->mask, call);
}

struct page *page_of(const void *block, const char *call)
{
    struct page *page = map_page(block);
    if (UNLIKELY(!page || page->class_id == 0))
        error_fatal(ERROR_NOT_LIVE, call, block, 0);
    return page;
}

bool page_has_live(const struct page *page, const void *block, enum error_id *error)
{
    size_t offset = (size_t)((const char *)block - page->start);
    uint32_t index = class_block_index(page->class_id, offset);
    if (index >= class_info[page->class_id].blocks || offset != (size_t)index * class_size(page->class_id)) {
        *error = ERROR_INTERIOR;
        return false;
    }
    *error = ERROR_DOUBLE_FREE;
    return !(load_relaxed(&page->free[index / 64]) >> index % 64 & 1);
}

bool page_check_block(const void *block, enum error_id *error)
{
    const struct page *page = map_page(block);
    if (page && page->class_id != 0)
        return page_has_live(page, block, error);
    *error = ERROR_NOT_LIVE;
    return false;
}

/* Neighbours in time are often neighbours in memory: what falls into one word is returned by one instruction. */
enum { RETURNING = 8 };

/* Where blocks of the word are gathered; the word that was gathered there before goes back. */
static struct returning *returning_for(struct returning *all, struct page *page, unsigned word, const char *call)
{
    struct returning *item = &all[((uintptr_t)page / 64 + word) % RETURNING];
    if (item->page == page && item->word == word)
        return item;
    if (item->page)
        page_put_freed(item, call);
    *item = (struct returning){.page = page, .word = word};
    return item;
}

/* Gathers the first block and those behind it up to the first that lies in another page; how many. */
static unsigned page_gather(struct returning *all, void *const *blocks, unsigned count, const char *call)
{
    struct page *page = page_of(blocks[0], call);
    const struct class_info info = class_info[page->class_id];
    const char *start = page->start;
    struct returning *item = NULL;
    for (unsigned i = 0; i < count; i++) {
        size_t offset = (size_t)((const char *)blocks[i] - start);
        if (offset >= (size_t)info.units << UNIT_SHIFT)
            return i;
        uint32_t index = class_offset_index(&info, offset);
        if (UNLIKELY(offset != (size_t)index * info.size || index >= info.blocks))
            error_fatal(ERROR_INTERIOR, call, blocks[i], info.size);

        unsigned word = index / 64;
        uint64_t bit = (uint64_t)1 << index % 64;
        if (!item || item->word != word)
            item = returning_for(all, page, word, call);
        if (UNLIKELY(item->mask & bit))
            fail_at(page, word, bit, call);
        item->mask |= bit;
    }
    return count;
}

void page_return(void *const *blocks, unsigned count, const char *call)
{
    struct returning all[RETURNING] = {{.page = NULL}};
    for (unsigned i = 0; i < count;)
        i += page_gather(all, blocks + i, count - i, call);
    for (unsigned i = 0; i < RETURNING; i++)
        if (all[i].page)
            page_put_freed(&all[i], call);
}

void page_free_all(struct page *page)
{
    const struct class_info *info = &class_info[page->class_id];
    for (unsigned word = 0; word < info->words; word++) {
        uint64_t taken = full_word(info, word) & ~load_relaxed(&page->free[word]); /* relaxed: nobody else changes it */
        if (taken)
            page_put_freed(&(struct returning){.page = page, .word = word, .mask = taken}, "free");
    }
}

/* ---- All pages --------------------------------------------------------------------------------------------------- */

struct page *page_at(struct superslab *slab, uint32_t unit)
{
    if (!slab->is_mapped)
        return NULL;
    char *start = slab_unit_start(slab, unit);
    struct page *page = map_page(start);
    return class_is_paged(map_class(start)) && page && page->start == start ? page : NULL;
}

static void slab_each_page(struct superslab *slab, void (*visit)(struct page *, void *), void *argument)
{
    for (uint32_t unit = 0; unit < SUPERSLAB_UNITS; unit++) {
        struct page *page = page_at(slab, unit);
        if (page)
            visit(page, argument);
    }
}

unsigned page_used_blocks(const struct page *page)
{
    unsigned used = class_info[page->class_id].blocks;
    for (unsigned word = 0; word < class_info[page->class_id].words; word++)
        used -= count_bits(load_relaxed(&page->free[word]));
    return used;
}

COLD void page_each(void (*visit)(struct page *, void *), void *argument)
{
    for (uint32_t n = 0; n < span_slab_count(); n++) {
        if (!lock_acquire())
            return;
        slab_each_page(slab_at(n), visit, argument);
        lock_release();
    }
}

/* Bytes of blocks that were ever handed out, without what was purged since. */
static size_t bytes_touched(const struct page *page)
{
    size_t bytes = load_relaxed(&page->virgin) * class_size(page->class_id), purged = 0;
    for (unsigned unit = 0; load_relaxed(&page->has_purged) && unit < class_info[page->class_id].units; unit++)
        purged += count_bits(load_relaxed(&page_purged(page)[unit])) * os_page_size();
    return bytes > purged ? bytes - purged : 0; /* a block may be taken meanwhile */
}

void page_settle(struct page *page)
{
    size_t size = class_size(page->class_id), used = max_size(page_used_blocks(page), 1);
    size_t touched = bytes_touched(page), stays = touched > used * size ? touched - used * size : 0;
    store_relaxed(&page->weight, (uint32_t)(size + stays / used));
}

struct page_totals page_count(unsigned c)
{
    struct page_totals totals = {.pages = load_relaxed(&page_counts[c])};
    for (unsigned i = 0; i < COUNT_PIECES; i++)
        totals.free_blocks += load_relaxed(&free_counts[i].free_blocks[c]);
    /* The pieces are not of one moment, and in the child of a fork a block or two may be missing. */
    size_t most = totals.pages * class_info[c].blocks;
    if (totals.free_blocks > most)
        totals.free_blocks = (ptrdiff_t)totals.free_blocks < 0 ? 0 : most;
    return totals;
}

/* Bytes of the pages of memory with a used block in them, if these lie anywhere in pages of so many blocks. */
static size_t bytes_scattered(unsigned c, size_t blocks, size_t used)
{
    enum { PART_BITS = 20 };
    uint64_t whole = (uint64_t)1 << PART_BITS, none = whole;
    uint64_t free = ((uint64_t)(blocks - used) << PART_BITS) / max_size(blocks, 1);
    for (size_t in_page = max_size(os_page_size() / class_size(c), 1); in_page > 0; in_page--)
        none = none * free >> PART_BITS;
    return max_size(blocks * class_size(c) / whole * (whole - none), used * class_size(c));
}

struct page_holding page_count_kept(unsigned c)
{
    struct page_totals totals = page_count(c);
    size_t all = totals.pages * class_info[c].blocks, used = all - totals.free_blocks;
    struct page_holding holding = {.used = used * class_size(c)};
    holding.made = load_relaxed(&pages_made[c]) * class_info[c].blocks * class_size(c);
    for (unsigned group = CLASS_LAST + 1; group < GROUP_COUNT; group++) {
        if (load_relaxed(&group_counts[group].class_id) != c)
            continue;
        size_t blocks = min_size(load_relaxed(&group_counts[group].pages) * class_info[c].blocks, all);
        size_t apart = min_size(blocks - min_size(load_relaxed(&group_counts[group].free_blocks), blocks), used);
        holding.kept += bytes_scattered(c, blocks, apart);
        all -= blocks;
        used -= apart;
    }
    holding.kept += bytes_scattered(c, all, min_size(used, all));
    return holding;
}

static void add_grouped_page(struct page *page, void *all)
{
    struct page_totals *totals = (struct page_totals *)all + load_relaxed(&page->group);
    totals->pages++;
    totals->free_blocks += class_info[page->class_id].blocks - page_used_blocks(page);
    totals->touched += bytes_touched(page);
}

void page_count_groups(struct page_totals *totals)
{
    for (unsigned i = 0; i < GROUP_COUNT; i++)
        totals[i] = (struct page_totals){0};
    page_each(add_grouped_page, totals);
}

size_t page_bytes_kept(const void *block, unsigned class_id)
{
    HAK_ASSERT(lock_is_held()); /* so that the page is not unmade */
    const struct page *page = map_page(block);
    return page && page->class_id == class_id ? bytes_touched(page) / max_size(page_used_blocks(page), 1) : 0;
}

static bool units_used(const struct page *page)
{
    uint32_t mask = low_mask32(class_info[page->class_id].units) << page_unit(page);
    return (page->slab->used & mask) == mask;
}

/* Whether what the page map says of a unit is true: it may be half of what a vanished thread was about to do. */
static bool entry_is_sound(struct superslab *slab, uint32_t unit, const struct page *page, unsigned entry)
{
    char *start = slab_unit_start(slab, unit);
    if (!(slab->used >> unit & 1) || !page)
        return false;
    if (page->class_id == 0)
        return !class_is_paged(entry) && page->start == start;
    return page_entry_class(page) == entry && page->slab == slab && start >= page->start &&
           start < page->start + class_info[page->class_id].units * UNIT_SIZE && units_used(page);
}

static bool units_entered(const struct page *page)
{
    for (unsigned unit = 0; unit < class_info[page->class_id].units; unit++) {
        const char *start = page->start + unit * UNIT_SIZE;
        if (map_class(start) != page_entry_class(page) || map_page(start) != page)
            return false;
    }
    return true;
}

/* Whether every block that was never handed out is free. */
static bool virgin_is_sound(const struct page *page)
{
    for (uint32_t index = load_relaxed(&page->virgin); index < class_info[page->class_id].blocks; index++)
        if (!(load_relaxed(&page->free[index / 64]) >> index % 64 & 1))
            return false;
    return true;
}

/* What is known of the page's memory is given up: nothing depends on how far the holder had come with it. */
static COLD void page_forget_memory(struct page *page)
{
    page->zeroed = false;
    page->ahead = 0;
    store_relaxed(&page->virgin, class_info[page->class_id].blocks);
}

/* Nobody holds the page any more. */
static COLD void page_adopt(struct page *page)
{
    page_forget_memory(page);
    if (page_is_drained(page))
        store_seq(&page->state, PAGE_FULL);
    else
        page_enlist(page);
}

/* Whether who is gone held the page, or holds it briefly as the child's own thread does not. */
static bool is_abandoned(const struct page *page, const struct page_cut *cut)
{
    uint32_t holder = load_relaxed(&page->holder);
    for (unsigned i = 0; i < cut->count; i++)
        if (cut->vanished[i] == holder)
            return true;
    return holder == PAGE_HELD_BRIEFLY && !cut->midway;
}

/* A page is in one of three states, or was on its way from one to the other. Of pages that are as they should be
 * nothing is written. */
static void page_mend(struct page *page, const struct page_cut *cut)
{
    struct superslab *slab = page->slab;
    uint8_t state = load_seq(&page->state);
    if (state == PAGE_OWNED) {
        if (is_abandoned(page, cut))
            page_adopt(page);
        else if (load_relaxed(&page->holder) == PAGE_HELD_BY_ARENA && !virgin_is_sound(page))
            page_forget_memory(page); /* who was taking blocks for the arena did not come to note it */
    } else if (cut->midway) {
        return; /* it may be this thread that is on the way */
    } else if (state == PAGE_LISTED) {
        unsigned set = listing_set(page->class_id, load_relaxed(&page->group));
        if (!(load_seq(&slab->listed) >> page_unit(page) & 1) || slabset_next(set, slab->number) != slab->number)
            page_enlist(page);
    } else if (!page_is_drained(page) && cas_seq(&page->state, &state, PAGE_LISTED)) { /* pairs with page_put */
        page_enlist(page);
    }
}

/* Drops what a vanished thread had begun to enter in the map, or to remove from it: nobody has a block of that. */
static COLD void entries_mend(struct superslab *slab)
{
    for (uint32_t unit = 0; unit < SUPERSLAB_UNITS; unit++) {
        char *start = slab_unit_start(slab, unit);
        unsigned entry = map_class(start);
        if (!(slab->used >> unit & 1) && !class_is_paged(entry))
            continue; /* a unit has an entry only while it is used */
        struct page *page = map_page(start);
        if ((class_is_paged(entry) || page) && !entry_is_sound(slab, unit, page, entry))
            map_set(start, 1, 0, NULL);
    }
    for (uint32_t unit = 0; unit < SUPERSLAB_UNITS; unit++) {
        struct page *page = page_at(slab, unit);
        if (page && !units_entered(page))
            map_set(page->start, class_info[page->class_id].units, 0, NULL);
    }
}

static void count_again(struct page *page, void *unused)
{
    (void)unused;
    count_page(page, 1, class_info[page->class_id].blocks - page_used_blocks(page));
}

/* Whoever vanished may have changed a bitmap or the map, and not yet counted that. */
static COLD void counts_derive(void)
{
    for (unsigned c = 0; c < CLASS_SLOTS; c++) {
        store_relaxed(&page_counts[c], 0);
        for (unsigned i = 0; i < COUNT_PIECES; i++)
            store_relaxed(&free_counts[i].free_blocks[c], 0);
    }
    for (unsigned group = 1; group < GROUP_COUNT; group++) {
        store_relaxed(&group_counts[group].pages, 0);
        store_relaxed(&group_counts[group].free_blocks, 0);
    }
    for (uint32_t n = 0; n < span_slab_count(); n++)
        if (slab_at(n)->is_mapped)
            slab_each_page(slab_at(n), count_again, NULL);
}

COLD void page_after_fork(const struct page_cut *cut)
{
    for (uint32_t n = 0; n < span_slab_count(); n++) {
        struct superslab *slab = slab_at(n);
        if (!slab->is_mapped)
            continue;
        if (cut->torn)
            entries_mend(slab);
        for (uint32_t unit = 0, units; unit < SUPERSLAB_UNITS; unit += units) {
            struct page *page = class_is_paged(map_class(slab_unit_start(slab, unit))) ? page_at(slab, unit) : NULL;
            units = page ? class_info[page->class_id].units : 1;
            if (page)
                page_mend(page, cut);
        }
    }
    if (cut->torn)
        counts_derive();
}

bool page_is_valid(const struct page *page)
{
    const struct class_info *info = &class_info[page->class_id];
    if (page->class_id == 0 || page->class_id > CLASS_LAST || load_relaxed(&page->virgin) > info->blocks)
        return false;
    if (!units_entered(page))
        return false;
    for (unsigned word = 0; word < info->words; word++)
        if (load_relaxed(&page->free[word]) & ~full_word(info, word))
            return false;
    if (!virgin_is_sound(page))
        return false;
    return page->start == slab_unit_start(page->slab, page_unit(page)) && units_used(page);
}
