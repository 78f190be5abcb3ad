/* os_stream.h - descriptors that the program has opened, such as its standard error: they are written to, and known
 * again. */
#ifndef HAK_OS_STREAM_H
#define HAK_OS_STREAM_H

#include "base/base.h"

/* Writes all of it, or as much as can be written; no signal comes of that. */
void os_write(int fd, const char *text, size_t length);
/* Another descriptor for the file behind `fd`, as high as may be and closed on exec; -1 if there is none. */
int os_duplicate(int fd);
/* What file is behind a descriptor; all zero when there is none. */
struct file_id {
    uint64_t device, inode, type;
};
struct file_id os_file_id(int fd);
/* Whether the descriptor is open, and still for that file. */
bool os_is_file(int fd, struct file_id file);
/* Whether what is behind the descriptor is made for lines of text that somebody adds: a pipe, or a file that is open
 * for appending. */
bool os_is_log(int fd);

#endif
