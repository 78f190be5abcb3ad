#include "heap/meta.h"

#include "system/lock.h"
#include "system/os.h"

enum {
    CHUNK_FIRST = 64 << 10,
    CHUNK_MAX = 1 << 20,
    LINE = 64,
    FINE_MAX = 1024,
    FINE_LISTS = FINE_MAX / LINE,
    LISTS = FINE_LISTS + 32
};

static struct {
    char *next, *end;       /* the rest of the current chunk */
    size_t chunk;           /* size of the next chunk */
    size_t bytes;           /* all chunks */
    void *free[META_KINDS][LISTS]; /* by rounded size; linked through the first word */
} store;

/* Whole cache lines, so that none is shared; powers of two above FINE_MAX, so that blocks of one list are
 * interchangeable. */
static size_t meta_round(size_t size)
{
    if (size <= FINE_MAX)
        return align_up(size, LINE);
    return (size_t)2 << highest_bit(size - 1);
}

static void **list_of(enum meta_kind kind, size_t rounded)
{
    return &store.free[kind][rounded <= FINE_MAX ? rounded / LINE - 1 : FINE_LISTS + lowest_bit(rounded)];
}

static COLD bool meta_grow(size_t size)
{
    size_t chunk = max_size(store.chunk ? store.chunk : CHUNK_FIRST, align_up(size, CHUNK_FIRST));
    void *start;
    while (os_map(chunk, 1, NULL, &start)) {
        if (chunk / 2 < size || chunk / 2 < CHUNK_FIRST)
            return false;
        chunk /= 2;
    }
    store.next = start;
    store.end = store.next + chunk;
    store.bytes += chunk;
    store.chunk = min_size(chunk * 2, CHUNK_MAX);
    return true;
}

void *meta_alloc(enum meta_kind kind, size_t size)
{
    HAK_ASSERT(lock_is_held());
    size_t rounded = meta_round(size);
    void **list = list_of(kind, rounded);
    if (*list) {
        void *block = *list;
        *list = *(void **)block;
        return block;
    }
    if ((size_t)(store.end - store.next) < rounded && !meta_grow(rounded))
        return NULL;
    void *block = store.next;
    store.next += rounded;
    return block;
}

void meta_free(enum meta_kind kind, void *block, size_t size)
{
    HAK_ASSERT(lock_is_held());
    void **list = list_of(kind, meta_round(size));
    *(void **)block = *list;
    *list = block;
}

size_t meta_bytes(void) { return store.bytes; }

void meta_after_fork(void)
{
    store.next = store.end = NULL;
    for (unsigned kind = 0; kind < META_KINDS; kind++)
        for (unsigned i = 0; i < LISTS; i++)
            store.free[kind][i] = NULL;
}
