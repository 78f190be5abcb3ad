#include "maps.h"

#include "os.h"

enum { NAME_MAX_LENGTH = 512 };

/* A line of the table, "start-end rights offset device inode   name", taken in letter by letter. */
struct line {
    uintptr_t number[3]; /* start, end, offset */
    unsigned field;      /* 0 start, 1 end, 2 rights, 3 offset, 4 device, 5 inode, 6 name */
    size_t length;
    char name[NAME_MAX_LENGTH];
};

static void line_number(struct line *line, unsigned number, char letter)
{
    unsigned digit = letter <= '9' ? (unsigned)(letter - '0') : (unsigned)(letter - 'a' + 10);
    line->number[number] = line->number[number] << 4 | digit;
}

static void line_add(struct line *line, char letter)
{
    enum { START, END, RIGHTS, OFFSET, DEVICE, INODE, NAME };
    bool in_name = line->field == NAME && line->length > 0;
    if (letter == ' ' && !in_name)
        line->field += line->field < NAME;
    else if (line->field == START && letter == '-')
        line->field = END;
    else if (line->field == START || line->field == END)
        line_number(line, line->field, letter);
    else if (line->field == OFFSET)
        line_number(line, 2, letter);
    else if (line->field == NAME && line->length < NAME_MAX_LENGTH)
        line->name[line->length++] = letter;
}

/* Fills in the line whose range contains the address; false when there is none. */
static bool line_find(struct line *line, uintptr_t address, int fd)
{
    char buffer[1024];
    *line = (struct line){.field = 0};
    for (size_t got; (got = os_read(fd, buffer, sizeof buffer)) > 0;)
        for (size_t i = 0; i < got; i++) {
            if (buffer[i] != '\n') {
                line_add(line, buffer[i]);
                continue;
            }
            if (address >= line->number[0] && address < line->number[1])
                return true;
            *line = (struct line){.field = 0};
        }
    return false;
}

void maps_describe(struct text *text, uintptr_t address)
{
    struct line line;
    int fd = os_open("/proc/self/maps");
    bool found = fd >= 0 && line_find(&line, address, fd);
    if (fd >= 0)
        os_close(fd);
    if (!found || line.name[0] != '/') {
        text_hex(text, address);
        return;
    }
    text_span(text, line.name, line.length);
    text_string(text, "+");
    text_hex(text, address - line.number[0] + line.number[2]);
}
