/* bill.c - see bill.h. The kernel tells how much of an area is resident, the record what the bytes in hakmem's are used
 * for, touched or not; the pages of sampled blocks (/proc/PID/pagemap) tell how much of what is live was ever touched.
 * The rest is the same as what the library prints at exit (src/insight/bill_split.h).
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "memory/bill.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

#define LARGE_LEAST (UINT64_C(32) << 20) /* blocks above are mappings of their own (src/insight/record.h) */

const char *const bill_names[] = {
#define X(id, name, words) name,
#include "insight/bill.def"
#undef X
};
const char *const bill_words[] = {
#define X(id, name, words) words,
#include "insight/bill.def"
#undef X
};
const char *const bill_says[] = {
#define X(id, name, words)
#define W(id, words) words,
#include "insight/bill.def"
#undef X
};

static uint64_t lesser(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t minus(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }

uint64_t bill_own(const struct bill *bill)
{
    uint64_t sum = 0;
    for (int i = 0; i <= BILL_OWN; i++)
        sum += bill->item[i];
    return sum;
}

/* ---- What is hakmem's of the areas ------------------------------------------------------------------------------- */

static bool range_holds(const struct record_range *range, uint64_t address)
{
    return range->size > 0 && address >= range->start && address - range->start < range->size;
}

static bool is_own(const struct record *record, const struct area *area)
{
    const struct record_header *header = record_header(record);
    uint64_t start, size;
    for (unsigned i = 1; i < RECORD_RANGES; i++)
        if (range_holds(&header->range[i], area->start))
            return true;
    if (record_place(record, &start, &size) && start >= area->start && start < area->end)
        return true;
    return area->kind == AREA_FILE && strncmp(area->name, "libhakmem", 9) == 0;
}

static enum bill_item area_item(const struct area *area)
{
    static const enum bill_item items[] = {
        [AREA_ANONYMOUS] = BILL_OTHER, [AREA_STACK] = BILL_STACKS,  [AREA_BREAK] = BILL_OTHER,
        [AREA_FILE] = BILL_FILES,      [AREA_SHARED] = BILL_SHARED, [AREA_GUARD] = BILL_OTHER};
    return items[area->kind];
}

/* Takes a block that is a mapping of its own out of the areas: the system may have joined it with others. */
static void mapping_take(struct bill_input *input, struct areas *areas, uint64_t start, uint64_t size)
{
    struct area *area = areas ? areas_find(areas, start) : NULL;
    uint64_t part = area ? lesser(areas_resident(areas, start, size), area->resident) : 0;
    input->large += part;
    if (area)
        area->resident -= part;
}

/* Those of heaps by name, as far as these are known. Returns the blocks' bytes, resident or not. */
static uint64_t heaps_take(struct bill_input *input, const struct record *record, struct areas *areas)
{
    const struct record_range *range = &record_header(record)->range[0];
    const struct record_heap *heaps;
    size_t count = record_heaps(record, &heaps);
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < RECORD_HEAP_MAPPINGS; j++) {
            const struct record_range *mapped = &heaps[i].mapped[j];
            if (mapped->size <= LARGE_LEAST || mapped->size > heaps[i].live || range_holds(range, mapped->start))
                continue;
            sum += mapped->size;
            mapping_take(input, areas, mapped->start, mapped->size);
        }
    return sum;
}

/* Those that are samples, too. */
static uint64_t large_take(struct bill_input *input, const struct record *record, struct areas *areas)
{
    const struct record_range *heap = &record_header(record)->range[0];
    const struct record_sample *samples;
    size_t count = record_samples(record, &samples);
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        if (samples[i].size <= LARGE_LEAST || range_holds(heap, samples[i].block))
            continue;
        sum += samples[i].size;
        mapping_take(input, areas, samples[i].block, samples[i].size);
    }
    return sum + heaps_take(input, record, areas);
}

static void areas_divide(struct bill *bill, struct bill_input *input, const struct record *record,
                         const struct areas *areas)
{
    const struct record_range *heap = &record_header(record)->range[0];
    uint64_t largest = 0;
    for (size_t i = 0; i < areas->count; i++) {
        const struct area *area = &areas->area[i];
        if (range_holds(heap, area->start)) {
            input->heap += area->resident;
            input->heap_huge += area->huge;
            continue;
        }
        enum bill_item item = is_own(record, area) ? BILL_OWN : area_item(area);
        bill->item[item] += area->resident;
        if (item == BILL_OTHER && area->resident > largest) {
            largest = area->resident;
            memcpy(bill->other, area->name, sizeof bill->other);
        }
    }
}

/* The resident share of live blocks in the heap, each weighed by what it stands for; of at most some thousand samples,
 * for each takes a system call. */
static double touched_share(const struct record *record, struct areas *areas)
{
    enum { LOOKS = 4096 };
    const struct record_range *heap = &record_header(record)->range[0];
    const struct record_sample *samples;
    size_t count = record_samples(record, &samples), step = count / LOOKS + 1;
    double all = 0, touched = 0;
    for (size_t i = 0; i < count; i += step) {
        if (!range_holds(heap, samples[i].block))
            continue;
        double weight = (double)samples[i].bytes;
        all += weight;
        touched += weight * (double)areas_resident(areas, samples[i].block, samples[i].size) / (double)samples[i].size;
    }
    return all > 0 ? touched / all : 1;
}

/* ---- The bill ---------------------------------------------------------------------------------------------------- */

/* Of a process that is gone it is not known how much of its heap was resident: as if all was, and free blocks in pages
 * then the less. What remains is not hakmem's. */
static void bill_estimate(struct bill *bill, const struct record *record, const struct bill_input *input)
{
    uint64_t rest = record_header(record)->resident;
    bill->total = rest;
    bill_take(bill->item, BILL_OWN, &rest, record_value(record, "bytes.metadata"));
    bill_take(bill->item, BILL_LIVE, &rest, bill->live);
    bill_take(bill->item, BILL_KEPT, &rest, input->kept);
    bill_take(bill->item, BILL_PAGES, &rest, input->pages);
    bill_take(bill->item, BILL_OTHER, &rest, rest);
}

/* The snapshot's, which is exact, but of the last slow path that took one; a program may have freed much since, and not
 * have called again. Samples come and go at once, so they are believed where the two differ by more than chance allows:
 * three standard errors, and what may be live without a sample. (A sample was drawn with the chance size / bytes, so
 * its part of the variance is bytes * (bytes - size).) */
uint64_t bill_live(const struct record *record)
{
    enum { ERRORS = 3, UNSEEN = 9 /* intervals: the chance is e to the -9 */ };
    const struct record_sample *samples;
    size_t count = record_samples(record, &samples);
    uint64_t counted = record_value(record, "bytes.live") + record_value(record, "bytes.large");
    uint64_t sampled = record_heaps_live(record); /* whose blocks are no samples, but counted */
    double variance = 0, interval = (double)record_header(record)->interval;
    for (size_t i = 0; i < count; i++) {
        double bytes = (double)samples[i].bytes, size = (double)samples[i].size;
        sampled += samples[i].bytes;
        variance += bytes > size ? bytes * (bytes - size) : 0;
        interval = bytes > 2 * size && bytes > interval ? bytes : interval; /* it may have been longer */
    }
    if (record_header(record)->interval == 0 || record_stacks(record) == 0)
        return counted;
    double difference = fabs((double)counted - (double)sampled);
    return difference > ERRORS * sqrt(variance) + UNSEEN * interval ? sampled : counted;
}

void bill_make(struct bill *bill, const struct record *record, struct areas *areas)
{
    const struct record_header *header = record_header(record);
    struct bill_input input = {0};
    *bill = (struct bill){.is_from_kernel = areas};
    uint64_t counted = record_value(record, "bytes.live") + record_value(record, "bytes.large");
    bill->live = bill_live(record);
    bill->peak = header->peak > bill->live ? header->peak : bill->live;
    input.live = minus(bill->live, large_take(&input, record, areas));
    input.kept = record_value(record, "bytes.ring") + record_value(record, "bytes.depot") +
                 record_value(record, "bytes.free_dirty");
    input.pages = record_value(record, "bytes.page_free") + minus(counted, bill->live); /* what was freed since */
    if (!areas) {
        bill_estimate(bill, record, &input);
        return;
    }
    areas_divide(bill, &input, record, areas);
    input.touched = (uint64_t)((double)input.live * touched_share(record, areas));
    bill_split(bill->item, &input);
    bill->total = areas->resident;
    bill->shared = areas->shared;
    bill->swapped = areas->swapped;
    bill->peak_total = areas->peak;
}

bool bill_read(struct bill *bill, struct owners *owners, const struct record *record)
{
    struct areas areas = {.pagemap = -1};
    pid_t process = record_process(record);
    int error = process != 0 ? areas_read(&areas, process) : 0;
    if (owners)
        *owners = (struct owners){0};
    if (error != 0) {
        complain(0, NULL, "the memory of process %d cannot be looked at: %s", (int)process, strerror(error));
    } else if (owners && !owners_read(owners, record, process != 0 ? &areas : NULL)) {
        complain(0, NULL, "no memory");
        error = ENOMEM;
    } else {
        bill_make(bill, record, process != 0 ? &areas : NULL);
    }
    areas_free(&areas);
    return error == 0;
}
