#include "heap/check.h"

#include "heap/class.h"
#include "system/error.h"
#include "heap/map.h"
#include "heap/page.h"

enum { PATTERN = 0xA5 };
#define SCRAMBLE ((uint64_t)0x9E3779B97F4A7C15)

static bool is_checked(const void *block) { return map_page(block)->checked; }

static uint64_t *mark_of(const void *block, size_t have) { return (uint64_t *)((char *)block + have - CHECK_MARK); }

/* Differs from block to block, so that a mark copied from another one does not pass. */
static uint64_t scramble(const void *block, uint64_t size) { return size ^ (uintptr_t)block * SCRAMBLE; }

void *check_begin(void *block, unsigned class_id, size_t size, const char *call)
{
    size_t have = class_size(class_id);
    if (!is_checked(block))
        return block;
    for (size_t i = 0; i < have / sizeof(uint64_t); i++)
        if (((uint64_t *)block)[i] != 0)
            error_fatal(ERROR_WRITE_AFTER_FREE, call, block, have);
    for (size_t i = size; i < have - CHECK_MARK; i++)
        ((unsigned char *)block)[i] = PATTERN;
    *mark_of(block, have) = scramble(block, size);
    return block;
}

size_t check_verify(const void *block, unsigned class_id, const char *call)
{
    enum error_id error;
    size_t have = class_size(class_id);
    if (!page_check_block(block, &error))
        error_fatal(error, call, block, have);
    if (!is_checked(block))
        return have;
    uint64_t size = scramble(block, *mark_of(block, have));
    if (size > have - CHECK_MARK)
        error_fatal(ERROR_OVERFLOW, call, block, have);
    for (size_t i = size; i < have - CHECK_MARK; i++)
        if (((const unsigned char *)block)[i] != PATTERN)
            error_fatal(ERROR_OVERFLOW, call, block, have);
    return size;
}

void check_end(void *block, unsigned class_id, const char *call)
{
    check_verify(block, class_id, call);
    if (is_checked(block))
        __builtin_memset(block, 0, class_size(class_id));
}
