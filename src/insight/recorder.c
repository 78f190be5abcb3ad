#include "insight/recorder.h"

#include "hakmem.h"
#include "base/atomic.h"
#include "cache/arena.h"
#include "cache/count.h"
#include "cache/draw.h"
#include "heap/cell.h"
#include "heap/ground.h"
#include "heap/retain.h"
#include "heap/span.h"
#include "insight/record_file.h"
#include "insight/stats.h"
#include "system/lock.h"
#include "system/os_clock.h"
#include "system/os_look.h"
#include "system/os_map.h"
#include "system/os_process.h"
#include "system/text.h"

enum {
    SNAPSHOT_MILLISECONDS = 250,
    SOON_MILLISECONDS = 5, /* between snapshots while memory comes and goes, or as many times as long as one takes: */
    SOON_TIMES = 128,
    HISTORY_STEP = 1000, /* milliseconds between moments, at first */
    PEAK_NOTED = 64      /* a new peak is noted when it is larger by this part */
};

static size_t file_size; /* [growth lock] of the file that the record is; 0: it is memory, and grows */

/* The record; NULL: there is none yet. What the note in the file leads to. Release, when it can be read; pairs with the
 * acquire of whoever gets it without the growth lock. */
static struct record_header *_Atomic record __asm__("hak_record_pointer") __attribute__((used));
/* In the record; NULL: there is no room for them. Release/acquire as the record. */
static struct record_requests *_Atomic requests;
static _Atomic(uint64_t) snapshot_at; /* milliseconds: when to take the next; relaxed: elects nobody, */
static _Atomic(uint64_t) soonest_at;  /* and the earliest */

/* Among the notes of the file, as the build id, which lie on its first page: that is part of core files. Number of
 * bytes of the owner's name, of the contents, RECORD_NOTE. */
__asm__(".pushsection .note.hakmem, \"a\", %note\n"
        ".balign 4\n"
        ".long 7, 8, 1\n"
        ".asciz \"hakmem\"\n"
        ".balign 4\n"
        ".quad hak_record_pointer - .\n"
        ".popsection\n");

/* ---- Beginning --------------------------------------------------------------------------------------------------- */

static const char *const value_names[] = {
#define X(field, name, unit, doc) name ":" unit,
#include "insight/stats.def"
#undef X
};
enum { VALUES = sizeof value_names / sizeof *value_names };
_Static_assert((int)VALUES <= (int)RECORD_VALUES, "a record has room for all statistics");

static COLD void names_write(char out[static RECORD_NAMES])
{
    size_t end = 0;
    for (unsigned i = 0; i < VALUES; i++) {
        size_t length = text_length(value_names[i]) + 1;
        if (end + length > RECORD_NAMES)
            return;
        __builtin_memcpy(out + end, value_names[i], length);
        end += length;
    }
}

/* The end of the string, if there is no room for all of it. */
static COLD void end_copy(char *out, size_t room, const char *string)
{
    size_t length = text_length(string), copied = min_size(length, room - 1);
    __builtin_memcpy(out, string + length - copied, copied);
    out[copied] = '\0';
}

/* Under the growth lock: memory for the record. */
static COLD struct record_header *room_make(void)
{
    void *file = record_file_make();
    file_size = file ? RECORD_FILE_SIZE : 0;
    if (file)
        return file;
    bool done = ground_start() && ground_extend(GROUND_RECORD, sizeof(struct record_header)) == 0;
    return done ? (void *)ground_table(GROUND_RECORD) : NULL;
}

static COLD void header_write(struct record_header *made)
{
    made->version = RECORD_VERSION;
    made->header_size = sizeof *made;
    made->value_count = VALUES;
    store_relaxed(&made->size, sizeof *made);
    store_relaxed(&made->process, file_size ? os_process_id() : 0);
    store_relaxed(&made->state, RECORD_RUNS);
    store_relaxed(&made->began_monotonic, os_milliseconds());
    store_relaxed(&made->began_wall, os_wall_milliseconds());
    store_relaxed(&made->history_step, HISTORY_STEP);
    end_copy(made->library, sizeof made->library, hak_version());
    end_copy(made->program, sizeof made->program, os_program());
    names_write(made->names);
    made->magic = RECORD_MAGIC;
}

static struct record_header *record_now(void) { return load_acquire(&record); /* pairs with record_make */ }

bool recorder_is_file(void) { return record_now() && file_size > 0; }

COLD bool recorder_is_at(uintptr_t address)
{
    uintptr_t start = (uintptr_t)record_now();
    return start && address >= start && address - start < max_size(file_size, 1);
}

COLD uint64_t recorder_peak(void)
{
    const struct record_header *from = record_now();
    return from ? load_relaxed(&from->peak) : 0;
}

/* ---- Pieces ------------------------------------------------------------------------------------------------------ */

/* Under the growth lock. */
static COLD void *piece_add(struct record_header *to, enum record_piece_kind kind, uint32_t count, size_t bytes)
{
    struct record_piece *piece = to->piece, *end = piece + RECORD_PIECES;
    while (piece != end && load_relaxed(&piece->kind) != 0)
        piece++;
    size_t offset = align_up(load_relaxed(&to->size), 64);
    bool fits = file_size ? offset + bytes <= file_size : ground_extend(GROUND_RECORD, offset + bytes) == 0;
    if (piece == end || !fits)
        return NULL;
    piece->count = count;
    piece->offset = offset;
    store_relaxed(&to->size, offset + bytes);
    store_release(&piece->kind, kind); /* readers, and the child of a fork, find it whole */
    return (char *)to + offset;
}

/* Under the growth lock. */
static COLD struct record_header *record_make(void)
{
    struct record_header *made = room_make();
    if (!made)
        return NULL;
    header_write(made);
    struct record_requests *empty = piece_add(made, RECORD_REQUESTS, 1, sizeof *empty);
    if (empty && count_is_on())
        store_relaxed(&empty->counted_since, load_relaxed(&made->began_monotonic));
    store_release(&requests, empty); /* pairs with recorder_asked */
    store_release(&record, made); /* pairs with record_now, and with readers */
    return made;
}

/* Under the growth lock; NULL when memory is out. */
static struct record_header *record_begin(void)
{
    struct record_header *begun = load_relaxed(&record);
    return LIKELY(begun) ? begun : record_make();
}

COLD void *recorder_add(enum record_piece_kind kind, uint32_t count, size_t size)
{
    if (!lock_growth_acquire())
        return NULL;
    struct record_header *to = record_begin();
    void *piece = to ? piece_add(to, kind, count, count * size) : NULL;
    lock_growth_release();
    return piece;
}

COLD void *recorder_piece(enum record_piece_kind kind, uint32_t number)
{
    struct record_header *from = record_now();
    for (struct record_piece *piece = from ? from->piece : NULL; from && piece < from->piece + RECORD_PIECES; piece++)
        if (load_acquire(&piece->kind) == kind && number-- == 0) /* pairs with piece_add */
            return (char *)from + piece->offset;
    return NULL;
}

/* ---- What is asked from outside ---------------------------------------------------------------------------------- */

COLD uint64_t recorder_asked(void)
{
    struct record_requests *from = load_acquire(&requests); /* pairs with record_make */
    uint64_t number = from ? load_relaxed(&from->trim) : 0;
    return number != 0 && number != load_relaxed(&from->trimmed) ? number : 0;
}

COLD void recorder_answer(uint64_t number, size_t bytes)
{
    struct record_requests *to = load_acquire(&requests); /* as above */
    store_relaxed(&to->given, bytes);
    store_relaxed(&to->given_at, os_milliseconds());
    store_release(&to->trimmed, number); /* who asked reads it before the rest */
}

COLD uint64_t recorder_count_until(void)
{
    struct record_requests *from = load_acquire(&requests); /* as above */
    return from ? load_relaxed(&from->count_until) : 0;
}

COLD void recorder_note_counting(uint64_t now, bool counts)
{
    struct record_requests *answer = load_acquire(&requests); /* as above */
    if (!answer)
        return;
    uint64_t since = load_relaxed(&answer->counted_since);
    store_relaxed(&answer->counted_since, counts ? now : 0);
    if (since > 0)
        store_relaxed(&answer->counted, load_relaxed(&answer->counted) + (now - since));
}

/* ---- Snapshots --------------------------------------------------------------------------------------------------- */

/* When there is no room for another moment, every other one goes. */
static COLD void history_thin(struct record_header *to)
{
    for (unsigned i = 0; i < RECORD_HISTORY / 2; i++) {
        store_relaxed(&to->history[i].at, load_relaxed(&to->history[2 * i].at));
        store_relaxed(&to->history[i].live, load_relaxed(&to->history[2 * i].live));
        store_relaxed(&to->history[i].kept, load_relaxed(&to->history[2 * i].kept));
    }
    store_relaxed(&to->history_count, RECORD_HISTORY / 2);
    store_relaxed(&to->history_step, load_relaxed(&to->history_step) * 2);
}

static COLD void history_add(struct record_header *to, uint64_t now, uint64_t live, uint64_t kept)
{
    uint32_t count = load_relaxed(&to->history_count);
    if (count > 0 && now - load_relaxed(&to->history[count - 1].at) < load_relaxed(&to->history_step))
        return;
    if (count == RECORD_HISTORY) {
        history_thin(to);
        count = RECORD_HISTORY / 2;
    }
    struct record_moment *moment = &to->history[count];
    store_relaxed(&moment->at, now);
    store_relaxed(&moment->live, live);
    store_relaxed(&moment->kept, kept);
    store_relaxed(&to->history_count, count + 1);
}

static COLD bool peak_note(struct record_header *to, uint64_t now, uint64_t live)
{
    uint64_t before = load_relaxed(&to->peak);
    if (live <= before + before / PEAK_NOTED)
        return false;
    store_relaxed(&to->peak, live);
    store_relaxed(&to->peak_at, now);
    return true;
}

static COLD void range_note(struct record_range *range, const void *start, size_t size)
{
    store_relaxed(&range->start, (uintptr_t)start);
    store_relaxed(&range->size, size);
}

static COLD void ranges_note(struct record_header *to)
{
    _Static_assert(1 + (int)GROUND_TABLES < (int)RECORD_RANGES, "there is a range for each table, and for cells");
    range_note(&to->range[0], ground_heap(), (size_t)span_slab_count() << SUPERSLAB_SHIFT);
    for (unsigned table = 0; table < GROUND_TABLES; table++)
        range_note(&to->range[1 + table], ground_table((enum ground_table)table),
                   ground_extent((enum ground_table)table));
    uintptr_t cells_start = load_relaxed(&cell_room);
    range_note(&to->range[1 + GROUND_TABLES], (const void *)cells_start, cells_start ? cell_room_size() : 0);
}

static COLD void heap_note(struct record_heap *to, const struct hak_heap *arena)
{
    hak_heap_stat_t stat;
    _Static_assert(RECORD_HEAP_NAME == HAK_HEAP_NAME_MAX + 1, "a heap's name fits");
    _Static_assert((int)RECORD_HEAP_MAPPINGS == (int)ARENA_MAPPINGS, "a heap's mappings fit");
    arena_name(arena, to->name);
    arena_stat(arena, &stat);
    store_relaxed(&to->live, stat.live);
    store_relaxed(&to->blocks, stat.blocks);
    store_relaxed(&to->peak, stat.peak);
    store_relaxed(&to->limit, stat.limit);
    store_relaxed(&to->held, stat.held);
    store_relaxed(&to->refused, stat.refused);
    for (unsigned i = 0; i < ARENA_MAPPINGS; i++) {
        uintptr_t start = load_relaxed(&arena->mapped[i].start);
        store_relaxed(&to->mapped[i].size, start ? load_relaxed(&arena->mapped[i].size) : 0);
        store_relaxed(&to->mapped[i].start, start);
    }
}

/* `count`: how many there are. The piece comes with the first, and has room for as many as there may be. */
static COLD void heaps_note(uint64_t count)
{
    struct record_heap *heaps = recorder_piece(RECORD_HEAPS, 0);
    if (!heaps && count > 0)
        heaps = recorder_add(RECORD_HEAPS, ARENA_MOST, sizeof *heaps);
    for (unsigned number = 1; heaps && number <= arena_last(); number++) {
        const struct hak_heap *arena = arena_at(number);
        if (arena)
            heap_note(&heaps[number - 1], arena);
        else if (heaps[number - 1].name[0]) /* else its page of memory stays untouched */
            heaps[number - 1].name[0] = '\0';
    }
}

static COLD bool snapshot_write(struct record_header *to, uint64_t now)
{
    struct stats stats;
    stats_gather(&stats);
    const uint64_t values[VALUES] = {
#define X(field, name, unit, doc) stats.field,
#include "insight/stats.def"
#undef X
    };
    for (unsigned i = 0; i < VALUES; i++)
        store_relaxed(&to->value[i], values[i]);
    uint64_t live = stats.live + stats.large;
    history_add(to, now, live, stats.ring + stats.depot + stats.page_free + stats.free_dirty);
    ranges_note(to);
    heaps_note(stats.heaps);
    store_relaxed(&to->interval, load_relaxed(&draw_interval));
    if (file_size > 0) /* of a living process readers ask the system themselves */
        store_relaxed(&to->resident, os_process_resident());
    store_relaxed(&to->taken_at, now);
    return peak_note(to, now, live);
}

/* None when another thread is at it. */
static COLD enum recorder_snapshot snapshot_take(struct record_header *to, uint64_t now)
{
    uint32_t before = load_relaxed(&to->sequence);
    if (before % 2 != 0 || !cas_seq(&to->sequence, &before, before + 1)) /* orders what follows, for readers */
        return RECORDER_NONE;
    uint64_t begin = os_nanoseconds();
    bool is_peak = snapshot_write(to, now);
    store_release(&to->sequence, before + 2); /* readers look at it after the values */
    uint64_t pause = (os_nanoseconds() - begin) * SOON_TIMES / 1000000;
    store_relaxed(&soonest_at, now + max_size(SOON_MILLISECONDS, pause));
    store_relaxed(&snapshot_at, now + SNAPSHOT_MILLISECONDS);
    retain_note_moved();
    return is_peak ? RECORDER_PEAK : RECORDER_TAKEN;
}

static COLD struct record_header *record_get(void)
{
    struct record_header *got = record_now();
    if (got || !lock_growth_acquire())
        return got;
    got = record_begin();
    lock_growth_release();
    return got;
}

enum recorder_snapshot recorder_tick(uint64_t now)
{
    uint64_t at = load_relaxed(&snapshot_at);
    if (LIKELY(now < at))
        return RECORDER_NONE;
    store_relaxed(&snapshot_at, now + SNAPSHOT_MILLISECONDS); /* also if another thread is taking one */
    if (at == 0) /* programs that end within that time have none */
        return RECORDER_NONE;
    struct record_header *to = record_get();
    return to ? snapshot_take(to, now) : RECORDER_NONE;
}

enum recorder_snapshot recorder_note(uint64_t now)
{
    struct record_header *to = now >= load_relaxed(&soonest_at) ? record_get() : NULL;
    return to ? snapshot_take(to, now) : RECORDER_NONE;
}

COLD void recorder_end(void)
{
    struct record_header *to = record_now();
    if (!to)
        return;
    snapshot_take(to, os_milliseconds());
    store_relaxed(&to->state, RECORD_ENDED);
}

/* The record moves to other memory, at the same addresses. */
static COLD bool record_move(struct record_header *own, void *to)
{
    __builtin_memcpy(to, own, file_size);
    int error = os_move(to, file_size, file_size, own);
    if (error)
        os_unmap(to, file_size);
    return error == 0;
}

/* A copy that nobody else sees comes first: then a file for it, if the path has the process's id in it. */
static COLD void file_after_fork(struct record_header *own)
{
    void *memory;
    if (os_map(file_size, 1, NULL, &memory) != 0 || !record_move(own, memory))
        return;
    memory = record_file_is_each() ? record_file_make() : NULL;
    store_relaxed(&own->process, os_process_id());
    if (memory)
        record_move(own, memory);
}

COLD void recorder_after_fork(void)
{
    struct record_header *own = load_relaxed(&record);
    if (!own)
        return;
    if (file_size > 0)
        file_after_fork(own);
    uint32_t sequence = load_relaxed(&own->sequence);
    store_relaxed(&own->sequence, sequence + sequence % 2); /* a vanished thread was writing */
    struct record_requests *asked = load_relaxed(&requests);
    if (asked) { /* its parent was */
        store_relaxed(&asked->trim, load_relaxed(&asked->trimmed));
        store_relaxed(&asked->count_until, 0);
    }
}
