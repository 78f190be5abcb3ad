#include "insight/bill.h"

#include "hakmem.h"
#include "base/atomic.h"
#include "heap/ground.h"
#include "heap/limit.h"
#include "heap/span.h"
#include "insight/bill_split.h"
#include "insight/ledger.h"
#include "insight/recorder.h"
#include "insight/stats.h"
#include "system/conf.h"
#include "system/os_look.h"
#include "system/os_map.h"
#include "system/os_process.h"
#include "system/smaps.h"
#include "system/text.h"

/* By code, as explain_words. */
static COLD const char *item_words(enum bill_item item)
{
    switch (item) {
#define X(id, name, words) case BILL_##id: return words;
#include "insight/bill.def"
#undef X
    default: return "";
    }
}

static COLD const char *other_words(enum bill_word word)
{
    switch (word) {
#define X(id, name, words)
#define W(id, words) case BILL_SAYS_##id: return words;
#include "insight/bill.def"
#undef X
    default: return "";
    }
}

struct bill_sums {
    uint64_t item[BILL_ITEMS];
    uint64_t total;           /* of the items: what is resident, if that is known */
    uint64_t live, live_peak; /* bytes in the program's hands, resident or not */
    uint64_t peak;            /* the most that was resident */
    bool is_from_kernel;
};

/* ---- What samples tell ------------------------------------------------------------------------------------------- */

/* Of whoever has bill_in_use. */
static struct {
    uint64_t bytes, touched; /* that samples in the heap stand for, and of that, resident: in KiB */
    uint64_t large;          /* resident bytes of blocks outside of the heap */
} samples_seen;
static _Atomic(bool) bill_in_use; /* by a thread: pairs acquire/release */

static COLD bool is_in_heap(uintptr_t address)
{
    uintptr_t start = (uintptr_t)ground_heap();
    return start && address >= start && address - start < (size_t)span_slab_count() << SUPERSLAB_SHIFT;
}

static COLD void sample_see(const struct record_sample *sample)
{
    uintptr_t block = load_relaxed(&sample->block), start = block & ~(uintptr_t)(os_page_size() - 1);
    size_t size = load_relaxed(&sample->size);
    if (size == 0) /* another thread is just writing it */
        return;
    size_t resident = min_size(os_resident((void *)start, align_up(block + size - start, os_page_size())), size);
    uint64_t kib = load_relaxed(&sample->bytes) >> 10;
    if (is_in_heap(block)) {
        samples_seen.bytes += kib;
        samples_seen.touched += size >> 20 ? kib / (size >> 10) * (resident >> 10) : kib * resident / size;
    } else {
        samples_seen.large += resident;
    }
}

/* ---- What the kernel tells --------------------------------------------------------------------------------------- */

static COLD bool is_own(const struct smaps_area *area)
{
    for (unsigned table = 0; table < GROUND_TABLES; table++) {
        uintptr_t start = (uintptr_t)ground_table((enum ground_table)table);
        if (start && area->start >= start && area->start - start < ground_extent((enum ground_table)table))
            return true;
    }
    return area->is_library || recorder_is_at(area->start);
}

struct bill_look {
    struct bill_sums *sums;
    struct bill_input input;
};

static COLD void area_add(void *context, const struct smaps_area *area)
{
    struct bill_look *look = context;
    look->sums->total += area->resident;
    if (is_in_heap(area->start)) {
        look->input.heap += area->resident;
        look->input.heap_huge += area->huge;
        return;
    }
    enum bill_item item = is_own(area) ? BILL_OWN
                          : area->kind == SMAPS_STACK  ? BILL_STACKS
                          : area->kind == SMAPS_FILE   ? BILL_FILES
                          : area->kind == SMAPS_SHARED ? BILL_SHARED
                                                       : BILL_OTHER;
    look->sums->item[item] += area->resident;
}

static COLD void items_from_kernel(struct bill_look *look)
{
    struct bill_sums *sums = look->sums;
    look->input.live = sums->live - min_size(sums->live, limit_mapped());
    look->input.touched = look->input.live;
    if (samples_seen.touched > 0) /* else the system does not tell, or there is no sample */
        look->input.touched =
            look->input.live / 1024 * min_size(samples_seen.touched * 1024 / samples_seen.bytes, 1024);
    look->input.large = min_size(samples_seen.large, sums->item[BILL_OTHER]);
    sums->item[BILL_OTHER] -= look->input.large;
    bill_split(sums->item, &look->input);
}

static COLD struct bill_sums sums_make(const struct stats *stats)
{
    struct bill_sums sums = {.live = stats->live + stats->large};
    struct bill_look look = {.sums = &sums};
    sums.live_peak = max_size(sums.live, recorder_peak());
    look.input.kept = stats->ring + stats->depot + stats->free_dirty;
    look.input.pages = stats->page_free;
    samples_seen.bytes = samples_seen.touched = samples_seen.large = 0;
    ledger_each(sample_see);
    sums.is_from_kernel = smaps_each(area_add, &look);
    if (sums.is_from_kernel) {
        sums.peak = smaps_peak();
        items_from_kernel(&look);
        return sums;
    }
    sums.item[BILL_LIVE] = sums.live;
    sums.item[BILL_PAGES] = look.input.pages;
    sums.item[BILL_KEPT] = look.input.kept;
    sums.item[BILL_OWN] = stats->metadata;
    sums.total = sums.live + look.input.pages + look.input.kept + stats->metadata;
    return sums;
}

/* ---- Printing ---------------------------------------------------------------------------------------------------- */

static COLD void row_begin(struct text *text, uint64_t bytes, uint64_t total)
{
    text_bytes(text, bytes);
    text_right(text, total > 0 ? (100 * bytes + total / 2) / total : 0, 5);
    text_string(text, " %  ");
}

static COLD void peak_end(struct text *text, uint64_t peak)
{
    if (peak > 0) {
        text_string(text, other_words(BILL_SAYS_PEAK));
        text_amount(text, peak);
    }
    text_string(text, "\n");
}

static COLD void live_print(struct text *text, const struct bill_sums *sums)
{
    row_begin(text, sums->item[BILL_LIVE], sums->total);
    if (sums->live > sums->item[BILL_LIVE] + sums->item[BILL_LIVE] / 50) {
        text_string(text, other_words(BILL_SAYS_LIVE_OF));
        text_amount(text, sums->live);
        text_string(text, other_words(BILL_SAYS_UNTOUCHED));
    } else {
        text_string(text, item_words(BILL_LIVE));
    }
    peak_end(text, sums->live_peak);
}

static COLD void items_print(struct text *text, const struct bill_sums *sums)
{
    uint64_t little = 0;
    live_print(text, sums);
    for (enum bill_item item = BILL_LIVE + 1; item < BILL_ITEMS; item++) {
        if (sums->item[item] < sums->total / 100) {
            little += sums->item[item];
        } else if (sums->item[item] > 0) {
            row_begin(text, sums->item[item], sums->total);
            text_string(text, item_words(item));
            text_string(text, "\n");
        }
    }
    if (little > 0) {
        row_begin(text, little, sums->total);
        text_string(text, other_words(BILL_SAYS_LITTLE));
        text_string(text, "\n");
    }
}

/* "hakmem 0.1.0 statistics of process 4711, python3": the name's end, if it is long. */
static COLD void title_print(struct text *text)
{
    enum { NAME_MOST = 32 };
    struct piece name = piece_base(piece_of(os_program()));
    size_t length = min_size(name.length, NAME_MOST);
    text_string(text, "hakmem ");
    text_string(text, hak_version());
    text_string(text, " statistics of process ");
    text_decimal(text, os_process_id());
    text_string(text, ", ");
    text_span(text, name.start + name.length - length, length);
    text_string(text, "\n");
}

COLD void bill_print(int fd, bool all)
{
    struct stats stats;
    struct text text;
    stats_gather(&stats);
    text_begin(&text, fd);
    title_print(&text);
    if (atomic_exchange_explicit(&bill_in_use, true, memory_order_acquire)) { /* pairs with the release below */
        text_string(&text, "  another thread is just at it\n");
    } else {
        struct bill_sums sums = sums_make(&stats);
        store_release(&bill_in_use, false); /* pairs with the above */
        items_print(&text, &sums);
        row_begin(&text, sums.total, sums.total);
        text_string(&text, sums.is_from_kernel ? other_words(BILL_SAYS_RESIDENT)
                                               : "in all, resident or not: /proc/self/smaps cannot be read");
        peak_end(&text, sums.peak);
    }
    text_end(&text);
    if (all)
        stats_print(fd, &stats);
}
