/* utf8.h - characters of UTF-8.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TOOLS_UTF8_H
#define HAKMEM_TOOLS_UTF8_H

#include <stddef.h>

/* How many bytes the character at `text` has; 0 when it is none. Overlong forms and surrogates are none. */
static inline size_t utf8_length(const unsigned char *text)
{
    size_t length = *text < 0x80 ? 1 : *text >= 0xC2 && *text < 0xE0 ? 2 : *text >= 0xE0 && *text < 0xF0 ? 3
                    : *text >= 0xF0 && *text < 0xF5 ? 4 : 0;
    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xC0) != 0x80)
            return 0;
    if ((*text == 0xE0 && text[1] < 0xA0) || (*text == 0xED && text[1] > 0x9F) || (*text == 0xF0 && text[1] < 0x90) ||
        (*text == 0xF4 && text[1] > 0x8F))
        return 0;
    return length;
}

#endif
