#include "system/maps.h"

#include "system/os.h"

/* A line of the table, "start-end rights offset device inode   name", taken in letter by letter. */
struct line {
    uintptr_t start, end, offset;
    uintptr_t image; /* start of the newest line with the beginning of a file: what belongs to it follows */
    enum { START, END, RIGHTS, OFFSET, DEVICE, INODE, NAME } field;
    unsigned length;
    char name[MAPS_NAME_MAX + 1];
};

static uintptr_t with_digit(uintptr_t number, char letter)
{
    return number << 4 | (uintptr_t)(letter <= '9' ? letter - '0' : letter - 'a' + 10);
}

/* Of a name that is too long, the end is kept: it tells more. */
static void name_add(struct line *line, char letter)
{
    if (line->length == MAPS_NAME_MAX) {
        for (unsigned i = 1; i < MAPS_NAME_MAX; i++)
            line->name[i - 1] = line->name[i];
        line->length--;
    }
    line->name[line->length++] = letter;
}

static void line_add(struct line *line, char letter)
{
    if (letter == ' ' && (line->field != NAME || line->length == 0))
        line->field += line->field < NAME;
    else if (line->field == START && letter == '-')
        line->field = END;
    else if (line->field == START)
        line->start = with_digit(line->start, letter);
    else if (line->field == END)
        line->end = with_digit(line->end, letter);
    else if (line->field == OFFSET)
        line->offset = with_digit(line->offset, letter);
    else if (line->field == NAME)
        name_add(line, letter);
}

static void line_end(struct line *line, struct maps_place *places, unsigned count)
{
    line->name[line->length] = '\0';
    if (line->offset == 0)
        line->image = line->start;
    for (struct maps_place *place = places; line->name[0] == '/' && place < places + count; place++) {
        if (place->address < line->start || place->address >= line->end)
            continue;
        place->offset = place->address - line->start + line->offset;
        place->image = line->image;
        __builtin_memcpy(place->name, line->name, line->length + 1);
    }
    line->field = START;
    line->start = line->end = line->offset = 0;
    line->length = 0;
}

COLD void maps_find(struct maps_place *places, unsigned count)
{
    char buffer[1024];
    struct line line = {.field = START};
    for (unsigned i = 0; i < count; i++)
        places[i].name[0] = '\0';
    int fd = os_open("/proc/self/maps");
    if (fd < 0)
        return;
    for (size_t got; (got = os_read(fd, buffer, sizeof buffer)) > 0;)
        for (size_t i = 0; i < got; i++)
            if (buffer[i] == '\n')
                line_end(&line, places, count);
            else
                line_add(&line, buffer[i]);
    os_close(fd);
}
