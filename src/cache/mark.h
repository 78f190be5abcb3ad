/* mark.h - which of the blocks that come into a ring are samples (draw.h): a mark, a NULL among the entries, stands
 * upon each, at which malloc leaves the fast path. Entries that leave the ring lose their marks (array_unmark). */
#ifndef HAK_MARK_H
#define HAK_MARK_H

#include "cache/state.h"

/* Draws marks for a ring in work that is open, has none, and whose blocks have all come from elsewhere. */
void ring_mark_some(struct ring_work work);
INLINE void ring_mark(struct ring_work work)
{
    struct draw *draw = &work.cache->draw;
    int64_t bytes = (int64_t)(class_size(work.class_id) * array_entries(&ring_of(work)->array));
    if (LIKELY(draw->left > bytes))
        draw->left -= bytes;
    else
        ring_mark_some(work);
}

/* All marks of all rings, by the interval of the day. */
void cache_draw_anew(struct cache *cache);

#endif
