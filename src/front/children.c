#include "front/children.h"

#include "system/conf.h"
#include "system/os_map.h"

/* Of the list in LD_PRELOAD, with the separator in front of it. */
static struct piece item_take(const char *list)
{
    struct piece item = {list, 1};
    while (list[item.length] && list[item.length] != ':' && list[item.length] != ' ')
        item.length++;
    return item;
}

/* Whether it is this library, in whatever folder and of whatever version. */
static bool is_library(struct piece item)
{
    item.start++;
    item.length--;
    return piece_begins(piece_base(item), "libhakmem.so");
}

/* The variable without this library; NULL when nothing is left. In memory of its own, since who has set it may have
 * done that with a constant; as it was where there is none. */
static char *preload_without(char *variable)
{
    enum { LETTERS = sizeof "LD_PRELOAD" - 1 };
    size_t length = LETTERS;
    void *room;
    if (os_map(align_up(piece_of(variable).length + 1, os_page_size()), 1, NULL, &room))
        return variable;
    char *out = room;
    __builtin_memcpy(out, variable, LETTERS);
    for (const char *next = variable + LETTERS; *next;) {
        struct piece item = item_take(next);
        next += item.length;
        for (size_t i = 0; i < item.length && !is_library(item); i++)
            out[length++] = item.start[i];
    }
    out[LETTERS] = '=';
    return length > LETTERS ? out : NULL;
}

COLD void children_exclude(char **environment)
{
    char **to = environment, **from = environment;
    for (; *from; from++) {
        struct piece variable = piece_of(*from);
        char *kept = *from;
        if (piece_begins(variable, "HAKMEM_"))
            kept = NULL;
        else if (piece_begins(variable, "LD_PRELOAD="))
            kept = preload_without(*from);
        if (kept)
            *to++ = kept;
    }
    /* Who looks for the auxiliary vector behind the first NULL finds its end at once, not what was left. */
    while (to < from)
        *to++ = NULL;
}
