/* own.h - between own_program.cpp and own_library.cpp.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TEST_OWN_H
#define HAKMEM_TEST_OWN_H

/* What the program has besides malloc and free. */
enum { OWN_HAS_SET = 1, OWN_HAS_USABLE = 2, OWN_HAS_ALIGNED = 4 };

/* Of the program: whether a block is one of its own, and how many of these are live. */
bool own_has(const void *block);
long own_live(void);

/* Of the library. */
void library_use_all(unsigned has);

#endif
