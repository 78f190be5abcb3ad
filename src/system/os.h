/* os.h - the only system calls of the allocator.
 *
 * Contract of every function here: sizes and addresses are multiples of the system's page size unless said
 * otherwise; the result is 0 or an errno value; errno itself is never touched, because the calls are made without
 * libc's wrappers (which also keeps libraries that replace mmap, open or write, and cancellation points, out of the
 * allocator), but where somebody watches libc's munmap, madvise and mremap. All are safe in any thread and in a
 * signal handler. src/system/system_calls.def lists the calls, docs/system-calls.md tells what happens where one fails, is
 * fatal, or does nothing. */
#ifndef HAK_OS_H
#define HAK_OS_H

#include "base/base.h"
#include "base/atomic.h"

/* At the start, while there is one thread: notes what libc's functions look like before anybody watches them. */
void os_start(void);

/* A filter may make system calls fatal, so what stands beyond those that libc's malloc makes, too, depends on what
 * is known of filters. os_sandbox_watch says that any filter which the program installs from now on will be told of,
 * os_sandbox_shut that one is about to be; nothing opens what has been shut. */
enum os_sandbox {
    OS_SANDBOX_SHUT,    /* the program installs a filter: nothing but libc's malloc's own calls */
    OS_SANDBOX_UNKNOWN, /* nobody tells: no calls that known filters lack */
    OS_SANDBOX_ASK,     /* none has come so far; whether there was one at the start is not known yet */
    OS_SANDBOX_OLD,     /* there was one at the start: what the loader needed is allowed */
    OS_SANDBOX_NONE
};
extern _Atomic(uint8_t) os_sandbox; /* relaxed: the calls that it is about order nothing */
__attribute__((unused)) INLINE void os_sandbox_shut(void) { store_relaxed(&os_sandbox, OS_SANDBOX_SHUT); }
void os_sandbox_watch(void);

/* Whether files of /proc and /sys may be read: no filter can have come that the loader was not under, too. */
bool os_may_look(void);

/* Any system call: its result, or minus an errno value. */
long os_call(long number, long a, long b, long c, long d, long e, long f);

/* Bytes of a page of memory: 4, 16 or 64 KiB. UNIT_SIZE is a multiple of it. */
size_t os_page_size(void);

/* Bytes of physical memory; 0 when the system does not say. */
size_t os_memory_size(void);

/* Fresh zeroed memory, readable and writable, at an address that is a multiple of `align` (a power of two, any). The
 * system is asked to put it at `hint` first when that is not NULL. */
int os_map(size_t size, size_t align, void *hint, void **out);

/* Such memory exactly at `address`, where nothing may be: EEXIST if there is, or if the system will not have it there.
 * `writable`: else it can only be read, and is no memory that the system counts. */
int os_map_at(void *address, size_t size, bool writable);

/* An address where the system has so much room at present; NULL when it has not. */
void *os_find_room(size_t size);

/* In debug builds a system call ends the program that this thread makes while they are forbidden. */
#if HAK_DEBUG
void os_forbid_calls(bool forbidden);
#else
INLINE void os_forbid_calls(bool forbidden) { (void)forbidden; }
#endif

/* Gives memory from os_map back, whole or in part. May fail with ENOMEM when the process has too many mappings. */
int os_unmap(void *address, size_t size);

/* Whether a range of memory from os_map may be read and written; if not, who touches it gets SIGSEGV. ENOMEM when the
 * process has too many mappings. */
int os_protect(void *address, size_t size, bool usable);

/* Frees the physical memory behind a range that stays mapped and that nobody else uses. On success, and only then,
 * it reads as zero afterwards: the first one is looked at, and where the system does nothing but say yes, none
 * succeeds. */
int os_purge(void *address, size_t size);

/* The same for several ranges, which do not overlap, in one call where the system can do that for the process itself
 * (Linux 6.15). Up to 33 pages of memory are flushed from the TLB one by one, by an instruction that costs microseconds
 * where a host intercepts it; for more, or for ranges that lie farther apart (Linux 6.16), all of it is flushed at
 * once. Returns a bit for each range that was purged. */
enum { OS_RANGES_MAX = 32 }; /* bits of a uint32_t */
struct os_range {
    void *start;
    size_t size; /* may be 0 */
};
uint32_t os_purge_all(const struct os_range *ranges, unsigned count);

/* Makes a range resident and writable, as if each page of it were written to; what it contains stays. EINVAL where the
 * system does not know how (Linux before 5.14). */
int os_populate(void *address, size_t size);

/* Bytes of a range that are resident; 0 where the system does not say. */
size_t os_resident(void *address, size_t size);

/* Whether huge pages are to stand behind a range, if the system has any: when its memory is touched, and when the
 * system finds the time later. ENOMEM when the process has too many mappings. */
int os_prefer_huge(void *address, size_t size, bool huge);

/* Resizes a mapping, keeping contents. os_resize never moves it; os_move puts it at `target`, replacing what is
 * mapped there. */
int os_resize(void *address, size_t old_size, size_t new_size);
int os_move(void *address, size_t old_size, size_t new_size, void *target);

/* Memory of one page that reads as zero in the child of a fork, whatever was written to it before. */
int os_map_wiped_on_fork(void **out);

/* Sleeps while *word is `value`, at most `milliseconds`; may wake early for no reason. */
void os_wait(_Atomic(uint32_t) *word, uint32_t value, unsigned milliseconds);
void os_wake_one(_Atomic(uint32_t) *word);

/* Milliseconds on a clock that never goes back, exact to about 5 ms. Not a system call where the kernel helps
 * (vDSO). */
uint64_t os_milliseconds(void);

/* Nanoseconds on the same clock, exact; at most a system call. */
uint64_t os_nanoseconds(void);

/* Milliseconds of processor time that all threads of the process used. */
uint64_t os_cpu_milliseconds(void);

/* A number that an attacker cannot know beforehand, from what the kernel told the process at its start, and from where
 * and when it runs. No system call where the kernel helps with the clock. Never 0. */
uint64_t os_random(void);

uint32_t os_process_id(void);
/* Of the user whose rights the process has. */
uint32_t os_user_id(void);
/* The path by which the program was started. */
const char *os_program(void);
uint32_t os_thread_id(void);
/* False when no thread of this process has the id, as far as may be asked. */
bool os_thread_exists(uint32_t thread_id);

/* Writes all of it, or as much as can be written; no signal comes of that. */
void os_write(int fd, const char *text, size_t length);
/* Another descriptor for the file behind `fd`, as high as may be and closed on exec; -1 if there is none. */
int os_duplicate(int fd);
/* What file is behind a descriptor; all zero when there is none. */
struct file_id {
    uint64_t device, inode, type;
};
struct file_id os_file_id(int fd);
/* Whether the descriptor is open, and still for that file. */
bool os_is_file(int fd, struct file_id file);
/* Whether what is behind the descriptor is made for lines of text that somebody adds: a pipe, or a file that is open
 * for appending. */
bool os_is_log(int fd);

/* Files. None of these waits for another process, and no descriptor of ours is ever 0, 1 or 2, which the program may
 * have closed, while something is written to it. */

/* A file for reading, closed on exec; -1 if there is none. Then up to `size` bytes of it from where the last read
 * ended; 0 at its end, and when it cannot be read. */
int os_open(const char *path);
size_t os_read(int fd, char *buffer, size_t size);
void os_close(int fd);

/* What stands at a path. */
struct file_info {
    enum { FILE_PLAIN, FILE_DIRECTORY, FILE_LINK, FILE_OTHER } kind;
    bool is_own;      /* it belongs to the user whose rights the process has */
    bool is_trusted;  /* or to root */
    bool is_for_all;  /* everybody may write to it */
    uint32_t names;   /* hard links */
    uint64_t changed; /* seconds since 1970 */
};
int os_file_look(const char *path, bool follow, struct file_info *out);

/* Reads a file of up to `capacity` bytes; EFBIG when it has more. Only a plain file, or ENODEV: to open anything
 * else can have effects of its own. Only what is trusted and not for all to write, or EPERM; ELOOP for a link that
 * is not trusted. */
int os_file_read(const char *path, char *text, size_t capacity, size_t *length);
/* Makes a file where nothing was, or EEXIST; with all of the text, or there is none. */
int os_file_make(const char *path, const char *text, size_t length);
/* The file gets another name. EEXIST if there is something of that name, unless it replaces that. */
int os_file_rename(const char *from, const char *to, bool replaces);
void os_file_remove(const char *path);
int os_directory_make(const char *path);
/* Calls `each` with the name of everything in a directory. */
void os_directory_list(const char *path, void (*each)(void *context, const char *name), void *context);
/* Terminated; false when it is not known or has no room. */
bool os_working_directory(char *out, size_t capacity);

/* The executable's build id in hexadecimal, or another word for the file that runs if it has none. Terminated. */
enum { OS_BUILD_ID_MAX = 80 };
void os_build_id(char out[static OS_BUILD_ID_MAX]);
/* The build id among the notes of an ELF file; false if there is none. */
bool os_build_id_find(const char *notes, size_t size, char out[static OS_BUILD_ID_MAX]);
/* The path of the executable file, terminated and perhaps cut off; by another name than that of os_program, which
 * may be a script or a link. */
void os_executable(char *out, size_t capacity);

void os_abort(void) __attribute__((noreturn));

/* True when the program runs with more rights than its caller (setuid, file capabilities). */
bool os_is_privileged(void);

#endif
