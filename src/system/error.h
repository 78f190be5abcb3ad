/* error.h - what the allocator says when a program misuses it, and how it stops. The texts are in errors.def. */
#ifndef HAK_ERROR_H
#define HAK_ERROR_H

#include "base/base.h"

enum error_id {
#define X(id, what, advice) ERROR_##id,
#define W(id, what)
#include "system/errors.def"
#undef X
#undef W
};

enum warning_id {
#define X(id, what, advice)
#define W(id, what) WARNING_##id,
#include "system/errors.def"
#undef X
#undef W
};

/* Where the program called what the thread is in, as the entry points of slow paths note it: the address to return
 * to. */
extern __thread uintptr_t error_caller __attribute__((tls_model("initial-exec")));
#define ERROR_CALLER() (error_caller = (uintptr_t)__builtin_return_address(0))

/* Says in one line what `call` (the name of a public function) found at `address`, and aborts. `block_size` is the
 * size class's, 0 where none is known. The line ends with the caller, as far as it can be told. Allocates nothing,
 * takes no lock; safe anywhere. */
void error_fatal(enum error_id id, const char *call, const void *address, size_t block_size)
    __attribute__((noreturn, cold));

/* One line about `subject` (`length` bytes of text), ending in `nearest`. */
void error_warn(enum warning_id id, const char *subject, size_t length, const char *nearest) __attribute__((cold));

#endif
