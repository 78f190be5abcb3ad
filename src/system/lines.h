/* lines.h - reads a file of /proc line by line, and takes apart lines that tell of a mapping. Allocates nothing. */
#ifndef HAK_LINES_H
#define HAK_LINES_H

#include "base/base.h"

/* With {.fd = ...}, the rest zero: at the file's beginning. */
enum { LINES_HEAD = 80, LINES_MAX = 344 };
struct lines {
    int fd;
    size_t at, length; /* in the buffer */
    char buffer[1024];
    char line[LINES_MAX + 1]; /* the newest, terminated. Of a longer one what is behind the first LINES_HEAD letters,
                                 but for the end, is left out: fields come first, and of a name the end tells more */
};

/* False at the end of the file. */
bool lines_next(struct lines *lines);

/* "start-end rights offset device inode   name". */
struct line_mapping {
    uintptr_t start, end, offset;
    const char *rights; /* and what follows */
    const char *name;   /* to the end of the line; empty: none */
};
struct line_mapping line_mapping(const char *line);

#endif
