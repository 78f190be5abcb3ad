/* all.c - the whole library as one translation unit, from which the products are built: internal functions can be inlined
 * and one object defines every public symbol. Bottom layer first. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "os.c"
#include "text.c"
#include "maps.c"
#include "error.c"
#include "options.c"
#include "class.c"
#include "lock.c"
#include "map.c"
#include "meta.c"
#include "slabset.c"
#include "span.c"
#include "page.c"
#include "remote.c"
#include "group.c"
#include "ring.c"
#include "large.c"
#include "check.c"
#include "site.c"
#include "stats.c"
#include "thread.c"
#include "slow.c"
#include "malloc.c"
#include "new.c"
#include "api.c"
