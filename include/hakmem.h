/* hakmem.h - the native interface of the hakmem memory allocator.
 *
 * A program needs none of this: malloc, free and the rest of the C and C++ allocation functions are served by
 * hakmem as soon as libhakmem is preloaded or linked. What stands here is what the standard functions cannot say.
 *
 * All functions may be called from any thread. None is async-signal-safe. Sizes are in bytes. A block obtained from
 * either family may be released or resized by the other: hak_malloc and malloc are the same function.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_H
#define HAKMEM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HAKMEM_VERSION_MAJOR 0
#define HAKMEM_VERSION_MINOR 1
#define HAKMEM_VERSION_PATCH 0

#if defined(__GNUC__)
#define HAK_PUBLIC __attribute__((visibility("default")))
#define HAK_ATTR(...) __attribute__((__VA_ARGS__))
#else
#define HAK_PUBLIC
#define HAK_ATTR(...)
#endif

/* The version of the library in use, "major.minor.patch"; a static string. */
HAK_PUBLIC const char *hak_version(void);

/* ---- The standard family under native names ------------------------------------------------------------------
 * Same contract as the C function of the same name: NULL and errno ENOMEM when memory is out or the size is above
 * PTRDIFF_MAX; blocks are 16-byte aligned; a size of 0 gives a unique pointer; hak_realloc(p, 0) frees p and returns
 * NULL (as glibc does); hak_free leaves errno alone. */
HAK_PUBLIC void *hak_malloc(size_t size) HAK_ATTR(malloc, alloc_size(1));
HAK_PUBLIC void *hak_calloc(size_t count, size_t size) HAK_ATTR(malloc, alloc_size(1, 2));
HAK_PUBLIC void *hak_realloc(void *block, size_t size) HAK_ATTR(alloc_size(2));
HAK_PUBLIC void *hak_reallocarray(void *block, size_t count, size_t size) HAK_ATTR(alloc_size(2, 3));
/* errno EINVAL when `alignment` is not a power of two; `size` need not be a multiple of it. */
HAK_PUBLIC void *hak_aligned_alloc(size_t alignment, size_t size) HAK_ATTR(malloc, alloc_size(2));
HAK_PUBLIC void hak_free(void *block);
/* `size` as asked for. A hint; HAKMEM_CHECK=1 and HAKMEM_HARDEN=1 check it. */
HAK_PUBLIC void hak_free_sized(void *block, size_t size);

/* ---- Blocks and their sizes ------------------------------------------------------------------------------------ */

/* How many bytes of `block` may be used, at least what was asked for; 0 for NULL. The bytes beyond the size asked for
 * are writable, and hak_realloc preserves them. */
HAK_PUBLIC size_t hak_usable_size(const void *block);

/* The least that hak_usable_size will say of a block of `size` bytes, for as long as the process lives; 0 when no such
 * block can exist. */
HAK_PUBLIC size_t hak_good_size(size_t size);

/* Like hak_malloc, and tells in *usable how many bytes there are (0 on failure). `usable` may not be NULL. */
HAK_PUBLIC void *hak_malloc_usable(size_t size, size_t *usable) HAK_ATTR(malloc, alloc_size(1));

/* Makes `block` hold at least `size` bytes without moving it: returns `block`, or NULL when that cannot be done (the
 * block is then unchanged; errno is left alone). Never shrinks. */
HAK_PUBLIC void *hak_expand(void *block, size_t size);

/* ---- Call sites ------------------------------------------------------------------------------------------------
 * A site names the purpose of an allocation: any value the program finds useful, such as the address of a function
 * or a small number. With HAKMEM_SITES=1, blocks of up to 1 KiB of a site other than 0 come from pages of that
 * site's own, as long as there are not too many sites (96 pairs of a site and a size class), and the table at exit
 * shows it; the upper 8 bits of a site are ignored. Else a site has no effect. hak_free_at takes the size and site
 * given to hak_malloc_at (or 0 where unknown): they are hints, never conditions, and the block may be freed by plain
 * free as well. */
typedef uintptr_t hak_site_t;
HAK_PUBLIC void *hak_malloc_at(size_t size, hak_site_t site) HAK_ATTR(malloc, alloc_size(1));
HAK_PUBLIC void hak_free_at(void *block, size_t size, hak_site_t site);

/* ---- Heaps by name ---------------------------------------------------------------------------------------------
 * A heap of one's own: its blocks lie in pages that no other heap's blocks share, are counted, may be limited, can be
 * freed all at once, and have their heap's name wherever hakmem tells what memory is for. Blocks are like any others:
 * free, hak_free and hak_realloc take them from any thread, and realloc keeps a block in its heap.
 *
 * Any thread may use any heap at any time; a lock of the heap's own makes threads wait for each other. But while a heap
 * is emptied or destroyed nobody else may use it or its blocks, to free one included.
 *
 * All sizes count bytes of blocks as hak_usable_size does, which may be more than was asked for. Each heap takes a page
 * of 64 KiB or more for each size that it has blocks of. HAKMEM_CHECK and HAKMEM_HARDEN do not mark these blocks;
 * double frees are noticed all the same. */
typedef struct hak_heap hak_heap_t;
#define HAK_HEAPS_MAX 256    /* heaps at a time */
#define HAK_HEAP_NAME_MAX 47 /* bytes of a name, without the NUL */

/* A new heap without a limit. The name is copied; several heaps may have the same. NULL and errno EINVAL when it is
 * NULL, empty, too long, or has control characters; EAGAIN when there are HAK_HEAPS_MAX heaps; ENOMEM when memory is
 * out; ENOTSUP in a process where hakmem stands aside, for a sanitizer's runtime has the memory. */
HAK_PUBLIC hak_heap_t *hak_heap_create(const char *name);
/* Frees every block of the heap, and the heap itself, or leaves it as it was created, but for its name, limit, peak and
 * refusals. NULL does nothing to hak_heap_destroy. */
HAK_PUBLIC void hak_heap_destroy(hak_heap_t *heap);
HAK_PUBLIC void hak_heap_empty(hak_heap_t *heap);

/* A request that would take the heap's blocks above so many bytes is refused; 0: none is. A limit may be below what the
 * heap has: then only frees make room. */
HAK_PUBLIC void hak_heap_set_limit(hak_heap_t *heap, size_t bytes);

/* As the functions of the standard family, in the heap; NULL and errno ENOMEM at its limit, too. hak_heap_realloc moves
 * a block of another heap, or of none, into this one. To resize may take old and new block at once, and so more than
 * the limit. */
HAK_PUBLIC void *hak_heap_malloc(hak_heap_t *heap, size_t size) HAK_ATTR(malloc, alloc_size(2));
HAK_PUBLIC void *hak_heap_calloc(hak_heap_t *heap, size_t count, size_t size) HAK_ATTR(malloc, alloc_size(2, 3));
HAK_PUBLIC void *hak_heap_realloc(hak_heap_t *heap, void *block, size_t size) HAK_ATTR(alloc_size(3));
HAK_PUBLIC void *hak_heap_aligned_alloc(hak_heap_t *heap, size_t alignment, size_t size) HAK_ATTR(malloc, alloc_size(3));

/* The heap that a live block is of; NULL when it is of none. */
HAK_PUBLIC hak_heap_t *hak_heap_of(const void *block);

/* Writes the heap's name, terminated, and returns `out`. */
HAK_PUBLIC char *hak_heap_name(const hak_heap_t *heap, char out[HAK_HEAP_NAME_MAX + 1]);

/* What a heap has. Exact while no other thread uses it. */
typedef struct hak_heap_stat {
    size_t live;      /* bytes of blocks in use */
    size_t blocks;    /* how many these are */
    size_t peak;      /* the most that `live` ever was */
    size_t limit;     /* bytes; 0: none */
    size_t held;      /* bytes of address space that are this heap's alone, free blocks included */
    uint64_t refused; /* requests that the limit has refused */
} hak_heap_stat_t;
HAK_PUBLIC void hak_heap_stats(const hak_heap_t *heap, hak_heap_stat_t *out);

/* ---- Giving memory back ----------------------------------------------------------------------------------------- */

/* Returns the calling thread's cached blocks to their pages and empty pages to the heap. Makes no promise about RSS. */
HAK_PUBLIC void hak_collect(void);

/* Gives back to the system, process-wide, all memory that holds no live block and no thread's cached block, except
 * about `pad` bytes. Other threads return their cached blocks when they next need more or have too many; what threads
 * keep that do nothing at all stays with them. Returns 1 when some memory went back, else 0. malloc_trim is the same
 * function. */
HAK_PUBLIC int hak_trim(size_t pad);

/* ---- Statistics -------------------------------------------------------------------------------------------------- */

/* One number of the statistics: a line of src/insight/stats.def. The strings are static. */
typedef struct hak_stat {
    const char *name; /* such as "bytes.live" */
    const char *unit; /* "bytes" or "count" */
    uint64_t value;
} hak_stat_t;

/* Fills at most `capacity` entries of `out` and returns how many statistics there are (call with 0 to learn it). The
 * heap is walked: cost grows with the number of pages. Figures of running threads are read without stopping them. */
HAK_PUBLIC size_t hak_stats(hak_stat_t *out, size_t capacity);

/* Writes what HAKMEM_STATS=all prints at exit to the file descriptor: where the resident memory is, and every
 * statistic. Allocates nothing. */
HAK_PUBLIC void hak_stats_print(int fd);

#ifdef __cplusplus
}
#endif
#endif
