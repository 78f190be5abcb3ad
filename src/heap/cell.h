/* cell.h - cells: places for single blocks, which have pages of memory of their own there, between ones that nobody may
 * touch. Who reads or writes beyond the block's pages gets SIGSEGV, and so does who uses it after its end: nobody may
 * touch them then, and of all the cells that are free the one whose block ended first is taken next.
 *
 * The idea is that of Electric Fence (B. Perens), and that of giving few blocks such places, in production, of GWP-ASan
 * (its documentation: llvm.org/docs/GwpAsan.html).
 *
 * All cells are one mapping, which is made for the first block. CELLS_LIVE blocks live at most, so CELLS - CELLS_LIVE
 * ends at least lie between a block's end and the next block in its place. A free cell has no memory, a block's as many
 * pages as it needs, at the end of the cell's area. So the block can end where the pages do, or begin where they do;
 * what is left over of its pages has marks, which show writes to it when the block ends.
 *
 * Each block may cost the process two mappings, and so may each that ended. Where the system refuses any of that, there
 * is no cell to be had. Any thread, signal handlers; no lock. */
#ifndef HAK_CELL_H
#define HAK_CELL_H

#include "base/atomic.h"
#include "base/base.h"

enum { CELLS = 128, CELLS_LIVE = 64 };

/* Bytes of the largest block, and of all cells. */
size_t cell_largest(void);
size_t cell_room_size(void);
/* Where they begin; 0: there are none yet. Release; whoever has a block got it from somebody who saw that. */
extern _Atomic(uintptr_t) cell_room;

/* Whether an address lies in the room of the cells. */
INLINE bool cell_has(const void *address)
{
    uintptr_t room = load_relaxed(&cell_room);
    return UNLIKELY(room != 0) && (uintptr_t)address - room < cell_room_size();
}

/* A block of `size` bytes, a multiple of BLOCK_ALIGN, at a multiple of the largest power of two that it is a multiple
 * of; `at_start`: where its pages begin, else it ends where they do. NULL: no cell is to be had. */
void *cell_make(size_t size, bool at_start);

/* Takes a block from the program: false when none is live there. Then it is the caller's, who ends it. */
bool cell_claim(const void *block);
void cell_end(void *block);

/* Of a block that was claimed, or is the caller's: whether all is as it was before it, and behind it. */
bool cell_front_is_whole(const void *block);
bool cell_rear_is_whole(const void *block);

/* What there is to know of the block that lies nearest to an address in the room, or did last. */
struct cell_view {
    unsigned number; /* of the cell */
    char *block;     /* NULL: there was never one */
    size_t size;
    bool is_live;
    char *start, *end; /* of the cell, with what is out of reach on both sides */
};
struct cell_view cell_look(const void *address);

/* Blocks that live, and bytes of their pages. Relaxed: for policies and statistics. */
unsigned cell_count(void);
size_t cell_bytes(void);

/* In the child of a fork: what vanished threads were making or ending is free. */
void cell_after_fork(void);

#endif
