/* image.h - a program or library that lies in memory: its symbols, as its dynamic section has them, and where its
 * tables of call frames are. Without the loader, which takes locks and may be interposed. For the kernel's own library
 * (vDSO), for what callers of free are in, and for stacks.
 *
 * Reads nothing outside of the image's loaded segments, whatever its dynamic section and the tables there say; its
 * headers are believed, for the kernel has mapped it by them. Any thread; allocates nothing. */
#ifndef HAK_IMAGE_H
#define HAK_IMAGE_H

#include "base/base.h"

struct image {
    uintptr_t start, end; /* in memory, from the first loaded segment to the last */
    uintptr_t bias;       /* to add to an address of its symbol table */
    const void *symbols;
    const char *names;
    size_t count, names_size;
    const uint32_t *gnu_hash; /* NULL: there is none */
};

/* `start`: where its file's beginning is mapped. False when that is no image, or one without symbols. */
bool image_open(struct image *image, const void *start);

/* Where the image's code and data lie, and its .eh_frame_hdr with the loaded segment that that is in. */
struct image_frames {
    uintptr_t start, end;
    const uint8_t *header, *segment, *segment_end;
};

/* False when `start` is no image, or one without such a table. */
bool image_find_frames(const void *start, struct image_frames *out);

/* The address of an exported function; NULL when there is none of the name. */
const void *image_find(const struct image *image, const char *name);

/* The exported function that the address lies in, and how far; NULL when it is in none of them. */
const char *image_name_at(const struct image *image, uintptr_t address, size_t *offset);

#endif
