/* class.h - size classes: from a request's size to its class, and what there is to know of a class. All constant. */
#ifndef HAK_CLASS_H
#define HAK_CLASS_H

#include "base.h"

/* Class ids are 1..CLASS_LAST; 0 means "no class": memory that is not in a page of blocks. */
enum {
#define X(id, first, size, units) CLASS_LAST_##id = (id),
#include "classes.def"
#undef X
    CLASS_SLOTS = 64, /* room for tables indexed by class id, a power of two */
    CLASS_LAST = CLASS_LAST_60,
};

#define CLASS_MAX_SIZE ((size_t)1 << 20)  /* the largest block that lives in a page */
#define CLASS_TABLE_MAX ((size_t)32 << 10) /* the largest size looked up in class_table */
#define PAGE_MAX_BLOCKS 4096u
#define CLASS_MAGIC_SHIFT 42

struct class_info {
    uint64_t magic;  /* x / size == x * magic >> CLASS_MAGIC_SHIFT for every offset x in a page */
    uint32_t size;   /* bytes of a block */
    uint16_t blocks; /* blocks of a page */
    uint8_t units;   /* units of a page */
    uint8_t words;   /* words of a page's bitmap */
};

extern const struct class_info class_info[CLASS_SLOTS];
/* Class of a size up to CLASS_TABLE_MAX, by (size + 15) / 16. */
extern const uint8_t class_table[CLASS_TABLE_MAX / BLOCK_ALIGN + 1];

/* For sizes above CLASS_TABLE_MAX and up to CLASS_MAX_SIZE, where a class is a quarter of a doubling. */
INLINE unsigned class_of_medium(size_t size)
{
    unsigned doubling = highest_bit(size - 1); /* 15 for 32769..65536 bytes */
    unsigned quarter = (unsigned)((size - 1) >> (doubling - 2)) & 3u;
    return (unsigned)class_table[CLASS_TABLE_MAX / BLOCK_ALIGN] + 1 + (doubling - 15) * 4 + quarter;
}

/* `size` is at most CLASS_MAX_SIZE. */
INLINE unsigned class_of(size_t size)
{
    if (LIKELY(size <= CLASS_TABLE_MAX))
        return class_table[(size + BLOCK_ALIGN - 1) / BLOCK_ALIGN];
    return class_of_medium(size);
}

INLINE size_t class_size(unsigned class_id) { return class_info[class_id].size; }

/* Number of the block that contains the byte at `offset` from its page's start. */
INLINE uint32_t class_block_index(unsigned class_id, size_t offset)
{
    return (uint32_t)((uint64_t)offset * class_info[class_id].magic >> CLASS_MAGIC_SHIFT);
}

/* What to ask for so that the block's class is aligned: a class is a multiple of every power of two that divides the sizes
 * it serves to the last byte, since it is a quarter of a doubling. `align` is a power of two, at most UNIT_SIZE. */
INLINE size_t class_aligned_size(size_t size, size_t align) { return align_up(size + (size == 0), align); }

#endif
