/* good_program.c - much of what a correct program does that looks like a misuse from afar: blocks freed by other
 * threads, freed in any order, written to their usable end, aligned, resized to nothing, and NULL everywhere.
 * SPDX-License-Identifier: MIT */
#include "support.h"

#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

void free_sized(void *block, size_t size);
void free_aligned_sized(void *block, size_t alignment, size_t size);

enum { BLOCKS = 3000 };

static void *free_all(void *argument)
{
    void **blocks = argument;
    for (size_t i = 0; i < BLOCKS; i++) {
        free(blocks[i]);
    }
    return NULL;
}

static void hand_over(uint64_t seed)
{
    static void *blocks[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++) {
        size_t size = random_size(&seed, i % 100 == 0 ? 3 * MIB : 5000);
        blocks[i] = malloc(size);
        must(blocks[i] != NULL, "malloc(%zu) failed", size);
        memset(blocks[i], 0x66, malloc_usable_size(blocks[i]));
    }
    pthread_t thread;
    must(pthread_create(&thread, NULL, free_all, blocks) == 0, "pthread_create failed");
    pthread_join(thread, NULL);
}

static void churn(uint64_t seed)
{
    static struct {
        void *block;
        size_t size;
    } slots[512];
    for (size_t round = 0; round < 50000; round++) {
        size_t i = random_next(&seed) % COUNT_OF(slots);
        if (slots[i].block != NULL) {
            size_t good = pattern_check(slots[i].block, slots[i].size, i);
            must(good == slots[i].size, "byte %zu of a block of %zu was changed", good, slots[i].size);
        }
        size_t size = random_size(&seed, round % 200 == 0 ? 3 * MIB : 3000);
        switch (random_next(&seed) % 6) {
        case 0:
            free(slots[i].block);
            slots[i].block = NULL;
            break;
        case 1:
            free_sized(slots[i].block, slots[i].size);
            slots[i].block = malloc(size);
            break;
        case 2:
            free(slots[i].block);
            slots[i].block = aligned_alloc((size_t)16 << random_next(&seed) % 9, size);
            break;
        case 3:
            free(slots[i].block);
            slots[i].block = calloc(1, size);
            must(bytes_check(slots[i].block, size, 0) == size, "calloc(1, %zu) is not zero", size);
            break;
        default:
            slots[i].block = realloc(slots[i].block, size);
            break;
        }
        slots[i].size = slots[i].block != NULL ? size : 0;
        pattern_fill(slots[i].block, slots[i].size, i);
    }
    for (size_t i = 0; i < COUNT_OF(slots); i++) {
        free(slots[i].block);
        slots[i].block = NULL;
    }
}

int main(void)
{
    free(NULL);
    free_sized(NULL, 10);
    must(malloc_usable_size(NULL) == 0, "malloc_usable_size(NULL): expected 0");
    must(realloc(malloc(10), hidden_size(0)) == NULL, "realloc(p, 0): expected NULL");
    void *aligned = aligned_alloc(64, 100);
    free_aligned_sized(aligned, 64, 100);
    for (uint64_t seed = 1; seed <= 4; seed++) {
        hand_over(seed);
        churn(seed + 10);
        malloc_trim(0);
    }
    return 0;
}
