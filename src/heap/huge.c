#include "heap/huge.h"

#include "system/os_advise.h"

#include <errno.h>

_Atomic(bool) huge_is_refused;

COLD void huge_prefer(void *start, size_t size, bool huge)
{
    int error = os_prefer_huge(start, size, huge);
    if (error && huge && error != ENOMEM) /* that is for want of mappings, here */
        store_relaxed(&huge_is_refused, true);
}

void huge_tell(void *start, size_t size)
{
    if (!huge_is(HUGE_LEARN))
        huge_prefer(start, size, huge_is(HUGE_ALWAYS));
}

void huge_tell_table(void *start, size_t size)
{
    if (huge_is(HUGE_NEVER))
        huge_prefer(start, size, false);
}
