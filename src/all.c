/* all.c - the whole library as one translation unit, from which the products are built: internal functions can be inlined
 * and one object defines every public symbol. Bottom layer first. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

/* What is rarely called is to be small: the kernel maps the library in lumps, and the smallest program pays for all. */
#ifndef __clang__
#define RARE_BEGIN _Pragma("GCC push_options") _Pragma("GCC optimize(\"Os\")")
#define RARE_END _Pragma("GCC pop_options")
#else
#define RARE_BEGIN
#define RARE_END
#endif

#include "os.c"
RARE_BEGIN
#include "text.c"
#include "maps.c"
#include "error.c"
#include "options.c"
RARE_END
#include "class.c"
#include "lock.c"
#include "map.c"
#include "meta.c"
RARE_BEGIN
#include "policy.c"
#include "learn.c"
#include "explain.c"
#include "profile.c"
RARE_END
#include "slabset.c"
#include "retain.c"
#include "span.c"
#include "page.c"
#include "purge.c"
#include "remote.c"
#include "group.c"
#include "ring.c"
RARE_BEGIN
#include "large.c"
#include "check.c"
#include "site.c"
#include "stats.c"
#include "thread.c"
RARE_END
#include "slow.c"
#include "malloc.c"
RARE_BEGIN
#include "new.c"
#include "api.c"
RARE_END
