/* bill_split.h - what the resident memory of hakmem's heap is used for. The kernel says how much there is, the
 * statistics what its bytes are used for, touched or not; of the rest, what is least sure to be resident is cut until
 * the sum is right: free blocks in pages were perhaps never handed out, while what is kept for reuse was in use
 * before. */
#ifndef HAK_BILL_SPLIT_H
#define HAK_BILL_SPLIT_H

#include <stdint.h>

enum bill_item {
#define X(id, name, words) BILL_##id,
#include "insight/bill.def"
#undef X
    BILL_ITEMS
};

/* What the peaks are, where there is room to say it. */
#define BILL_PEAK_LIVE "peak of live blocks: the most in the program's hands at any time"
#define BILL_PEAK_RESIDENT "peak of what is resident: the most at any time, as the kernel says"

enum bill_word {
#define X(id, name, words)
#define W(id, words) BILL_SAYS_##id,
#include "insight/bill.def"
#undef X
    BILL_SAYS_COUNT
};

/* What the kernel and the statistics say, in bytes. */
struct bill_input {
    uint64_t heap;      /* resident where blocks up to 32 MiB lie */
    uint64_t heap_huge; /* of it, in huge pages */
    uint64_t large;     /* resident of larger blocks */
    uint64_t live;      /* in hand of the heap: touched or not */
    uint64_t touched;   /* of `live`, resident as samples tell */
    uint64_t kept;      /* free: runs, and in rings */
    uint64_t pages;     /* free in pages, resident or not */
};

/* Moves up to `most` bytes from *rest to the item. */
static inline void bill_take(uint64_t item[BILL_ITEMS], enum bill_item which, uint64_t *rest, uint64_t most)
{
    uint64_t part = *rest < most ? *rest : most;
    item[which] += part;
    *rest -= part;
}

/* Adds to the first four items, by input.heap + input.large in all. */
static inline void bill_split(uint64_t item[BILL_ITEMS], const struct bill_input *input)
{
    uint64_t rest = input->heap, touched = input->touched < input->live ? input->touched : input->live;
    item[BILL_LIVE] += input->large;
    bill_take(item, BILL_LIVE, &rest, touched);
    bill_take(item, BILL_KEPT, &rest, input->kept);
    bill_take(item, BILL_PAGES, &rest, input->pages);
    bill_take(item, BILL_HUGE, &rest, input->heap_huge);
    bill_take(item, BILL_LIVE, &rest, input->live - touched); /* more was touched than samples tell */
    bill_take(item, BILL_KEPT, &rest, rest); /* came back, or was let go, since the statistics were taken */
}

#endif
