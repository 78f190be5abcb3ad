/* pair SIZE LIVE ITERATIONS - the loop behind the figures "instructions for a malloc + free pair".
 *
 * One iteration allocates LIVE blocks of SIZE bytes and then frees them in the order of allocation. Nothing writes to
 * the blocks. Both calls go through the PLT: this file is compiled with gcc -O2 -fno-builtin -fno-align-loops, never
 * with link-time optimisation, and linked to no allocator; bench/pair.py preloads one and counts with callgrind.
 *
 * The loop itself, with its two jumps through the PLT, is 20 instructions for a pair with one live block and 13.1 with
 * 64 (x86-64; clang makes 26 and 13.2 of it). On it glibc 2.36 takes 149 and 188.5 at 64 bytes and 329 and 349.5 at
 * 8 KiB, Debian's libtcmalloc-minimal4 87 and 80, mimalloc 3.4.3 63 and 54. Any change here changes what all published
 * figures and the limits in bench/CMakeLists.txt mean.
 * SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>

/* Out of main, so that the instructions of the loop depend on nothing else. */
__attribute__((noinline)) static void pairs_run(size_t size, void **first, void **last, size_t iterations)
{
    for (size_t i = 0; i < iterations; i++) {
        for (void **slot = first; slot != last; slot++)
            *slot = malloc(size);
        for (void **slot = first; slot != last; slot++)
            free(*slot);
    }
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: pair SIZE LIVE ITERATIONS\n");
        return 2;
    }
    size_t size = strtoul(argv[1], NULL, 0);
    size_t live = strtoul(argv[2], NULL, 0);
    size_t iterations = strtoul(argv[3], NULL, 0);

    void **first = malloc(live * sizeof *first);
    if (first == NULL)
        return 1;
    pairs_run(size, first, first + live, iterations);
    free(first);
    return 0;
}
