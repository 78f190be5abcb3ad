#include "cache/hold.h"

#include "heap/check.h"
#include "heap/meta.h"
#include "heap/page.h"
#include "system/lock.h"
#include "system/os_process.h"

static unsigned slots_of(unsigned class_id)
{
    if (class_id == 0 || class_size(class_id) > CLASS_TABLE_MAX) /* no page's, as long as there is memory */
        return 1;
    return (unsigned)min_size(max_size(HOLD_BYTES / class_size(class_host(class_id)), HOLD_LEAST), HOLD_MOST);
}

COLD struct hold *hold_make(void)
{
    unsigned slots = 0;
    for (unsigned c = 0; c <= CLASS_LAST; c++)
        slots += slots_of(c);
    size_t size = sizeof(struct hold) + slots * sizeof(void *);
    if (!meta_acquire(META_OTHER, size))
        return NULL;
    struct hold *hold = meta_alloc(META_OTHER, size);
    lock_release();
    if (!hold)
        return NULL;
    hold->random = os_random();
    hold->choices = 0;
    hold->begin[0] = 0;
    for (unsigned c = 0; c <= CLASS_LAST; c++)
        hold->begin[c + 1] = (uint16_t)(hold->begin[c] + slots_of(c));
    hold_forget(hold);
    return hold;
}

COLD void hold_forget(struct hold *hold)
{
    for (unsigned c = 0; c <= CLASS_LAST; c++)
        hold->next[c] = hold->begin[c];
    __builtin_memset(hold->slot, 0, hold->begin[CLASS_LAST + 1] * sizeof hold->slot[0]);
}

COLD void hold_empty(struct hold *hold)
{
    for (unsigned c = 1; c <= CLASS_LAST; c++)
        for (unsigned i = hold->begin[c]; i < hold->begin[c + 1]; i++) {
            void *block = hold->slot[i];
            hold->slot[i] = NULL;
            if (!block)
                continue;
            check_free(block, class_size(c), "free");
            page_return(&block, 1, "free");
        }
}

COLD void hold_stir(struct hold *hold)
{
    hold->choices = 0;
    hold->random ^= os_random();
    hold->random += hold->random == 0; /* which it would stay */
}
