/* environment_program.c - takes its own environment away before anybody could have read it.
 * SPDX-License-Identifier: MIT */
#include "churn.h"

#include <stdlib.h>
#include <unistd.h>

/* Before the constructors of every library. `environment` is still what the kernel passed. */
static void environment_spoil(int argc, char **argv, char **environment)
{
    (void)argc;
    (void)argv;
    const char *way = "";
    for (char **variable = environment; *variable != NULL; variable++) {
        if (strncmp(*variable, "TEST_ENVIRONMENT=", 17) == 0) {
            way = *variable + 17;
        }
    }
    if (way[0] == 'n') {
        environ = NULL;
    } else if (way[0] == 'c') {
        clearenv();
    } else {
        for (char **variable = environment; *variable != NULL; variable++) {
            memset(*variable, 0xC3, strlen(*variable));
        }
    }
}

__attribute__((section(".preinit_array"), used)) static void (*const g_first)(int, char **,
                                                                              char **) = environment_spoil;

int main(void)
{
    churn_run(1, 3 * MIB, 2000);
    setenv("HAKMEM_STATS", "1", 1);
    churn_run(2, 3 * MIB, 2000);
    return 0;
}
