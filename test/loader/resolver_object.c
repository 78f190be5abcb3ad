/* resolver_object.c - a library with a resolver, which the loader runs before it has relocated what was preloaded.
 * SPDX-License-Identifier: MIT */
#include "resolver.h"

__attribute__((visibility("default"))) struct resolved resolver_object_saw(void);
__attribute__((visibility("default"))) int resolver_object_answer(void);

static struct resolved g_seen;

static int answer(void) { return 42; }

__attribute__((used)) static int (*resolver(void))(void)
{
    g_seen = resolve();
    return answer;
}

/* Not static: clang makes a symbol of such a one that all may see, and where the loader binds all at once it would come
 * to it while this library's calls of malloc are still to be bound. */
__attribute__((visibility("hidden"))) int chosen(void) __attribute__((ifunc("resolver")));

/* What a library calls of its own is resolved when it is relocated, whether or not other calls are bound later. */
int resolver_object_answer(void) { return chosen(); }

struct resolved resolver_object_saw(void) { return g_seen; }
