/* A program of one habit: fills 24 MB with small blocks and frees them all, twenty times, with pauses between in which an
 * allocator may give the memory back. Prints the page faults of the first time, and of all later ones. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

static long faults(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
}

int main(void)
{
    enum { BLOCKS = 40000, SIZE = 592, CYCLES = 20 };
    static char *block[BLOCKS];
    long first = 0;
    for (int cycle = 0; cycle < CYCLES; cycle++) {
        for (int i = 0; i < BLOCKS; i++) {
            block[i] = malloc(SIZE);
            if (!block[i])
                return 1;
            *block[i] = 1;
        }
        for (int i = 0; i < BLOCKS; i++)
            free(block[i]);
        if (cycle == 0)
            first = faults();
        nanosleep(&(struct timespec){.tv_nsec = 50 * 1000 * 1000}, NULL);
    }
    printf("%ld %ld\n", first, faults() - first);
    return 0;
}
