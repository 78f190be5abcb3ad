#include "replace.h"

#include "map.h"

bool replace_owns(const void *block) { return map_page(block) != NULL; }

#ifdef HAK_NO_OVERRIDE

bool replace_free(void *block) { return (void)block, false; }

#else

/* The program's free may pass on what it does not know, to the next in line: hakmem again. */
static __thread bool is_passing __attribute__((tls_model("initial-exec")));

bool replace_free(void *block)
{
    if (!is_replaced(free) || replace_owns(block) || is_passing)
        return false;
    is_passing = true;
    process_free(block);
    is_passing = false;
    return true;
}

#endif
