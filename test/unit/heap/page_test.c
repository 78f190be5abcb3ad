/* page_test.c - pages and their bitmaps against a naive model: which block is free, which page is held, listed or full,
 * which block is taken next. The states are observed at every step, with one thread that plays several holders.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdlib.h>

#include "system/lock.h"
#include "heap/map.h"
#include "system/os_map.h"
#include "heap/page.h"
#include "heap/purge.h"
#include "heap/retain.h"
#include "heap/span.h"

static const unsigned g_classes[] = {1, 4, 8, 13, 20, 30, 44, 53, 60};
enum { CLASSES = 9, PAGES = 400, LIVE = 30000, HOLDER = 77 };

/* ---- The model --------------------------------------------------------------------------------------------------- */

struct model_page {
    char *start;
    struct page *page;
    unsigned class_id;
    unsigned free_count;
    bool held;
    bool is_free[PAGE_MAX_BLOCKS];
};
static struct model_page g_pages[PAGES];
static size_t g_page_count;

/* A block in the program's hands, with the seed of its contents. */
static struct live {
    char *block;
    uint64_t seed;
} g_live[LIVE];
static size_t g_live_count;

static struct model_page *model_of(const char *block)
{
    for (size_t i = 0; i < g_page_count; i++) {
        struct model_page *model = &g_pages[i];
        if (block >= model->start && block < model->start + class_info[model->class_id].units * UNIT_SIZE)
            return model;
    }
    must_fail(__FILE__, __LINE__, "no page holds %p", (const void *)block);
    return NULL;
}

static size_t index_of(const struct model_page *model, const char *block)
{
    return (size_t)(block - model->start) / class_size(model->class_id);
}

static void model_remove(struct model_page *model) { *model = g_pages[--g_page_count]; }

static enum page_state expected_state(const struct model_page *model)
{
    return model->held ? PAGE_OWNED : model->free_count == 0 ? PAGE_FULL : PAGE_LISTED;
}

static void page_must_agree(const struct model_page *model)
{
    const struct page *page = model->page;
    must(map_page(model->start) == page && page->start == model->start, "the page of class %u is not in the page map",
         model->class_id);
    must(page_is_valid(page), "the page of class %u is not valid", model->class_id);
    enum page_state state = load_seq(&page->state);
    must(state == expected_state(model), "a page of class %u with %u free blocks, held %d: expected state %d, saw %d",
         model->class_id, model->free_count, model->held, expected_state(model), state);
    for (unsigned i = 0; i < class_info[model->class_id].blocks; i++)
        if (model->is_free[i] != (load_seq(&page->free[i / 64]) >> i % 64 & 1))
            must_fail(__FILE__, __LINE__, "class %u, block %u: free is not %d", model->class_id, i, model->is_free[i]);
}

static void all_must_agree(void)
{
    struct page_totals expected[CLASS_SLOTS] = {{0}};
    for (size_t i = 0; i < g_page_count; i++) {
        page_must_agree(&g_pages[i]);
        expected[g_pages[i].class_id].pages++;
        expected[g_pages[i].class_id].free_blocks += g_pages[i].free_count;
    }
    for (unsigned c = 0; c < CLASS_SLOTS; c++) {
        struct page_totals totals = page_count(c);
        must(totals.pages == expected[c].pages && totals.free_blocks == expected[c].free_blocks,
             "class %u: counted %zu pages, %zu free blocks; expected %zu, %zu", c, totals.pages, totals.free_blocks,
             expected[c].pages, expected[c].free_blocks);
    }
    heap_must_be_valid("page model");
}

/* ---- Operations -------------------------------------------------------------------------------------------------- */

/* Small parts of large blocks stand for all of it. */
static size_t filled(const struct model_page *model) { return min_size(class_size(model->class_id), 512); }

static void live_add(struct model_page *model, char *block, uint64_t seed)
{
    size_t index = index_of(model, block);
    must(index < class_info[model->class_id].blocks && block == model->start + index * class_size(model->class_id),
         "class %u: %p is not the start of a block", model->class_id, (void *)block);
    must(model->is_free[index], "class %u: block %zu was handed out twice", model->class_id, index);
    model->is_free[index] = false;
    model->free_count--;
    pattern_fill(block, filled(model), seed);
    g_live[g_live_count++] = (struct live){block, seed};
}

/* The lowest listed page of the class, which is the one to be had next; NULL when there is none. */
static struct model_page *lowest_listed(unsigned c)
{
    struct model_page *lowest = NULL;
    for (size_t i = 0; i < g_page_count; i++) {
        struct model_page *model = &g_pages[i];
        if (model->class_id != c || expected_state(model) != PAGE_LISTED)
            continue;
        uint32_t n = model->page->slab->number, best = lowest ? lowest->page->slab->number : SLAB_NONE;
        if (n < best || (n == best && model->start < lowest->start))
            lowest = model;
    }
    return lowest;
}

static void do_acquire(unsigned c)
{
    struct model_page *expected = lowest_listed(c);
    struct page *page = page_acquire_group(c, 0, HOLDER);
    must(page && page->class_id == c, "no page of class %u", c);
    must(load_relaxed(&page->holder) == HOLDER, "the page has another holder");
    if (expected) {
        must(page == expected->page, "class %u: expected the listed page at %p, saw %p", c, (void *)expected->start,
             (void *)page->start);
        expected->held = true;
        page_must_agree(expected);
        return;
    }
    struct model_page *model = &g_pages[g_page_count++];
    *model = (struct model_page){page->start, page, c, class_info[c].blocks, true, {false}};
    for (unsigned i = 0; i < class_info[c].blocks; i++)
        model->is_free[i] = true;
    page_must_agree(model);
}

static void do_take(struct model_page *model, unsigned count, uint64_t seed)
{
    static void *out[PAGE_MAX_BLOCKS + 64];
    unsigned expected = count < model->free_count ? count : model->free_count;
    unsigned taken = page_take(model->page, out, count);
    must(taken == expected, "class %u: asked for %u of %u free blocks, got %u", model->class_id, count,
         model->free_count, taken);
    size_t lowest = 0;
    for (unsigned i = taken; i-- > 0;) {
        while (!model->is_free[lowest])
            lowest++;
        must(index_of(model, out[i]) == lowest, "class %u: expected block %zu next, saw %zu", model->class_id, lowest,
             index_of(model, out[i]));
        live_add(model, out[i], seed + i);
    }
    page_must_agree(model);
}

static void do_take_zeroed(struct model_page *model, uint64_t seed)
{
    char *block = page_take_zeroed(model->page);
    if (block) {
        size_t size = class_size(model->class_id);
        must(bytes_check(block, size, 0) == size, "class %u: a block that is to be zero is not", model->class_id);
        live_add(model, block, seed);
    }
    page_must_agree(model);
}

/* What the model makes of a page that nobody holds and all of whose blocks are free: it is gone. */
static void must_be_gone_if_empty(struct model_page *model)
{
    if (model->held || model->free_count < class_info[model->class_id].blocks)
        return;
    must(map_page(model->start) == NULL && map_class(model->start) == 0,
         "the page of class %u is empty and not gone", model->class_id);
    model_remove(model);
}

/* Frees some live blocks, chosen at random, in one call. */
static void do_return(unsigned count, uint64_t *random)
{
    void *blocks[300];
    struct model_page *touched[300];
    for (unsigned i = 0; i < count; i++) {
        size_t chosen = random_next(random) % g_live_count;
        struct live live = g_live[chosen];
        g_live[chosen] = g_live[--g_live_count];
        struct model_page *model = model_of(live.block);
        must(pattern_check(live.block, filled(model), live.seed) == filled(model), "class %u: a live block was changed",
             model->class_id);
        model->is_free[index_of(model, live.block)] = true;
        model->free_count++;
        blocks[i] = live.block;
        touched[i] = model;
    }
    page_return(blocks, count, "free");
    /* From the end of the table: removing one page moves the last into its place. */
    for (size_t i = g_page_count; i-- > 0;)
        for (unsigned k = 0; k < count; k++)
            if (touched[k] == &g_pages[i]) {
                must_be_gone_if_empty(&g_pages[i]);
                break;
            }
}

static void do_release(struct model_page *model)
{
    page_release(model->page);
    model->held = false;
    if (model->free_count < class_info[model->class_id].blocks)
        page_must_agree(model);
    must_be_gone_if_empty(model);
}

static void random_step(uint64_t *random)
{
    uint64_t choice = random_next(random) % 1000, seed = random_next(random);
    struct model_page *model = g_page_count ? &g_pages[random_next(random) % g_page_count] : NULL;
    if (choice < 150 && g_page_count < 60)
        do_acquire(g_classes[random_next(random) % CLASSES]);
    else if (choice < 500 && model && model->held && g_live_count < LIVE - 4096)
        do_take(model, 1 + (unsigned)(seed % (choice < 160 ? PAGE_MAX_BLOCKS : 100)), seed);
    else if (choice < 560 && model && model->held && g_live_count < LIVE)
        do_take_zeroed(model, seed);
    else if (choice < 860 && g_live_count > 0)
        do_return(1 + (unsigned)(seed % min_size(g_live_count, choice < 600 ? 300 : 30)), random);
    else if (choice < 998 && model && model->held)
        do_release(model);
    else if (choice >= 998)
        purge_all(SIZE_MAX);
}

static void free_everything(uint64_t *random)
{
    while (g_live_count > 0)
        do_return((unsigned)min_size(g_live_count, 300), random);
    while (g_page_count > 0)
        do_release(&g_pages[g_page_count - 1]);
    all_must_agree();
}

static void test_random_operations(void **state)
{
    (void)state;
    enum { STEPS = UNDER_TSAN ? 6000 : 40000 };
    uint64_t random = 2024;
    for (size_t step = 0; step < STEPS; step++) {
        random_step(&random);
        if (step % 200 == 0)
            all_must_agree();
    }
    free_everything(&random);
}

/* ---- One thing at a time ----------------------------------------------------------------------------------------- */

static void *g_blocks[PAGE_MAX_BLOCKS];

/* A page of the class, held, all of whose blocks are in g_blocks, the lowest first. */
static struct page *page_taken(unsigned c)
{
    struct page *page = page_acquire_group(c, 0, HOLDER);
    must(page && page_take(page, g_blocks, PAGE_MAX_BLOCKS) == class_info[c].blocks, "a page of class %u is not fresh",
         c);
    for (unsigned i = 0, k = class_info[c].blocks - 1u; i < k; i++, k--) {
        void *swap = g_blocks[i];
        g_blocks[i] = g_blocks[k];
        g_blocks[k] = swap;
    }
    return page;
}

static void page_end(struct page *page)
{
    unsigned c = page->class_id;
    const char *start = page->start;
    page_return(g_blocks, class_info[c].blocks, "free");
    page_release(page);
    assert_null(map_page(start));
}

static void test_every_class(void **state)
{
    (void)state;
    for (unsigned c = 1; c <= CLASS_LAST; c++) {
        size_t size = class_size(c);
        size_t align = min_size(size & -size, UNIT_SIZE);
        struct page *page = page_taken(c);
        void *more;
        assert_int_equal(page_take(page, &more, 1), 0);
        for (unsigned i = 0; i < class_info[c].blocks; i++) {
            assert_ptr_equal(g_blocks[i], page->start + i * size);
            assert_int_equal((uintptr_t)g_blocks[i] % align, 0);
            pattern_fill(g_blocks[i], size, i);
        }
        for (unsigned i = 0; i < class_info[c].blocks; i++)
            assert_int_equal(pattern_check(g_blocks[i], size, i), size);
        page_end(page);
    }
}

static void test_states(void **state)
{
    (void)state;
    for (size_t i = 0; i < CLASSES; i++) {
        struct page *page = page_taken(g_classes[i]);
        assert_int_equal(load_seq(&page->state), PAGE_OWNED);
        page_release(page);
        assert_int_equal(load_seq(&page->state), PAGE_FULL);
        page_return(&g_blocks[0], 1, "free");
        assert_int_equal(load_seq(&page->state), PAGE_LISTED);
        assert_true(slabset_has(SET_OF_CLASS + g_classes[i], page->slab->number));
        assert_ptr_equal(page_acquire_group(g_classes[i], 0, HOLDER), page);
        assert_int_equal(load_seq(&page->state), PAGE_OWNED);
        void *block;
        assert_int_equal(page_take(page, &block, 1), 1);
        assert_ptr_equal(block, g_blocks[0]);
        page_end(page);
    }
}

/* Where the search for a free block begins is a hint: any value of it must do. */
static void test_low_word_is_a_hint(void **state)
{
    (void)state;
    for (size_t i = 0; i < CLASSES; i++) {
        struct page *page = page_taken(g_classes[i]);
        unsigned words = class_info[g_classes[i]].words;
        for (unsigned low = 0; low < words; low++) {
            void *block = NULL;
            page_return(&g_blocks[0], 1, "free");
            store_relaxed(&page->low_word, (uint8_t)low);
            assert_int_equal(page_take(page, &block, 1), 1);
            assert_ptr_equal(block, g_blocks[0]);
        }
        page_end(page);
    }
}

/* ---- Misuse ------------------------------------------------------------------------------------------------------ */

static void return_one(void *block) { page_return(&block, 1, "free"); }

static void return_twice(void *block)
{
    return_one(block);
    return_one(block);
}

static void return_twice_in_one_call(void *block)
{
    void *blocks[3] = {g_blocks[1], block, block};
    page_return(blocks, 3, "free");
}

static void return_all_and_one_again(void *block)
{
    struct page *page = map_page(block);
    page_return(g_blocks, class_info[page->class_id].blocks, "free");
    return_one(block); /* the page is still held, and so not gone */
}

static void test_misuse(void **state)
{
    (void)state;
    enum error_id error;
    for (size_t i = 0; i < CLASSES; i++) {
        unsigned c = g_classes[i];
        size_t size = class_size(c);
        struct page *page = page_taken(c);
        char *block = g_blocks[0], *last = g_blocks[class_info[c].blocks - 1];
        must_die_of(ERROR_DOUBLE_FREE, "free", size, return_twice, block);
        must_die_of(ERROR_DOUBLE_FREE, "free", size, return_twice_in_one_call, block);
        must_die_of(ERROR_DOUBLE_FREE, "free", size, return_all_and_one_again, block);
        must_die_of(ERROR_INTERIOR, "free", size, return_one, block + 1);
        must_die_of(ERROR_INTERIOR, "free", size, return_one, last + size - 1);
        if (last + size < page->start + class_info[c].units * UNIT_SIZE)
            must_die_of(ERROR_INTERIOR, "free", size, return_one, last + size);

        assert_true(page_check_block(block, &error));
        assert_true(page_check_block(last, &error));
        assert_false(page_check_block(block + 16 % size + (size == 16), &error));
        assert_int_equal(error, ERROR_INTERIOR);
        return_one(block);
        assert_false(page_check_block(block, &error));
        assert_int_equal(error, ERROR_DOUBLE_FREE);
        void *again;
        assert_int_equal(page_take(page, &again, 1), 1);
        page_end(page);
        assert_false(page_check_block(block, &error));
        assert_int_equal(error, ERROR_NOT_LIVE);
        must_die_of(ERROR_NOT_LIVE, "free", 0, return_one, block);
    }
    int local;
    must_die_of(ERROR_NOT_LIVE, "free", 0, return_one, &local);
}

/* ---- Holes ------------------------------------------------------------------------------------------------------- */

static bool is_live(unsigned index, unsigned pattern)
{
    switch (pattern) {
    case 0:
        return index % 41 == 0; /* a block here and there */
    case 1:
        return index % 128 < 64; /* whole words */
    case 2:
        return index == 0; /* nearly nothing */
    default:
        return index % 2; /* no hole of a page at small sizes */
    }
}

/* Frees what the pattern says, purges, and looks at memory: free pages of it are zero, live blocks are whole. */
static void purge_once(struct page *page, unsigned pattern)
{
    unsigned c = page->class_id;
    size_t size = class_size(c), expected = 0;
    for (unsigned i = 0; i < class_info[c].blocks; i++)
        pattern_fill(g_blocks[i], size, i + 1);
    for (unsigned i = 0; i < class_info[c].blocks; i++)
        if (!is_live(i, pattern))
            page_return(&g_blocks[i], 1, "free");
    size_t purged = purge_all(SIZE_MAX);
    for (unsigned begin = 0, end; begin < class_info[c].blocks; begin = end + 1) {
        for (end = begin; end < class_info[c].blocks && !is_live(end, pattern); end++)
            continue;
        size_t from = align_up(begin * size, os_page_size()), to = end * size & ~(os_page_size() - 1);
        if (from < to) {
            must(bytes_check(page->start + from, to - from, 0) == to - from, "class %u, pattern %u: a hole is not zero",
                 c, pattern);
            expected += to - from;
        }
    }
    must(purged == expected, "class %u, pattern %u: %zu bytes purged, expected %zu", c, pattern, purged, expected);
    assert_int_equal(purge_all(SIZE_MAX), 0);
    must(page_is_valid(page), "class %u: not valid after a purge", c);
    for (unsigned i = 0; i < class_info[c].blocks; i++)
        if (is_live(i, pattern)) {
            must(pattern_check(g_blocks[i], size, i + 1) == size, "class %u, pattern %u: the purge changed block %u", c,
                 pattern, i);
        } else {
            /* What was purged can be had again. */
            void *block = NULL;
            must(page_take(page, &block, 1) == 1 && block == g_blocks[i], "class %u: block %u is lost", c, i);
        }
}

static void purge_case(unsigned c, unsigned pattern)
{
    struct page *page = page_taken(c);
    purge_once(page, pattern);
    purge_once(page, pattern); /* what was used since is purged again */
    page_end(page);
}

static void test_holes(void **state)
{
    (void)state;
    for (size_t i = 0; i < CLASSES; i++)
        for (unsigned pattern = 0; pattern < 4; pattern++)
            purge_case(g_classes[i], pattern);
}

static void test_untouched_pages_have_no_holes(void **state)
{
    (void)state;
    purge_all(0); /* so that the page is made of memory that nobody has used since */
    struct page *page = page_acquire_group(20, 0, HOLDER);
    assert_int_equal(purge_all(SIZE_MAX), 0);
    void *first = NULL;
    assert_int_equal(page_take(page, &first, 1), 1);
    assert_int_equal(purge_all(SIZE_MAX), 0);
    page_return(&first, 1, "free");
    page_release(page);
}

/* ---- Fork -------------------------------------------------------------------------------------------------------- */

/* Pages of three holders: of the child's only thread, of one that does not exist there, and of nobody. */
static void after_fork(void)
{
    struct page *mine = page_acquire_group(4, 0, 1), *lost = page_acquire_group(4, 0, 2);
    struct page *full = page_acquire_group(4, 0, 3), *gone = page_acquire_group(4, 0, 4);
    void *block;
    must(page_take(mine, &block, 1) == 1 && page_take(lost, &block, 1) == 1, "no block");
    must(page_take(full, g_blocks, PAGE_MAX_BLOCKS) == class_info[4].blocks, "the page is not fresh");
    page_release(full);
    heap_lock();
    /* A thread was about to unmake a page, and has come no further than its run; another to make one. */
    span_free(
        (struct run){.slab = gone->slab, .unit = (uint32_t)((uintptr_t)gone->start >> UNIT_SHIFT) % SUPERSLAB_UNITS}, 1,
        1);
    char *half_gone = gone->start;
    span_after_fork();
    static const uint32_t vanished[] = {2, 3, 4};
    page_after_fork(&(struct page_cut){.vanished = vanished, .count = COUNT_OF(vanished), .torn = true});
    lock_release();
    must(map_page(half_gone) == NULL && map_class(half_gone) == 0, "a page without a run is still in the map");
    must(load_seq(&mine->state) == PAGE_OWNED, "the thread's own page has state %d", load_seq(&mine->state));
    must(load_seq(&lost->state) == PAGE_LISTED, "a vanished thread's page has state %d", load_seq(&lost->state));
    must(load_seq(&full->state) == PAGE_FULL, "a full page has state %d", load_seq(&full->state));
    must(page_acquire_group(4, 0, 1) == lost, "a vanished thread's page cannot be had");
    heap_must_be_valid("after page_after_fork");
}

static void run_after_fork(void *unused)
{
    (void)unused;
    after_fork();
}

static void test_after_fork(void **state)
{
    (void)state;
    static struct child_result result;
    child_run(run_after_fork, NULL, 20, &result);
    must_end_well(&result, "page_after_fork");
}

/* Of a page whose memory had been purged, what the program is handed counts as missed, when it is handed out, by malloc
 * or by calloc: not the whole page, which it may never use. The first test, for there is no budget yet. */
static void test_what_is_missed(void **state)
{
    enum { CLASS = 8, TAKEN = 16, MORE = 100 };
    (void)state;
    void *blocks[TAKEN + MORE];
    size_t size = class_size(CLASS), memory_page = os_page_size();
    assert_in_range(TAKEN + MORE, 0, class_info[CLASS].blocks);
    struct page *page = page_make(CLASS, 0, HOLDER, false, 0);
    assert_int_equal(page_take(page, blocks, TAKEN), TAKEN);
    char *start = page->start;
    page_return(blocks, TAKEN, "free");
    page_release(page);
    assert_null(map_page(start));
    purge_all(0);
    size_t before = retain_lasting();
    page = page_make(CLASS, 0, HOLDER, false, 0);
    assert_ptr_equal(page->start, start);
    assert_int_equal(retain_lasting(), before);
    assert_int_equal(page_take(page, blocks, TAKEN), TAKEN);
    assert_int_equal(retain_lasting() - before, align_up(TAKEN * size, memory_page));
    for (unsigned i = TAKEN; i < TAKEN + MORE; i++)
        assert_non_null(blocks[i] = page_take_zeroed(page));
    assert_int_equal(retain_lasting() - before, align_up((TAKEN + MORE) * size, memory_page));
    page_return(blocks, TAKEN + MORE, "free");
    page_release(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_missed),
        cmocka_unit_test(test_random_operations),
        cmocka_unit_test(test_every_class),
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_low_word_is_a_hint),
        cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_holes),
        cmocka_unit_test(test_untouched_pages_have_no_holes),
        cmocka_unit_test(test_after_fork),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
