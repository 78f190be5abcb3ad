/* all.c - the whole library as one translation unit, from which the products are built: internal functions can be inlined
 * and one object defines every public symbol. Bottom layer first. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "os.c"
#include "text.c"
#include "error.c"
#include "options.c"
#include "class.c"
#include "lock.c"
#include "map.c"
#include "meta.c"
#include "policy.c"
#include "learn.c"
#include "explain.c"
#include "profile.c"
#include "slabset.c"
#include "retain.c"
#include "span.c"
#include "page.c"
#include "purge.c"
#include "remote.c"
#include "ring.c"
#include "large.c"
#include "check.c"
#include "stats.c"
#include "thread.c"
#include "slow.c"
#include "malloc.c"
#include "new.c"
#include "api.c"
