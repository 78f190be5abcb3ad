/* conf.h - the text of the configuration file: lines of options, in sections for programs; docs/man/hakmem.conf.5.in
 * has what users may write. Nothing of it is changed or copied: what is found are pieces of it. */
#ifndef HAK_CONF_H
#define HAK_CONF_H

#include "base/base.h"

#define CONF_FILE "/etc/hakmem.conf"

/* A part of a text; not terminated. */
struct piece {
    const char *start;
    size_t length;
};

bool piece_is(struct piece piece, const char *word); /* of lower case; the piece's letters may be of either */
bool piece_begins(struct piece piece, const char *word);
struct piece piece_of(const char *string);
/* Of a path, what stands behind the last slash that something stands behind. */
struct piece piece_base(struct piece path);

struct conf {
    struct piece rest;    /* lines that were not read yet */
    struct piece program; /* its name, without folders; empty: no section is its own */
    struct piece section; /* that the next line is in; without a start: before the first */
    bool for_all;         /* the lines for all programs are wanted; else those of the program's sections */
    bool is_wanted;       /* that section */
    unsigned line;
};

enum conf_kind { CONF_OPTION, CONF_NO_OPTION, CONF_NO_SECTION };
struct conf_entry {
    enum conf_kind kind;
    struct piece name, value; /* of an option; else `name` is the line */
    struct piece section;     /* as above */
    unsigned line;            /* from 1 on */
};

/* The file is read twice, since what is for a program wins over what is for all, wherever it stands. `program` may be a
 * path. */
void conf_begin(struct conf *conf, struct piece text, const char *program, bool for_all);

/* The next option or mistake; false at the end. A section that is none is told of with the lines for all. */
bool conf_next(struct conf *conf, struct conf_entry *out);

#endif
