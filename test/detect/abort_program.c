/* abort_program.c - a double free in a program that does what it can to survive SIGABRT.
 * SPDX-License-Identifier: MIT */
#include "support.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static void handler(int number)
{
    (void)number;
    if (write(STDOUT_FILENO, "handler\n", 8) != 8) {
        _exit(98);
    }
}

int main(int argc, char **argv)
{
    must(argc == 2, "usage: abort_program WAY");
    if (strcmp(argv[1], "ignored") == 0) {
        signal(SIGABRT, SIG_IGN);
    } else if (strcmp(argv[1], "blocked") == 0) {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGABRT);
        sigprocmask(SIG_BLOCK, &set, NULL);
    } else if (strcmp(argv[1], "handled") == 0) {
        signal(SIGABRT, handler);
    } else {
        close(STDERR_FILENO);
    }
    void *block = malloc(3 * MIB);
    free(block);
    free(hidden(block));
    return 0;
}
