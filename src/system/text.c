#include "system/text.h"

#include "system/os.h"

void text_begin(struct text *text, int fd)
{
    text->fd = fd;
    text->length = 0;
}

void text_span(struct text *text, const char *start, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (text->length == sizeof text->buffer)
            text_end(text);
        text->buffer[text->length++] = start[i];
    }
}

size_t text_length(const char *string)
{
    size_t length = 0;
    while (string[length])
        length++;
    return length;
}

void text_string(struct text *text, const char *string) { text_span(text, string, text_length(string)); }

/* Digits of `value` in `base`, as the end of `digits`; returns where they begin. */
static const char *digits_of(uint64_t value, unsigned base, char digits[static 24])
{
    char *p = digits + 23;
    *p = 0;
    do {
        *--p = "0123456789abcdef"[value % base];
        value /= base;
    } while (value > 0);
    return p;
}

void text_decimal(struct text *text, uint64_t value)
{
    char digits[24];
    text_string(text, digits_of(value, 10, digits));
}

void text_hex(struct text *text, uintptr_t value)
{
    char digits[24];
    text_string(text, "0x");
    text_string(text, digits_of(value, 16, digits));
}

static void text_pad(struct text *text, size_t used, unsigned width)
{
    for (; used < width; used++)
        text_span(text, " ", 1);
}

void text_left(struct text *text, const char *string, unsigned width)
{
    text_string(text, string);
    text_pad(text, text_length(string), width);
}

void text_right(struct text *text, uint64_t value, unsigned width)
{
    char digits[24];
    const char *start = digits_of(value, 10, digits);
    text_pad(text, text_length(start), width);
    text_string(text, start);
}

void text_bytes(struct text *text, uint64_t bytes)
{
    static const char *const units[] = {" KiB", " MiB", " GiB", " TiB"};
    unsigned unit = 0;
    uint64_t scale = 1024;
    while (unit < 3 && bytes >= scale * 1024) {
        scale *= 1024;
        unit++;
    }
    uint64_t tenths = bytes / scale * 10 + bytes % scale * 10 / scale;
    text_right(text, tenths / 10, 6);
    text_string(text, ".");
    text_decimal(text, tenths % 10);
    text_string(text, units[unit]);
}

void text_end(struct text *text)
{
    os_write(text->fd, text->buffer, text->length);
    text->length = 0;
}

void text_process(struct text *text)
{
    text_string(text, "of process ");
    text_decimal(text, os_process_id());
    text_string(text, ", ");
    text_string(text, os_program());
}
