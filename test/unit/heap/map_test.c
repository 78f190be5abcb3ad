/* map_test.c - from addresses to classes and pages. Memory is asked for at addresses that nothing else uses, so that
 * the tests can choose what shares entries with what.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "system/lock.h"
#include "heap/map.h"
#include "system/os.h"

static struct page g_page, g_other;

/* A free part of the address space, and how many windows it is long. */
static char *g_base;
static size_t g_windows;

static size_t window(void) { return (map_window[VIEW_OWN].unit_mask + 1) << UNIT_SHIFT; }

/* Looks for it, a little longer than so many windows. Without libc's mmap, which a sanitizer has its own idea of. */
static bool base_find(size_t windows)
{
    enum { MARGIN = 64 };
    size_t size = windows * window() + MARGIN * GIB;
    long start = syscall(SYS_mmap, NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == -1)
        return false;
    syscall(SYS_munmap, start, size);
    g_base = (char *)align_up((uintptr_t)start + SUPERSLAB_SIZE, GIB);
    if (((uintptr_t)g_base & (window() - 1)) == 0)
        g_base += GIB; /* there stands the entry that NULL shares */
    g_windows = windows;
    return true;
}

/* Memory exactly at `start`, entries claimed. */
static void obtain(char *start, size_t size, size_t entries)
{
    void *out = NULL;
    must(map_obtain(size, UNIT_SIZE, entries, start, &out), "map_obtain(%zu) refused", size);
    must(out == start, "map_obtain(%zu): expected the hint %p, which is free, saw %p", size, (void *)start, out);
}

/* What is at `start` shares entries with others, so the memory has to be elsewhere. */
static void must_avoid(char *start, size_t size, size_t entries)
{
    void *out = NULL;
    must(map_obtain(size, SUPERSLAB_SIZE, entries, start, &out), "map_obtain(%zu) refused", size);
    must(out != start, "memory at %p shares entries and was handed out", (void *)start);
    for (size_t offset = 0; offset < entries; offset += UNIT_SIZE)
        assert_int_equal(map_class((char *)out + offset), CLASS_RESERVED);
    map_give_up(out, entries);
    assert_int_equal(os_unmap(out, size), 0);
}

static void give_up(char *start, size_t size, size_t entries)
{
    map_give_up(start, entries);
    assert_int_equal(os_unmap(start, size), 0);
    for (size_t offset = 0; offset < entries; offset += UNIT_SIZE)
        assert_int_equal(map_class(start + offset), 0);
}

static int locked(void **state)
{
    (void)state;
    void *any;
    if (!lock_acquire())
        return -1;
    if (!g_base) {
        must(map_obtain(UNIT_SIZE, UNIT_SIZE, UNIT_SIZE, NULL, &any), "no memory"); /* makes the window */
        give_up(any, UNIT_SIZE, UNIT_SIZE);
        must(base_find(4) || base_find(2), "no free address space of two windows");
    }
    return 0;
}

static int unlocked(void **state)
{
    (void)state;
    lock_release();
    return 0;
}

static void must_be_foreign(const void *address)
{
    /* With a window, NULL's entry stands for no class that a block could have, also to addresses that share it. */
    bool is_null_entry = map_window[VIEW_OWN].unit_mask != 0 && map_class_entry(address) == map_class_entry(NULL);
    must(map_page(address) == NULL, "%p leads to a page", address);
    must(map_class(address) == (is_null_entry ? CLASS_RESERVED : 0), "%p has class %u", address, map_class(address));
}

static void test_foreign_addresses(void **state)
{
    (void)state;
    int local;
    static const uintptr_t odd[] = {0, 1, 4095, 0xffff, 0x10000, (uintptr_t)1 << 47, (uintptr_t)1 << 48, (uintptr_t)1 << 63,
                                    UINTPTR_MAX, UINTPTR_MAX - UNIT_SIZE};
    for (size_t i = 0; i < COUNT_OF(odd); i++)
        must_be_foreign((void *)odd[i]);
    void *block = malloc(100);
    must_be_foreign(block);
    free(block);
    must_be_foreign(&local);
    must_be_foreign((void *)(uintptr_t)test_foreign_addresses);
    must_be_foreign(&g_page);
    uint64_t random = 1;
    for (size_t i = 0; i < 1000000; i++)
        must_be_foreign((void *)random_next(&random));
}

static void test_pages(void **state)
{
    (void)state;
    char *start = g_base + 5 * UNIT_SIZE;
    obtain(g_base, SUPERSLAB_SIZE, SUPERSLAB_SIZE);
    assert_int_equal(map_class(g_base), CLASS_RESERVED);
    assert_false(class_is_paged(map_class(g_base)));
    map_set(start, 3, 7, &g_page);
    for (size_t unit = 0; unit < SUPERSLAB_UNITS; unit++) {
        bool inside = unit >= 5 && unit < 8;
        for (size_t offset = 0; offset < UNIT_SIZE; offset += UNIT_SIZE / 4 - 1) {
            const char *address = g_base + unit * UNIT_SIZE + offset;
            assert_int_equal(map_class(address), inside ? 7 : CLASS_RESERVED);
            assert_ptr_equal(map_page(address), inside ? &g_page : NULL);
        }
    }
    map_set(start, 3, CLASS_RESERVED, NULL);
    for (size_t unit = 0; unit < SUPERSLAB_UNITS; unit++) {
        assert_int_equal(map_class(g_base + unit * UNIT_SIZE), CLASS_RESERVED);
        assert_null(map_page(g_base + unit * UNIT_SIZE));
    }
    give_up(g_base, SUPERSLAB_SIZE, SUPERSLAB_SIZE);
}

static void test_paged_classes(void **state)
{
    (void)state;
    for (unsigned id = 0; id < 256; id++)
        assert_int_equal(class_is_paged(id), (id >= 1 && id <= CLASS_LAST) || id == CLASS_GROUPED);
}

static void test_large_blocks(void **state)
{
    (void)state;
    obtain(g_base, SUPERSLAB_SIZE, UNIT_SIZE);
    assert_int_equal(map_class(g_base), CLASS_RESERVED);
    assert_int_equal(map_class(g_base + UNIT_SIZE), 0);
    map_set_large(g_base, &g_page);
    assert_ptr_equal(map_page(g_base), &g_page);
    assert_ptr_equal(map_page(g_base + UNIT_SIZE - 1), &g_page);
    assert_null(map_page(g_base + UNIT_SIZE));
    assert_null(map_page(g_base - 1));
    map_set_large(g_base, NULL);
    assert_null(map_page(g_base));
    give_up(g_base, SUPERSLAB_SIZE, UNIT_SIZE);
}

/* Addresses a multiple of the window apart share class entries, so only one of them may have them. */
static void test_the_window_is_not_shared(void **state)
{
    (void)state;
    obtain(g_base, 2 * SUPERSLAB_SIZE, 2 * SUPERSLAB_SIZE);
    for (size_t windows = 1; windows < g_windows; windows++) {
        char *alias = g_base + windows * window();
        assert_int_equal(map_class(alias), CLASS_RESERVED);
        must_avoid(alias, 2 * SUPERSLAB_SIZE, 2 * SUPERSLAB_SIZE);
        /* A part in use is enough; then nothing of it changes. */
        must_avoid(alias - SUPERSLAB_SIZE, 2 * SUPERSLAB_SIZE, 2 * SUPERSLAB_SIZE);
        assert_int_equal(map_class(alias - SUPERSLAB_SIZE), 0);
        must_avoid(alias + SUPERSLAB_SIZE, 2 * SUPERSLAB_SIZE, 2 * SUPERSLAB_SIZE);
        assert_int_equal(map_class(alias + 2 * SUPERSLAB_SIZE), 0);
        must_avoid(alias, 40 * MIB, UNIT_SIZE);
        /* The rest of a large block may share: nobody looks there. */
        obtain(alias - SUPERSLAB_SIZE, 4 * SUPERSLAB_SIZE, UNIT_SIZE);
        give_up(alias - SUPERSLAB_SIZE, 4 * SUPERSLAB_SIZE, UNIT_SIZE);
    }
    give_up(g_base, 2 * SUPERSLAB_SIZE, 2 * SUPERSLAB_SIZE);
    obtain(g_base + window(), 2 * SUPERSLAB_SIZE, 2 * SUPERSLAB_SIZE);
    must_avoid(g_base, SUPERSLAB_SIZE, SUPERSLAB_SIZE);
    give_up(g_base + window(), 2 * SUPERSLAB_SIZE, 2 * SUPERSLAB_SIZE);
}

/* free(NULL) and realloc(NULL) look at the entry of NULL and must never find a block's class there. */
static void test_the_entry_of_null_is_nobodys(void **state)
{
    (void)state;
    char *zero = (char *)align_up((uintptr_t)g_base + SUPERSLAB_SIZE, window());
    for (size_t windows = 1; windows < g_windows; windows++, zero += window()) {
        assert_ptr_equal(map_class_entry(zero), map_class_entry(NULL));
        must_avoid(zero, SUPERSLAB_SIZE, SUPERSLAB_SIZE);
        must_avoid(zero - SUPERSLAB_SIZE, 2 * SUPERSLAB_SIZE, 2 * SUPERSLAB_SIZE);
        must_avoid(zero, 40 * MIB, UNIT_SIZE);
        assert_int_equal(map_class(NULL), CLASS_RESERVED);
        assert_null(map_page(NULL));
        /* The neighbours are as good as any. */
        obtain(zero - SUPERSLAB_SIZE, SUPERSLAB_SIZE, SUPERSLAB_SIZE);
        obtain(zero + SUPERSLAB_SIZE, SUPERSLAB_SIZE, SUPERSLAB_SIZE);
        give_up(zero - SUPERSLAB_SIZE, SUPERSLAB_SIZE, SUPERSLAB_SIZE);
        give_up(zero + SUPERSLAB_SIZE, SUPERSLAB_SIZE, SUPERSLAB_SIZE);
    }
    assert_int_equal(map_class(NULL), CLASS_RESERVED);
}

/* Fills the holes in the address space that are too small for a stretch of `size`, so that what the system offers next,
 * and what it offers then, lies in such a stretch. Returns the highest superslab of it, which is mapped. */
static char *stretch_find(size_t size, void **fillers, size_t *count, size_t capacity)
{
    void *stretch;
    must(os_map(size, SUPERSLAB_SIZE, NULL, &stretch) == 0, "no address space");
    assert_int_equal(os_unmap(stretch, size), 0);
    for (*count = 0; *count < capacity;) {
        void *next;
        must(os_map(SUPERSLAB_SIZE, SUPERSLAB_SIZE, NULL, &next) == 0, "no address space");
        fillers[(*count)++] = next;
        if ((char *)next >= (char *)stretch && (char *)next < (char *)stretch + size + SUPERSLAB_SIZE)
            return next;
    }
    skip_because("the address space has more than %zu small holes", capacity);
    return NULL;
}

/* A heap of a gigabyte lies a window away from where the system has address space to offer: all that is offered shares
 * entries with it, for much longer than anybody would try one superslab after the other. */
static void test_a_long_stretch_is_skipped(void **state)
{
    (void)state;
    enum { FILLERS = 2000 };
    static void *fillers[FILLERS];
    size_t count;
    char *top = stretch_find(2 * GIB, fillers, &count, FILLERS);
    if (!top)
        skip();
    /* The heap: the same entries, far away from there. */
    char *bottom = top + SUPERSLAB_SIZE - GIB;
    if (((uintptr_t)bottom & (window() - 1)) > window() - GIB) {
        skip_because("what the system offers lies across %s", "the entry that NULL shares");
        skip();
    }
    char *heap = g_base + (((uintptr_t)bottom - (uintptr_t)g_base) & (window() - 1));
    if (heap == bottom)
        heap += window();
    obtain(heap, GIB, GIB);
    size_t before = process_mappings();
    char *const hints[] = {NULL, top - SUPERSLAB_SIZE, bottom + GIB / 2};
    for (size_t i = 0; i < COUNT_OF(hints); i++) {
        void *out = NULL;
        must(map_obtain(4 * SUPERSLAB_SIZE, SUPERSLAB_SIZE, 4 * SUPERSLAB_SIZE, hints[i], &out),
             "no memory, because what is offered first shares entries with the heap");
        give_up(out, 4 * SUPERSLAB_SIZE, 4 * SUPERSLAB_SIZE);
    }
    must(process_mappings() <= before + 1, "%zu mappings became %zu", before, process_mappings());
    give_up(heap, GIB, GIB);
    while (count > 0)
        assert_int_equal(os_unmap(fillers[--count], SUPERSLAB_SIZE), 0);
}

/* What was tried and refused is not kept. */
static void test_refused_memory_goes_back(void **state)
{
    (void)state;
    obtain(g_base, SUPERSLAB_SIZE, SUPERSLAB_SIZE);
    size_t before = process_mappings();
    for (size_t i = 1; i <= 50; i++)
        must_avoid(g_base + window(), SUPERSLAB_SIZE, SUPERSLAB_SIZE);
    must(process_mappings() <= before + 1, "%zu mappings became %zu", before, process_mappings());
    give_up(g_base, SUPERSLAB_SIZE, SUPERSLAB_SIZE);
}

/* Pages, unlike classes, are told apart at any distance. */
static void test_pages_do_not_alias(void **state)
{
    (void)state;
    char *alias = g_base + window();
    obtain(g_base, SUPERSLAB_SIZE, SUPERSLAB_SIZE);
    obtain(alias - UNIT_SIZE, SUPERSLAB_SIZE, UNIT_SIZE);
    map_set(g_base, 1, 9, &g_page);
    assert_null(map_page(alias));
    map_set_large(alias - UNIT_SIZE, &g_other);
    assert_ptr_equal(map_page(g_base), &g_page);
    assert_ptr_equal(map_page(alias - UNIT_SIZE), &g_other);
    assert_null(map_page(alias));
    map_set(g_base, 1, CLASS_RESERVED, NULL);
    map_set_large(alias - UNIT_SIZE, NULL);
    give_up(alias - UNIT_SIZE, SUPERSLAB_SIZE, UNIT_SIZE);
    give_up(g_base, SUPERSLAB_SIZE, SUPERSLAB_SIZE);
}

static void test_pages_across_leaves(void **state)
{
    (void)state;
    char *border = (char *)align_up((uintptr_t)g_base + 4 * GIB, 4 * GIB);
    if (((uintptr_t)border & (window() - 1)) == 0)
        border += 4 * GIB; /* there stands the entry that NULL shares */
    char *start = border - SUPERSLAB_SIZE;
    obtain(start, 2 * SUPERSLAB_SIZE, 2 * SUPERSLAB_SIZE);
    map_set(border - UNIT_SIZE, 2, 3, &g_page);
    assert_ptr_equal(map_page(border - 1), &g_page);
    assert_ptr_equal(map_page(border), &g_page);
    assert_null(map_page(border - UNIT_SIZE - 1));
    assert_null(map_page(border + UNIT_SIZE));
    map_set(border - UNIT_SIZE, 2, CLASS_RESERVED, NULL);
    give_up(start, 2 * SUPERSLAB_SIZE, 2 * SUPERSLAB_SIZE);
}

static void test_too_much(void **state)
{
    (void)state;
    void *out;
    assert_false(map_obtain((size_t)1 << 50, UNIT_SIZE, UNIT_SIZE, NULL, &out));
}

int main(void)
{
#define LOCKED(f) cmocka_unit_test_setup_teardown(f, locked, unlocked)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_foreign_addresses), /* before there is a window */
        LOCKED(test_pages),
        cmocka_unit_test(test_foreign_addresses),
        cmocka_unit_test(test_paged_classes),
        LOCKED(test_large_blocks),
        LOCKED(test_the_window_is_not_shared),
        LOCKED(test_the_entry_of_null_is_nobodys),
        LOCKED(test_a_long_stretch_is_skipped),
        LOCKED(test_refused_memory_goes_back),
        LOCKED(test_pages_do_not_alias),
        LOCKED(test_pages_across_leaves),
        LOCKED(test_too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
