/* unwind.h - who called: the return addresses on the stack of the calling thread, from within malloc.
 *
 * Frames are left one after the other by the rules of .eh_frame (cfi.h), which the loader finds without a lock
 * (_dl_find_object, glibc 2.35), and by the frame pointer where there are none: in code that was made at run time, and
 * in all but hakmem's own where libc has no such function. Rules are remembered (kept.h).
 *
 * Any thread, signal handlers, the child of a fork, inside the loader. No lock, no system call, no allocation; errno
 * stays. It takes 1.6 KiB of stack on x86-64, 2.2 KiB on aarch64.
 *
 * Why no read of it can fault:
 *  - *By a table.* What a rule says is saved, the very function has written there, or, on x86-64, the call of it; it
 *    is in use until the function returns. This holds on any stack: a coroutine's, a signal's, one of which only the
 *    program knows. A coroutine's first function was not called, and the slot of its return address might be beyond
 *    the end: but it is the upper half of 16 aligned bytes of which that function's own first push, or call, writes
 *    the lower. So tables are as safe as they are right. Where they are wrong (assembler code), what is read is a word
 *    at a multiple of 8 above the last frame, below the end of the stack where that is known; on another stack not
 *    farther than STRANGE_FRAME from the last frame, and frames have to begin at multiples of 16 there. Nothing is
 *    read elsewhere. What remains is a wrong table on a stack of the program's own, near its end; exceptions would
 *    fail there, too.
 *  - *By a frame pointer.* Nobody promises that it is one. So it is followed on a stack whose end is known
 *    (os_stack_end), if it is aligned, and above the stack pointer by POINTER_FRAME at most; and what it leads to has
 *    to be code of an object, or another such pointer. From then on nothing is believed that leads to a stack whose
 *    end is not known. What remains is a coroutine's stack that lies just below its thread's, and code without tables
 *    on it whose register has an address in the gap behind it.
 *  - *Tables* lie in objects that the stack's return addresses lie in, which therefore are not being unloaded (but
 *    behind a frame pointer, where an address may be an old one). They are read within the segment that the object's
 *    headers name. What is remembered of them is used without reading them again, while the object begins with the
 *    same KiB, in which its segments and its build ID are. Of two files without a build ID that are the same in all
 *    that, loaded to the same place one after the other, the second may be taken for the first: then a frame is wrong,
 *    within the bounds above. */
#ifndef HAK_UNWIND_H
#define HAK_UNWIND_H

#include "base/base.h"

enum { UNWIND_DEPTH = 32 };

/* Return addresses of the calls that led here, the innermost first. hakmem's own are left out: the first is `from`, to
 * which the function returns that the program called; if that is not among the innermost frames, it is the only one.
 * Returns how many there are, at least 1. Where a signal interrupted code, the address is the one where it did. */
unsigned unwind_stack(uintptr_t from, uintptr_t out[static UNWIND_DEPTH]);

/* The same of code that a signal has interrupted, whose handler got this context (ucontext_t): the first address is
 * where it did. */
unsigned unwind_signal(const void *context, uintptr_t out[static UNWIND_DEPTH]);

#endif
