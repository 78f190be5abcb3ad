/* site_test.c - with HAKMEM_SITES=1: sites that the program names have pages of their own, whoever frees their
 * blocks, and everything else works as ever, across threads and forks.
 * SPDX-License-Identifier: MIT */
#include "support.h"

#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "hakmem.h"

enum { BLOCKS = 60000, SITES = 3, UNIT = 64 << 10 };

static char *g_blocks[BLOCKS];

static void blocks_make(void)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        g_blocks[i] = hak_malloc_at(100, 1 + i % SITES);
        must(g_blocks[i] != NULL, "hak_malloc_at: saw NULL");
        pattern_fill(g_blocks[i], 100, i);
    }
}

static void blocks_check(void)
{
    for (size_t i = 0; i < BLOCKS; i++)
        must(pattern_check(g_blocks[i], 100, i) == 100, "block %zu lost its contents", i);
}

/* In mixed ways, since blocks of all sites are like any others. */
static void blocks_free(void)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        if (i % 5 == 0)
            hak_free_at(g_blocks[i], 100, 1 + i % SITES);
        else if (i % 5 == 1)
            free(realloc(g_blocks[i], 3000));
        else
            free(g_blocks[i]);
    }
}

static int compare(const void *a, const void *b)
{
    uintptr_t x = *(const uintptr_t *)a, y = *(const uintptr_t *)b;
    return (x > y) - (x < y);
}

static void test_named_sites_share_no_unit(void **state)
{
    (void)state;
    static uintptr_t tagged[BLOCKS]; /* unit and site */
    blocks_make();
    for (size_t i = 0; i < BLOCKS; i++)
        tagged[i] = (uintptr_t)g_blocks[i] / UNIT * SITES + i % SITES;
    qsort(tagged, BLOCKS, sizeof tagged[0], compare);
    for (size_t i = 1; i < BLOCKS; i++)
        must(tagged[i] / SITES != tagged[i - 1] / SITES || tagged[i] == tagged[i - 1], "two sites share a unit");
    must(malloc_usable_size(g_blocks[0]) >= 100, "a usable size of %zu", malloc_usable_size(g_blocks[0]));
    blocks_check();
    blocks_free();
}

static void *other_thread(void *unused)
{
    (void)unused;
    blocks_check();
    blocks_free();
    blocks_make();
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        pthread_t thread;
        blocks_make();
        must(pthread_create(&thread, NULL, other_thread, NULL) == 0, "pthread_create failed");
        pthread_join(thread, NULL);
        blocks_check();
        blocks_free();
    }
}

static void *churn(void *stop)
{
    uint64_t random = 1;
    while (!__atomic_load_n((bool *)stop, __ATOMIC_RELAXED))
        free(hak_malloc_at(100 + random_next(&random) % 20, 1 + random_next(&random) % SITES));
    return NULL;
}

static void child_work(void *unused)
{
    (void)unused;
    blocks_check();
    blocks_free();
    blocks_make();
    blocks_check();
    malloc_trim(0);
    blocks_free();
}

static void test_forks_among_threads(void **state)
{
    (void)state;
    bool stop = false;
    pthread_t thread;
    struct child_result result;
    blocks_make();
    must(pthread_create(&thread, NULL, churn, &stop) == 0, "pthread_create failed");
    for (unsigned i = 0; i < 10; i++) {
        child_run(child_work, NULL, 30, &result);
        must(!result.timed_out && WIFEXITED(result.status) && WEXITSTATUS(result.status) == 0, "a child: %s, %s",
             child_ending(&result), result.err);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    blocks_check();
    blocks_free();
}

static void test_trim_gives_all_back(void **state)
{
    (void)state;
    malloc_trim(0);
    size_t before = process_anonymous();
    blocks_make();
    must(process_anonymous() > before + BLOCKS * 100, "60,000 blocks need no memory");
    blocks_free();
    malloc_trim(0);
    must(process_anonymous() < before + MIB, "%zu KiB stay after everything was freed",
         (process_anonymous() - before) / 1024);
}

/* Holes between blocks that stay, in pages of the sites' own, go back without being asked for; what stays is as it
 * was. */
static void test_holes_are_purged(void **state)
{
    (void)state;
    enum { STAYS = 500, ROUNDS = 12 };
    static char *stay[ROUNDS * BLOCKS / STAYS];
    size_t count = 0, before = process_anonymous();
    static char *all[ROUNDS][BLOCKS];
    for (size_t round = 0; round < ROUNDS; round++) {
        blocks_make();
        memcpy(all[round], g_blocks, sizeof g_blocks);
    }
    size_t full = process_anonymous() - before;
    for (size_t round = 0; round < ROUNDS; round++)
        for (size_t i = 0; i < BLOCKS; i++)
            if (i / SITES % STAYS == 0)
                stay[count++] = all[round][i];
            else
                free(all[round][i]);
    size_t sparse = process_anonymous() - before;
    must(sparse < full / 2, "%zu MiB in blocks, and %zu MiB after 499 of 500 were freed", full / MIB, sparse / MIB);
    for (size_t k = 0; k < count; k++) {
        size_t i = k / SITES * STAYS * SITES + k % SITES;
        must(pattern_check(stay[k], 100, i % BLOCKS) == 100, "block %zu lost its contents", k);
        free(stay[k]);
    }
}

/* What clang makes of calls with -fsanitize=alloc-token: a token is a site. */
void *__alloc_token_malloc(size_t size, size_t token);
void *__alloc_token_calloc(size_t count, size_t size, size_t token);
void *__alloc_token_realloc(void *block, size_t size, size_t token);
void *__alloc_token_aligned_alloc(size_t align, size_t size, size_t token);
int __alloc_token_posix_memalign(void **out, size_t align, size_t size, size_t token);
void *__alloc_token__Znwm(size_t size, size_t token);

static void test_tokens_are_sites(void **state)
{
    (void)state;
    enum { TOKENS = 1000, KINDS = 5 };
    static char *blocks[2][TOKENS][KINDS];
    for (unsigned i = 0; i < TOKENS; i++)
        for (unsigned token = 0; token < 2; token++) {
            char **block = blocks[token][i];
            block[0] = __alloc_token_malloc(200, 70 + token);
            block[1] = __alloc_token_calloc(2, 100, 70 + token);
            block[2] = __alloc_token_realloc(NULL, 200, 70 + token);
            block[3] = __alloc_token_aligned_alloc(16, 200, 70 + token);
            block[4] = __alloc_token__Znwm(200, 70 + token);
            must(block[1][0] == 0 && block[1][199] == 0, "calloc: not zero");
        }
    for (unsigned i = 0; i < TOKENS * KINDS; i++)
        for (unsigned k = 0; k < TOKENS * KINDS; k += 97)
            must((uintptr_t)blocks[0][i / KINDS][i % KINDS] / UNIT != (uintptr_t)blocks[1][k / KINDS][k % KINDS] / UNIT,
                 "two tokens share a unit");
    for (unsigned i = 0; i < 2 * TOKENS * KINDS; i++)
        free(blocks[i % 2][i / 2 / KINDS][i / 2 % KINDS]);
    void *aligned = NULL;
    must(__alloc_token_posix_memalign(&aligned, 4096, 100, 70) == 0 && (uintptr_t)aligned % 4096 == 0,
         "posix_memalign");
    aligned = __alloc_token_realloc(aligned, 5000, 71);
    must(aligned != NULL, "realloc: saw NULL");
    free(aligned);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_named_sites_share_no_unit),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_tokens_are_sites),
        cmocka_unit_test(test_forks_among_threads),
        cmocka_unit_test(test_trim_gives_all_back),
        cmocka_unit_test(test_holes_are_purged),
    };
    return RUN_TESTS(tests);
}
