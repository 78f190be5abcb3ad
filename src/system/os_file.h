/* os_file.h - files and directories, by their paths.
 *
 * None of these functions waits for another process, and no descriptor of ours is ever 0, 1 or 2, which the program may
 * have closed, while something is written to it. */
#ifndef HAK_OS_FILE_H
#define HAK_OS_FILE_H

#include "base/base.h"

/* A file for reading, closed on exec; -1 if there is none. Then up to `size` bytes of it from where the last read
 * ended; 0 at its end, and when it cannot be read. */
int os_open(const char *path);
size_t os_read(int fd, char *buffer, size_t size);
void os_close(int fd);

/* The same with an error; `flags` as open has them. */
int os_file_open(const char *path, int flags, int *fd);
size_t os_file_next(int fd, char *buffer, size_t size, int *error);

/* What stands at a path. */
struct file_info {
    enum { FILE_PLAIN, FILE_DIRECTORY, FILE_LINK, FILE_OTHER } kind;
    bool is_own;      /* it belongs to the user whose rights the process has */
    bool is_trusted;  /* or to root */
    bool is_for_all;  /* everybody may write to it */
    uint32_t names;   /* hard links */
    uint64_t changed; /* seconds since 1970 */
};
int os_file_look(const char *path, bool follow, struct file_info *out);

/* Reads a file of up to `capacity` bytes; EFBIG when it has more. Only a plain file, or ENODEV: to open anything
 * else can have effects of its own. Only what is trusted and not for all to write, or EPERM; ELOOP for a link that
 * is not trusted. */
int os_file_read(const char *path, char *text, size_t capacity, size_t *length);
/* The same of a file that is believed for the place where it lies, whoever owns it: one call finds that there is none.
 * ENODEV when it is not plain, EPERM when everybody may write to it, or, if `only_roots`, anybody but root; ENOENT for
 * whatever keeps it from being opened. */
int os_file_read_placed(const char *path, bool only_roots, char *text, size_t capacity, size_t *length);
/* Makes a file where nothing was, or EEXIST; with all of the text, or there is none. */
int os_file_make(const char *path, const char *text, size_t length);
/* Makes a file of so many bytes where nothing was, or EEXIST, for the user alone; and maps it: what is written there is
 * in the file, whatever becomes of the process. Every byte has its place on the disk, so that a full one is no reason
 * to fail later. */
int os_file_map(const char *path, size_t size, void **out);
/* The file gets another name. EEXIST if there is something of that name, unless it replaces that. */
int os_file_rename(const char *from, const char *to, bool replaces);
void os_file_remove(const char *path);
int os_directory_make(const char *path);
/* Calls `each` with the name of everything in a directory. */
void os_directory_list(const char *path, void (*each)(void *context, const char *name), void *context);
/* Terminated; false when it is not known or has no room. */
bool os_working_directory(char *out, size_t capacity);

#endif
