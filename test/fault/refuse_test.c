/* refuse_test.c - refused system calls: each of nine, from the start, after some use, from the Nth call on, and only
 * the Nth.
 * SPDX-License-Identifier: MIT */
#include "support.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { SECONDS = 30 };

struct refusal {
    const char *call;
    int errors[3];
    bool is_used; /* the library is known to make this call: a run in which none is refused tests nothing */
};

static const struct refusal g_refusals[] = {
    {"mmap", {ENOMEM, EPERM, EAGAIN}, true},       {"munmap", {ENOMEM, EPERM, ENOSYS}, true},
    {"madvise", {ENOSYS, EPERM, ENOMEM}, true},    {"mprotect", {ENOMEM, EPERM, ENOSYS}, false},
    {"mremap", {ENOSYS, EPERM, ENOMEM}, true},     {"prctl", {ENOSYS, EPERM, EINVAL}, false},
    {"getrandom", {ENOSYS, EPERM, EAGAIN}, false}, {"mincore", {ENOSYS, EPERM, ENOMEM}, false},
    {"process_madvise", {ENOSYS, EPERM, EINVAL}, true},
};

static void refused_run(const struct refusal *refusal, int error, const char *first, const char *count,
                        struct child_result *result)
{
    char error_text[16];
    char what[160];
    snprintf(error_text, sizeof error_text, "%d", error);
    char *const arguments[] = {(char *)REFUSED_PROGRAM, (char *)refusal->call, error_text,
                               (char *)first,           (char *)count,         NULL};
    child_exec(arguments, NULL, SECONDS, result);
    snprintf(what, sizeof what, "%s refused with %s: %s%s%s", refusal->call, strerror(error),
             count != NULL ? "from call " : "", first,
             count == NULL             ? ""
             : strcmp(count, "1") == 0 ? ", once"
                                       : " on");
    must_end_well(result, what);
}

static void refused_uncounted(const char *when)
{
    for (size_t i = 0; i < COUNT_OF(g_refusals); i++) {
        for (size_t e = 0; e < COUNT_OF(g_refusals[i].errors); e++) {
            struct child_result result;
            refused_run(&g_refusals[i], g_refusals[i].errors[e], when, NULL, &result);
        }
    }
}

static void test_refused_from_the_start(void **state)
{
    (void)state;
    refused_uncounted("start");
}

static void test_refused_after_some_use(void **state)
{
    (void)state;
    refused_uncounted("always");
}

/* The Nth call and all after it (or it alone), for N = 0, 1, 2, ... in growing steps until there is no Nth call. */
static void refused_counted(const char *count)
{
    for (size_t i = 0; i < COUNT_OF(g_refusals); i++) {
        size_t refused = 1;
        for (size_t first = 0; refused > 0 && first < 600; first += 1 + first / 3) {
            char first_text[24];
            size_t seen = 0;
            struct child_result result;
            snprintf(first_text, sizeof first_text, "%zu", first);
            refused_run(&g_refusals[i], g_refusals[i].errors[first % 3], first_text, count, &result);
            must(sscanf(result.out, "%zu %zu", &seen, &refused) == 2, "refused_program printed '%s'", result.out);
            must(refused > 0 || first > 0 || !g_refusals[i].is_used, "%s was never called: nothing was tested",
                 g_refusals[i].call);
        }
    }
}

static void test_refused_from_the_nth_call_on(void **state)
{
    (void)state;
    refused_counted("1000000");
}

static void test_refused_once(void **state)
{
    (void)state;
    refused_counted("1");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_from_the_start),
        cmocka_unit_test(test_refused_after_some_use),
        cmocka_unit_test(test_refused_from_the_nth_call_on),
        cmocka_unit_test(test_refused_once),
    };
    return RUN_TESTS(tests);
}
