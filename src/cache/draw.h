/* draw.h - which allocations are samples: one for each so many bytes, at random, so that what holds of samples holds of
 * all (record.h says what they are for).
 *
 * Whether a block is one is settled before anybody asks for it. The distances between samples, in bytes of blocks that
 * come to a thread, are distributed exponentially: a block of s bytes is a sample with the chance
 * 1 - exp(-s / interval), whatever its neighbours are. Among the blocks that a refill brings into a ring, each sample
 * is a *mark*, a NULL in the ring's array, at which malloc leaves the fast path as it does at the ring's end; then a
 * block apart, whose end is seen, is made the sample (sample.h), and when that is freed a mark takes its place on top
 * of the ring. So a mark goes the way of a free block: calls that take a block from the ring and give it back before
 * another one stays with it do not change the chance that the one that stays is a sample. What leaves the ring loses
 * its mark, and whoever refills from it draws anew.
 *
 * Four times a second all marks of a thread's rings are drawn anew, and if there were too many samples the interval is
 * a longer one then. A mark that stays on top of a ring, because the program takes a block and gives it back again and
 * again, makes all these calls slow: it is put back so many times in a row (DRAW_RETURNS), and dropped then. Of blocks
 * that are used more often than that, and stay then, fewer are samples than should be. */
#ifndef HAK_DRAW_H
#define HAK_DRAW_H

#include "base/atomic.h"
#include "base/base.h"

enum { DRAW_RETURNS = 256 };

/* Mean bytes between samples, at present; 0: none are taken. Changes seldom; relaxed: a sample carries what it stands
 * for. */
extern _Atomic(uint64_t) draw_interval;

/* Bytes by which live samples' blocks are larger than what they were made for. Relaxed: for statistics. */
extern _Atomic(uint64_t) draw_surplus;

/* At the start: what the option says. A process that is not told begins with few samples: most never have much to
 * tell. */
void draw_start(void);
/* Whether the process was told how many samples to take. */
bool draw_is_told(void);

/* How many samples there may be in a quarter of a second for somebody who wants them so many bytes apart. */
enum { DRAW_MILLISECONDS = 250 };
uint32_t draw_window(uint64_t interval);

/* What a thread's cache has for it (owner only). */
struct draw {
    int64_t left;      /* bytes until the next sample; INT64_MAX: there is none */
    uint64_t random;
    uint64_t interval; /* that its marks were drawn with */
    uint64_t due;      /* a bit for each class of which the next block is a sample */
    uint32_t times;    /* that the next sample counts; 1 but for a moment */
    const void *last;  /* the block of the sample that was made last, if its mark was not dropped, */
    uint32_t returns;  /* and times that a mark may be put back for it yet */
};

/* `seed`: another one for each cache. */
void draw_open(struct draw *draw, uint64_t seed);

/* How many bytes lie before the next sample, if there is one in `interval` bytes; at random. */
int64_t draw_distance(uint64_t *random, uint64_t interval);

/* The distance to the next sample begins anew. */
void draw_next(struct draw *draw);

/* Whether the sample that comes next falls into a block of `size` bytes that comes to the thread; it is that block
 * then. */
INLINE bool draw_falls(struct draw *draw, size_t size)
{
    /* Never 0 or less where a signal handler, or a child of fork, might see it. */
    int64_t left = draw->left - (int64_t)size;
    if (LIKELY(left > 0)) {
        draw->left = left;
        return false;
    }
    draw_next(draw);
    return true;
}

/* The bytes that a sample of the size stands for: size / chance. */
uint64_t draw_bytes(size_t size, uint64_t interval);

/* The thread has made a sample. */
INLINE void draw_note_block(struct draw *draw, const void *block)
{
    if (draw->last != block)
        draw->returns = DRAW_RETURNS;
    draw->last = block;
}

/* Whether a mark is to be put back for the sample in the block, which stood for `bytes`, drawn perhaps with a smaller
 * interval. */
bool draw_keeps(struct draw *draw, const void *block, size_t size, uint64_t bytes);

/* A sample was taken: if there are many in little time, the interval grows, and shrinks again. */
void draw_note(uint64_t now, bool has_room);
/* There is no room for more of them. */
void draw_widen(void);

#endif
