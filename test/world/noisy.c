/* noisy.c - a library, to be preloaded, that says what hakmem says before it ends a program, and ends none.
 * SPDX-License-Identifier: MIT */
#include <unistd.h>

__attribute__((constructor)) static void speak(void)
{
    static const char text[] = "hakmem: fatal: free(0x1): not so\n";
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
        _exit(1);
}
