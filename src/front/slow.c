#include "front/slow.h"

#include "heap/check.h"
#include "system/error.h"
#include "hakmem.h"
#include "heap/large.h"
#include "heap/map.h"
#include "system/options.h"
#include "system/os_map.h"
#include "heap/page.h"
#include "cache/arena.h"
#include "cache/remote.h"
#include "front/early.h"
#include "front/replace.h"
#include "cache/ring.h"
#include "cache/counted.h"
#include "cache/harden.h"
#include "insight/guarded.h"
#include "insight/ledger.h"
#include "insight/sample.h"
#include "insight/site.h"
#include "cache/thread.h"

#include <errno.h>

/* Calloc asks for zeroed blocks of this size and above; below, clearing is cheaper than a slow path. */
enum { ZEROED_MIN_SIZE = 2048 };

static void *out_of_memory(void)
{
    errno = ENOMEM;
    return NULL;
}

/* The class of a block whose page is known to be one of blocks. */
static unsigned block_class(const void *block)
{
    unsigned entry = map_class(block);
    return entry == CLASS_GROUPED ? map_page(block)->class_id : entry;
}

static bool checking(void) { return check_is_on(); }

/* ---- Allocating -------------------------------------------------------------------------------------------------- */

/* `size`: what was asked for, or RING_ANY_SIZE. */
INLINE void *class_block_uncounted(unsigned class_id, size_t size, uintptr_t site)
{
    void *block = site_is_on() ? site_malloc(class_id, site) : NULL;
    if (LIKELY(!block))
        block = ring_malloc(class_id, size);
    return UNLIKELY(block == RING_MARK) ? sample_malloc(class_id, size, site) : block;
}

static NOINLINE void *class_block_counted(unsigned class_id, size_t size, uintptr_t site)
{
    void *block = class_block_uncounted(class_id, size, site);
    if (block)
        ledger_count_block(class_size(class_id), site);
    return block;
}

static void *class_block(unsigned class_id, size_t size, uintptr_t site)
{
    return count_is_on() ? class_block_counted(class_id, size, site) : class_block_uncounted(class_id, size, site);
}

/* A block of the class; with memory out, one of the larger classes up to twice the size: their pages may have room. */
static void *class_malloc(unsigned class_id, size_t size, size_t align, uintptr_t site)
{
    size_t most = 2 * class_size(class_id);
    void *block = class_block(class_id, align <= BLOCK_ALIGN ? size : RING_ANY_SIZE, site);
    unsigned next = class_id == CLASS_FITTED ? class_host(class_id) : class_id + 1;
    for (unsigned c = next; !block && c <= CLASS_FIXED_LAST && class_size(c) <= most; c++)
        if (class_size(c) % align == 0)
            block = class_block(c, RING_ANY_SIZE, site);
    return block;
}

/* A large block was made, or resized. */
static void large_note(void *block, uintptr_t site)
{
    size_t size = large_size(block);
    sample_note_large(block, size, site);
    if (count_is_on())
        ledger_count_block(size, site);
}

/* The first `written` bytes are going to be written to at once. */
static void *large_make(size_t size, size_t align, size_t written, bool *zeroed, uintptr_t site)
{
    void *block = large_malloc(max_size(size, 1), align, written, zeroed);
    if (UNLIKELY(!block) && size <= RUN_MAX_SIZE) { /* what is cached may be pages that a run could use */
        ring_collect();
        thread_close_left();
        remote_flush();
        block = large_malloc(max_size(size, 1), align, written, zeroed);
    }
    if (block)
        large_note(block, site);
    if (UNLIKELY(load_relaxed(&retain_moved))) /* relaxed: a hint */
        ring_fence();
    return block;
}

/* Whether a block of the class comes from a page, and not from a run of its own, which has guards under
 * HAKMEM_HARDEN. */
static bool comes_from_page(unsigned class_id)
{
    if (class_id == 0 || !policy_is_large(class_id))
        return class_id != 0;
    return checking() ? !check_is_hardened() : !large_are_protected() && ring_in_demand(class_id);
}

/* A block of at least `size` bytes at a multiple of `align`; *zeroed tells whether it is known to read as zero. */
static void *block_make(size_t size, size_t align, bool *zeroed, uintptr_t site)
{
    *zeroed = false;
    if (UNLIKELY(size > PTRDIFF_MAX))
        return NULL;
    size_t room = checking() ? size + CHECK_MARK : size;
    unsigned class_id = 0;
    if (room <= CLASS_MAX_SIZE && align <= UNIT_SIZE)
        class_id = align <= BLOCK_ALIGN ? class_of(room) : class_host(class_of(class_aligned_size(room, align)));
    if (!comes_from_page(class_id)) {
        thread_check_fork();
        return large_make(size, align, 0, zeroed, site);
    }
    void *block = class_malloc(class_id, room, align, site);
    if (UNLIKELY(!block)) /* a run may still be had where a page, which takes many units for its many blocks, is not */
        return large_make(size, align, 0, zeroed, site);
    if (checking() && check_has_mark(block)) {
        size_t have = class_size(block_class(block));
        check_begin(block, have, size, "malloc");
        *zeroed = check_looks_at(have);
    }
    return block;
}

static NOINLINE void *malloc_counted(size_t size, uintptr_t site)
{
    uint64_t bytes = 0;
    void *block = counted_malloc(size, &bytes);
    if (UNLIKELY(bytes > 0))
        ledger_count(class_size(class_of_table(size)), bytes, site);
    return block;
}

/* The short ways of calls that all get here; NULL when there is none. */
INLINE void *malloc_short(size_t size, uintptr_t site)
{
    if (!check_is_short())
        return count_is_short() ? malloc_counted(size, site) : NULL;
    void *block = harden_malloc(size);
    if (count_is_on() && block)
        ledger_count_block(class_size(block_class(block)), site);
    return block;
}

void *malloc_slow(size_t size)
{
    return malloc_slow_at(size, CALLER);
}

void *malloc_slow_at(size_t size, uintptr_t site)
{
    if (early_is_on())
        return early_malloc(BLOCK_ALIGN, size);
    error_caller = site;
    void *block = malloc_short(size, site);
    if (block)
        return block;
    thread_start();
    bool zeroed;
    if (replace_stands_aside())
        return replace_runtime.malloc(size);
    block = site_is_on() ? site_take(size, site) : NULL;
    if (count_is_on() && block)
        ledger_count_block(class_size(block_class(block)), site);
    if (!block)
        block = block_make(size, BLOCK_ALIGN, &zeroed, site);
    return LIKELY(block) ? block : out_of_memory();
}

void *calloc_slow(size_t count, size_t size)
{
    if (early_is_on())
        return early_calloc(count, size);
    ERROR_CALLER();
    size_t bytes;
    bool zeroed;
    thread_start();
    if (replace_stands_aside())
        return replace_runtime.calloc(count, size);
    if (__builtin_mul_overflow(count, size, &bytes))
        return out_of_memory();
    bool has_class = bytes >= ZEROED_MIN_SIZE && bytes <= CLASS_MAX_SIZE && !checking();
    if (has_class) {
        void *block = ring_malloc_zeroed(class_of(bytes));
        if (count_is_on() && block)
            ledger_count_block(class_size(class_of(bytes)), CALLER);
        if (block)
            return block;
    }
    void *block = block_make(bytes, BLOCK_ALIGN, &zeroed, CALLER);
    if (!block)
        return out_of_memory();
    return zeroed ? block : __builtin_memset(block, 0, block_size(block, "calloc"));
}

void *aligned_slow(size_t align, size_t size, uintptr_t site)
{
    if (early_is_on())
        return early_malloc(align, size);
    error_caller = site;
    bool zeroed;
    if (!is_power_of_two(align)) {
        errno = EINVAL;
        return NULL;
    }
    if (replace_stands_aside())
        return align <= BLOCK_ALIGN ? replace_runtime.malloc(size)
                                    : replace_runtime.aligned_alloc(align, align_up(size, align));
    thread_start();
    void *block = block_make(size, align, &zeroed, site);
    return LIKELY(block) ? block : out_of_memory();
}

/* ---- Freeing ----------------------------------------------------------------------------------------------------- */

/* Under HAKMEM_HARDEN false for a block that nobody is to get again, since it has no mark: one made before the options
 * were read. */
static bool free_checked(void *block, unsigned class_id)
{
    check_verify(block, class_id, "free");
    if (!check_has_mark(block))
        return !check_is_hardened();
    check_end(block, class_size(class_id), "free", true);
    return true;
}

/* Of a block that is in no page. */
static void free_apart(void *block)
{
    thread_check_fork();
    if (cell_has(block)) {
        sample_free_guarded(block, "free");
        return;
    }
    enum large_sampled kind = large_sampled(block);
    if (UNLIKELY(kind == LARGE_OF_ARENA)) {
        arena_free(block, "free");
        return;
    }
    if (UNLIKELY(kind))
        sample_forget_large(block, true);
    if (UNLIKELY(!large_free(block)) && !early_size(block) && !replace_free(block))
        error_fatal(large_explain(block), "free", block, 0);
    ring_note_large();
}

void free_slow(void *block)
{
    if (early_is_on()) {
        early_free(block);
        return;
    }
    ERROR_CALLER();
    unsigned class_id = map_class(block);
    if (check_is_short() && class_is_paged(class_id) && harden_free(block, class_id))
        return;
    if (count_is_short() && counted_free(block, class_id))
        return;
    if (block == NULL)
        return;
    if (class_id == CLASS_GROUPED) {
        const struct page *page = map_page(block);
        if (group_is_given_out(page))
            site_free(block, "free");
        else if (arena_has_page(page))
            arena_free(block, "free");
        else
            sample_free(block, "free");
        return;
    }
    if (LIKELY(class_is_paged(class_id) && map_page(block))) {
        if (checking() && !free_checked(block, class_id))
            return;
        ring_free(block, class_id, "free");
        return;
    }
    free_apart(block);
}

void free_sized_slow(void *block, size_t size)
{
    if (early_is_on()) {
        early_free(block);
        return;
    }
    ERROR_CALLER();
    if (checking() && block && replace_owns(block)) {
        size_t have = block_size(block, "free_sized");
        bool exact = class_is_paged(map_class(block)) && map_page(block)->checked;
        /* realloc leaves an arena's as long as they are. */
        bool has_pages = large_is_guarded(block) && !arena_of(block);
        if (size > have || (exact && size < have) ||
            (has_pages && align_up(max_size(size, 1), os_page_size()) != have))
            error_fatal(ERROR_SIZE_MISMATCH, "free_sized", block, class_size(block_class(block)));
    }
    free_slow(block);
}

/* ---- Sizes ------------------------------------------------------------------------------------------------------- */

size_t block_size(const void *block, const char *call)
{
    if (!block)
        return 0;
    thread_close_parked();
    if (cell_has(block))
        return guarded_size(block, call);
    unsigned entry = map_class(block);
    const struct page *page = map_page(block);
    if (LIKELY(class_is_paged(entry) && page && page->class_id != 0)) {
        enum error_id error;
        unsigned class_id = page->class_id;
        if (checking())
            return check_verify(block, class_id, call);
        if (UNLIKELY(!page_has_live(page, block, &error)))
            error_fatal(error, call, block, class_size(class_id));
        if (UNLIKELY(ring_has_newest(block, entry)))
            error_fatal(ERROR_DOUBLE_FREE, call, block, class_size(class_id));
        size_t known = entry == CLASS_GROUPED && !group_is_given_out(page) ? sample_size(block) : 0;
        return known ? known : class_size(class_id);
    }
    size_t size = large_size(block);
    if (UNLIKELY(size == 0))
        size = early_size(block);
    if (UNLIKELY(size == 0) && replace_stands_aside())
        return replace_runtime.usable_size((void *)block);
    if (UNLIKELY(size == 0))
        error_fatal(large_explain(block), call, block, 0);
    return size;
}

size_t block_size_fast(const void *block, const char *call)
{
    unsigned class_id = map_class(block);
    const struct class_info *info = &class_info[class_id];
    size_t offset = (uintptr_t)block % UNIT_SIZE;
    if (LIKELY(info->units == 1 && class_block_index(class_id, offset) * info->size == offset &&
               ring_is_roomy(class_id) && !ring_has_newest(block, class_id) && !checking()))
        return info->size;
    if (early_is_on())
        return early_size(block);
    ERROR_CALLER();
    return block_size(block, call);
}

/* ---- Resizing ---------------------------------------------------------------------------------------------------- */

/* Whether a block of `have` bytes serves a request for `size`: it is large enough, and no better class would. */
static bool size_fits(size_t have, size_t size)
{
    if (size > have)
        return false;
    return size > have / 2 || (have <= CLASS_MAX_SIZE && class_size(class_of(size)) == have);
}

/* The same where blocks are checked, and end where the request does: under HAKMEM_HARDEN its end may move within what
 * belongs to it. */
static bool stays_checked(void *block, bool is_large, size_t have, size_t size)
{
    if (!check_is_hardened() || size == have)
        return size == have;
    if (is_large)
        return align_up(size, os_page_size()) == have;
    size_t room = size + CHECK_MARK;
    return room <= CLASS_TABLE_MAX && class_of(room) == block_class(block) &&
           check_has_mark(block) && check_resize(block, class_size(class_of(room)), size);
}

/* A block that did for more does for less when no other is to be had. Where blocks are checked, its end moves. */
static COLD bool block_shorten(void *block, size_t size)
{
    if (!checking() || early_size(block))
        return true;
    if (map_page(block)->class_id == 0)
        return large_shorten(block, size);
    return !check_has_mark(block) || check_resize(block, class_size(block_class(block)), size);
}

/* To another block, because no way was found to keep this one, of `have` bytes. What is freed is checked as ever. */
static void *block_move(void *block, size_t have, size_t size, uintptr_t site)
{
    int saved = errno;
    bool zeroed;
    size_t copied = min_size(have, size);
    /* What has grown grows on, and a run can do so in place. */
    bool as_run = size > CLASS_TABLE_MAX && (!checking() || check_is_hardened());
    void *other = as_run ? large_make(size, BLOCK_ALIGN, copied, &zeroed, site) : NULL;
    if (!other) /* or a page may have a block where no run is left */
        other = malloc_at(size, site);
    if (LIKELY(other)) {
        copy_bytes(other, block, copied);
        if (cell_has(block))
            sample_free_guarded(block, "realloc"); /* which the program is to have called there */
        else
            hak_free(block);
    } else if (size <= have && block_shorten(block, size)) {
        errno = saved;
        return block;
    }
    return other;
}

static void *large_realloc(void *block, size_t size, uintptr_t site)
{
    if (UNLIKELY(large_sampled(block))) /* while the address is its own */
        sample_forget_large(block, false);
    void *moved = large_resize(block, size) ? block : large_move(block, size);
    if (moved)
        large_note(moved, site);
    return moved;
}

/* From one size class of the table to another with a block at hand, as most go: with the same checks, in fewer steps.
 * NULL, and nothing done, when it is not as simple as that. */
static void *paged_realloc(void *block, size_t size)
{
    unsigned class_id = map_class(block);
    const struct page *page = map_page(block);
    enum error_id error;
    if (UNLIKELY(!page || page->class_id != class_id || !class_is_paged(class_id) || size - 1 >= CLASS_TABLE_MAX ||
                 class_of_table(size) == class_id || checking() || ring_has_newest(block, class_id) ||
                 !page_has_live(page, block, &error)))
        return NULL;
    void *other = malloc_at_hand(size);
    if (LIKELY(other)) {
        copy_bytes(other, block, min_size(class_size(class_id), size));
        hak_free(block);
    }
    return other;
}

void *realloc_slow(void *block, size_t size)
{
    if (early_is_on())
        return early_realloc(block, size);
    uintptr_t site = ERROR_CALLER();
    thread_close_parked();
    if (replace_stands_aside() && !replace_owns(block))
        return replace_runtime.realloc(block, size);
    void *other = paged_realloc(block, size);
    if (LIKELY(other))
        return other;
    thread_check_fork();
    size_t have = block_size(block, "realloc");
    if (UNLIKELY(size == 0 && !option(OPTION_REALLOC_ZERO))) {
        hak_free(block);
        return NULL;
    }
    if (UNLIKELY(size > PTRDIFF_MAX))
        return out_of_memory();
    if (UNLIKELY(early_size(block)))
        return block_move(block, have, size, site);
    struct hak_heap *arena = arena_of(block);
    if (UNLIKELY(arena)) {
        other = arena_realloc(arena, block, have, size);
        return other ? other : out_of_memory();
    }
    bool is_guarded = cell_has(block), is_large = !is_guarded && map_page(block)->class_id == 0;
    if (checking() ? stays_checked(block, is_large, have, size) : size_fits(have, size)) {
        if (!is_large && !is_guarded && !checking())
            ring_check_live(block, block_class(block), "realloc");
        return block;
    }
    other = is_large && size > CLASS_TABLE_MAX ? large_realloc(block, size, site) : NULL;
    return other ? other : block_move(block, have, size, site);
}

void *realloc_stay(void *block, size_t size)
{
    ERROR_CALLER();
    if (UNLIKELY(checking())) /* its blocks end where the request did */
        return realloc_slow(block, size);
    block_size(block, "realloc"); /* ends the program when it is no live block */
    return block;
}
