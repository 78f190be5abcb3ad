/* os_map.h - addresses: memory is mapped, unmapped, moved, and made accessible or not. What lies behind them is
 * os_advise.h's. */
#ifndef HAK_OS_MAP_H
#define HAK_OS_MAP_H

#include "base/base.h"

/* Bytes of a page of memory: 4, 16 or 64 KiB. UNIT_SIZE is a multiple of it. */
size_t os_page_size(void);

/* Fresh zeroed memory, readable and writable, at an address that is a multiple of `align` (a power of two, any). The
 * system is asked to put it at `hint` first when that is not NULL. */
int os_map(size_t size, size_t align, void *hint, void **out);

/* Such memory exactly at `address`, where nothing may be: EEXIST if there is, or if the system will not have it there.
 * `writable`: else it can only be read, and is no memory that the system counts. */
int os_map_at(void *address, size_t size, bool writable);

/* The program has all memory locked that is mapped from now on, or no longer. Else what is mapped for later would all
 * be resident at once: it is locked page by page instead, when it is touched. The child of a fork has nothing
 * locked. */
void os_lock_memory(bool is_locked);

/* Address space that nobody may touch yet (os_protect), at a multiple of `align`; no memory that the system counts.
 * What is left over before and behind it stays reserved, too. */
int os_reserve(size_t size, size_t align, void **out);

/* An address where the system has so much room at present; NULL when it has not. */
void *os_find_room(size_t size);

/* Gives memory from os_map back, whole or in part. May fail with ENOMEM when the process has too many mappings. */
int os_unmap(void *address, size_t size);

/* Whether a range of memory from os_map may be read and written; if not, who touches it gets SIGSEGV. ENOMEM when the
 * process has too many mappings. */
int os_protect(void *address, size_t size, bool usable);

/* Resizes a mapping, keeping contents. os_resize never moves it; os_move puts it at `target`, replacing what is
 * mapped there. */
int os_resize(void *address, size_t old_size, size_t new_size);
int os_move(void *address, size_t old_size, size_t new_size, void *target);

#endif
