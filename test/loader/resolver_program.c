/* resolver_program.c - the program has a resolver of an `ifunc` symbol, and so has a library that it is linked with:
 * both allocate. What they kept is used, resized and freed when everything is there.
 * SPDX-License-Identifier: MIT */
#include "resolver.h"
#include "support.h"

#include <pthread.h>

/* Of resolver_object.c. */
struct resolved resolver_object_saw(void);
int resolver_object_answer(void);

static struct resolved g_seen;

static int answer(void) { return 23; }

__attribute__((used)) static int (*resolver(void))(void)
{
    g_seen = resolve();
    return answer;
}

__attribute__((visibility("hidden"))) int program_answer(void) __attribute__((ifunc("resolver")));

static void must_last(const struct resolved *seen, const char *whose)
{
    must(seen->failures == 0, "%s resolver: %d of what it asked for went wrong", whose, seen->failures);
    must(seen->kept && malloc_usable_size(seen->kept) >= KEPT_BYTES, "%s block has no size", whose);
    must(bytes_are(seen->kept, KEPT_BYTES, 'k'), "%s block has other contents", whose);
    char *grown = realloc(seen->kept, 100000);
    must(grown && bytes_are(grown, KEPT_BYTES, 'k'), "%s block lost its contents in realloc", whose);
    char *shrunk = realloc(seen->kept_too, 10);
    must(shrunk && bytes_are(shrunk, 10, 'k'), "%s block lost its contents when it shrank", whose);
    free(grown);
    free(shrunk);
}

static void *thread_run(void *block)
{
    free(block);
    return malloc(100);
}

int main(void)
{
    must(program_answer() == 23 && resolver_object_answer() == 42, "the resolvers were not heard");
    struct resolved object = resolver_object_saw();
    pthread_t thread;
    void *block = NULL;
    must(pthread_create(&thread, NULL, thread_run, malloc(100)) == 0 && pthread_join(thread, &block) == 0, "no thread");
    free(block);
    must_last(&g_seen, "the program's");
    must_last(&object, "the library's");
    return 0;
}
