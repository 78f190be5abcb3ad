/* class.h - size classes: from a request's size to its class, and what there is to know of a class.
 *
 * All constant, but for one class that may be fitted to the program (class_fit): its size lies inside a class of the
 * table, its host, whose smaller requests it takes over. The fast path looks sizes up as ever: what changes is what
 * the table says. Blocks of the host that are live meanwhile stay what they are, since the class of a block is
 * looked up by its address. */
#ifndef HAK_CLASS_H
#define HAK_CLASS_H

#include "base/atomic.h"
#include "base/base.h"

/* Class ids are 1..CLASS_LAST; 0 means "no class": memory that is not in a page of blocks. */
enum {
#define X(id, first, size, units) CLASS_LAST_##id = (id),
#include "heap/classes.def"
#undef X
    CLASS_SLOTS = 64, /* room for tables indexed by class id, a power of two */
    CLASS_FIXED_LAST = CLASS_LAST_60,      /* the last of the table */
    CLASS_FITTED = CLASS_FIXED_LAST + 1, /* serves no request before class_fit */
    CLASS_LAST = CLASS_FITTED,
};

#define CLASS_MAX_SIZE ((size_t)1 << 20)  /* the largest block that lives in a page */
#define CLASS_TABLE_MAX ((size_t)32 << 10) /* the largest size looked up in class_table */
#define CLASS_OF_TABLE_MAX 44u             /* its class */
#define PAGE_MAX_BLOCKS 4096u
#define CLASS_MAGIC_SHIFT 42

struct class_info {
    uint64_t magic;  /* x / size == x * magic >> CLASS_MAGIC_SHIFT for every offset x in a page */
    uint32_t size;   /* bytes of a block */
    uint16_t blocks; /* blocks of a page */
    uint8_t units;   /* units of a page */
    uint8_t words;   /* words of a page's bitmap */
};

/* The entry of CLASS_FITTED is written once, before class_table leads to it; until then it repeats its largest
 * host's. */
extern struct class_info class_info[CLASS_SLOTS];
/* Class of a size up to CLASS_TABLE_MAX, by (size + 15) / 16. */
extern _Atomic(uint8_t) class_table[CLASS_TABLE_MAX / BLOCK_ALIGN + 1];

INLINE unsigned class_of_table(size_t size)
{
    /* Acquire, in slow paths: who gets CLASS_FITTED from here sees its entry of class_info; pairs with class_fit.
     * The fast path reads relaxed, since it only takes blocks that somebody has made. */
    return atomic_load_explicit(&class_table[(size + BLOCK_ALIGN - 1) / BLOCK_ALIGN], memory_order_acquire);
}

/* Class of a size above CLASS_TABLE_MAX and up to CLASS_MAX_SIZE, by (size - 1) / MEDIUM_STEP. */
#define MEDIUM_STEP ((size_t)8 << 10)
extern const uint8_t class_medium_table[CLASS_MAX_SIZE / MEDIUM_STEP];

INLINE unsigned class_of_medium(size_t size) { return class_medium_table[(size - 1) / MEDIUM_STEP]; }

/* `size` is at most CLASS_MAX_SIZE. */
INLINE unsigned class_of(size_t size)
{
    if (LIKELY(size <= CLASS_TABLE_MAX))
        return class_of_table(size);
    return class_of_medium(size);
}

INLINE size_t class_size(unsigned class_id) { return class_info[class_id].size; }

/* Whether blocks of the class share cache lines with their neighbours. */
INLINE bool class_shares_lines(unsigned class_id)
{
    enum { LINE_BYTES = 64 };
    return class_size(class_id) < LINE_BYTES;
}

/* Number of the block that contains the byte at `offset` from its page's start. */
INLINE uint32_t class_offset_index(const struct class_info *info, size_t offset)
{
    return (uint32_t)((uint64_t)offset * info->magic >> CLASS_MAGIC_SHIFT);
}
INLINE uint32_t class_block_index(unsigned class_id, size_t offset)
{
    return class_offset_index(&class_info[class_id], offset);
}

/* What to ask for so that the block's class is aligned: a class is a multiple of every power of two that divides one of
 * the sizes it serves, since it is a multiple of the step to the class before it, and within a doubling steps differ
 * by powers of two. `align` is a power of two, at most UNIT_SIZE. */
INLINE size_t class_aligned_size(size_t size, size_t align) { return align_up(size + (size == 0), align); }
/* The size of the class of a request of up to CLASS_TABLE_MAX bytes, which no request of its host's will ever get less
 * than: none of them is led to a class that is fitted later. Any thread. */
size_t class_promise(size_t size);

/* Makes CLASS_FITTED serve the requests of up to `size` bytes that now go to the class of `size`, and to no other.
 * False when it has been fitted before, somebody was promised more, or `size` is not a multiple of BLOCK_ALIGN
 * between that class's smallest and largest. By one thread at a time. */
bool class_fit(size_t size);
/* Gives those requests back to the host. Blocks of CLASS_FITTED stay what they are. The same size may be fitted
 * again. */
void class_unfit(void);
/* Whether CLASS_FITTED serves requests. */
bool class_is_fitted(void);
/* The class itself; of CLASS_FITTED, its host: whose blocks serve the same requests, and whose neighbours are in
 * order. */
unsigned class_host(unsigned class_id);
/* The last class that class_info is to be asked about: CLASS_FITTED once it was fitted. */
unsigned class_last(void);

#endif
