/* replay.c - reads a trace and does what it says, on hakmem's heap.
 *
 * A line for each event, in order: what it is, and what it is about.
 *
 *   @US                 so many microseconds after the trace began, until the next such line
 *   +ADDRESS BYTES      a block; the address (hexadecimal, as in what follows) is its name until it is freed
 *   -ADDRESS            it is freed; one that is not known is from before the trace, and passed over
 *   =OLD ADDRESS BYTES  it is resized, and may have another address from then on
 *   #...                a comment
 * SPDX-License-Identifier: MIT */
#include "retention.h"

#include "hakmem.h"
#include "heap/retain.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

struct block {
    UT_hash_handle hh;
    uintptr_t name;
    char *start;
    size_t size;
    bool is_mapping; /* for glibc */
};

static struct block *blocks;
static struct replay result;

/* ---- Blocks as if they were a fluid: any memory serves any of them ----------------------------------------------- */

/* What is not in use of the most that ever was, as pieces: the last to come is the first to be used again, for it is
 * what the least of all gaps is made of. */
static struct {
    struct piece {
        size_t bytes;
        uint64_t since;
    } *piece;
    size_t count, capacity;
    size_t live;
} fluid;

static void fluid_give(size_t bytes)
{
    fluid.live -= bytes;
    if (fluid.count > 0 && fluid.piece[fluid.count - 1].since == now_us) {
        fluid.piece[fluid.count - 1].bytes += bytes;
        return;
    }
    if (fluid.count == fluid.capacity) {
        fluid.capacity = fluid.capacity ? 2 * fluid.capacity : 1024;
        fluid.piece = realloc(fluid.piece, fluid.capacity * sizeof *fluid.piece);
        if (!fluid.piece)
            fail("memory is out");
    }
    fluid.piece[fluid.count++] = (struct piece){.bytes = bytes, .since = now_us};
}

static void fluid_take(size_t bytes)
{
    fluid.live += bytes;
    while (bytes > 0 && fluid.count > 0) {
        struct piece *piece = &fluid.piece[fluid.count - 1];
        size_t taken = bytes < piece->bytes ? bytes : piece->bytes;
        uint64_t gap = now_us - piece->since;
        double pages = (double)taken / MEMORY_PAGE;
        if (gap <= options.price_us)
            result.fluid.kept_us += pages * (double)gap;
        else
            result.fluid.faults += pages;
        bytes -= taken;
        piece->bytes -= taken;
        fluid.count -= piece->bytes == 0;
    }
}

/* ---- Events ------------------------------------------------------------------------------------------------------ */

static uintptr_t end_of(const struct block *block) { return (uintptr_t)block->start + block->size; }

static struct block *block_find(uintptr_t name)
{
    struct block *block;
    HASH_FIND(hh, blocks, &name, sizeof name, block);
    return block;
}

static void fluid_resize(size_t before, size_t after)
{
    if (after > before)
        fluid_take(after - before);
    else
        fluid_give(before - after);
}

static void block_enter(struct block *block)
{
    block->is_mapping = peers_take((uintptr_t)block->start, block->size);
    memory_take((uintptr_t)block->start, end_of(block));
}

static void block_leave(const struct block *block)
{
    memory_give((uintptr_t)block->start, end_of(block));
    peers_give((uintptr_t)block->start, block->size, block->is_mapping);
}

static void event_free(uintptr_t name)
{
    struct block *block = block_find(name);
    if (!block)
        return;
    HASH_DEL(blocks, block);
    block_leave(block);
    fluid_give(block->size);
    hak_free(block->start);
    free(block);
}

static void event_malloc(uintptr_t name, size_t size)
{
    if (block_find(name))
        event_free(name); /* how it went is not in the trace */
    struct block *block = calloc(1, sizeof *block);
    if (!block || !(block->start = hak_malloc(size)))
        fail("a block of %zu bytes cannot be had", size);
    block->name = name;
    block->size = size ? size : 1;
    block_enter(block);
    fluid_take(block->size);
    HASH_ADD(hh, blocks, name, sizeof block->name, block);
}

/* A block that stays where it is. */
static void block_resize(struct block *block, size_t size)
{
    uintptr_t before = end_of(block), after = (uintptr_t)block->start + size, mask = MEMORY_PAGE - 1;
    if (after > before)
        memory_take((before + mask) & ~mask, after);
    else
        memory_give((after + mask) & ~mask, before);
    block->size = size;
}

/* A block that has been moved; both were there for a moment. */
static void block_replace(struct block *block, char *start, size_t size)
{
    struct block old = *block;
    block->start = start;
    block->size = size;
    block_enter(block);
    block_leave(&old);
}

static void event_realloc(uintptr_t old_name, uintptr_t name, size_t size)
{
    struct block *block = block_find(old_name);
    if (!block) {
        event_malloc(name, size);
        return;
    }
    size = size ? size : 1;
    memory_moving_start = (uintptr_t)block->start & -(uintptr_t)MEMORY_PAGE;
    memory_moving_end = end_of(block);
    char *start = hak_realloc(block->start, size);
    if (!start)
        fail("a block cannot be resized to %zu bytes", size);
    memory_moving_start = memory_moving_end = 0;
    fluid_resize(block->size, size);
    if (start == block->start)
        block_resize(block, size);
    else
        block_replace(block, start, size);
    HASH_DEL(blocks, block);
    block->name = name;
    HASH_ADD(hh, blocks, name, sizeof block->name, block);
}

static void time_set(uint64_t us)
{
    if (us < now_us)
        fail("time goes back in the trace, from %llu to %llu us", (unsigned long long)now_us, (unsigned long long)us);
    memory_pass(us - now_us);
    double pages = (double)(us - now_us) / MEMORY_PAGE;
    struct retain_report law;
    retain_tell(&law);
    result.fluid.live_us += (double)fluid.live * pages;
    result.counted_us += (double)law.dirty * pages;
    result.may_us += (double)law.may * pages;
    now_us = us;
    peers_look();
}

static bool line_do(const char *line)
{
    char *next = NULL;
    uintptr_t first = strtoull(line + 1, &next, *line == '@' ? 10 : 16);
    result.calls += *line == '+' || *line == '-' || *line == '=';
    if (*line == '@')
        time_set(first);
    else if (*line == '+')
        event_malloc(first, strtoull(next, &next, 10));
    else if (*line == '-')
        event_free(first);
    else if (*line == '=') {
        uintptr_t name = strtoull(next, &next, 16);
        event_realloc(first, name, strtoull(next, &next, 10));
    } else
        return *line == '#';
    return next != line + 1 && (*next == '\n' || *next == 0);
}

struct replay replay_file(const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file)
        fail("%s: %s", path, strerror(errno));
    char line[256];
    for (unsigned long long number = 1; fgets(line, sizeof line, file); number++)
        if (!line_do(line))
            fail("%s, line %llu is no event: %s", path, number, line);
    if (ferror(file))
        fail("%s cannot be read: %s", path, strerror(errno));
    fclose(file);
    return result;
}
