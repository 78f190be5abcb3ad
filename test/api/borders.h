/* borders.h - the sizes at which the library's blocks change: every usable size up to a limit, as hak_good_size tells.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TEST_BORDERS_H
#define HAKMEM_TEST_BORDERS_H

#include "hakmem.h"
#include "support.h"

/* The next usable size above `size`; above 4 KiB it is at least a thirty-second larger, for under HAKMEM_HARDEN every
 * size is usable, and above 64 KiB a sixteenth, or there would be thousands. */
static inline size_t border_after(size_t size)
{
    size_t next = hak_good_size(size + 1);
    must(next > size, "hak_good_size(%zu) is expected above %zu, is %zu", size + 1, size, next);
    if (size < 4 * KIB)
        return next;
    return hak_good_size(size < 64 * KIB ? size + size / 32 + 1 : next + size / 16);
}

/* for (every usable size from the least to `limit`) */
#define FOR_EACH_BORDER(size, limit) for (size_t size = hak_good_size(1); size <= (limit); size = border_after(size))

#endif
