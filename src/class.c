#include "class.h"

#define BLOCKS(size, units) ((units) * UNIT_SIZE / (size))

const struct class_info class_info[CLASS_SLOTS] = {
#define X(id, first, bytes, unit_count)                                                  \
    [id] = {.magic = ((uint64_t)1 << CLASS_MAGIC_SHIFT) / (bytes) + 1,                    \
            .size = (bytes),                                                              \
            .blocks = (uint16_t)BLOCKS(bytes, unit_count),                                \
            .units = (unit_count),                                                        \
            .words = (uint8_t)((BLOCKS(bytes, unit_count) + 63) / 64)},
#include "classes.def"
#undef X
};

#define X(id, first, size, units)                                                                           \
    _Static_assert((size) % BLOCK_ALIGN == 0, "blocks are aligned");                                        \
    _Static_assert(BLOCKS(size, units) <= PAGE_MAX_BLOCKS && BLOCKS(size, units) >= 1, "bitmap words");      \
    _Static_assert((units) <= SUPERSLAB_UNITS, "a page lies in one superslab");
#include "classes.def"
#undef X

/* Offsets in a page are below 2^21 and the magic's error is below size <= 2^20, so the product's error is below
 * 2^41 / 2^42 of a block: the quotient is exact, and the product fits 64 bits because magic <= 2^38 + 1. */
_Static_assert(SUPERSLAB_SHIFT + 20 < CLASS_MAGIC_SHIFT, "division by multiplication is exact");

const uint8_t class_table[CLASS_TABLE_MAX / BLOCK_ALIGN + 1] = {
#define SMALL(id, first, size, units) [((first) + BLOCK_ALIGN - 1) / BLOCK_ALIGN ... (size) / BLOCK_ALIGN] = (id),
#define MEDIUM(id, first, size, units)
#include "classes.def"
};
