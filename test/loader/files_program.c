/* files_program.c - usage: files_program WAY [FILE]: works until the learner has changed something, which a profile
 * then keeps. Ways:
 *   stay     as it is
 *   away     in another directory, as daemons do
 *   reuse    without its streams, and with FILE, into which it writes "DATA", at the number of stderr
 *   misuse   the same, and then a double free
 *   log      with FILE, open for appending, as its stderr, and then a double free
 * SPDX-License-Identifier: MIT */
#include "support.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { BLOCKS = 20000 };

static void work(void)
{
    static void *blocks[BLOCKS];
    for (double end = clock_seconds() + 0.4; clock_seconds() < end;) {
        for (size_t i = 0; i < BLOCKS; i++) {
            blocks[i] = malloc(16 + i % 5000);
            memset(blocks[i], 1, 16);
        }
        for (size_t i = 0; i < BLOCKS; i++) {
            free(blocks[i]);
        }
    }
}

static int file_take_stderr(const char *path)
{
    for (int fd = 0; fd <= STDERR_FILENO; fd++) {
        close(fd);
    }
    open("/dev/null", O_RDWR);
    open("/dev/null", O_RDWR);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
    return fd == STDERR_FILENO && write(fd, "DATA", 4) == 4 ? 0 : 1;
}

int main(int argc, char **argv)
{
    const char *way = argc > 1 ? argv[1] : "";
    int failed = strcmp(way, "away") == 0 ? chdir("/") : 0;
    if (strcmp(way, "reuse") == 0 || strcmp(way, "misuse") == 0) {
        failed = file_take_stderr(argv[2]);
    } else if (strcmp(way, "log") == 0) {
        failed = dup2(open(argv[2], O_WRONLY | O_CREAT | O_APPEND, 0644), STDERR_FILENO) < 0;
    }
    work();
    if (strcmp(way, "misuse") == 0 || strcmp(way, "log") == 0) {
        void *block = hidden(malloc(100));
        free(block);
        free(hidden(block));
    }
    return failed;
}
