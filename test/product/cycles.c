/* A program of one habit: fills 24 MB with small blocks and frees them all, CYCLES times, with pauses of PAUSE
 * milliseconds between in which an allocator may give the memory back. Prints the page faults of the first time, and of
 * all later ones, and KiB that are resident after the last pause. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static long faults(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
}

static long resident(void)
{
    long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    if (!statm || fscanf(statm, "%*d %ld", &pages) != 1)
        return -1;
    fclose(statm);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

int main(int count, char **argument)
{
    enum { BLOCKS = 40000, SIZE = 592 };
    int cycles = count == 3 ? atoi(argument[1]) : 0, pause = count == 3 ? atoi(argument[2]) : 0;
    static char *block[BLOCKS];
    long first = 0;
    for (int cycle = 0; cycle < cycles; cycle++) {
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
        nanosleep(&(struct timespec){.tv_nsec = pause * 1000000L}, NULL);
    }
    printf("%ld %ld %ld\n", first, faults() - first, resident());
    return 0;
}
