/* text.h - composing text for stderr without stdio or memory of the heap.
 * A text is a buffer on the caller's stack, written out when it is full and by text_end. Not shared between threads. */
#ifndef HAK_TEXT_H
#define HAK_TEXT_H

#include "base/base.h"

struct text {
    int fd;
    unsigned indent; /* of what goes on in the next line, as text_fold says; 0: lines are as long as they are */
    unsigned column; /* while lines are folded: characters in the last one */
    size_t length;
    char buffer[480];
};

/* Of a terminated string. */
size_t text_length(const char *string);

void text_begin(struct text *text, int fd);
/* For people, from here on: a line of more than 80 characters goes on in the next, indented so far (0: no more). It
 * ends at a blank, but not at one behind a digit, for a number stays with its unit. Called at the beginning of a
 * line. */
void text_fold(struct text *text, unsigned indent);
void text_string(struct text *text, const char *string);
void text_span(struct text *text, const char *start, size_t length);
void text_decimal(struct text *text, uint64_t value);
void text_hex(struct text *text, uintptr_t value);
/* "of process <id>, <program>": a command may start many. */
void text_process(struct text *text);
/* In columns `width` wide: left- and right-aligned. */
void text_left(struct text *text, const char *string, unsigned width);
void text_right(struct text *text, uint64_t value, unsigned width);
/* Bytes in KiB, MiB or GiB with one decimal, right-aligned in 12 columns. */
void text_bytes(struct text *text, uint64_t bytes);
/* The same within a sentence. */
void text_amount(struct text *text, uint64_t bytes);
void text_end(struct text *text);

#endif
