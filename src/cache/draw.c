#include "cache/draw.h"

#include "system/options.h"
#include "system/os_clock.h"
#include "system/os_process.h"

enum {
    WINDOW_SAMPLES = 512,      /* with more in a window, in which one processor works, the interval doubles; with an
                                  eighth of it, it halves; */
    WINDOW_FEW = 64,           /* so many are no burden in any window; */
    MANY_INTERVAL = 128 << 10, /* who wants more samples than by this mean distance */
    SITES_SAMPLES = 16384,     /* may have so many in a window, */
    SITES_INTERVAL = 16 << 10, /* down to this one, which HAKMEM_SITES needs, and any number below */
    WIDEN_MOST = 20,           /* times */
    FEW_AT_FIRST = 2           /* times that it is wider at first */
};

_Atomic(uint64_t) draw_interval, draw_surplus;
static uint64_t seed_of_all, interval_least; /* [const] the second is the interval when nothing has widened it */
static uint32_t window_samples;              /* [const] */
static _Atomic(uint32_t) widened;      /* how often the interval was doubled; relaxed, as the next */
static _Atomic(uint32_t) window_taken; /* samples in this window */

COLD uint32_t draw_window(uint64_t interval)
{
    return interval >= MANY_INTERVAL ? WINDOW_SAMPLES : interval >= SITES_INTERVAL ? SITES_SAMPLES : UINT32_MAX;
}

/* By threads at once it may become less or more than it should; later looks put that right. */
static COLD void interval_set(uint32_t times)
{
    store_relaxed(&widened, times);
    store_relaxed(&draw_interval, interval_least << times);
}

COLD void draw_start(void)
{
    uint64_t sites = option(OPTION_SITES) ? SITES_INTERVAL : 0;
    interval_least =
        option(OPTION_SAMPLE) && sites ? min_size(option(OPTION_SAMPLE), sites) : option(OPTION_SAMPLE) + sites;
    window_samples = draw_window(interval_least);
    if (check_is_on())
        interval_least = 0;
    seed_of_all = os_random();
    interval_set(draw_is_told() ? 0 : FEW_AT_FIRST);
}

bool draw_is_told(void)
{
    return interval_least != OPTION_DEFAULT_SAMPLE || option(OPTION_RECORD) != 0 || option(OPTION_ALLOCATED);
}

/* ---- Logarithm and exponential, since libm is another library ---------------------------------------------------- */

#define LN_2 0.69314718055994530942

/* Of x / 2^64, for x > 0; exact to about 10^-6. */
static double ln_of_part(uint64_t x)
{
    unsigned shift = 63 - highest_bit(x);
    double mantissa = (double)(x << shift) / 0x1p63; /* 1 to 2 */
    double s = (mantissa - 1) / (mantissa + 1), s2 = s * s;
    return 2 * s * (1 + s2 * (1.0 / 3 + s2 * (1.0 / 5 + s2 * (1.0 / 7 + s2 / 9)))) - (1 + (int)shift) * LN_2;
}

/* 1 - exp(-x), for x >= 0. */
static double one_minus_exp(double x)
{
    enum { HALVINGS = 6 };
    if (x > 36)
        return 1;
    double part = x / (1 << HALVINGS);
    double rest = part * (1 - part / 2 * (1 - part / 3 * (1 - part / 4 * (1 - part / 5 * (1 - part / 6)))));
    for (unsigned i = 0; i < HALVINGS; i++)
        rest = rest * (2 - rest); /* 1 - (1 - rest)^2 */
    return rest;
}

/* ---- Drawing ----------------------------------------------------------------------------------------------------- */

COLD int64_t draw_distance(uint64_t *random, uint64_t interval)
{
    double distance = -ln_of_part(random_draw(random) | 1) * (double)interval;
    return distance < 0x1p62 ? (int64_t)distance + 1 : (int64_t)1 << 62;
}

COLD void draw_next(struct draw *draw)
{
    draw->left = draw->interval ? draw_distance(&draw->random, draw->interval) : INT64_MAX;
}

COLD void draw_open(struct draw *draw, uint64_t seed)
{
    *draw =
        (struct draw){.random = hash_mix(seed_of_all + seed) | 1, .interval = load_relaxed(&draw_interval), .times = 1};
    draw_next(draw);
}

COLD uint64_t draw_bytes(size_t size, uint64_t interval)
{
    return interval ? (uint64_t)((double)size / one_minus_exp((double)size / (double)interval) + 0.5) : size;
}

bool draw_keeps(struct draw *draw, const void *block, size_t size, uint64_t bytes)
{
    uint64_t wanted = draw_bytes(size, draw->interval);
    if (draw->interval == 0)
        return false;
    bool again = block == draw->last;
    if (again && draw->returns == 0) {
        draw->last = NULL; /* the next mark's sample may be the same block */
        return false;
    }
    draw->returns -= again;
    return wanted <= bytes || (double)random_draw(&draw->random) * (double)wanted < (double)bytes * 0x1p64;
}

/* ---- How many ---------------------------------------------------------------------------------------------------- */

static COLD void interval_double(uint32_t times)
{
    if (load_relaxed(&draw_interval) != 0)
        interval_set((uint32_t)min_size(load_relaxed(&widened) + times, WIDEN_MOST));
}

COLD void draw_widen(void) { interval_double(1); }

/* How many samples the window that ends now may have had: what they cost is a share of the time that the program works,
 * and it may work little. Where the system does not say how much, as if it had worked throughout; and who wants many
 * gets any number. */
static COLD uint64_t window_most(void)
{
    static _Atomic(uint64_t) worked; /* milliseconds, when the window began; relaxed, as those */
    if (window_samples == UINT32_MAX)
        return UINT32_MAX;
    uint64_t now = os_cpu_milliseconds(), before = load_relaxed(&worked);
    store_relaxed(&worked, now);
    uint64_t most = now > before ? (now - before) * window_samples / DRAW_MILLISECONDS : 0;
    return now == 0 ? window_samples : min_size(max_size(most, WINDOW_FEW), window_samples);
}

void draw_note(uint64_t now, bool has_room)
{
    static _Atomic(uint64_t) began; /* relaxed, as these */
    uint32_t count = fetch_add_relaxed(&window_taken, 1) + 1;
    uint64_t passed = now - load_relaxed(&began);
    if (count < window_samples && passed < DRAW_MILLISECONDS)
        return;
    store_relaxed(&window_taken, 0);
    store_relaxed(&began, now);
    uint64_t most = window_most();
    uint32_t times = load_relaxed(&widened);
    if (count >= most)
        interval_double(1 + highest_bit(count / most));
    else if (times > 0 && count < most / 8 && has_room)
        interval_set(times - 1);
}
