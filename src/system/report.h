/* report.h - where the allocator may write what it has to say.
 *
 * A program may close a descriptor, standard error too, and get its number again for a file of its own, in which
 * text of ours would be damage. So each descriptor is written to only while it is for the file that it was for when
 * the process started; one that was closed then is written to never. Else nothing is said. */
#ifndef HAK_REPORT_H
#define HAK_REPORT_H

#include "system/os_stream.h"

struct report {
    int fd, own; /* the number that was told; a duplicate, since many programs close what they did not open. -1: none */
    struct file_id file; /* behind both, at the start */
    bool is_open;        /* the above is known */
};

extern struct report report_stderr;

/* At the process's start, and with the first error that comes before it. */
void report_start(void);
/* Takes down what is behind the descriptor; the first time only. */
void report_open(struct report *report, int fd);
/* Keeps a descriptor of our own for it, for a text that is to come in any case. */
void report_keep(struct report *report);

/* Where to write; -1: nowhere. */
int report_fd(const struct report *report);
/* Where to write a process's last words. They may also go where the program has put its standard error by itself, if
 * that is a pipe, or a file open for appending, as logs are. */
int report_fatal_fd(void);

#endif
