#include "heap/slabset.h"

SPARSE struct slab_group *_Atomic slab_groups[GROUPS_MAX];
static _Atomic(uint32_t) group_count; /* groups are entered in order; bounds the search */

#define SUMMARY_WORDS (GROUPS_MAX / 64)
/* By word first: a small heap uses one row, not one page for each set. */
static SPARSE _Atomic(uint64_t) summary[SUMMARY_WORDS][SET_COUNT];

void slab_group_add(uint32_t index, struct slab_group *group)
{
    for (uint32_t i = 0; i < GROUP_SLABS; i++)
        group->slabs[i].number = index * GROUP_SLABS + i;
    store_release(&slab_groups[index], group); /* pairs with slab_at */
    store_release(&group_count, index + 1);    /* pairs with slabset_next */
}

static struct slab_group *group_at(uint32_t index) { return load_acquire(&slab_groups[index]); /* as slab_at */ }

/* The word and the summary are two steps, in opposite order: adding sets the word and then the summary, removing
 * clears the summary and then looks at the word once more. Sequentially consistent, so one of the two sees the
 * other. */

static void summary_set(unsigned set, uint32_t group)
{
    _Atomic(uint64_t) *word = &summary[group / 64][set];
    uint64_t bit = (uint64_t)1 << group % 64;
    if (!(load_seq(word) & bit)) /* pairs with the fetch_and in slabset_remove */
        fetch_or_seq(word, bit);
}

void slabset_add(unsigned set, uint32_t number)
{
    uint32_t group = number / GROUP_SLABS;
    fetch_or_seq(&group_at(group)->members[set], (uint64_t)1 << number % GROUP_SLABS); /* pairs with slabset_next */
    summary_set(set, group);
}

void slabset_remove(unsigned set, uint32_t number)
{
    uint32_t group = number / GROUP_SLABS;
    _Atomic(uint64_t) *members = &group_at(group)->members[set];
    uint64_t bit = (uint64_t)1 << number % GROUP_SLABS;
    if (fetch_and_seq(members, ~bit) & ~bit)
        return;
    fetch_and_seq(&summary[group / 64][set], ~((uint64_t)1 << group % 64));
    if (load_seq(members) != 0) /* pairs with the fetch_or in slabset_add */
        summary_set(set, group);
}

bool slabset_has(unsigned set, uint32_t number)
{
    return load_seq(&group_at(number / GROUP_SLABS)->members[set]) >> number % GROUP_SLABS & 1;
}

uint32_t slabset_next(unsigned set, uint32_t from)
{
    uint32_t first_group = from / GROUP_SLABS;
    uint32_t rows = (load_acquire(&group_count) + 63) / 64; /* pairs with slab_group_add */
    uint64_t group_mask = ~low_mask64(first_group % 64);
    for (uint32_t row = first_group / 64; row < rows; row++) {
        for (uint64_t groups = load_seq(&summary[row][set]) & group_mask; groups; groups &= groups - 1) {
            uint32_t group = row * 64 + lowest_bit(groups);
            uint64_t members = load_seq(&group_at(group)->members[set]);
            if (group == first_group)
                members &= ~low_mask64(from % GROUP_SLABS);
            if (members)
                return group * GROUP_SLABS + lowest_bit(members);
        }
        group_mask = ~(uint64_t)0;
    }
    return SLAB_NONE;
}
