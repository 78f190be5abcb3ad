#include "insight/kept.h"

#include "base/atomic.h"

enum {
    KEPT_ROWS = 1024, /* a power of two */
    KEPT_WORDS = 6
};
_Static_assert(sizeof(struct kept) == KEPT_WORDS * sizeof(uint64_t), "a row fills the words of an entry");

/* A reader who finds the same even `version` before and after its reads of the words has read what one writer wrote. A
 * writer makes it odd, which keeps out other writers, and signal handlers on top of this one. An entry that was being
 * written when another thread forked stays closed in the child. */
struct kept_entry {
    _Atomic(uint64_t) version;
    _Atomic(uint64_t) word[KEPT_WORDS]; /* a struct kept; the first is the address */
} CACHE_ALIGNED;

static struct kept_pair {
    struct kept_entry entry[2];
} kept_pairs[KEPT_ROWS / 2] SPARSE;

static struct kept_pair *kept_pair_of(uintptr_t address)
{
    return &kept_pairs[address * 0x9E3779B97F4A7C15u >> 32 & (KEPT_ROWS / 2 - 1)];
}

static bool kept_read(struct kept_entry *entry, uintptr_t address, struct kept *out)
{
    uint64_t words[KEPT_WORDS], version = load_acquire(&entry->version); /* pairs with the last store of kept_write */
    if (load_relaxed(&entry->word[0]) != address)
        return false;
    for (unsigned i = 0; i < KEPT_WORDS; i++)
        words[i] = load_acquire(&entry->word[i]); /* pairs with the stores of kept_write: `version` has changed then */
    if (version % 2 != 0 || load_relaxed(&entry->version) != version || words[0] != address)
        return false;
    __builtin_memcpy(out, words, sizeof *out);
    return true;
}

bool kept_find(uintptr_t address, uint64_t print, struct kept *out)
{
    struct kept_pair *pair = kept_pair_of(address);
    return (kept_read(&pair->entry[0], address, out) || kept_read(&pair->entry[1], address, out)) &&
           out->print == print;
}

/* Into the entry that was written less often. */
void kept_write(const struct kept *kept)
{
    struct kept_pair *pair = kept_pair_of(kept->address);
    bool is_second = load_relaxed(&pair->entry[1].version) < load_relaxed(&pair->entry[0].version); /* a hint */
    struct kept_entry *entry = &pair->entry[is_second];
    uint64_t words[KEPT_WORDS], version = load_relaxed(&entry->version);
    if (version % 2 != 0 || !cas_acquire(&entry->version, &version, version + 1)) /* pairs with the last store below */
        return;
    __builtin_memcpy(words, kept, sizeof words);
    for (unsigned i = 0; i < KEPT_WORDS; i++)
        store_release(&entry->word[i], words[i]); /* behind the odd version; pairs with kept_read */
    store_release(&entry->version, version + 2); /* pairs with kept_read, and with the next writer */
}
