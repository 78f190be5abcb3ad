/* image.h - the symbols of a program or library that lies in memory, as its dynamic section has them: without the
 * loader, which takes locks and may be interposed. Of the kernel's own library (vDSO), and of what callers of free are
 * in.
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
};

/* `start`: where its file's beginning is mapped. False when that is no image, or one without symbols. */
bool image_open(struct image *image, const void *start);

/* The address of an exported function; NULL when there is none of the name. */
const void *image_find(const struct image *image, const char *name);

/* The exported function that the address lies in, and how far; NULL when it is in none of them. */
const char *image_name_at(const struct image *image, uintptr_t address, size_t *offset);

#endif
