/* kept.h - rules of call frames that were looked up before (unwind.h): a table in which an address has two entries to
 * be in, so that two frames of one stack do not push each other out. Any thread and signal handlers may read and write
 * it at any time; nobody waits. */
#ifndef HAK_KEPT_H
#define HAK_KEPT_H

#include "base/base.h"

enum { KEPT_SAVED_MAX = 12 };

/* Where the caller of the code at an address has what it had: the frame address (CFA) from a register, and saved
 * registers below that. */
struct kept {
    uintptr_t address;
    uint64_t print;     /* of the object that the address is in */
    uint32_t cfa;       /* the register, and flags, in KEPT_SHIFT bits; above them the signed offset in bytes */
    uint16_t which;     /* bits of those that are saved */
    int16_t lowest;     /* of the following */
    int16_t saved[KEPT_SAVED_MAX]; /* words from the frame address */
};
enum { KEPT_REGISTER = 0x3F, KEPT_LAST = 0x40, KEPT_SIGNED = 0x80, KEPT_SHIFT = 8 };

/* False when there is nothing for this address in an object with this print. */
bool kept_find(uintptr_t address, uint64_t print, struct kept *out);

/* Takes the place of what was there, unless somebody else is writing there. */
void kept_write(const struct kept *kept);

#endif
