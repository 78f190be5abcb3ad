/* prefault_test.c - memory is made resident ahead where the system is slow at page faults, and there only.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <unistd.h>

#include "heap/class.h"
#include "system/lock.h"
#include "system/os_look.h"
#include "system/os_map.h"
#include "heap/page.h"
#include "heap/prefault.h"
#include "heap/span.h"

enum { PAGES = 64 };

static size_t memory_page(void) { return os_page_size(); }

static char *map(size_t size)
{
    void *start;
    must(os_map(size, UNIT_SIZE, NULL, &start) == 0, "no memory");
    return start;
}

static void verdict_set(enum prefault_verdict verdict) { store_relaxed(&prefault_verdict, verdict); }

static bool reads_as_zero(const char *start, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (start[i] != 0)
            return false;
    return true;
}

/* ---- The verdict ------------------------------------------------------------------------------------------------- */

static void note(enum prefault_way way, unsigned count, uint64_t nanoseconds)
{
    for (unsigned i = 0; i < count; i++)
        prefault_note(way, nanoseconds);
}

/* In a process of its own: twice touched and twice asked for decide. */
static void must_decide(uint64_t touch, uint64_t call, enum prefault_verdict expected)
{
    pid_t child = child_fork(20);
    if (child == 0) {
        note(PREFAULT_BY_TOUCH, 1, touch * 50); /* the thread lost its processor */
        must(prefault_touch_time() == 0, "one is enough");
        note(PREFAULT_BY_TOUCH, 1, touch);
        must(prefault_touch_time() == touch, "the fastest does not count");
        note(PREFAULT_BY_CALL, 1, call * 50);
        must(load_relaxed(&prefault_verdict) == PREFAULT_UNKNOWN, "a verdict before there is experience");
        note(PREFAULT_BY_CALL, 1, call);
        must(load_relaxed(&prefault_verdict) == expected, "touched in %llu ns, asked for in %llu: the verdict is %d",
             (unsigned long long)touch, (unsigned long long)call, load_relaxed(&prefault_verdict));
        _exit(0);
    }
    child_join(child, "the verdict");
}

static void test_what_is_faster_decides(void **state)
{
    (void)state;
    must_decide(12500, 7700, PREFAULT_PAYS);
    must_decide(12400, 10400, PREFAULT_PAYS);
    must_decide(1200, 1240, PREFAULT_NEVER);
    must_decide(1350, 1200, PREFAULT_NEVER);
}

/* Whatever this system's verdict is, there is one after some pages of memory, and they still read as zero. What is not
 * a batch, or may be resident, tells nothing. */
static void test_finds_out(void **state)
{
    enum { TIMED = 32 };
    (void)state;
    pid_t child = child_fork(20);
    if (child == 0) {
        char *start = map(PAGES * memory_page());
        prefault(start, 7 * memory_page());
        prefault_rest(start, PAGES * memory_page());
        must(os_resident(start, PAGES * memory_page()) == 0, "memory is resident before it is known whether that pays");
        prefault(start, PAGES * memory_page());
        must(load_relaxed(&prefault_verdict) != PREFAULT_UNKNOWN, "no verdict after %d pages of memory", PAGES);
        size_t resident = os_resident(start, PAGES * memory_page()) / memory_page();
        size_t expected = load_relaxed(&prefault_verdict) == PREFAULT_PAYS ? PAGES : TIMED;
        must(resident == expected || prefault_bytes() == 0, "%zu pages of memory are resident, not %zu", resident,
             expected);
        must(reads_as_zero(start, PAGES * memory_page()), "memory does not read as zero");
        _exit(0);
    }
    child_join(child, "finding out");
}

static void test_makes_resident(void **state)
{
    (void)state;
    size_t size = PAGES * memory_page(), before = prefault_bytes();
    char *start = map(size);
    verdict_set(PREFAULT_NEVER);
    prefault(start, size);
    assert_int_equal(os_resident(start, size), 0);
    assert_int_equal(prefault_bytes(), before);
    verdict_set(PREFAULT_PAYS);
    prefault(start + memory_page(), size - 2 * memory_page());
    if (load_relaxed(&prefault_verdict) == PREFAULT_NEVER)
        skip(); /* Linux before 5.14 */
    assert_int_equal(os_resident(start, size), size - 2 * memory_page());
    assert_int_equal(prefault_bytes(), before + size - 2 * memory_page());
    assert_true(reads_as_zero(start, size));
    os_unmap(start, size);
}

/* What is not mapped cannot be made resident: nothing happens. */
static void test_no_memory(void **state)
{
    (void)state;
    size_t size = PAGES * memory_page(), before = prefault_bytes();
    char *start = map(size);
    os_unmap(start, size);
    verdict_set(PREFAULT_PAYS);
    prefault(start, size);
    assert_int_equal(prefault_bytes(), before);
}

/* ---- Pages of blocks --------------------------------------------------------------------------------------------- */

static void test_fresh_blocks_are_resident(void **state)
{
    enum { SIZE = 1024, AT_ONCE = 4 }; /* pages of memory */
    (void)state;
    void *blocks[UNIT_SIZE / SIZE];
    verdict_set(PREFAULT_PAYS);
    unsigned c = class_of(SIZE), in_memory_page = (unsigned)(memory_page() / SIZE);
    struct page *page = page_make(c, 0, 1, false, AT_ONCE * memory_page()), *other = page_make(c, 0, 1, false, 0);
    must(page && page->zeroed && other, "no fresh page");
    assert_int_equal(page_resident(page) / memory_page(), 0);
    assert_int_equal(page_take(page, blocks, 1), 1);
    if (load_relaxed(&prefault_verdict) == PREFAULT_NEVER)
        skip(); /* Linux before 5.14 */
    size_t expected = min_size(AT_ONCE, UNIT_SIZE / memory_page());
    assert_int_equal(page_resident(page) / memory_page(), expected);
    must(page_take_zeroed(page) != NULL, "no block that reads as zero");
    assert_int_equal(page_take(page, blocks, in_memory_page), in_memory_page);
    assert_int_equal(page_resident(page) / memory_page(), expected);
    assert_true(page_is_valid(page));
    page_take(other, blocks, in_memory_page);
    assert_int_equal(page_resident(other) / memory_page(), 0); /* nothing is known of the class */
    verdict_set(PREFAULT_NEVER);
    page_take(page, blocks, UNIT_SIZE / SIZE / 2);
    assert_int_equal(page_resident(page) / memory_page(), expected);
}

/* What was made resident and never handed out is dirty all the same when the page is gone. */
static void test_gone_pages_leave_dirty_memory(void **state)
{
    (void)state;
    struct span_stats before, after;
    void *block;
    verdict_set(PREFAULT_PAYS);
    unsigned c = class_of(4096);
    size_t size = (size_t)class_info[c].units << UNIT_SHIFT;
    struct page *page = page_make(c, 0, 1, false, size);
    page_take(page, &block, 1);
    if (load_relaxed(&prefault_verdict) == PREFAULT_NEVER)
        skip(); /* Linux before 5.14 */
    assert_int_equal(page_resident(page), size);
    page_return(&block, 1, "free");
    heap_lock();
    span_stats(&before);
    lock_release();
    page_release(page);
    heap_lock();
    span_stats(&after);
    lock_release();
    assert_int_equal(after.used, before.used - size);
    assert_int_equal(after.dirty, before.dirty + size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_faster_decides),
        cmocka_unit_test(test_finds_out),
        cmocka_unit_test(test_makes_resident),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_fresh_blocks_are_resident),
        cmocka_unit_test(test_gone_pages_leave_dirty_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
