/* descriptors_program.c - usage: descriptors_program close | reuse: what daemons do to the descriptors that they did
 * not open. "reuse" gives each of their numbers to the file that is its stdout, "close" closes them. Then it prints
 * "word".
 * SPDX-License-Identifier: MIT */
#include "support.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    must(argc == 2, "usage: descriptors_program close | reuse");
    int found = 0;
    for (int fd = STDERR_FILENO + 1; fd < 1024; fd++) {
        if (fcntl(fd, F_GETFD) >= 0) {
            found++;
            must(argv[1][0] == 'r' ? dup2(STDOUT_FILENO, fd) == fd : close(fd) == 0, "descriptor %d: failed", fd);
        }
    }
    must(found > 0, "no descriptor but the standard ones is open: this tests nothing");
    must(dprintf(STDOUT_FILENO, "word\n") == 5, "stdout cannot be written");
    return 0;
}
