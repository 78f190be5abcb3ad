/* misuse.h - a misuse and the line it must end in. The program misuse_probe runs one of them and tells the test
 * beforehand which address it is about to misuse.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TEST_MISUSE_H
#define HAKMEM_TEST_MISUSE_H

#include <stddef.h>

enum misuse_error {
#define X(id, what, advice) MISUSE_##id,
#define W(id, what)
#include "system/errors.def"
#undef X
#undef W
};

struct misuse {
    const char *name; /* of the probe */
    void (*body)(void);
    const char *call; /* the function that the message must name */
    int error; /* enum misuse_error, or MISUSE_FAULT */
};

/* The misuses that every run detects, those that HAKMEM_CHECK=1 adds, those that it finds when the program ends, and
 * what HAKMEM_HARDEN=1 adds to the first two. MISUSE_FAULT ends in SIGSEGV without a line. */
enum { MISUSE_FAULT = -1 };
extern const struct misuse misuses_always[];
extern const size_t misuses_always_count;
extern const struct misuse misuses_checked[];
extern const size_t misuses_checked_count;
extern const struct misuse misuses_at_exit[];
extern const size_t misuses_at_exit_count;
extern const struct misuse misuses_hardened[];
extern const size_t misuses_hardened_count;

#endif
