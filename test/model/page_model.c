/* page_model.c - pages: holders, freeing threads, claimers and malloc_trim, on the real page.c, slabset.c, map.c and
 * meta.c. Spans, the lock and the system below them are replaced by the least that works; the lock has its own model.
 *
 * The program's view is kept in `contents`, plain memory that stands for the blocks' own. So a block that is handed on
 * before the memory in it is, is a race, and the explorer reports it.
 * SPDX-License-Identifier: MIT */
#include "model.h"

#include "system/error.h"
#include "heap/fill.h"
#include "heap/ground.h"
#include "heap/guard.h"
#include "system/lock.h"
#include "heap/map.h"
#include "heap/meta.h"
#include "system/options.h"
#include "system/os_advise.h"
#include "system/os_clock.h"
#include "system/os_map.h"
#include "system/os_thread.h"
#include "heap/page.h"
#include "heap/prefault.h"
#include "heap/purge.h"
#include "heap/span.h"

#define BASE ((char *)(uintptr_t)SUPERSLAB_SIZE) /* no memory is there, and nobody looks */

enum { PAIR = 1, OTHER_PAIR = 2, MANY = 3, UNITS = 2 };

/* The smallest pages there can be, so that they fill and empty in a few steps. MANY has two words of bitmap. */
#define CLASS(bytes, count)                                      \
    {.magic = ((uint64_t)1 << CLASS_MAGIC_SHIFT) / (bytes) + 1,  \
     .size = (bytes),                                            \
     .blocks = (count),                                          \
     .units = 1,                                                 \
     .words = ((count) + 63) / 64}
struct class_info class_info[CLASS_SLOTS] = {
    [PAIR] = CLASS(32 << 10, 2), [OTHER_PAIR] = CLASS(32 << 10, 2), [MANY] = CLASS(992, 66)};

uint64_t option_values[OPTION_COUNT];

/* ---- The program's view ------------------------------------------------------------------------------------------ */

enum { MOST_BLOCKS = 66, FREE = 0, USED = 1 };

static struct content {
    uint8_t status;
    bool written; /* since it was last zero */
} contents[UNITS][MOST_BLOCKS];

static bool held[UNITS]; /* the page there, by a thread */

static size_t unit_of(const void *address)
{
    size_t unit = (size_t)((const char *)address - BASE) / UNIT_SIZE;
    model_check(unit < UNITS, "only blocks of the heap are handed out");
    return unit;
}

static size_t size_at(const void *address)
{
    unsigned class_id = map_class(address);
    model_check(class_is_paged(class_id), "no page is unmade while its blocks are in hand");
    return class_size(class_id);
}

static struct content *content_of(const void *block)
{
    return &contents[unit_of(block)][(uintptr_t)block % UNIT_SIZE / size_at(block)];
}

static void block_use(void *block)
{
    struct content *content = content_of(block);
    model_check(content->status == FREE, "no block is handed out twice");
    *content = (struct content){USED, true};
}

static void hold(struct page *page)
{
    model_check(!held[unit_of(page->start)], "a page has one holder");
    held[unit_of(page->start)] = true;
}

static void let_go(struct page *page)
{
    held[unit_of(page->start)] = false;
    page_release(page);
}

static void blocks_give_back(void **blocks, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        content_of(blocks[i])->status = FREE;
    page_return(blocks, count, "free");
}

/* ---- What lies below --------------------------------------------------------------------------------------------- */

static uint32_t dirty_units;
static bool out_of_units;

uint32_t span_slab_count(void) { return 1; }

struct run span_alloc(size_t units, size_t align_units)
{
    struct superslab *slab = slab_at(0);
    for (uint32_t unit = 0; units == 1 && align_units == 1 && unit < UNITS && !out_of_units; unit++)
        if (!(slab->used >> unit & 1)) {
            slab->used |= (uint32_t)1 << unit;
            bool is_clean = !(dirty_units >> unit & 1);
            return (struct run){.slab = slab, .unit = unit, .clean = is_clean, .zeroed = is_clean};
        }
    return (struct run){.slab = NULL};
}

void span_free(struct run run, size_t units, size_t touched)
{
    (void)touched;
    model_check(units == 1 && run.slab->used >> run.unit & 1, "a page is unmade once");
    for (unsigned i = 0; i < MOST_BLOCKS; i++)
        model_check(contents[run.unit][i].status == FREE, "no page is unmade while a block of it is used");
    run.slab->used &= ~((uint32_t)1 << run.unit);
    dirty_units |= (uint32_t)1 << run.unit;
}

void *span_obtain(struct run *run, size_t units, size_t align_units, bool dense, size_t descriptor_size)
{
    (void)dense;
    if (!meta_acquire(META_PAGE, descriptor_size))
        return NULL;
    void *descriptor = meta_alloc(META_PAGE, descriptor_size);
    *run = span_alloc(units, align_units);
    if (run->slab)
        return descriptor;
    meta_free(META_PAGE, descriptor, descriptor_size);
    lock_release();
    return NULL;
}

void span_settle(struct run run, size_t units) { (void)run, (void)units; }
bool span_split(struct superslab *slab) { return (void)slab, false; }
void span_advise(const struct superslab *slab) { (void)slab; }
size_t span_purge(size_t keep_bytes, size_t most_bytes, uint64_t until)
{
    return (void)keep_bytes, (void)most_bytes, (void)until, 0;
}

/* One superslab, where BASE is. */
static _Atomic(uint8_t) classes[2 * SUPERSLAB_UNITS];
static _Atomic(struct page *) pages[SUPERSLAB_UNITS];
static struct slab_group groups[1];
static _Atomic(uint64_t) rows[1][SET_COLUMNS];
static _Alignas(64) char descriptors[16 << 10];

bool ground_start(void) { return true; }
char *ground_heap(void) { return BASE; }
char *ground_table(enum ground_table table)
{
    switch (table) {
    case GROUND_CLASSES: return (char *)classes;
    case GROUND_PAGES: return (char *)pages;
    case GROUND_GROUPS: return (char *)groups;
    case GROUND_ROWS: return (char *)rows;
    default: return descriptors;
    }
}
size_t ground_extent(enum ground_table table)
{
    switch (table) {
    case GROUND_CLASSES: return sizeof classes;
    case GROUND_PAGES: return sizeof pages;
    case GROUND_GROUPS: return sizeof groups;
    case GROUND_ROWS: return sizeof rows;
    default: return sizeof descriptors;
    }
}
int ground_extend(enum ground_table table, size_t size) { return size > ground_extent(table); }
bool lock_growth_acquire(void) { return true; }
void lock_growth_release(void) {}
bool lock_growth_is_held(void) { return true; }

/* Blocks have no marks and pages no guards: neither is a part of what pages do with each other. */
uint8_t check_mode = CHECK_OFF;
bool guard_reserve_page_now(void) { return false; }
void guard_release_page(bool reserved) { (void)reserved; }
bool guard_shut(char *start, size_t size) { return (void)start, (void)size, false; }
bool guard_open(char *start, size_t size) { return (void)start, (void)size, false; }
int os_protect(void *address, size_t size, bool usable) { return (void)address, (void)size, (void)usable, 0; }

/* Retention decides nothing that is checked here, and its figures are relaxed throughout. */
_Atomic(bool) retain_due;
void retain_loosen(ptrdiff_t bytes) { (void)bytes; }
void retain_vacate(ptrdiff_t bytes) { (void)bytes; }
void retain_regret(size_t bytes, uint32_t purged_at) { (void)bytes, (void)purged_at; }
uint32_t retain_now(void) { return 0; }
size_t retain_excess(void) { return 0; }
void retain_purged(size_t looked_at, size_t left) { (void)looked_at, (void)left; }
void retain_note_purged(size_t bytes) { (void)bytes; }
void limit_note_purged(size_t bytes) { (void)bytes; }
void retain_go_on(void) {}
size_t retain_over_limit(void) { return 0; }

_Atomic(uint8_t) prefault_verdict = PREFAULT_PAYS;

void prefault(char *start, size_t size)
{
    for (char *block = start; block < start + size; block += size_at(start))
        model_check(!content_of(block)->written, "what is made resident was not written to");
}

bool fill_wants_look(unsigned kind) { return (void)kind, false; }
bool fill_look(char *start, size_t size) { return (void)start, (void)size, false; }
void fill_note(unsigned kind, bool is_filled) { (void)kind, (void)is_filled; }

static _Atomic(uint32_t) lock_word;

static unsigned lock_holder;
static __thread unsigned locks_left = 100;

bool lock_acquire(void)
{
    if (locks_left == 0)
        return false; /* as in a signal handler that interrupted the holder */
    locks_left--;
    model_await(&lock_word, 0);
    exchange_acquire(&lock_word, 1);
    lock_holder = model_self();
    return true;
}

void lock_release(void) { exchange_release(&lock_word, 0); }
bool lock_is_held(void) { return lock_holder == model_self(); }

size_t os_page_size(void) { return 4096; }
uint64_t os_nanoseconds(void) { return 0; }
void os_wait(_Atomic(uint32_t) *word, uint32_t value, unsigned milliseconds)
{
    (void)word, (void)value, (void)milliseconds;
}
uint32_t lock_own_thread(void) { return 1 + (uint32_t)model_self(); }
bool os_thread_exists(uint32_t thread_id) { return (void)thread_id, true; }

uint32_t os_purge_all(const struct os_range *ranges, unsigned count)
{
    for (const struct os_range *range = ranges; range < ranges + count; range++)
        for (char *block = range->start; block < (char *)range->start + range->size; block += size_at(block)) {
            model_check(content_of(block)->status == FREE, "no block is purged while it is used");
            content_of(block)->written = false;
        }
    return low_mask32(count);
}

void error_fatal(enum error_id id, const char *call, const void *address, size_t block_size)
{
    (void)id, (void)call, (void)address, (void)block_size;
    model_fail("no misuse is reported");
}

void error_assert(const char *condition, const char *file, int line)
{
    (void)file, (void)line;
    model_fail(condition);
}

/* ---- When all is quiet ------------------------------------------------------------------------------------------- */

static void page_check_quiet(struct page *page, uint32_t unit)
{
    const struct class_info *info = &class_info[page->class_id];
    struct superslab *slab = page->slab;
    unsigned state = load_seq(&page->state);
    bool listed = load_seq(&slab->listed) >> unit & 1;
    bool any_free = false, any_used = false;
    for (unsigned i = 0; i < info->blocks; i++) {
        bool is_free = load_seq(&page->free[i / 64]) >> i % 64 & 1;
        any_free |= is_free;
        any_used |= !is_free;
        model_check(is_free == (contents[unit][i].status == FREE), "the bitmap says what is free");
    }
    model_check(page_is_valid(page), "pages are valid");
    model_check((state == PAGE_OWNED) == held[unit], "exactly the pages that are held are OWNED");
    model_check(listed == (state == PAGE_LISTED), "exactly the LISTED pages are listed");
    model_check(!any_free || state != PAGE_FULL, "no page with free blocks stays FULL");
    model_check(any_used || state == PAGE_OWNED, "a page whose blocks are all free is unmade");
    bool is_in_set = slabset_has(SET_OF_CLASS + page->class_id, 0);
    model_check(!listed || is_in_set, "the set of its class leads to a listed page");
}

/* As thread caches do, with memory that is made resident before its blocks are handed out. */
static struct page *acquire(unsigned class_id, uint32_t holder)
{
    struct page *page = page_find(class_id, 0, holder);
    return page ? page : page_make(class_id, 0, holder, false, 1);
}

/* Whoever asks gets every free block, except those of held pages, and none of them twice. */
static void drain(unsigned class_id, unsigned free_blocks)
{
    void *block;
    out_of_units = true;
    for (struct page *page; (page = acquire(class_id, PAGE_HELD_BRIEFLY));) {
        hold(page);
        while (page_take(page, &block, 1)) {
            block_use(block);
            free_blocks--;
        }
        let_go(page);
    }
    model_check(free_blocks == 0, "no free block is lost");
}

static void quiet(void)
{
    struct superslab *slab = slab_at(0);
    unsigned free_blocks[CLASS_SLOTS] = {0};
    for (uint32_t unit = 0; unit < UNITS; unit++) {
        struct page *page = map_page(slab_unit_start(slab, unit));
        model_check(!page == !(slab->used >> unit & 1), "a page for each unit in use");
        model_check(page || !(load_seq(&slab->listed) >> unit & 1), "only pages are listed");
        if (!page)
            continue;
        page_check_quiet(page, unit);
        for (unsigned i = 0; i < class_info[page->class_id].blocks && !held[unit]; i++)
            free_blocks[page->class_id] += contents[unit][i].status == FREE;
    }
    for (unsigned class_id = PAIR; class_id <= MANY; class_id++)
        drain(class_id, free_blocks[class_id]);
}

/* ---- What threads do --------------------------------------------------------------------------------------------- */

static void heap_begin(void)
{
    model_check(slab_cover(1) && map_cover(1), "the model begins");
    slab_at(0)->is_mapped = true;
    /* Other superslabs far away keep the upper summaries as they are, which have a model of their own. */
    static const unsigned sets[] = {SET_OF_CLASS + PAIR, SET_OF_CLASS + OTHER_PAIR, SET_OF_CLASS + MANY, SET_LOOSE};
    for (unsigned i = 0; i < sizeof sets / sizeof *sets; i++) {
        slabset_add(sets[i], 0);
        store_relaxed(&rows[0][sets[i]], load_relaxed(&rows[0][sets[i]]) | (uint64_t)1 << 63);
        slabset_remove(sets[i], 0);
    }
    page_note_loose(slab_at(0)); /* by frees before these */
    slab_at(0)->used = ~low_mask32(UNITS);
}

static void *blocks[4];          /* that setup took and the threads give back */
static struct page *page_at_start; /* held by setup, for one of the threads */

/* A page of the class, held, of which the first blocks are in `blocks` from `first` on. */
static struct page *page_begin(unsigned class_id, unsigned first, unsigned count)
{
    struct page *page = acquire(class_id, PAGE_HELD_BRIEFLY);
    hold(page);
    for (unsigned i = first; i < first + count; i++) {
        model_check(page_take(page, &blocks[i], 1) == 1, "the model begins");
        block_use(blocks[i]);
    }
    return page;
}

static void free_0(void) { blocks_give_back(&blocks[0], 1); }
static void free_1(void) { blocks_give_back(&blocks[1], 1); }
static void free_0_and_1(void) { blocks_give_back(&blocks[0], 2); }
static void free_0_then_1(void)
{
    free_0();
    free_1();
}

static void release(void) { let_go(page_at_start); }

static void take_and_release(void)
{
    void *block;
    if (page_take(page_at_start, &block, 1))
        block_use(block);
    release();
}

static void claim(unsigned class_id, unsigned count)
{
    void *taken[2];
    struct page *page = acquire(class_id, model_self() + 1);
    if (!page)
        return;
    hold(page);
    model_check(page->class_id == class_id, "a page of the class asked for is acquired");
    count = page_take(page, taken, count);
    for (unsigned i = 0; i < count; i++)
        block_use(taken[i]);
    let_go(page);
}

static void claim_pair(void) { claim(PAIR, 2); }
static void claim_one(void) { claim(PAIR, 1); }
static void claim_one_of_other_class(void) { claim(OTHER_PAIR, 1); }
static void claim_other_class(void) { claim(OTHER_PAIR, 2); }
static void claim_one_of_many(void) { claim(MANY, 1); }

static void take_zeroed_and_release(void)
{
    char *block = page_take_zeroed(page_at_start);
    if (block) {
        model_check(!content_of(block)->written, "a block that is said to read as zero does");
        block_use(block);
    }
    release();
}

/* Ends soon after unit 0: the many units that are not in use are all the same. */
static void trim(void)
{
    locks_left = 4;
    purge_all(0);
}

/* ---- Scenarios --------------------------------------------------------------------------------------------------- */

static void held_with_both_used(void)
{
    heap_begin();
    page_at_start = page_begin(PAIR, 0, 2);
}

static void held_with_one_used(void)
{
    heap_begin();
    page_at_start = page_begin(PAIR, 0, 1);
}

/* Block 0 of each of two words is used. */
static void held_with_two_words(void)
{
    void *rest[MOST_BLOCKS];
    heap_begin();
    page_at_start = page_begin(MANY, 0, 1);
    for (unsigned left = 65, taken; left > 0; left -= taken)
        taken = page_take(page_at_start, &rest[65 - left], left);
    blocks[1] = rest[1];
    block_use(blocks[1]);
    page_return(rest + 2, 63, "free");
    page_return(rest, 1, "free");
}

static void full(void)
{
    held_with_both_used();
    release();
}

static void listed(void)
{
    held_with_one_used();
    release();
}

/* The page was listed once, and the set of its class still says so. */
static void full_again(void)
{
    listed();
    page_at_start = page_begin(PAIR, 1, 1);
    release();
}

static const struct model_scenario scenarios[] = {
    {"release_against_frees", held_with_both_used, {release, free_0, free_1}, quiet, false, 0},
    {"release_against_claims", held_with_one_used, {release, claim_one, claim_one}, quiet, false, 0},
    {"full_against_two_claims", full, {free_0, claim_one, claim_one}, quiet, false, 0},
    {"full_against_frees_and_claim", full, {free_0, free_1, claim_pair}, quiet, false, 0},
    {"recycled_as_same_class", held_with_both_used, {release, free_0, free_1, claim_pair}, quiet, false, 0},
    {"recycled_as_other_class", held_with_both_used, {release, free_0, free_1, claim_other_class}, quiet, false, 0},
    {"hint_out_of_date", full_again, {free_0, claim_pair}, quiet, false, 0},
    {"unit_changes_class", full, {free_0_then_1, claim_one, claim_one_of_other_class}, quiet, false, 0},
    {"two_words_against_release", held_with_two_words, {release, free_0, free_1}, quiet, false, 0},
    {"two_words_against_claim", held_with_two_words, {release, free_0_and_1, claim_one_of_many}, quiet, false, 0},
    {"zeroed", held_with_one_used, {take_zeroed_and_release, free_0, claim_one}, quiet, false, 0},
    {"trim_against_release", held_with_one_used, {trim, take_and_release, free_0}, quiet, false, 0},
    {"trim_against_free", listed, {trim, free_0}, quiet, false, 0},
    {"trim_against_claims", listed, {trim, claim_one, claim_pair}, quiet, false, 0},
    {"trim_against_trim", listed, {trim, trim, free_0}, quiet, false, 4},
    {"trim_against_free_and_claim", listed, {trim, free_0, claim_one}, quiet, false, 4},
    {"trim_of_two_words", held_with_two_words, {trim, free_0_and_1, claim_one_of_many}, quiet, false, 0},
    {"trim_against_all", held_with_both_used, {release, free_0_then_1, claim_one, trim}, quiet, false, 2},
};

int main(int argc, char **argv) { return model_main(argc, argv, scenarios, sizeof scenarios / sizeof *scenarios); }
