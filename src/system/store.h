/* store.h - a small file that outlives the process, and that many processes read and write at once.
 *
 * It is one file, or one of many in a directory: PROGRAM.BUILD.hakmem; where everybody may write to the directory,
 * with the user's number before the build. It is written where nothing is, or in the place of what the judge says
 * may go: a plain file of this user's with no other name. Anything else, a link, a device, a file of another kind,
 * stays as it is. What is there is looked at again each time, a file is replaced as a whole, and no process waits
 * for another. */
#ifndef HAK_STORE_H
#define HAK_STORE_H

#include "base/base.h"

enum { STORE_PATH_MAX = 1024, STORE_TEXT_MAX = 16 << 10 };

/* What a file's text is. */
enum store_verdict {
    STORE_FOREIGN, /* nothing of ours, or damaged */
    STORE_OTHERS,  /* ours, and another program's */
    STORE_OWN,     /* this program's, of whatever build */
    STORE_OLD,     /* and of a build that is no more: another one stands in its place */
};
typedef enum store_verdict store_judge(const char *text, size_t length);

struct store {
    char path[STORE_PATH_MAX];
    size_t name;    /* where the file's own name begins in it */
    size_t program; /* how long its first part is, which all files of a program have; 0: it stands alone */
    store_judge *judge;
};

/* Which file `path` means to this program and build: itself, or one in the directory that is there or that it names
 * by a slash at its end. Relative to where the process is now. False if the path is too long. */
bool store_find(struct store *store, const char *path, const char *program, const char *build, store_judge *judge);

/* Reads it, if it can be believed; errno values as os_file_read has them. */
int store_read(const struct store *store, char text[static STORE_TEXT_MAX], size_t *length);

/* Writes it, if that may be; EBUSY: it is another program's. In a directory, little is left behind: what is too old,
 * or too much, is removed. */
int store_write(const struct store *store, const char *text, size_t length);

#endif
