/* heaps.c - a program with heaps by name, for heaps_test.py: says a word when it has them, and another when, a second
 * later, the record has them, too; then it waits to be killed.
 * SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "hakmem.h"

enum { SESSIONS = 100000, SESSION = 300, TABLE = 50 << 20, LIMIT = 1 << 20 };

static void *filled(hak_heap_t *heap, size_t size)
{
    void *volatile block = hak_heap_malloc(heap, size);
    if (block)
        memset(block, 1, size);
    return block;
}

int main(void)
{
    hak_heap_t *sessions = hak_heap_create("sessions"), *queue = hak_heap_create("a \"queue\"");
    hak_heap_set_limit(queue, LIMIT);
    for (int i = 0; i < SESSIONS; i++)
        filled(sessions, SESSION);
    filled(sessions, TABLE); /* a mapping of its own */
    while (filled(queue, 1000))
        continue;
    nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
    for (int i = 0; i < 1000; i++) /* slow paths take the snapshots */
        free(malloc(40000 + (size_t)i * 16));
    puts("ready");
    fflush(stdout);
    for (;;)
        pause();
}
