#include "system/lines.h"

#include "system/os_file.h"

static COLD bool lines_fill(struct lines *lines)
{
    lines->at = 0;
    lines->length = os_read(lines->fd, lines->buffer, sizeof lines->buffer);
    return lines->length > 0;
}

COLD bool lines_next(struct lines *lines)
{
    size_t length = 0;
    while (lines->at < lines->length || lines_fill(lines)) {
        char letter = lines->buffer[lines->at++];
        if (letter == '\n') {
            lines->line[length] = '\0';
            return true;
        }
        if (length == LINES_MAX) {
            for (size_t i = LINES_HEAD + 1; i < LINES_MAX; i++)
                lines->line[i - 1] = lines->line[i];
            length--;
        }
        lines->line[length++] = letter;
    }
    return false;
}

/* The number in hexadecimal, and in *end what follows it. */
static COLD uintptr_t hex_parse(const char *at, const char **end)
{
    uintptr_t number = 0;
    for (; (*at >= '0' && *at <= '9') || (*at >= 'a' && *at <= 'f'); at++)
        number = number << 4 | (uintptr_t)(*at <= '9' ? *at - '0' : *at - 'a' + 10);
    *end = at;
    return number;
}

/* What follows the field. */
static COLD const char *field_skip(const char *at)
{
    while (*at && *at != ' ')
        at++;
    while (*at == ' ')
        at++;
    return at;
}

COLD struct line_mapping line_mapping(const char *line)
{
    struct line_mapping mapping;
    const char *at;
    mapping.start = hex_parse(line, &at);
    mapping.end = hex_parse(at + (*at == '-'), &at);
    mapping.rights = field_skip(at);
    mapping.offset = hex_parse(field_skip(mapping.rights), &at);
    mapping.name = field_skip(field_skip(field_skip(at)));
    return mapping;
}
