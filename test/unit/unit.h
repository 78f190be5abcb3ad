/* unit.h - what the unit tests share: cmocka, captured output, children that are to die with a message, and walks
 * over the whole heap that verify it.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TEST_UNIT_H
#define HAKMEM_TEST_UNIT_H

#include "support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/types.h>

#include <cmocka.h>

#include "system/error.h"
#include "heap/page.h"

/* Whether the program runs under ThreadSanitizer, which costs a factor of ten and forbids some things. */
#ifndef __has_feature
#define __has_feature(feature) 0
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
enum { UNDER_TSAN = 1 };
#else
enum { UNDER_TSAN = 0 };
#endif
/* Whether a sanitizer keeps a shadow of all memory that was ever touched, so that what is resident is not hakmem's
 * alone. */
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
enum { UNDER_SHADOW = 1 };
#else
enum { UNDER_SHADOW = UNDER_TSAN };
#endif

/* ---- Output ------------------------------------------------------------------------------------------------------ */

/* What is written to file descriptor 2 between the two goes to `text`, terminated. */
void stderr_capture(void);
void stderr_release(char *text, size_t capacity);

/* Whether the byte can be read; nobody is harmed if not. */
bool byte_is_open(const char *byte);

/* A file in memory, and what was written to it so far. */
int file_make(void);
void file_read(int fd, char *text, size_t capacity);

/* ---- Children ---------------------------------------------------------------------------------------------------- */

/* Runs body(argument) in a child. It has to end it by SIGABRT, with nothing on stderr but the line of `id`: said by
 * `call` of any address, with the size class's block size if that is not 0. */
void must_die_of(enum error_id id, const char *call, size_t block_size, void (*body)(void *), void *argument);

/* The line that error_fatal is to write. */
void error_line(char *line, size_t capacity, enum error_id id, const char *call, const void *address,
                size_t block_size);

/* A child in which no fork handler ran; as fork(2). The child has to end itself by _exit, and dies after `seconds`. */
pid_t child_fork(unsigned seconds);
/* Waits for it; fails unless it ended with status 0. */
void child_join(pid_t child, const char *what);

/* Runs the program again, with 1 for an option's variable, unless it has a value: options are read once, at the
 * start. */
void run_again_with(const char *variable, char **arguments);

/* ---- Threads ----------------------------------------------------------------------------------------------------- */

/* Runs body(argument) in a new thread and waits for its end. The thread finds nothing that those before it left in
 * their rings, and leaves nothing; in_next_thread does. */
void in_thread(void (*body)(void *), void *argument);
void in_next_thread(void (*body)(void *), void *argument);

/* For at least so long by the library's clock, too, which may fall behind: it stands still while the processor that
 * sets it does not run. */
void sleep_milliseconds(unsigned milliseconds);

/* ---- The heap ---------------------------------------------------------------------------------------------------- */

/* Bytes that are resident of a page of blocks. */
size_t page_resident(const struct page *page);

/* Takes the address-space lock, which nobody may hold. */
void heap_lock(void);

/* Calls visit for each page of blocks, under the lock. */
void heap_each_page(void (*visit)(struct page *page, void *argument), void *argument);

/* Verifies every invariant of every superslab and page. No other thread may be in the allocator. */
void heap_must_be_valid(const char *when);

#endif
