#include "heap/class.h"

#define BLOCKS(size, units) ((units) * UNIT_SIZE / (size))

#define INFO(bytes, unit_count)                                          \
    {                                                                    \
        .magic = ((uint64_t)1 << CLASS_MAGIC_SHIFT) / (bytes) + 1,       \
        .size = (uint32_t)(bytes),                                       \
        .blocks = (uint16_t)BLOCKS(bytes, unit_count),                   \
        .units = (uint8_t)(unit_count),                                  \
        .words = (uint8_t)((BLOCKS(bytes, unit_count) + 63) / 64)        \
    }

struct class_info class_info[CLASS_SLOTS] = {
#define X(id, first, size, units) [id] = INFO(size, units),
#include "heap/classes.def"
#undef X
    [CLASS_FITTED] = INFO(CLASS_TABLE_MAX, 8),
};

#define X(id, first, size, units)                                                                           \
    _Static_assert((size) % BLOCK_ALIGN == 0, "blocks are aligned");                                        \
    _Static_assert(BLOCKS(size, units) <= PAGE_MAX_BLOCKS && BLOCKS(size, units) >= 1, "bitmap words");      \
    _Static_assert((units) <= SUPERSLAB_UNITS, "a page lies in one superslab");
#include "heap/classes.def"
#undef X

/* Offsets in a page are below 2^21 and the magic's error is below size <= 2^20, so the product's error is below
 * 2^41 / 2^42 of a block: the quotient is exact, and the product fits 64 bits because magic <= 2^38 + 1. */
_Static_assert(SUPERSLAB_SHIFT + 20 < CLASS_MAGIC_SHIFT, "division by multiplication is exact");

_Atomic(uint8_t) class_table[CLASS_TABLE_MAX / BLOCK_ALIGN + 1] = {
#define SMALL(id, first, size, units) [((first) + BLOCK_ALIGN - 1) / BLOCK_ALIGN ... (size) / BLOCK_ALIGN] = (id),
#define MEDIUM(id, first, size, units)
#include "heap/classes.def"
};

const uint8_t class_medium_table[CLASS_MAX_SIZE / MEDIUM_STEP] = {
#define SMALL(id, first, size, units)
#define MEDIUM(id, first, size, units) [(first) / MEDIUM_STEP ... ((size) - 1) / MEDIUM_STEP] = (id),
#include "heap/classes.def"
};

/* ---- The class that is fitted ------------------------------------------------------------------------------------ */

static _Atomic(uint8_t) host;      /* of CLASS_FITTED; 0 before it was fitted */
static _Atomic(uint64_t) promised; /* a bit for each class whose requests keep what they get now */

size_t class_promise(size_t size)
{
    /* Before the look, and class_fit looks once more after its change: one of them sees the other. */
    fetch_or_seq(&promised, (uint64_t)1 << class_host(class_of_table(size)));
    return class_size(load_seq(&class_table[(size + BLOCK_ALIGN - 1) / BLOCK_ALIGN]));
}

/* Pairs with class_promise. */
static bool is_promised(unsigned class_id) { return load_seq(&promised) >> class_id & 1; }

/* The host's entries up to the fitted size become those of the class. */
static void entries_write(unsigned class_id)
{
    unsigned host_id = load_relaxed(&host);
    size_t first = class_size(host_id - 1) / BLOCK_ALIGN + 1, last = class_info[CLASS_FITTED].size / BLOCK_ALIGN;
    for (size_t i = first; i <= last; i++)
        store_seq(&class_table[i], (uint8_t)class_id); /* pairs with class_of_table, class_promise */
}

COLD bool class_fit(size_t size)
{
    if (size == 0 || size > CLASS_TABLE_MAX || size % BLOCK_ALIGN != 0)
        return false;
    unsigned old_host = load_relaxed(&host), host_id = class_of_table(size);
    bool again = old_host != 0 && class_info[CLASS_FITTED].size == size;
    if (host_id == CLASS_FITTED)
        return again;
    if ((old_host != 0 && !again) || host_id < 2 || size == class_size(host_id) || is_promised(host_id))
        return false;
    if (!again) {
        size_t units = class_info[host_id].units;
        class_info[CLASS_FITTED] = (struct class_info)INFO(size, units);
        store_release(&host, (uint8_t)host_id); /* pairs with class_last */
    }
    entries_write(CLASS_FITTED);
    bool stays = !is_promised(host_id); /* asked once: a promise after it has seen the new entries */
    if (!stays)
        entries_write(host_id);
    return stays;
}

COLD void class_unfit(void)
{
    if (class_is_fitted())
        entries_write(load_relaxed(&host));
}

bool class_is_fitted(void)
{
    return load_relaxed(&host) != 0 && class_of_table(class_info[CLASS_FITTED].size) == CLASS_FITTED;
}

/* Pairs with class_fit. */
unsigned class_last(void) { return load_acquire(&host) != 0 ? CLASS_FITTED : CLASS_FIXED_LAST; }

unsigned class_host(unsigned class_id)
{
    return class_id == CLASS_FITTED && load_relaxed(&host) != 0 ? load_relaxed(&host) : class_id;
}
