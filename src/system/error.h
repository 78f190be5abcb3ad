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

/* A way through the program, which is told below such a line. */
struct error_stack {
    const char *what;        /* "allocated", "freed", ... */
    uint64_t ago;            /* milliseconds; 0: at present */
    uint32_t thread;         /* 0: not known */
    unsigned depth;
    const uintptr_t *frames; /* return addresses, but perhaps for the first: see is_exact */
    bool is_exact;           /* the first is that of an instruction, as a signal tells it */
};

/* The same, with stacks below the line. And the line and the stacks, about an access that a signal has told of: its
 * address, without an end. */
void error_fatal_stacks(enum error_id id, const char *call, const void *address, size_t block_size,
                        const struct error_stack *stacks, unsigned count) __attribute__((noreturn, cold));
void error_tell_access(enum error_id id, const void *address, size_t block_size, const struct error_stack *stacks,
                       unsigned count) __attribute__((cold));

/* One line about `subject` (`length` bytes of text), ending in `rest`. */
void error_warn(enum warning_id id, const char *subject, size_t length, const char *rest) __attribute__((cold));

/* The same in parts, whose end the caller writes himself. `place`: where the subject stands, such as a file, and there
 * the line; NULL, or 0: nowhere, or in none. */
struct text;
void error_warning_begin(struct text *text, const char *place, unsigned line) __attribute__((cold));
void error_warning_tell(struct text *text, enum warning_id id, const char *subject, size_t length)
    __attribute__((cold));
void error_warning_end(struct text *text) __attribute__((cold));

#endif
