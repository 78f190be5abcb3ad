/* A program whose blocks that stay lie between others that go: 60 times it takes 12 MB of blocks of 96 B, of which one
 * in twenty stays for four rounds, and frees the others. "apart": the two kinds come from different places in the
 * program; "together": from the same, but for a few that stay and come from elsewhere, so that nothing is gained by
 * looking at who calls. Prints bytes resident for each that is live, in the end, when what is free has gone back. */
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 60, STAYING = 4, SIZE = 96, BLOCKS = (12 << 20) / SIZE, ONE_IN = 20, PAUSE_MS = 60 };

static char *going[BLOCKS];
static char *staying[STAYING][BLOCKS];

/* Functions that differ, or the compiler would make them one. */
__attribute__((noinline)) static char *going_make(void)
{
    char *block = malloc(SIZE);
    return block ? memset(block, 'g', SIZE) : NULL;
}

__attribute__((noinline)) static char *staying_make(void)
{
    char *block = malloc(SIZE);
    return block ? memset(block, 's', SIZE) : NULL;
}

static double resident(void)
{
    long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    if (!statm || fscanf(statm, "%*d %ld", &pages) != 1)
        exit(1);
    fclose(statm);
    return (double)(pages * sysconf(_SC_PAGESIZE));
}

/* In an order in which neighbours do not go together. */
static size_t blocks_free(char **blocks)
{
    enum { STEP = 7919 }; /* a prime that does not divide BLOCKS */
    size_t count = 0;
    for (size_t i = 0, at = 0; i < BLOCKS; i++, at = (at + STEP) % BLOCKS) {
        count += blocks[at] != NULL;
        free(blocks[at]);
        blocks[at] = NULL;
    }
    return count;
}

static size_t round_take(bool is_apart, char **stays)
{
    size_t count = 0;
    for (size_t i = 0; i < BLOCKS; i++) {
        bool is_kept = i % ONE_IN == 7, is_other = is_kept && (is_apart || i % (8 * ONE_IN) == 7);
        char *block = is_other ? staying_make() : going_make();
        if (!block)
            exit(1);
        *(is_kept ? &stays[i] : &going[i]) = block;
        count += is_kept;
    }
    return count;
}

int main(int count, char **argument)
{
    bool is_apart = count == 2 && strcmp(argument[1], "apart") == 0;
    memset(staying, 0, sizeof staying); /* the tables are no part of what is measured */
    memset(going, 0, sizeof going);
    double before = resident();
    size_t live = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        char **stays = staying[round % STAYING];
        live -= blocks_free(stays);
        live += round_take(is_apart, stays);
        blocks_free(going);
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * 1000000L}, NULL);
    }
    malloc_trim(0);
    printf("%.2f\n", (resident() - before) / (double)(live * SIZE));
    return 0;
}
