/* api.c - every public function that is not on the hot path (malloc.c): argument checks, errno, and the rest of the
 * native, C, glibc and C++ interfaces. symbols.def lists them all. */
#include "hakmem.h"

#include "heap/check.h"
#include "heap/guard.h"
#include "heap/large.h"
#include "heap/map.h"
#include "cache/arena.h"
#include "system/os_map.h"
#include "heap/page.h"
#include "front/replace.h"
#include "system/report.h"
#include "cache/ring.h"
#include "insight/ledger.h"
#include "insight/sample.h"
#include "insight/site.h"
#include "front/slow.h"
#include "insight/bill.h"
#include "insight/stats.h"
#include "cache/thread.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>

/* ---- Native ------------------------------------------------------------------------------------------------------ */

#define TEXT_OF(x) TEXT_OF_(x)
#define TEXT_OF_(x) #x

const char *hak_version(void)
{
    return TEXT_OF(HAKMEM_VERSION_MAJOR) "." TEXT_OF(HAKMEM_VERSION_MINOR) "." TEXT_OF(HAKMEM_VERSION_PATCH);
}

void *hak_reallocarray(void *block, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return hak_realloc(block, bytes);
}

size_t hak_usable_size(const void *block) { return block_size_fast(block, "malloc_usable_size"); }

size_t hak_good_size(size_t size)
{
    if (size > PTRDIFF_MAX)
        return 0;
    if (check_is_hardened() && size > CLASS_TABLE_MAX - CHECK_MARK)
        return align_up(size, os_page_size());
    if (check_is_on()) /* its blocks end where the request did */
        return size;
    if (size <= CLASS_TABLE_MAX)
        return class_promise(size);
    size_t run = align_up(size, size <= RUN_MAX_SIZE ? UNIT_SIZE : os_page_size());
    return size <= CLASS_MAX_SIZE ? min_size(class_size(class_of(size)), run) : run;
}

void *hak_malloc_usable(size_t size, size_t *usable)
{
    void *block = hak_malloc(size);
    *usable = block ? hak_usable_size(block) : 0;
    return block;
}

COLD void *hak_expand(void *block, size_t size)
{
    thread_check_fork();
    size_t have = hak_usable_size(block);
    if (!block || size > PTRDIFF_MAX)
        return NULL;
    if (size <= have)
        return block;
    struct hak_heap *arena = arena_of(block);
    if (UNLIKELY(arena))
        return arena_resize(arena, block, size, false);
    if (UNLIKELY(large_sampled(block)))
        sample_forget_large(block, false);
    bool fits = large_resize(block, size);
    if (large_size(block) > 0)
        sample_note_large(block, large_size(block), CALLER);
    if (count_is_on() && fits)
        ledger_count_block(large_size(block), CALLER);
    return fits ? block : NULL;
}

void *hak_malloc_at(size_t size, hak_site_t site)
{
    void *block = site_is_asked() ? site_malloc_named(size, site) : NULL;
    return block ? block : malloc_at(size, site);
}

void hak_free_at(void *block, size_t size, hak_site_t site)
{
    (void)site; /* the block's page knows it */
    if (size == 0)
        hak_free(block);
    else
        hak_free_sized(block, size);
}

void hak_collect(void)
{
    thread_check_fork();
    ring_collect();
    guard_let_go();
}

int hak_trim(size_t pad)
{
    thread_check_fork();
    ring_collect();
    ring_collect_all();
    return thread_trim(pad) > 0;
}

COLD size_t hak_stats(hak_stat_t *out, size_t capacity)
{
    struct stats stats;
    stats_gather(&stats);
    const hak_stat_t all[] = {
#define X(field, name, unit, doc) {name, unit, stats.field},
#include "insight/stats.def"
#undef X
    };
    size_t count = sizeof all / sizeof all[0];
    for (size_t i = 0; i < min_size(count, capacity); i++)
        out[i] = all[i];
    return count;
}

void hak_stats_print(int fd) { bill_print(fd, true); }

#ifndef HAK_NO_OVERRIDE

/* ---- C and POSIX ------------------------------------------------------------------------------------------------- */

HAK_PUBLIC void *reallocarray(void *block, size_t count, size_t size)
{
    size_t bytes;
    if (UNLIKELY(is_replaced(reallocarray) || __builtin_mul_overflow(count, size, &bytes)))
        return hak_reallocarray(block, count, size);
    return process_realloc(block, bytes);
}

/* `is_next`: called by what has replaced the function, for what comes next in line: hakmem's own. */
static void *aligned_named(bool is_next, size_t align, size_t size, uintptr_t site)
{
    return UNLIKELY(is_next) ? aligned_slow(align, size, site) : aligned_at(align, size, site);
}

HAK_PUBLIC void *aligned_alloc(size_t align, size_t size)
{
    return aligned_named(is_replaced(aligned_alloc), align, size, CALLER);
}

/* 0 for a block of the program's own malloc, where it does not say. */
HAK_PUBLIC size_t malloc_usable_size(void *block)
{
    bool is_foreign = UNLIKELY(replace_c()) && block && !replace_owns(block);
    return is_foreign ? 0 : block_size_fast(block, "malloc_usable_size");
}

HAK_PUBLIC int posix_memalign(void **out, size_t align, size_t size)
{
    if (!is_power_of_two(align) || align % sizeof(void *) != 0)
        return EINVAL;
    /* Like glibc's, sets errno too when memory is out. */
    void *block = aligned_named(is_replaced(posix_memalign), align, size, CALLER);
    if (!block)
        return ENOMEM;
    *out = block;
    return 0;
}

/* As glibc: an alignment that is no power of two is rounded up to one. */
static void *memalign_at(bool is_next, size_t align, size_t size, uintptr_t site)
{
    if (align > SIZE_MAX / 2 + 1) {
        errno = EINVAL;
        return NULL;
    }
    return aligned_named(is_next, align <= BLOCK_ALIGN ? BLOCK_ALIGN : (size_t)2 << highest_bit(align - 1), size, site);
}

static void *pvalloc_at(bool is_next, size_t size, uintptr_t site)
{
    size_t page = os_page_size();
    if (size > PTRDIFF_MAX - page) {
        errno = ENOMEM;
        return NULL;
    }
    return aligned_named(is_next, page, align_up(size, page), site);
}

HAK_PUBLIC void *memalign(size_t align, size_t size) { return memalign_at(is_replaced(memalign), align, size, CALLER); }
HAK_PUBLIC void *valloc(size_t size) { return aligned_named(is_replaced(valloc), os_page_size(), size, CALLER); }
HAK_PUBLIC void *pvalloc(size_t size) { return pvalloc_at(is_replaced(pvalloc), size, CALLER); }

/* ---- glibc's extensions ------------------------------------------------------------------------------------------ */

HAK_PUBLIC int malloc_trim(size_t pad) { return hak_trim(pad); }

/* The parameters are glibc's tuning knobs; there is nothing to turn, and programs expect success. */
HAK_PUBLIC int mallopt(int parameter, int value)
{
    (void)parameter;
    (void)value;
    return 1;
}

#ifndef __GLIBC__ /* whose malloc.h has them */
#define FIELDS(T) \
    {             \
        T arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost; \
    }
struct mallinfo FIELDS(int);
struct mallinfo2 FIELDS(size_t);
#undef FIELDS
#endif

HAK_PUBLIC COLD struct mallinfo2 mallinfo2(void)
{
    struct stats stats;
    stats_gather(&stats);
    return (struct mallinfo2){
        .arena = stats.mapped - stats.large,
        .ordblks = stats.pages,
        .hblks = stats.large_blocks,
        .hblkhd = stats.large,
        .fsmblks = stats.ring + stats.depot,
        .uordblks = stats.live,
        .fordblks = stats.ring + stats.depot + stats.page_free + stats.page_rest + stats.free_dirty + stats.free_clean,
        .keepcost = stats.free_dirty,
    };
}

static int saturate(size_t value) { return value > INT32_MAX ? INT32_MAX : (int)value; }

HAK_PUBLIC struct mallinfo mallinfo(void)
{
    struct mallinfo2 wide = mallinfo2();
    return (struct mallinfo){
        .arena = saturate(wide.arena),
        .ordblks = saturate(wide.ordblks),
        .hblks = saturate(wide.hblks),
        .hblkhd = saturate(wide.hblkhd),
        .fsmblks = saturate(wide.fsmblks),
        .uordblks = saturate(wide.uordblks),
        .fordblks = saturate(wide.fordblks),
        .keepcost = saturate(wide.keepcost),
    };
}

/* ---- glibc's own names ------------------------------------------------------------------------------------------- */

/* Hakmem's own, whatever the program has replaced: its functions may call them. Weak: other libcs use them inside, for
 * their own. */
#define LIBC_NAME(result, name, parameters, function, arguments) \
    HAK_PUBLIC __attribute__((weak)) result name parameters { return function arguments; }
LIBC_NAME(void *, __libc_malloc, (size_t size), hak_malloc, (size))
LIBC_NAME(void *, __libc_calloc, (size_t count, size_t size), hak_calloc, (count, size))
LIBC_NAME(void *, __libc_realloc, (void *block, size_t size), hak_realloc, (block, size))
LIBC_NAME(void *, __libc_memalign, (size_t align, size_t size), memalign_at, (true, align, size, CALLER))
LIBC_NAME(void *, __libc_valloc, (size_t size), hak_aligned_alloc, (os_page_size(), size))
LIBC_NAME(void *, __libc_pvalloc, (size_t size), pvalloc_at, (true, size, CALLER))
HAK_PUBLIC __attribute__((weak)) void __libc_free(void *block) { hak_free(block); }
#undef LIBC_NAME

HAK_PUBLIC void malloc_stats(void) { bill_print(report_fatal_fd(), true); }

/* A name as an attribute's value. */
enum { ESCAPED_MOST = 5 };
static COLD void name_escape(char out[HAK_HEAP_NAME_MAX * ESCAPED_MOST + 1], const char *name)
{
    for (; *name; name++) {
        char escape[] = {'&', '#', (char)('0' + *name / 10), (char)('0' + *name % 10), ';'};
        bool is_plain = *name != '&' && *name != '<' && *name != '"';
        for (unsigned i = 0; i < (is_plain ? 1 : ESCAPED_MOST); i++)
            *out++ = is_plain ? *name : escape[i];
    }
    *out = '\0';
}

static COLD void info_heaps(FILE *stream)
{
    for (unsigned number = 1; number <= arena_last(); number++) {
        const struct hak_heap *arena = arena_at(number);
        char name[HAK_HEAP_NAME_MAX + 1], escaped[HAK_HEAP_NAME_MAX * ESCAPED_MOST + 1];
        hak_heap_stat_t stat;
        if (!arena)
            continue;
        arena_name(arena, name);
        arena_stat(arena, &stat);
        name_escape(escaped, name);
        fprintf(stream,
                "<heap name=\"%s\" live=\"%zu\" blocks=\"%zu\" peak=\"%zu\" limit=\"%zu\" held=\"%zu\" "
                "refused=\"%llu\"/>\n",
                escaped, stat.live, stat.blocks, stat.peak, stat.limit, stat.held, (unsigned long long)stat.refused);
    }
}

HAK_PUBLIC COLD int malloc_info(int options, FILE *stream)
{
    if (options != 0)
        return EINVAL;
    struct stats stats;
    stats_gather(&stats);
    fprintf(stream, "<malloc version=\"hakmem-%s\">\n", hak_version());
#define X(field, name, unit, doc) \
    fprintf(stream, "<stat name=\"%s\" unit=\"%s\" value=\"%llu\"/>\n", name, unit, (unsigned long long)stats.field);
#include "insight/stats.def"
#undef X
    info_heaps(stream);
    return fputs("</malloc>\n", stream) < 0 ? -1 : 0;
}

#endif
