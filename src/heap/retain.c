#include "heap/retain.h"

#include "heap/limit.h"
#include "heap/prefault.h"
#include "system/os_clock.h"
#include "system/os_map.h"

enum {
    FLOOR = 1 << 20,            /* bytes that may always be dirty */
    LITTLE = 16 << 20,          /* bytes of the budget that count even if the program has less in hand */
    STEP = 256 << 10,           /* a purge is due when so many bytes, or more: such a part of what is in use, */
    STEP_PART = 128,            /* are beyond the budget and have come since the last purge */
    LUMP = 256 << 10,           /* bytes that a thread counts before it shares the count */
    WINDOW_SHORTEST = 500,      /* milliseconds */
    WINDOW_LONGEST = 8000,
    MEMORY_PART = 8,            /* of the machine's or its control group's memory: the most by a profile's word */
    LARGE = 1 << 20,            /* regret of so much in one piece is for a large block. They differ in size, and what */
    LARGE_TIMES = 7,            /* is free between them varies by several: so many more may stay, */
    LARGE_PART = 2,             /* up to that part of what is in use */
    PEAK_PART = 16,             /* of what was in hand lately may be resident beyond that; more only where it costs */
    PEAK_PERMILLE = 50,         /* more than that part of one processor's time to touch it anew, */
    PEAK_MILLISECONDS = 5000,   /* and as if that had been nothing for so long at the start */
    LATE_MILLISECONDS = 250,    /* what lay purged for longer is missed only if touching it anew takes more than */
    LATE_PERMILLE = 500,        /* that part of one processor's time, and what lies for so long goes; what was needed
                                   sooner, where little is in hand, */
    BEARABLE_PERMILLE = 2,      /* only if it takes more than that. Of all, time that was not used adds up for */
    BEARABLE_MILLISECONDS = 10000, /* so long */
    TOUCH_NANOSECONDS = 10000,  /* the first touch of a page of memory, where it is not known */
    MOVE_FIRST = 4 << 20,       /* bytes of the account from which on it is worth telling: half for blocks that come, */
    MOVE = 512 << 10,           /* for they count twice. Then it is when it changed by so many, and that part of all */
    MOVE_PART = 16
};

_Atomic(bool) retain_due, retain_waits, retain_moved;

static struct {
    _Atomic(size_t) used, dirty_runs; /* [lock to write] */
    _Atomic(ptrdiff_t) loose, vacant; /* negative for a moment: threads share what they took before what came back */
    _Atomic(size_t) keep;             /* the budget, beyond FLOOR, up to what is in hand, or LITTLE, */
    _Atomic(size_t) unbound;          /* and so much more, */
    _Atomic(size_t) extra;            /* and for large blocks, while others are in use */
    _Atomic(size_t) lasting;          /* the largest that `keep` was at the end of a window */
    _Atomic(size_t) top;              /* bytes in hand, the most in this window */
    _Atomic(size_t) peak;             /* and lately: that is a bound, */
    _Atomic(size_t) beyond;           /* and so much more */
    _Atomic(size_t) settled;          /* dirty bytes when the last purge ended, or fewer */
    _Atomic(size_t) settled_over;     /* the same of those beyond a limit */
    _Atomic(size_t) low_water;        /* least dirty bytes in this window */
    _Atomic(uint64_t) window_begin;   /* milliseconds */
    _Atomic(size_t) purged;           /* bytes, since the start */
    _Atomic(bool) bounded;            /* the last purge took more than it would have if more were in use */
    _Atomic(bool) at_peak;            /* and because that would be more than lately was in hand */
    _Atomic(uint64_t) paid_until, paid_late_until, paid_peak_until; /* microseconds: to here, regret has used up what is
                                                                       bearable; 0: there was none */
} retain;

/* The account is worth telling when it is not within `span` bytes from `from` on. Relaxed, as all here. */
static struct {
    _Atomic(size_t) from, span;
} moves = {0, MOVE_FIRST};

/* What this thread has not shared yet. */
static __thread struct {
    ptrdiff_t loose, vacant;
} unshared __attribute__((tls_model("initial-exec")));

static size_t dirty_bytes(void)
{
    ptrdiff_t loose = load_relaxed(&retain.loose);
    return load_relaxed(&retain.dirty_runs) + (loose > 0 ? (size_t)loose : 0);
}

static size_t extra_now(void) { return min_size(load_relaxed(&retain.extra), load_relaxed(&retain.used) / LARGE_PART); }

/* Bytes that the program has. */
static size_t in_hand(void)
{
    ptrdiff_t bytes = (ptrdiff_t)load_relaxed(&retain.used) - load_relaxed(&retain.vacant);
    return bytes > 0 ? (size_t)bytes : 0;
}

/* Going up and down costs little if it happens seldom: then little stays when most was freed. */
static size_t keep_bound(void) { return max_size(in_hand(), LITTLE) + load_relaxed(&retain.unbound); }

static size_t keep_now(void) { return min_size(load_relaxed(&retain.keep), keep_bound()); }

static size_t recent_peak(void) { return max_size(load_relaxed(&retain.peak), load_relaxed(&retain.top)); }

/* With what is in hand, no more than lately was, and a little. */
static size_t peak_bound(void)
{
    size_t peak = recent_peak(), now = in_hand();
    return (peak > now ? peak - now : 0) + max_size(peak / PEAK_PART, LITTLE) + load_relaxed(&retain.beyond);
}

/* Bytes that are handed out, and that may be dirty beside these within the limit. */
static size_t handed_out(void) { return load_relaxed(&retain.used) + limit_mapped(); }

static size_t limit_left(void)
{
    size_t most = limit_most();
    return most - min_size(handed_out(), most);
}

static size_t budget(void) { return min_size(FLOOR + min_size(keep_now() + extra_now(), peak_bound()), limit_left()); }

size_t retain_over_limit(void)
{
    size_t dirty = dirty_bytes();
    return dirty - min_size(dirty, limit_left());
}

static void lower(_Atomic(size_t) *least, size_t now)
{
    if (now < load_relaxed(least))
        store_relaxed(least, now);
}

/* Changes when memory is handed out, freed within pages, or purged. */
static size_t account(void) { return in_hand() + handed_out() + dirty_bytes(); }

static void judge(void)
{
    size_t dirty = dirty_bytes(), over = retain_over_limit();
    if (in_hand() > load_relaxed(&retain.top))
        store_relaxed(&retain.top, in_hand());
    lower(&retain.low_water, dirty);
    lower(&retain.settled, dirty);
    lower(&retain.settled_over, over);
    bool waits = dirty > FLOOR + STEP && (load_relaxed(&retain.keep) | load_relaxed(&retain.extra)) > 0;
    if (waits != load_relaxed(&retain_waits))
        store_relaxed(&retain_waits, waits);
    size_t step = max_size(STEP, load_relaxed(&retain.used) / STEP_PART);
    if (dirty > max_size(budget(), load_relaxed(&retain.settled)) + step ||
        over > load_relaxed(&retain.settled_over) + STEP || limit_wants_look(handed_out() + dirty))
        store_relaxed(&retain_due, true);
    if (UNLIKELY(account() - load_relaxed(&moves.from) >= load_relaxed(&moves.span)))
        store_relaxed(&retain_moved, true);
}

void retain_note_moved(void)
{
    size_t now = account(), step = MOVE + now / MOVE_PART;
    store_relaxed(&moves.from, now - min_size(now, step));
    store_relaxed(&moves.span, now - load_relaxed(&moves.from) + step);
    store_relaxed(&retain_moved, false);
}

size_t retain_used(void) { return load_relaxed(&retain.used); }

void retain_runs(size_t used, size_t dirty)
{
    store_relaxed(&retain.used, used);
    store_relaxed(&retain.dirty_runs, dirty);
    judge();
}

static bool is_lump(ptrdiff_t bytes) { return UNLIKELY(bytes >= LUMP || bytes <= -LUMP); }

void retain_loosen(ptrdiff_t bytes)
{
    unshared.loose += bytes;
    if (is_lump(unshared.loose))
        retain_share();
}

void retain_vacate(ptrdiff_t bytes)
{
    unshared.vacant += bytes;
    if (is_lump(unshared.vacant))
        retain_share();
}

void retain_share(void)
{
    fetch_add_relaxed(&retain.loose, unshared.loose);
    fetch_add_relaxed(&retain.vacant, unshared.vacant);
    unshared.loose = unshared.vacant = 0;
    judge();
}

/* Nanoseconds that it takes to touch so much memory for the first time. */
static uint64_t touch_cost(size_t bytes)
{
    uint64_t known = prefault_touch_time(), page = known ? known : TOUCH_NANOSECONDS, most = (size_t)1 << 47;
    return min_size(bytes, most) * page / os_page_size();
}

/* Whether the program can bear it that so many bytes were purged and needed again, for it happens so seldom that it
 * takes no more than such a part of one processor's time. `idle`: milliseconds for which they had been purged. */
static bool is_bearable(_Atomic(uint64_t) *account, unsigned permille, uint64_t milliseconds, uint32_t idle,
                        size_t bytes)
{
    uint64_t microseconds = touch_cost(bytes) / permille; /* nanoseconds * 1000 / 1000 */
    uint64_t now = milliseconds * 1000, paid_until = load_relaxed(account);
    uint64_t first = now - min_size(now, BEARABLE_MILLISECONDS * 1000);
    uint64_t begin = paid_until == 0 ? now - (uint64_t)idle * 1000 : max_size(paid_until, first),
             end = begin + microseconds;
    store_relaxed(account, end <= now ? end : begin);
    return end <= now;
}

uint32_t retain_now(void) { return (uint32_t)os_milliseconds(); }

void retain_regret(size_t bytes, uint32_t purged_at)
{
    uint64_t now = os_milliseconds();
    uint32_t idle = (uint32_t)now - purged_at;
    if (idle > LATE_MILLISECONDS && is_bearable(&retain.paid_late_until, LATE_PERMILLE, now, idle, bytes))
        return;
    bool bounded = load_relaxed(&retain.bounded);
    if (bounded && is_bearable(&retain.paid_until, BEARABLE_PERMILLE, now, idle, bytes))
        return;
    fetch_add_relaxed(&retain.keep, bytes);
    fetch_add_relaxed(&retain.unbound, bounded ? bytes : 0);
    size_t extra = bytes >= LARGE ? bytes * LARGE_TIMES : 0;
    fetch_add_relaxed(&retain.extra, extra);
    if (load_relaxed(&retain.at_peak) &&
        !is_bearable(&retain.paid_peak_until, PEAK_PERMILLE, now, PEAK_MILLISECONDS, bytes))
        fetch_add_relaxed(&retain.beyond, bytes + extra);
}

void retain_begin(size_t bytes)
{
    size_t most = bytes > 0 ? min_size(bytes, limit_memory() / MEMORY_PART) : 0;
    store_relaxed(&retain.keep, most);
    store_relaxed(&retain.unbound, most);
}

size_t retain_lasting(void)
{
    size_t lasting = load_relaxed(&retain.lasting);
    return lasting ? lasting : load_relaxed(&retain.keep);
}

/* Milliseconds after which touching so much anew would have been bearable: what lies for longer is better purged. */
static uint64_t bearable_after(size_t bytes)
{
    return touch_cost(bytes) / LATE_PERMILLE / 1000; /* nanoseconds * 1000 / 1000000 */
}

/* Lets go what lay dirty through a window: `spare` bytes. */
static void spare_give_up(size_t spare)
{
    size_t extra = extra_now(), of_extra = min_size(extra, spare), beyond = load_relaxed(&retain.beyond);
    size_t keep = load_relaxed(&retain.keep), needed = min_size(keep, recent_peak());
    if (spare > of_extra)
        keep = needed - min_size(needed, spare - of_extra);
    store_relaxed(&retain.beyond, beyond - min_size(beyond, spare));
    store_relaxed(&retain.extra, extra - of_extra);
    store_relaxed(&retain.keep, keep);
    store_relaxed(&retain.unbound, min_size(load_relaxed(&retain.unbound), keep));
    store_relaxed(&retain.lasting, max_size(load_relaxed(&retain.lasting), keep));
}

static void retain_window_open(void)
{
    size_t peak = recent_peak();
    store_relaxed(&retain.peak, peak - (peak - min_size(load_relaxed(&retain.top), peak)) / 2);
    store_relaxed(&retain.top, in_hand());
    store_relaxed(&retain.low_water, dirty_bytes());
    store_relaxed(&retain.settled, 0); /* what could not be purged is tried again */
    store_relaxed(&retain.settled_over, 0);
}

void retain_tick(uint64_t now)
{
    uint64_t begin = load_relaxed(&retain.window_begin);
    size_t low = load_relaxed(&retain.low_water), spare = low > FLOOR ? low - FLOOR : 0;
    uint64_t window = min_size(max_size(bearable_after(spare), WINDOW_SHORTEST), WINDOW_LONGEST);
    /* The swap elects one thread. */
    if (now - begin < window || !atomic_compare_exchange_strong_explicit(&retain.window_begin, &begin, now,
                                                                         memory_order_relaxed, memory_order_relaxed))
        return;
    spare_give_up(spare);
    retain_window_open();
    limit_look(now, handed_out() + dirty_bytes());
    judge();
}

void retain_go_on(void)
{
    store_relaxed(&retain_due, true);
    store_relaxed(&retain_waits, true);
}

size_t retain_excess(void)
{
    size_t dirty = dirty_bytes(), resident = handed_out() + dirty;
    store_relaxed(&retain_due, false);
    if (limit_wants_look(resident))
        limit_look(os_milliseconds(), resident);
    size_t may = budget();
    store_relaxed(&retain.bounded, load_relaxed(&retain.keep) > keep_bound());
    store_relaxed(&retain.at_peak, keep_now() + extra_now() > peak_bound());
    return dirty > may ? dirty - may : 0;
}

/* What holds down what may be kept: the least of three bounds, if it is below what regret asks for. */
static COLD enum retain_bound bound_now(void)
{
    size_t asked = load_relaxed(&retain.keep) + extra_now(), hand = keep_bound() + extra_now();
    size_t peak = peak_bound(), limit = limit_left() - min_size(limit_left(), FLOOR);
    size_t least = min_size(min_size(hand, peak), limit);
    if (least >= asked)
        return RETAIN_BY_REGRET;
    return least == limit ? RETAIN_BY_LIMIT : least == peak ? RETAIN_BY_PEAK : RETAIN_BY_HAND;
}

COLD void retain_tell(struct retain_report *out)
{
    uint64_t now = os_milliseconds(), begin = load_relaxed(&retain.window_begin);
    size_t low = load_relaxed(&retain.low_water), spare = low > FLOOR ? low - FLOOR : 0;
    uint64_t window = min_size(max_size(bearable_after(spare), WINDOW_SHORTEST), WINDOW_LONGEST);
    *out = (struct retain_report){
        .in_hand = in_hand(),
        .peak = recent_peak(),
        .counted = handed_out() + dirty_bytes(),
        .dirty = dirty_bytes(),
        .may = budget(),
        .always = FLOOR,
        .missed = load_relaxed(&retain.keep),
        .large = extra_now(),
        .purged = load_relaxed(&retain.purged),
        .bound = bound_now(),
        .spare = spare,
        .milliseconds = begin + window > now ? begin + window - now : 0,
    };
}

void retain_note_purged(size_t bytes) { fetch_add_relaxed(&retain.purged, bytes); }

void retain_purged(size_t looked_at, size_t left)
{
    if (left == LEFT_UNKNOWN)
        fetch_sub_relaxed(&retain.loose, (ptrdiff_t)looked_at);
    else /* what threads lost sight of, because they count blocks of a page without a lock, is made good */
        store_relaxed(&retain.loose, (ptrdiff_t)left);
    store_relaxed(&retain.settled, dirty_bytes());
    store_relaxed(&retain.settled_over, retain_over_limit());
}
