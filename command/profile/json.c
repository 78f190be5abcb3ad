/* json.c - see json.h.
 * SPDX-License-Identifier: MIT */
#include "profile/json.h"

#include "utf8.h"

void json_write_text(const char *text, FILE *to)
{
    fputc('"', to);
    for (const unsigned char *place = (const unsigned char *)text; *place;) {
        size_t length = utf8_length(place);
        if (length == 0)
            fputs("\\ufffd", to);
        else if (*place < ' ' || *place == 0x7F || *place == '<') /* no "</script>" */
            fprintf(to, "\\u%04x", *place);
        else if (*place == '"' || *place == '\\')
            fprintf(to, "\\%c", *place);
        else
            fwrite(place, 1, length, to);
        place += length > 0 ? length : 1;
    }
    fputc('"', to);
}
