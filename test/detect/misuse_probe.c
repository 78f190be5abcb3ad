/* misuse_probe.c - runs the misuse that its argument names; a program of its own, so that it starts with fresh memory
 * and reads its options as any program does.
 * SPDX-License-Identifier: MIT */
#include "misuse.h"
#include "support.h"

#include <stdio.h>

static void run(const struct misuse *misuses, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(misuses[i].name, name) == 0) {
            misuses[i].body();
        }
    }
}

int main(int argc, char **argv)
{
    must(argc == 2, "usage: misuse_probe NAME");
    run(misuses_always, misuses_always_count, argv[1]);
    run(misuses_checked, misuses_checked_count, argv[1]);
    run(misuses_at_exit, misuses_at_exit_count, argv[1]);
    run(misuses_hardened, misuses_hardened_count, argv[1]);
    return 0;
}
