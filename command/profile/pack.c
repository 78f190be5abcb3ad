/* pack.c - see pack.h.
 * SPDX-License-Identifier: MIT */
#include "profile/pack.h"

#include <stdint.h>
#include <stdlib.h>
#include <zlib.h>

bool pack_write(const void *data, size_t size, FILE *to)
{
    enum { GZIP = 16 + 15, MEMORY = 8 }; /* windowBits for gzip's format; zlib's own default */
    z_stream stream = {0};
    if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP, MEMORY, Z_DEFAULT_STRATEGY) != Z_OK)
        return false;
    size_t room = deflateBound(&stream, size);
    unsigned char *packed = malloc(room);
    stream.next_in = (unsigned char *)(size_t)data;
    stream.avail_in = (uInt)size;
    stream.next_out = packed;
    stream.avail_out = (uInt)room;
    bool is_done = packed && size <= UINT32_MAX / 2 && deflate(&stream, Z_FINISH) == Z_STREAM_END;
    if (is_done)
        fwrite(packed, 1, stream.total_out, to);
    deflateEnd(&stream);
    free(packed);
    return is_done;
}
