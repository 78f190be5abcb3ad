/* record.h - the record: what another process can read of this one while it runs, hangs or idles, without its help, or
 * from what is left when it was killed. A stretch of memory with a header and pieces; where it is, a note in the file
 * says (RECORD_NOTE). With HAKMEM_RECORD it is a file that is mapped, which outlives the process.
 *
 * Everything has its offset from the record's beginning, so that memory and file look alike. Pieces are only ever
 * added. Who reads it finds it in the middle of being written to, and may find nonsense: nothing is to be believed
 * unchecked. Fields that may change are read and written relaxed, but where it is said; the process itself reads none
 * of it for anything but this record.
 *
 * Integers are of the machine's byte order, as the magic number shows. */
#ifndef HAK_RECORD_H
#define HAK_RECORD_H

#include <stdint.h>

#define RECORD_MAGIC UINT64_C(0x44524F434552484B) /* "KHRECORD" in memory where the lowest byte comes first */
enum { RECORD_VERSION = 2 };

/* The note: owner "hakmem", this type; its contents are 8 bytes: the distance, in bytes and signed, from their own
 * address to that of a pointer to the record (NULL: there is none yet). */
enum { RECORD_NOTE = 1 };

enum {
    RECORD_PIECES = 48,
    RECORD_VALUES = 64,
    RECORD_HISTORY = 64,
    RECORD_RANGES = 8,
    RECORD_DEPTH = 32, /* most frames of a stack */
    RECORD_BLOCK_PARTS = 256,
    RECORD_NAMES = 1536,
    RECORD_HEAP_NAME = 48,
    RECORD_HEAP_MAPPINGS = 4
};

enum record_state { RECORD_RUNS = 1, RECORD_ENDED = 2 }; /* ended: by exit, and what it says is of that moment */

enum record_piece_kind {
    RECORD_SAMPLES = 1, /* struct record_sample: tables of 64, 128, ... entries */
    RECORD_STACKS,      /* struct record_stack: numbers go on from piece to piece; stack 0 is the one of all that had no
                           room */
    RECORD_FRAMES,      /* uint64_t: return addresses, the innermost first; indices go on from piece to piece */
    RECORD_MODULES,     /* struct record_module; only of a record that is a file */
    RECORD_HEAPS,       /* struct record_heap, by number; as of the last snapshot */
    RECORD_GUARDS,      /* struct record_guard: one for each cell */
    RECORD_REQUESTS,    /* struct record_requests: one */
    RECORD_ALLOCATED    /* struct record_allocated, by the number of a stack: tables as those of the stacks, from when
                           allocations were first counted */
};

struct record_piece {
    _Atomic(uint32_t) kind; /* written last (release), after what it describes */
    uint32_t count;  /* entries */
    uint64_t offset; /* from the record's beginning */
};

/* A live block. It stands for `bytes` of live memory: one that is as large as the mean distance of samples or larger
 * hardly more than itself. */
struct record_sample {
    _Atomic(uint64_t) block;  /* its address; 0: none; 1: being written. Released after the rest */
    _Atomic(uint64_t) size;   /* of its size class, or as large as it is */
    _Atomic(uint64_t) bytes;  /* that it stands for: size / the chance that a block of the size is a sample */
    _Atomic(uint64_t) born;   /* milliseconds on the monotonic clock */
    _Atomic(uint64_t) pinned; /* bytes that the blocks it stands for keep resident of their pages, as of the last look;
                                 at least `bytes`. 0: not known */
    _Atomic(uint64_t) companion; /* the address of another block of the size: samples lie in pages of their own, and it
                                    is in one that the blocks it stands for lie in. 0: none */
    _Atomic(uint32_t) stack;
    _Atomic(uint32_t) thread; /* kernel's id of the thread that allocated it; 0: not known */
    _Atomic(uint64_t) site;   /* what the call of malloc returns to, or the number that the program gave to the site */
};

/* A way through the program to malloc. Sums are of bytes that samples stand for. */
struct record_stack {
    _Atomic(uint64_t) hash;    /* of its frames; 0: none. Released after frames and depth */
    _Atomic(uint64_t) live;
    _Atomic(uint64_t) at_peak; /* live when the process had most (header.peak) */
    _Atomic(uint64_t) ended;   /* bytes of samples that were freed */
    _Atomic(uint64_t) life;    /* milliseconds, times bytes, of these, in units of 1 MiB milliseconds */
    _Atomic(uint32_t) frames;  /* index of the first */
    _Atomic(uint32_t) depth;
};

/* What was allocated by a stack in total, while that was counted; sums of what the allocations that were drawn stand
 * for. */
struct record_allocated {
    _Atomic(uint64_t) bytes;
    _Atomic(uint64_t) block_parts; /* blocks, in parts of 1 / RECORD_BLOCK_PARTS */
};

struct record_module {
    uint64_t start, end, offset; /* of an executable mapping; the offset in the file at which it begins */
    char build_id[48];           /* hexadecimal, terminated; empty: not known */
    char path[232];              /* terminated; its end, if it is longer */
};

struct record_range {
    _Atomic(uint64_t) start, size;
};

/* A heap by name (hak_heap_create). Its blocks are no samples. */
struct record_heap {
    char name[RECORD_HEAP_NAME]; /* terminated; empty: there is none of the number */
    _Atomic(uint64_t) live, blocks, peak, limit, held, refused; /* as in hak_heap_stat_t */
    /* Some of its blocks that are mappings of their own; size 0: none. */
    struct record_range mapped[RECORD_HEAP_MAPPINGS];
};

/* The last block of a cell, a place with pages of its own between ones that nobody may touch. Cells lie side by side:
 * an address that a program has touched near by belongs to the nearest block. */
struct record_guard {
    _Atomic(uint64_t) block;        /* its address; 0: none yet, or it is being written. Released after the rest */
    _Atomic(uint64_t) size;         /* bytes that may be used */
    _Atomic(uint64_t) born, ended;  /* milliseconds; the second: 0 while it lives, released after the rest of its end */
    _Atomic(uint32_t) born_stack, ended_stack;
    _Atomic(uint32_t) born_thread, ended_thread; /* kernel's ids; 0: not known */
    uint64_t start, end;            /* of the cell, with what nobody may touch; written once */
};

/* The only thing that others write, into the memory of a process that runs: what it is to do from one of its next slow
 * paths on. It answers; a child of fork has been asked nothing. Times are milliseconds on the monotonic clock. */
struct record_requests {
    _Atomic(uint64_t) trim;     /* number of the last request that what is free go back, as by malloc_trim(0): who asks
                                   adds one to what is there */
    _Atomic(uint64_t) trimmed;  /* of the last that was done; release, after: */
    _Atomic(uint64_t) given;    /* bytes that went back then; some may not have been resident */
    _Atomic(uint64_t) given_at;

    _Atomic(uint64_t) count_until;   /* allocations are to be counted until then */
    _Atomic(uint64_t) counted_since; /* they are counted, since then; 0: they are not */
    _Atomic(uint64_t) counted;       /* milliseconds that they were, before that */
};

/* What the process had at a time. */
struct record_moment {
    _Atomic(uint64_t) at;   /* milliseconds on the monotonic clock; 0: none */
    _Atomic(uint64_t) live; /* bytes in the program's hands */
    _Atomic(uint64_t) kept; /* free, and perhaps resident: in rings, in pages, and for reuse */
};

struct record_header {
    uint64_t magic;
    uint32_t version;
    uint32_t header_size;              /* of this structure */
    _Atomic(uint64_t) size;            /* bytes, with all pieces */
    _Atomic(uint32_t) process;         /* its id, as it sees itself; 0: only whoever reads its memory knows */
    _Atomic(uint32_t) state;           /* enum record_state */
    _Atomic(uint64_t) began_monotonic; /* milliseconds when the record was made, on both clocks: */
    _Atomic(uint64_t) began_wall;      /* of the first, all times here are; the second counts since 1970 */
    _Atomic(uint64_t) interval;        /* mean bytes between samples, at present */
    char library[16];                  /* its version */
    char program[136];                 /* path by which it was started, terminated; its end, if it is longer */

    /* A snapshot: odd while it is written; readers look before (acquire) and after. It is taken in slow paths, at
     * most four times a second. */
    _Atomic(uint32_t) sequence;
    uint32_t value_count;
    _Atomic(uint64_t) taken_at;              /* milliseconds; 0: none yet */
    _Atomic(uint64_t) value[RECORD_VALUES];  /* the statistics of stats.def, by their order in `names` */
    _Atomic(uint64_t) resident;              /* of the whole process, as the kernel says; 0: not known */
    _Atomic(uint64_t) peak, peak_at;         /* the most bytes in the program's hands at any snapshot, and when */
    _Atomic(uint32_t) history_count;
    _Atomic(uint32_t) history_step;          /* milliseconds between moments, at least */
    struct record_moment history[RECORD_HISTORY]; /* over all of its life: when full, every other one goes */

    /* Where memory of hakmem's is. Range 0: the heap (blocks up to 32 MiB); others: its own tables, and the cells.
     * Blocks above 32 MiB are mappings anywhere; each of them is a sample, as a rule, or a heap's by name. */
    struct record_range range[RECORD_RANGES];
    struct record_piece piece[RECORD_PIECES];
    char names[RECORD_NAMES]; /* "name:unit" of each value, each terminated; unit: bytes or count */
};

#endif
