/* misuses.c - every misuse, each a function that ends in one. Right before it, announce() tells the test the address
 * and the size class that the message must name.
 * SPDX-License-Identifier: MIT */
#include "misuse.h"
#include "heap/check.h"
#include "hakmem.h"
#include "support.h"

#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void free_sized(void *block, size_t size);
void free_aligned_sized(void *block, size_t alignment, size_t size);
/* operator delete(void *) and delete[](void *, size_t), as the compiler calls them. */
void _ZdlPv(void *block);
void _ZdaPvm(void *block, size_t size);
/* operator new(size_t, align_val_t) and delete(void *, size_t, align_val_t). */
void *_ZnwmSt11align_val_t(size_t size, size_t alignment);
void _ZdlPvmSt11align_val_t(void *block, size_t size, size_t alignment);

enum { SMALL = 64, MEDIUM = 8000, PAGED = 300 * 1024, LARGE = 2 << 20, MAPPED = 64 << 20 };

/* `class_size` 0: the message names none. */
static void announce(const void *address, size_t class_size)
{
    char line[64];
    int length = snprintf(line, sizeof line, "%#zx %zu\n", (size_t)(uintptr_t)address, class_size);
    if (write(STDOUT_FILENO, line, (size_t)length) != length) {
        _exit(98);
    }
}

/* A block whose contents are written, so that its memory exists. */
static char *block_of(size_t size)
{
    char *block = hidden(malloc(size));
    must(block != NULL, "malloc(%zu) failed", size);
    memset(block, 0x11, size);
    return block;
}

/* Frees a block of `size` twice with nothing in between. */
static void free_twice(size_t size, bool class_is_named)
{
    char *block = block_of(size);
    size_t usable = malloc_usable_size(block);
    free(block);
    announce(block, class_is_named ? usable : 0);
    free(hidden(block));
}

static void twice_small(void) { free_twice(SMALL, true); }
static void twice_medium(void) { free_twice(MEDIUM, true); }
/* So that blocks of this size come from pages. */
static void paged(void)
{
    for (int i = 0; i < 64; i++)
        free(block_of(PAGED));
}

static void twice_run(void) { free_twice(PAGED, false); }
static void twice_paged(void)
{
    paged();
    free_twice(PAGED, true);
}
static void twice_large(void) { free_twice(LARGE, false); }
static void twice_mapped(void) { free_twice(MAPPED, false); }
static void twice_zero(void) { free_twice(0, true); }

/* As in a program that has run for a while. */
static void warm_up(size_t size)
{
    for (size_t i = 0; i < 100000; i++) {
        free(block_of(size));
    }
}

static void twice_when_warm(void)
{
    warm_up(SMALL);
    free_twice(SMALL, true);
}

static void twice_with_one_between(void)
{
    char *p = block_of(SMALL);
    char *q = block_of(SMALL);
    size_t usable = malloc_usable_size(p);
    free(p);
    free(q);
    announce(p, usable);
    free(hidden(p));
}

static void twice_with_one_between_when_warm(void)
{
    warm_up(SMALL);
    twice_with_one_between();
}

/* The second free comes after `count` others of the same class; neighbours stay live, so that no page goes away. */
static void twice_with_many_between(size_t size, size_t count)
{
    char **others = calloc(2 * count, sizeof *others);
    char *p = block_of(size);
    size_t usable = malloc_usable_size(p);
    for (size_t i = 0; i < 2 * count; i++) {
        others[i] = block_of(size);
    }
    free(p);
    for (size_t i = 0; i < count; i++) {
        free(others[2 * i + 1]);
    }
    announce(p, usable);
    free(hidden(p));
}

static void twice_with_64_between(void) { twice_with_many_between(SMALL, 64); }
/* The page is gone by then. */
static void twice_with_20000_between(void)
{
    char *p = block_of(SMALL);
    char **others = calloc(20000, sizeof *others);
    for (size_t i = 0; i < 20000; i++) {
        others[i] = block_of(SMALL);
    }
    free(p);
    for (size_t i = 0; i < 20000; i++) {
        free(others[i]);
    }
    announce(p, 0);
    free(hidden(p));
}
static void twice_medium_with_64_between(void) { twice_with_many_between(MEDIUM, 64); }
static void twice_paged_with_20_between(void)
{
    paged();
    twice_with_many_between(PAGED, 20);
}

/* The block was handed to a flush before it is freed again: the second free meets a page that has it already. */
static void twice_after_trim(void)
{
    char *neighbour = block_of(SMALL);
    char *block = block_of(SMALL);
    size_t usable = malloc_usable_size(block);
    free(block);
    malloc_trim(0);
    neighbour[0] = 1;
    announce(block, usable);
    free(hidden(block));
}

static void after_realloc_moved(void)
{
    char *old = block_of(SMALL);
    size_t usable = malloc_usable_size(old);
    char *moved = realloc(old, 5000);
    if (moved == old) {
        _exit(97);
    }
    announce(old, usable);
    free(hidden(old));
}

static void after_realloc_to_zero(void)
{
    char *block = block_of(SMALL);
    size_t usable = malloc_usable_size(block);
    if (realloc(block, hidden_size(0)) != NULL) {
        _exit(97);
    }
    announce(block, usable);
    free(hidden(block));
}

/* A thread that exists before the block does (its own start allocates), frees what it is told to, and ends. */
static sem_t g_helper_goes;
static sem_t g_helper_is_done;
static void *g_helper_block;
static pthread_t g_helper;

static void *helper(void *argument)
{
    while (sem_wait(&g_helper_goes) == 0 && g_helper_block != NULL) {
        free(g_helper_block);
        sem_post(&g_helper_is_done);
    }
    return argument;
}

static void helper_start(void)
{
    sem_init(&g_helper_goes, 0, 0);
    sem_init(&g_helper_is_done, 0, 0);
    if (pthread_create(&g_helper, NULL, helper, NULL) != 0) {
        _exit(97);
    }
}

static void helper_free(void *block)
{
    g_helper_block = block;
    sem_post(&g_helper_goes);
    sem_wait(&g_helper_is_done);
}

static void helper_end(void)
{
    g_helper_block = NULL;
    sem_post(&g_helper_goes);
    pthread_join(g_helper, NULL);
}

static void twice_first_in_a_thread(void)
{
    helper_start();
    char *block = block_of(SMALL);
    size_t usable = malloc_usable_size(block);
    helper_free(block);
    announce(block, usable);
    free(hidden(block));
    helper_end();
}

static void twice_second_in_a_thread(void)
{
    helper_start();
    char *block = block_of(SMALL);
    size_t usable = malloc_usable_size(block);
    free(block);
    announce(block, usable);
    helper_free(hidden(block));
    helper_end();
}

static void twice_both_in_a_thread(void)
{
    helper_start();
    char *block = block_of(SMALL);
    size_t usable = malloc_usable_size(block);
    helper_free(block);
    announce(block, usable);
    helper_free(hidden(block));
    helper_end();
}

static void twice_large_second_in_a_thread(void)
{
    helper_start();
    char *block = block_of(LARGE);
    free(block);
    announce(block, 0);
    helper_free(hidden(block));
    helper_end();
}

static void *free_and_end(void *block)
{
    free(block);
    return NULL;
}

/* The thread that freed it first has ended, and left what it cached to the next. */
static char *freed_by_an_ended_thread(void)
{
    pthread_t thread;
    char *neighbour = block_of(SMALL);
    char *block = block_of(SMALL);
    size_t usable = malloc_usable_size(block);
    if (pthread_create(&thread, NULL, free_and_end, block) != 0) {
        _exit(97);
    }
    pthread_join(thread, NULL);
    neighbour[0] = 1;
    announce(block, usable);
    return hidden(block);
}

static void twice_first_in_an_ended_thread(void)
{
    free(freed_by_an_ended_thread());
    _exit(96); /* not found before the end */
}

static void realloc_freed_by_an_ended_thread(void)
{
    void *block = realloc(freed_by_an_ended_thread(), SMALL - 1);
    _exit(block ? 96 : 95); /* not found before the end */
}

/* ---- Addresses within blocks ------------------------------------------------------------------------------------- */

static void free_inside(size_t size, size_t offset, bool class_is_named)
{
    char *block = block_of(size);
    announce(block + offset, class_is_named ? malloc_usable_size(block) : 0);
    free(hidden(block + offset));
}

static void inside_small(void) { free_inside(SMALL, 16, true); }
static void inside_small_by_1(void) { free_inside(SMALL, 1, true); }
static void inside_small_by_8(void) { free_inside(SMALL, 8, true); }
static void inside_medium(void) { free_inside(MEDIUM, 4096, true); }
static void inside_medium_by_8(void) { free_inside(MEDIUM, 8, true); }
static void inside_run(void) { free_inside(PAGED, 64 * KIB, false); }
static void inside_paged(void)
{
    paged();
    free_inside(PAGED, 64 * KIB, true);
}
static void inside_paged_by_16(void)
{
    paged();
    free_inside(PAGED, 16, true);
}
static void inside_large(void) { free_inside(LARGE, 4096, false); }
static void inside_large_by_8(void) { free_inside(LARGE, 8, false); }
static void inside_large_by_a_mebibyte(void) { free_inside(LARGE, MIB, false); }
static void inside_mapped(void) { free_inside(MAPPED, 4096, false); }
static void inside_mapped_by_16(void) { free_inside(MAPPED, 16, false); }
static void inside_mapped_by_33_mebibytes(void) { free_inside(MAPPED, 33 * MIB, false); }

static void realloc_inside(void)
{
    char *block = block_of(SMALL);
    announce(block + 16, malloc_usable_size(block));
    free(realloc(hidden(block + 16), 1000));
}

static void realloc_inside_large(void)
{
    char *block = block_of(LARGE);
    announce(block + 4096, 0);
    free(realloc(hidden(block + 4096), 1000));
}

static void usable_size_inside(void)
{
    char *block = block_of(SMALL);
    announce(block + 8, malloc_usable_size(block));
    _exit(malloc_usable_size(hidden(block + 8)) == 0);
}

/* So that the ring of SMALL has room for more, as it has in a program that runs. */
static void ringed(void)
{
    static char *blocks[64];
    for (size_t i = 0; i < COUNT_OF(blocks); i++)
        blocks[i] = block_of(SMALL);
    for (size_t i = 0; i < COUNT_OF(blocks); i++)
        free(blocks[i]);
}

static void usable_size_inside_ringed(void)
{
    ringed();
    usable_size_inside();
}

static void realloc_inside_ringed(void)
{
    ringed();
    char *block = block_of(SMALL);
    announce(block + 8, malloc_usable_size(block));
    free(realloc(hidden(block + 8), SMALL));
}

/* ---- Blocks that are free ---------------------------------------------------------------------------------------- */

static void realloc_freed(void)
{
    char *block = block_of(SMALL);
    size_t usable = malloc_usable_size(block);
    free(block);
    announce(block, usable);
    free(realloc(hidden(block), 5000));
}

static void realloc_freed_to_stay(void)
{
    char *block = block_of(SMALL);
    announce(block, malloc_usable_size(block));
    free(block);
    free(realloc(hidden(block), SMALL));
}

static void realloc_freed_large(void)
{
    char *block = block_of(LARGE);
    free(block);
    announce(block, 0);
    free(realloc(hidden(block), 5 * MIB));
}

static void usable_size_freed_large(void)
{
    char *block = block_of(LARGE);
    free(block);
    announce(block, 0);
    _exit(malloc_usable_size(hidden(block)) == 0);
}

/* ---- Addresses of others ----------------------------------------------------------------------------------------- */

static void free_foreign(void *address)
{
    announce(address, 0);
    free(hidden(address));
}

static void stack_address(void)
{
    char local[256] __attribute__((aligned(64)));
    memset(local, 1, sizeof local);
    free_foreign(local + 64);
}

static void static_address(void)
{
    static char bytes[256] __attribute__((aligned(64)));
    free_foreign(bytes + 64);
}

static void code_address(void) { free_foreign((void *)(uintptr_t)free_foreign); }

static void *foreign_mapping(void)
{
    void *mapping = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED) {
        _exit(97);
    }
    memset(mapping, 0x55, 4 * MIB);
    return (void *)(((uintptr_t)mapping + 2 * MIB - 1) / (2 * MIB) * (2 * MIB));
}

static void mapping_address(void) { free_foreign(foreign_mapping()); }
static void garbage_1(void) { free_foreign((void *)1); }
static void garbage_16(void) { free_foreign((void *)16); }
static void garbage_64k(void) { free_foreign((void *)0x10000); }
static void garbage_ascii(void) { free_foreign((void *)0x4141414141414141); }
static void garbage_not_canonical(void) { free_foreign((void *)0x0000800000000000); }
static void garbage_kernel(void) { free_foreign((void *)0xffff888000000000); }
static void garbage_last(void) { free_foreign((void *)UINTPTR_MAX); }
static void garbage_last_aligned(void) { free_foreign((void *)(UINTPTR_MAX - 15)); }
static void garbage_top_bits(void)
{
    uintptr_t block = (uintptr_t)block_of(SMALL);
    free_foreign((void *)(block | (uintptr_t)1 << 56));
}

static void realloc_stack(void)
{
    char local[256] __attribute__((aligned(64)));
    memset(local, 1, sizeof local);
    announce(local, 0);
    free(realloc(hidden(local), 1000));
}

static void realloc_mapping(void)
{
    void *address = foreign_mapping();
    announce(address, 0);
    free(realloc(hidden(address), 1000));
}

static void realloc_garbage(void)
{
    announce((void *)0x4141414141414141, 0);
    free(realloc(hidden((void *)0x4141414141414141), 1000));
}

static void realloc_garbage_to_zero(void)
{
    announce((void *)1, 0);
    free(realloc(hidden((void *)1), hidden_size(0)));
}

static void reallocarray_garbage(void)
{
    announce((void *)1, 0);
    free(reallocarray(hidden((void *)1), 10, 10));
}

static void usable_size_stack(void)
{
    char local[256] __attribute__((aligned(64)));
    memset(local, 1, sizeof local);
    announce(local, 0);
    _exit(malloc_usable_size(hidden(local)) == 0);
}

static void usable_size_mapping(void)
{
    void *address = foreign_mapping();
    announce(address, 0);
    _exit(malloc_usable_size(hidden(address)) == 0);
}

static void usable_size_garbage(void)
{
    announce((void *)UINTPTR_MAX, 0);
    _exit(malloc_usable_size(hidden((void *)UINTPTR_MAX)) == 0);
}

static void free_sized_garbage(void)
{
    announce((void *)1, 0);
    free_sized(hidden((void *)1), 8);
}

static void delete_garbage(void)
{
    announce((void *)1, 0);
    _ZdlPv(hidden((void *)1));
}

static void delete_twice(void)
{
    char *block = block_of(SMALL);
    size_t usable = malloc_usable_size(block);
    _ZdlPv(block);
    announce(block, usable);
    _ZdaPvm(hidden(block), SMALL);
}

/* ---- What HAKMEM_CHECK=1 finds besides --------------------------------------------------------------------------- */

/* The class that serves a size and the mark behind it. */
static size_t checked_class(size_t size)
{
    static const size_t sizes[] = {
#define X(id, first, block_size, units) block_size,
#include "heap/classes.def"
#undef X
    };
    size_t i = 0;
    while (sizes[i] < size + CHECK_MARK) {
        i++;
    }
    return sizes[i];
}

/* Frees a block, writes to it, and goes on as programs do until somebody looks. */
static void write_after_free_at(size_t size, size_t offset)
{
    char *block = block_of(size);
    announce(block, checked_class(size));
    free(block);
    ((char *)hidden(block))[offset] ^= 0x40;
    for (size_t i = 0; i < 10000; i++) {
        free(block_of(size));
    }
}

static void write_after_free_first(void) { write_after_free_at(SMALL, 0); }
static void write_after_free_middle(void) { write_after_free_at(1000, 500); }
static void write_after_free_last(void) { write_after_free_at(SMALL, SMALL - 1); }

/* The usable size under this option is what was asked for, so that one byte more is an overflow. */
static void overflow_of(size_t size, size_t by)
{
    char *block = block_of(size);
    size_t usable = malloc_usable_size(block);
    announce(block, checked_class(size));
    ((char *)hidden(block))[usable + by - 1] ^= 0x40;
    free(block);
}

static void overflow_by_one(void) { overflow_of(60, 1); }
static void overflow_of_a_full_class(void) { overflow_of(SMALL, 1); }
static void overflow_found_by_realloc(void)
{
    char *block = block_of(100);
    size_t usable = malloc_usable_size(block);
    announce(block, checked_class(100));
    ((char *)hidden(block))[usable] ^= 0x40;
    free(realloc(block, 5000));
}

static void wrong_size(void)
{
    char *block = block_of(100);
    announce(block, checked_class(100));
    free_sized(hidden(block), 5000);
}

static void wrong_size_of_delete(void)
{
    char *block = block_of(100);
    announce(block, checked_class(100));
    _ZdaPvm(hidden(block), 4000);
}

static void wrong_size_of_aligned_delete(void)
{
    char *block = hidden(_ZnwmSt11align_val_t(100, 64));
    announce(block, 128);
    _ZdlPvmSt11align_val_t(hidden(block), 164, 64);
}

static void wrong_size_of_an_aligned_block(void)
{
    char *block = hidden(aligned_alloc(64, 100));
    announce(block, 128);
    free_aligned_sized(hidden(block), 64, 70000);
}

/* ---- What HAKMEM_CHECK=1 finds when the program ends ------------------------------------------------------------- */

static void write_after_free_and_end(void)
{
    char *block = block_of(1000);
    announce(block, checked_class(1000));
    free(block);
    ((char *)hidden(block))[500] ^= 0x40;
}

static void overflow_and_end(void)
{
    static char *live[3];
    for (size_t i = 0; i < COUNT_OF(live); i++)
        live[i] = block_of(100);
    announce(live[1], checked_class(100));
    ((char *)hidden(live[1]))[100] ^= 0x40;
}

static void write_to_nothing_and_end(void)
{
    static char *live;
    live = hidden(malloc(0));
    announce(live, checked_class(0));
    live[0] = 5;
}

/* ---- What HAKMEM_HARDEN=1 finds besides -------------------------------------------------------------------------- */

/* After more blocks than the option holds back, in a ring that has been open for long. */
static void twice_late(void)
{
    static char *others[300];
    for (size_t i = 0; i < COUNT_OF(others); i++)
        others[i] = block_of(SMALL);
    warm_up(SMALL);
    char *block = block_of(SMALL);
    announce(block, checked_class(SMALL));
    free(block);
    for (size_t i = 0; i < COUNT_OF(others); i++)
        free(others[i]);
    free(hidden(block));
}

static void inside_late(void)
{
    warm_up(SMALL);
    char *block = block_of(SMALL);
    announce(block + 16, checked_class(SMALL));
    free(hidden(block + 16));
}

static void misaligned_late(void)
{
    warm_up(SMALL);
    char *block = block_of(SMALL);
    announce(block + 8, checked_class(SMALL));
    free(hidden(block + 8));
}

static void foreign_late(void)
{
    static char bytes[256] __attribute__((aligned(64)));
    warm_up(SMALL);
    free_foreign(bytes + 64);
}

static void write_after_free_held_at_the_end(void)
{
    char *block = block_of(SMALL);
    announce(block, checked_class(SMALL));
    free(block);
    ((char *)hidden(block))[20] ^= 0x40;
}

static void overflow_of_all_neighbours(void)
{
    char *blocks[64];
    for (size_t i = 0; i < COUNT_OF(blocks); i++)
        blocks[i] = block_of(100);
    announce(blocks[0], checked_class(100));
    memset(hidden(blocks[0]), 0x42, 128);
    for (size_t i = 0; i < COUNT_OF(blocks); i++)
        free(blocks[i]);
}

static void fault_behind(size_t size)
{
    char *block = block_of(size);
    announce(block, 0);
    ((char *)hidden(block))[malloc_usable_size(block)] = 1;
}

static void fault_behind_a_run(void) { fault_behind(PAGED); }
static void fault_behind_whole_units(void) { fault_behind(LARGE); }
static void fault_behind_a_mapping(void) { fault_behind(MAPPED); }
static void fault_behind_a_grown_run(void)
{
    char *block = realloc(block_of(PAGED), PAGED + 50000);
    memset(hidden(block), 1, malloc_usable_size(block));
    announce(block, 0);
    ((char *)hidden(block))[malloc_usable_size(block)] = 1;
}
static void fault_behind_a_grown_mapping(void)
{
    char *block = realloc(block_of(MAPPED), MAPPED + 50000);
    memset(hidden(block), 1, malloc_usable_size(block));
    announce(block, 0);
    ((char *)hidden(block))[malloc_usable_size(block)] = 1;
}
static void fault_before_a_run(void)
{
    char *block = block_of(PAGED);
    announce(block, 0);
    ((char *)hidden(block))[-1] = 1;
}

static void fault_after_free(size_t size)
{
    char *block = block_of(size), *other;
    free(block);
    other = block_of(size);
    announce(block, 0);
    if (other != block)
        ((char *)hidden(block))[size / 2] = 1;
}

static void fault_in_a_freed_run(void) { fault_after_free(PAGED); }
static void fault_in_a_freed_large_run(void) { fault_after_free(LARGE); }

static void wrong_size_of_a_run(void)
{
    char *block = block_of(PAGED);
    announce(block, 0);
    free_sized(hidden(block), PAGED - 5000);
}

#define CASE(body, call, error)           \
    {                                     \
#body, body, call, MISUSE_##error \
    }

const struct misuse misuses_always[] = {
    CASE(twice_small, "free", DOUBLE_FREE),
    CASE(twice_zero, "free", DOUBLE_FREE),
    CASE(twice_medium, "free", DOUBLE_FREE),
    CASE(twice_paged, "free", DOUBLE_FREE),
    CASE(twice_run, "free", NOT_LIVE),
    CASE(twice_large, "free", NOT_LIVE),
    CASE(twice_mapped, "free", FOREIGN),
    CASE(twice_with_one_between, "free", DOUBLE_FREE),
    CASE(twice_when_warm, "free", DOUBLE_FREE),
    CASE(twice_with_one_between_when_warm, "free", DOUBLE_FREE),
    CASE(twice_with_64_between, "free", DOUBLE_FREE),
    CASE(twice_with_20000_between, "free", NOT_LIVE),
    CASE(twice_medium_with_64_between, "free", DOUBLE_FREE),
    CASE(twice_paged_with_20_between, "free", DOUBLE_FREE),
    CASE(twice_after_trim, "free", DOUBLE_FREE),
    CASE(after_realloc_moved, "free", DOUBLE_FREE),
    CASE(after_realloc_to_zero, "free", DOUBLE_FREE),
    CASE(twice_first_in_a_thread, "free", DOUBLE_FREE),
    CASE(twice_second_in_a_thread, "free", DOUBLE_FREE),
    CASE(twice_both_in_a_thread, "free", DOUBLE_FREE),
    CASE(twice_first_in_an_ended_thread, "free", DOUBLE_FREE),
    CASE(realloc_freed_by_an_ended_thread, "realloc", DOUBLE_FREE),
    CASE(twice_large_second_in_a_thread, "free", NOT_LIVE),
    CASE(inside_small, "free", INTERIOR),
    CASE(inside_small_by_1, "free", INTERIOR),
    CASE(inside_small_by_8, "free", INTERIOR),
    CASE(inside_medium, "free", INTERIOR),
    CASE(inside_medium_by_8, "free", INTERIOR),
    CASE(inside_paged, "free", INTERIOR),
    CASE(inside_run, "free", INTERIOR),
    CASE(inside_paged_by_16, "free", INTERIOR),
    CASE(inside_large, "free", INTERIOR),
    CASE(inside_large_by_8, "free", INTERIOR),
    CASE(inside_large_by_a_mebibyte, "free", INTERIOR),
    CASE(inside_mapped, "free", INTERIOR),
    CASE(inside_mapped_by_16, "free", INTERIOR),
    CASE(inside_mapped_by_33_mebibytes, "free", INTERIOR),
    CASE(realloc_inside, "realloc", INTERIOR),
    CASE(realloc_inside_large, "realloc", INTERIOR),
    CASE(usable_size_inside, "malloc_usable_size", INTERIOR),
    CASE(usable_size_inside_ringed, "malloc_usable_size", INTERIOR),
    CASE(realloc_inside_ringed, "realloc", INTERIOR),
    CASE(realloc_freed, "realloc", DOUBLE_FREE),
    CASE(realloc_freed_to_stay, "realloc", DOUBLE_FREE),
    CASE(realloc_freed_large, "realloc", NOT_LIVE),
    CASE(usable_size_freed_large, "malloc_usable_size", NOT_LIVE),
    CASE(stack_address, "free", FOREIGN),
    CASE(static_address, "free", FOREIGN),
    CASE(code_address, "free", FOREIGN),
    CASE(mapping_address, "free", FOREIGN),
    CASE(garbage_1, "free", FOREIGN),
    CASE(garbage_16, "free", FOREIGN),
    CASE(garbage_64k, "free", FOREIGN),
    CASE(garbage_ascii, "free", FOREIGN),
    CASE(garbage_not_canonical, "free", FOREIGN),
    CASE(garbage_kernel, "free", FOREIGN),
    CASE(garbage_last, "free", FOREIGN),
    CASE(garbage_last_aligned, "free", FOREIGN),
    CASE(garbage_top_bits, "free", FOREIGN),
    CASE(realloc_stack, "realloc", FOREIGN),
    CASE(realloc_mapping, "realloc", FOREIGN),
    CASE(realloc_garbage, "realloc", FOREIGN),
    CASE(realloc_garbage_to_zero, "realloc", FOREIGN),
    CASE(reallocarray_garbage, "realloc", FOREIGN),
    CASE(usable_size_stack, "malloc_usable_size", FOREIGN),
    CASE(usable_size_mapping, "malloc_usable_size", FOREIGN),
    CASE(usable_size_garbage, "malloc_usable_size", FOREIGN),
    CASE(free_sized_garbage, "free", FOREIGN),
    CASE(delete_garbage, "free", FOREIGN),
    CASE(delete_twice, "free", DOUBLE_FREE),
};
const size_t misuses_always_count = COUNT_OF(misuses_always);

const struct misuse misuses_checked[] = {
    CASE(write_after_free_first, "malloc", WRITE_AFTER_FREE),
    CASE(write_after_free_middle, "malloc", WRITE_AFTER_FREE),
    CASE(write_after_free_last, "malloc", WRITE_AFTER_FREE),
    CASE(overflow_by_one, "free", OVERFLOW),
    CASE(overflow_of_a_full_class, "free", OVERFLOW),
    CASE(overflow_found_by_realloc, "realloc", OVERFLOW),
    CASE(wrong_size, "free_sized", SIZE_MISMATCH),
    CASE(wrong_size_of_delete, "free_sized", SIZE_MISMATCH),
    CASE(wrong_size_of_aligned_delete, "free_sized", SIZE_MISMATCH),
    CASE(wrong_size_of_an_aligned_block, "free_sized", SIZE_MISMATCH),
};
const size_t misuses_checked_count = COUNT_OF(misuses_checked);

const struct misuse misuses_at_exit[] = {
    CASE(write_after_free_and_end, "exit", WRITE_AFTER_FREE),
    CASE(overflow_and_end, "exit", OVERFLOW),
    CASE(write_to_nothing_and_end, "exit", OVERFLOW),
};
const size_t misuses_at_exit_count = COUNT_OF(misuses_at_exit);

const struct misuse misuses_hardened[] = {
    CASE(twice_late, "free", DOUBLE_FREE),
    CASE(inside_late, "free", INTERIOR),
    CASE(misaligned_late, "free", INTERIOR),
    CASE(foreign_late, "free", FOREIGN),
    CASE(write_after_free_held_at_the_end, "free", WRITE_AFTER_FREE),
    CASE(overflow_of_all_neighbours, "free", OVERFLOW),
    CASE(fault_behind_a_run, "", FAULT),
    CASE(fault_behind_whole_units, "", FAULT),
    CASE(fault_behind_a_mapping, "", FAULT),
    CASE(fault_behind_a_grown_run, "", FAULT),
    CASE(fault_behind_a_grown_mapping, "", FAULT),
    CASE(fault_before_a_run, "", FAULT),
    CASE(fault_in_a_freed_run, "", FAULT),
    CASE(fault_in_a_freed_large_run, "", FAULT),
    CASE(wrong_size_of_a_run, "free_sized", SIZE_MISMATCH),
};
const size_t misuses_hardened_count = COUNT_OF(misuses_hardened);
