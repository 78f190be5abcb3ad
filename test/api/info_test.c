/* info_test.c - glibc's extensions: mallopt, mallinfo, mallinfo2, malloc_info, malloc_stats, malloc_trim; and the C23
 * frees.
 * SPDX-License-Identifier: MIT */
#include "support.h"

#include <ctype.h>
#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* Not in the headers of the oldest C library that we support. */
void free_sized(void *block, size_t size);
void free_aligned_sized(void *block, size_t alignment, size_t size);
void cfree(void *block);

static void test_mallopt_accepts_every_parameter(void **state)
{
    (void)state;
    static const int parameters[] = {M_MXFAST,       M_TRIM_THRESHOLD, M_TOP_PAD,    M_MMAP_THRESHOLD, M_MMAP_MAX,
                                     M_CHECK_ACTION, M_PERTURB,        M_ARENA_TEST, M_ARENA_MAX};
    for (size_t i = 0; i < COUNT_OF(parameters); i++) {
        int seen = mallopt(parameters[i], 1);
        must(seen == 1, "mallopt(%d, 1): expected 1, saw %d", parameters[i], seen);
    }
}

enum { SMALL_BLOCKS = 32768, SMALL_SIZE = 1000 };

static void test_mallinfo_follows_allocation(void **state)
{
    (void)state;
    static void *blocks[SMALL_BLOCKS];
    struct mallinfo2 before = mallinfo2();
    for (size_t i = 0; i < SMALL_BLOCKS; i++) {
        blocks[i] = malloc(SMALL_SIZE);
        memset(blocks[i], 1, SMALL_SIZE);
    }
    struct mallinfo2 full = mallinfo2();
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    struct mallinfo old = mallinfo();
#pragma GCC diagnostic pop
    for (size_t i = 0; i < SMALL_BLOCKS; i++) {
        free(blocks[i]);
    }
    struct mallinfo2 after = mallinfo2();
    size_t expected = (size_t)SMALL_BLOCKS * SMALL_SIZE;
    must(full.uordblks - before.uordblks >= expected && full.uordblks - before.uordblks < expected * 5 / 4,
         "mallinfo2().uordblks after allocating %zu bytes: expected to grow by that to a quarter more, went from %zu "
         "to %zu",
         expected, before.uordblks, full.uordblks);
    must(full.arena + full.hblkhd >= full.uordblks,
         "mallinfo2: expected arena + hblkhd >= uordblks, saw %zu + %zu, %zu", full.arena, full.hblkhd, full.uordblks);
    must(full.arena + full.hblkhd > before.arena + before.hblkhd,
         "mallinfo2: arena + hblkhd did not grow with %zu bytes: %zu, %zu", expected, before.arena + before.hblkhd,
         full.arena + full.hblkhd);
    must(old.uordblks > 0 && (size_t)old.uordblks >= expected, "mallinfo().uordblks: expected at least %zu, saw %d",
         expected, old.uordblks);
    must(after.uordblks < before.uordblks + expected / 20,
         "mallinfo2().uordblks after freeing all: expected about %zu, saw %zu", before.uordblks, after.uordblks);
}

static void test_mallinfo_counts_large_blocks(void **state)
{
    (void)state;
    struct mallinfo2 before = mallinfo2();
    void *block = malloc(64 * MIB);
    struct mallinfo2 full = mallinfo2();
    free(block);
    size_t grown = full.uordblks + full.hblkhd - before.uordblks - before.hblkhd;
    must(grown >= 64 * MIB, "mallinfo2: uordblks + hblkhd after malloc(64 MiB): expected to grow by that, grew by %zu",
         grown);
}

/* Well-formed: every tag closed in order, attributes quoted, one root. Returns NULL or what is wrong. */
static const char *xml_fault(const char *at, const char *root)
{
    static char names[64][32];
    size_t depth = 0;
    size_t roots = 0;
    while (*at != 0) {
        if (*at != '<') {
            if (depth == 0 && !isspace((unsigned char)*at)) {
                return "text outside the root element";
            }
            at++;
            continue;
        }
        bool closing = at[1] == '/';
        at += closing ? 2 : 1;
        size_t length = strspn(at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
        if (length == 0 || length >= sizeof names[0]) {
            return "a tag without a name";
        }
        if (closing) {
            if (depth == 0 || strlen(names[depth - 1]) != length || strncmp(names[depth - 1], at, length) != 0 ||
                at[length] != '>') {
                return "a closing tag that fits no open one";
            }
            depth--;
            at += length + 1;
            continue;
        }
        if (depth == COUNT_OF(names)) {
            return "elements too deep";
        }
        memcpy(names[depth], at, length);
        names[depth][length] = 0;
        if (depth == 0) {
            roots++;
            if (strcmp(names[0], root) != 0) {
                return "another root element";
            }
        }
        at += length;
        for (;;) {
            at += strspn(at, " \n\t");
            if (*at == '>') {
                depth++;
                at++;
                break;
            }
            if (at[0] == '/' && at[1] == '>') {
                at += 2;
                break;
            }
            const char *equals = at + strspn(at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
            const char *end = equals[0] == '=' && equals[1] == '"' ? strchr(equals + 2, '"') : NULL;
            if (equals == at || end == NULL || memchr(equals, '<', (size_t)(end - equals)) != NULL) {
                return "a bad attribute";
            }
            at = end + 1;
        }
    }
    return depth != 0 ? "an element is not closed" : roots != 1 ? "not exactly one root element" : NULL;
}

static void test_malloc_info_is_xml(void **state)
{
    (void)state;
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    int seen = malloc_info(0, stream);
    fclose(stream);
    must(seen == 0, "malloc_info(0, stream): expected 0, saw %d", seen);
    must(length > 0, "malloc_info wrote nothing");
    const char *fault = xml_fault(text, "malloc");
    must(fault == NULL, "malloc_info: %s, in:\n%s", fault, text);
    free(text);
    seen = malloc_info(1, stdout);
    must(seen == EINVAL, "malloc_info(1, stdout): expected EINVAL (%d), saw %d", EINVAL, seen);
}

static void stats_body(void *argument)
{
    (void)argument;
    malloc_stats();
}

static void test_malloc_stats_goes_to_stderr(void **state)
{
    (void)state;
    struct child_result result;
    child_run(stats_body, NULL, 10, &result);
    must(result.status == 0, "malloc_stats: the child ended with %s", child_ending(&result));
    must(result.err[0] != 0, "malloc_stats: expected a text on stderr, saw none");
    must(result.out[0] == 0, "malloc_stats: expected nothing on stdout, saw: %s", result.out);
}

static void *g_many[200000];

/* Allocates and touches; keeps one in `keep` (0: none) and frees the rest. Returns the bytes freed. */
static size_t fill_and_free(size_t count, size_t size, size_t keep)
{
    size_t freed = 0;
    for (size_t i = 0; i < count; i++) {
        g_many[i] = malloc(size);
        must(g_many[i] != NULL, "malloc(%zu): saw NULL", size);
        memset(g_many[i], 0x77, size);
    }
    for (size_t i = 0; i < count; i++) {
        if (keep == 0 || i % keep != 0) {
            free(g_many[i]);
            g_many[i] = NULL;
            freed += size;
        }
    }
    return freed;
}

static void release(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(g_many[i]);
        g_many[i] = NULL;
    }
}

static void test_malloc_trim_returns_all_free_memory(void **state)
{
    (void)state;
    static const struct {
        size_t count, size;
    } rows[] = {{200000, 1000}, {2000000 / 16, 64}, {20000, 8192}, {2000, 100000}, {200, 1 * MIB}, {20, 10 * MIB}};
    for (size_t r = 0; r < COUNT_OF(rows); r++) {
        size_t before = process_anonymous();
        fill_and_free(rows[r].count, rows[r].size, 0);
        malloc_trim(0);
        size_t after = process_anonymous();
        must(after <= before + 4 * MIB,
             "%zu x %zu bytes freed, then malloc_trim(0): expected RSS to be back at %zu KiB + 4 MiB, saw %zu KiB",
             rows[r].count, rows[r].size, before / KIB, after / KIB);
    }
}

static void test_malloc_trim_tells_what_it_did(void **state)
{
    (void)state;
    char *block = malloc(1 * MIB);
    memset(block, 1, 1 * MIB);
    fill_and_free(100000, 1000, 0);
    free(block);
    int first = malloc_trim(0);
    int second = malloc_trim(0);
    /* Memory may already have gone back at the frees; then there is nothing left to say 1 for. */
    must(first == 0 || first == 1, "malloc_trim(0): expected 0 or 1, saw %d", first);
    must(second == 0, "malloc_trim(0) right after malloc_trim(0): expected 0, nothing to return, saw %d", second);
}

/* One block in 20 stays: every whole system page between the survivors can go. */
static void test_malloc_trim_returns_holes(void **state)
{
    (void)state;
    static const size_t sizes[] = {512, 2048, 8000, 30000};
    for (size_t s = 0; s < COUNT_OF(sizes); s++) {
        size_t count = 100 * MIB / sizes[s];
        if (count > COUNT_OF(g_many)) {
            count = COUNT_OF(g_many);
        }
        size_t before = process_anonymous();
        size_t freed = fill_and_free(count, sizes[s], 20);
        size_t live = count * sizes[s] - freed;
        malloc_trim(0);
        size_t after = process_anonymous();
        /* Each survivor holds the system pages that it touches. */
        size_t held = live + count / 20 * 4096 * 2;
        must(
            after <= before + held + 4 * MIB,
            "%zu x %zu bytes, one in 20 live, then malloc_trim(0): expected at most %zu KiB above %zu KiB, saw %zu KiB",
            count, sizes[s], (held + 4 * MIB) / KIB, before / KIB, after / KIB);
        release(count);
        malloc_trim(0);
    }
}

static void test_frees_of_c23(void **state)
{
    (void)state;
    for (size_t size = 0; size <= 3 * MIB; size = size * 3 + 1) {
        void *block = malloc(size);
        errno = 4242;
        free_sized(block, size);
        must(errno == 4242, "free_sized(malloc(%zu)) changed errno to %d", size, errno);
        for (size_t alignment = 8; alignment <= 64 * KIB; alignment *= 8) {
            block = aligned_alloc(alignment, size);
            free_aligned_sized(block, alignment, size);
            must(errno == 4242, "free_aligned_sized(%zu, %zu) changed errno to %d", alignment, size, errno);
        }
        cfree(malloc(size));
    }
    free_sized(NULL, 10);
    free_aligned_sized(NULL, 16, 10);
    cfree(NULL);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mallopt_accepts_every_parameter),
        cmocka_unit_test(test_mallinfo_follows_allocation),
        cmocka_unit_test(test_mallinfo_counts_large_blocks),
        cmocka_unit_test(test_malloc_info_is_xml),
        cmocka_unit_test(test_malloc_stats_goes_to_stderr),
        cmocka_unit_test(test_malloc_trim_returns_all_free_memory),
        cmocka_unit_test(test_malloc_trim_tells_what_it_did),
        cmocka_unit_test(test_malloc_trim_returns_holes),
        cmocka_unit_test(test_frees_of_c23),
    };
    return RUN_TESTS(tests);
}
