#include "heap/limit.h"

#include "heap/cell.h"
#include "system/cgroup.h"
#include "system/options.h"
#include "system/os_process.h"

enum {
    RESERVE_PART = 8,          /* of a limit: so much room is little, and left to the others in a group */
    OTHERS_PART = 8,           /* of what others had goes in a second */
    LOOK_FIRST = 16 << 20,     /* bytes in use, below which control groups are not asked */
    LOOK_PART = 4,             /* of the room: when so much has been used of it, they are asked again, */
    LOOK_MILLISECONDS = 1000   /* and after so long */
};

_Atomic(size_t) limit_look_at = LOOK_FIRST;
_Atomic(bool) limit_is_near;
_Atomic(uint32_t) limit_alarms;

static _Atomic(size_t) own_limit = SIZE_MAX; /* HAKMEM_LIMIT, in bytes. Written at the start */
static _Atomic(size_t) allowed = SIZE_MAX;      /* relaxed, as the others: a matter of policy */
static _Atomic(size_t) mapped_bytes;         /* [lock to write] */
static _Atomic(uint32_t) looking;            /* elects one thread: 1 while it reads files */
static struct {
    _Atomic(size_t) limit, used; /* bytes, of the control group with the least room when last seen; SIZE_MAX: none */
    _Atomic(uint32_t) nears;     /* how often there was little room when there had been enough */
    _Atomic(uint32_t) refusals;
    _Atomic(size_t) purged;      /* bytes that went for a limit's sake */
    _Atomic(bool) is_said;       /* that the process's own limit is near */
} history = {.limit = SIZE_MAX};

static size_t of_others;                        /* bytes; whoever looks has it, and the next */
static uint64_t limit_looked_at;                   /* milliseconds; whoever looks has it */

COLD size_t limit_memory(void)
{
    size_t machine = os_memory_size(), limit = SIZE_MAX;
    if (load_relaxed(&looking) == 0 && exchange_acquire(&looking, 1) == 0) { /* pairs with the release below */
        limit = cgroup_memory().limit;
        store_release(&looking, 0);
    }
    return limit < SIZE_MAX && (machine == 0 || limit < machine) ? limit : machine;
}

COLD void limit_start(void)
{
    uint64_t value = option(OPTION_LIMIT);
    if (value == 0)
        return;
    size_t bytes = value & OPTION_PERCENT ? limit_memory() / 100 * (value & ~OPTION_PERCENT) : value;
    if (bytes > 0) {
        store_relaxed(&own_limit, bytes);
        store_relaxed(&allowed, bytes);
        store_relaxed(&limit_look_at, min_size(LOOK_FIRST, bytes / 2));
    }
}

size_t limit_most(void) { return load_relaxed(&allowed); }

/* Of the process's own limit. */
static size_t own_room(size_t resident)
{
    size_t limit = load_relaxed(&own_limit);
    return limit == SIZE_MAX ? SIZE_MAX : limit - min_size(limit, resident);
}

/* Bytes that may be handed out and dirty by the group's limit. What others in the group have (other processes, the
 * program's own mappings, the kernel) is what the system counts beside `resident`. It may be more, because the program
 * has not touched all that was handed out: so the most that was seen holds for a while. */
static COLD size_t group_bound(struct cgroup_memory group, size_t resident, bool is_time)
{
    size_t other = group.used - min_size(group.used, resident);
    of_others = max_size(other, is_time ? of_others - of_others / OTHERS_PART : of_others);
    size_t all = group.room + group.used, reserved = all / RESERVE_PART + of_others;
    return group.room == SIZE_MAX ? SIZE_MAX : all - min_size(all, reserved);
}

/* Who has asked for a limit is to know that it has effects: once, and of no other. */
static COLD void own_limit_say(void)
{
    if (!atomic_exchange_explicit(&history.is_said, true, memory_order_relaxed)) /* elects one thread */
        option_warn_set(option(OPTION_LIMIT_HARD) ? WARNING_LIMIT_HARD : WARNING_LIMIT, OPTION_LIMIT, "");
}

static COLD void bound_find(size_t resident, bool is_time)
{
    struct cgroup_memory group = cgroup_memory();
    size_t own = own_room(resident), room = min_size(group.room, own);
    size_t limit = own <= group.room ? load_relaxed(&own_limit) : group.room + group.used;
    bool is_limited = room < SIZE_MAX, is_near = is_limited && room <= limit / RESERVE_PART;
    store_relaxed(&history.limit, group.room == SIZE_MAX ? SIZE_MAX : group.room + group.used);
    store_relaxed(&history.used, group.used);
    store_relaxed(&history.nears, load_relaxed(&history.nears) + (is_near && !load_relaxed(&limit_is_near)));
    if (is_near && own <= group.room)
        own_limit_say();
    store_relaxed(&allowed, min_size(load_relaxed(&own_limit), group_bound(group, resident, is_time)));
    store_relaxed(&limit_is_near, is_near);
    store_relaxed(&limit_alarms, load_relaxed(&limit_alarms) + is_near);
    store_relaxed(&limit_look_at, is_limited ? resident + max_size(room, LOOK_FIRST) / LOOK_PART : SIZE_MAX);
}

COLD void limit_look(uint64_t now, size_t resident)
{
    if (resident < LOOK_FIRST && load_relaxed(&own_limit) == SIZE_MAX)
        return;
    if (load_relaxed(&looking) || exchange_acquire(&looking, 1)) /* pairs with the release below */
        return;
    bool is_time = now - limit_looked_at >= LOOK_MILLISECONDS;
    if (is_time || limit_wants_look(resident))
        bound_find(resident, is_time);
    limit_looked_at = is_time ? now : limit_looked_at;
    store_release(&looking, 0);
}

size_t limit_mapped(void) { return load_relaxed(&mapped_bytes) + cell_bytes(); }

void limit_note_mapped(ptrdiff_t bytes) { counter_add(&mapped_bytes, (size_t)bytes); }

bool limit_allows(size_t used, size_t more)
{
    size_t limit = load_relaxed(&own_limit), have = used + limit_mapped();
    return LIKELY(limit == SIZE_MAX || !option(OPTION_LIMIT_HARD)) || (have <= limit && more <= limit - have);
}

void limit_note_purged(size_t bytes) { fetch_add_relaxed(&history.purged, bytes); }

COLD void limit_note_refused(void)
{
    fetch_add_relaxed(&history.refusals, 1);
    own_limit_say();
}

COLD void limit_tell(struct limit_report *out, char *file, size_t capacity)
{
    *out = (struct limit_report){
        .own = load_relaxed(&own_limit),
        .group = load_relaxed(&history.limit),
        .group_used = load_relaxed(&history.used),
        .most = load_relaxed(&allowed),
        .is_near = load_relaxed(&limit_is_near),
        .nears = load_relaxed(&history.nears),
        .refusals = load_relaxed(&history.refusals),
        .purged = load_relaxed(&history.purged),
    };
    if (capacity == 0 || load_relaxed(&looking) || exchange_acquire(&looking, 1)) /* pairs with the release below */
        return;
    struct cgroup_memory group = cgroup_memory();
    out->version = group.version;
    out->group = group.file ? group.room + group.used : SIZE_MAX;
    out->group_used = group.used;
    size_t length = 0;
    for (; group.file && group.file[length] && length < capacity - 1; length++)
        file[length] = group.file[length];
    file[length] = 0;
    store_release(&looking, 0);
}

void limit_after_fork(void) { store_relaxed(&looking, 0); }
