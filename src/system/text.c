#include "system/text.h"

#include "system/os_process.h"
#include "system/os_stream.h"

void text_begin(struct text *text, int fd)
{
    text->fd = fd;
    text->length = 0;
    text->indent = text->column = 0;
}

/* ---- Lines that fit ---------------------------------------------------------------------------------------------- */

COLD void text_fold(struct text *text, unsigned indent)
{
    text->indent = indent;
    text->column = 0;
}

/* Where the last word of the line begins before which it may end; 0: nowhere. */
static COLD size_t word_find(const struct text *text)
{
    const char *buffer = text->buffer;
    size_t start = text->length;
    for (; start > 1 && buffer[start - 1] != '\n'; start--) {
        bool is_number = buffer[start - 2] >= '0' && buffer[start - 2] <= '9';
        if (buffer[start - 1] == ' ' && !is_number)
            return text->column - (text->length - start) > text->indent ? start : 0;
    }
    return 0;
}

enum { FOLD_WIDTH = 80, FOLD_ROOM = 240 }; /* the second: bytes that are to be there for a line when it begins */

/* Moves the end of the buffer, from `start` on. */
static COLD void end_move(struct text *text, size_t start, size_t to)
{
    size_t length = text->length - start;
    for (size_t i = 0; to <= start && i < length; i++)
        text->buffer[to + i] = text->buffer[start + i];
    for (size_t i = length; to > start && i-- > 0;)
        text->buffer[to + i] = text->buffer[start + i];
    text->length = to + length;
}

/* The line has become too long: what is behind its last blank begins the next. */
static COLD void line_fold(struct text *text)
{
    size_t start = word_find(text), end = start;
    while (end > 0 && text->buffer[end - 1] == ' ')
        end--;
    if (end == 0)
        return;
    if (text->length > sizeof text->buffer - FOLD_ROOM) {
        os_write(text->fd, text->buffer, end);
        end_move(text, end, 0);
        start -= end;
        end = 0;
    }
    size_t to = end + 1 + text->indent;
    if (to > start && text->length + to - start > sizeof text->buffer)
        return;
    end_move(text, start, to);
    text->buffer[end] = '\n';
    for (size_t i = end + 1; i < to; i++)
        text->buffer[i] = ' ';
    text->column = (unsigned)(text->length - end - 1);
}

/* The last character is one of a line that is to fit. */
static COLD void character_follow(struct text *text)
{
    char last = text->buffer[text->length - 1];
    bool goes_on = ((unsigned char)last & 0xC0) == 0x80; /* in UTF-8 */
    text->column = last == '\n' ? 0 : text->column + !goes_on;
    if (text->column > FOLD_WIDTH && last != ' ')
        line_fold(text);
    if (last == '\n' && text->length > sizeof text->buffer - FOLD_ROOM)
        text_end(text);
}

/* ---- Parts of it ------------------------------------------------------------------------------------------------- */

void text_span(struct text *text, const char *start, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (text->length == sizeof text->buffer)
            text_end(text);
        text->buffer[text->length++] = start[i];
        if (text->indent > 0)
            character_follow(text);
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

/* `width`: of the number before its point. */
static void bytes_put(struct text *text, uint64_t bytes, unsigned width)
{
    static const char *const units[] = {" KiB", " MiB", " GiB", " TiB"};
    unsigned unit = 0;
    uint64_t scale = 1024;
    while (unit < 3 && bytes >= scale * 1024) {
        scale *= 1024;
        unit++;
    }
    uint64_t tenths = bytes / scale * 10 + bytes % scale * 10 / scale;
    text_right(text, tenths / 10, width);
    text_string(text, ".");
    text_decimal(text, tenths % 10);
    text_string(text, units[unit]);
}

void text_bytes(struct text *text, uint64_t bytes) { bytes_put(text, bytes, 6); }
void text_amount(struct text *text, uint64_t bytes) { bytes_put(text, bytes, 0); }

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
